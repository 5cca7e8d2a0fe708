# U-Boot's part of updates: picks the slot, counts the attempt, starts the kernel.
#
# BOOT_ORDER and BOOT_{A,B}_LEFT live in one 512-byte sector, checked by a CRC, 512 KiB into the card, in
# front of the first partition. One sector is written whole or not at all, so a power cut cannot tear
# it; and no file system is written before the system is up. RAUC writes the same sector through
# /etc/fw_env.config. A sector that does not check out means: both slots, A first.

test -n "${devtype}" || setenv devtype mmc
test -n "${devnum}" || setenv devnum 0
setenv BOOT_ORDER
setenv BOOT_A_LEFT
setenv BOOT_B_LEFT
${devtype} dev ${devnum}
if ${devtype} read ${kernel_addr_r} 0x400 1; then
  env import -c ${kernel_addr_r} 0x200 BOOT_ORDER BOOT_A_LEFT BOOT_B_LEFT
fi
test -n "${BOOT_ORDER}" || setenv BOOT_ORDER "A B"
test -n "${BOOT_A_LEFT}" || setenv BOOT_A_LEFT 3
test -n "${BOOT_B_LEFT}" || setenv BOOT_B_LEFT 3
# Both used up: rather a bad system again than none at all.
if itest ${BOOT_A_LEFT} -le 0 && itest ${BOOT_B_LEFT} -le 0; then
  setenv BOOT_A_LEFT 3
  setenv BOOT_B_LEFT 3
fi

setenv slot
for candidate in ${BOOT_ORDER}; do
  if test -n "${slot}"; then
    true
  elif test "${candidate}" = "A"; then
    if itest ${BOOT_A_LEFT} -gt 0; then
      setexpr BOOT_A_LEFT ${BOOT_A_LEFT} - 1
      setenv slot A
      setenv slot_part 2
    fi
  elif test "${candidate}" = "B"; then
    if itest ${BOOT_B_LEFT} -gt 0; then
      setexpr BOOT_B_LEFT ${BOOT_B_LEFT} - 1
      setenv slot B
      setenv slot_part 3
    fi
  fi
done
# The order named no slot that has an attempt left.
if test -z "${slot}"; then
  setenv BOOT_ORDER "A B"
  setenv BOOT_A_LEFT 2
  setenv BOOT_B_LEFT 3
  setenv slot A
  setenv slot_part 2
fi
env export -c -s 0x200 ${kernel_addr_r} BOOT_ORDER BOOT_A_LEFT BOOT_B_LEFT
${devtype} write ${kernel_addr_r} 0x400 1
echo "fieldgate: slot ${slot}, attempts left: A ${BOOT_A_LEFT}, B ${BOOT_B_LEFT}"

# What the owner may set in fieldgate/boot.txt: console (a kernel console), extra (kernel options).
setenv console
setenv extra
if test -e ${devtype} ${devnum}:1 fieldgate/boot.txt; then
  load ${devtype} ${devnum}:1 ${kernel_addr_r} fieldgate/boot.txt
  env import -t ${kernel_addr_r} ${filesize} console extra
fi
setenv consoles "console=ttyS1,115200 console=ttyAMA0,115200 console=tty1"
test -z "${console}" || setenv consoles "console=${console}"

# The firmware's device tree with its overlays on a Raspberry Pi; elsewhere U-Boot's own.
test -n "${fdt_addr}" || setenv fdt_addr ${fdtcontroladdr}

part uuid ${devtype} ${devnum}:${slot_part} root_uuid
part uuid ${devtype} ${devnum}:4 data_uuid
# panic: a kernel that cannot go on starts again, which uses up an attempt.
setenv bootargs "root=PARTUUID=${root_uuid} ro rootwait fieldgate.data=PARTUUID=${data_uuid} rauc.slot=${slot} panic=10 loglevel=4 systemd.ssh_auto=no ${consoles} ${extra}"
if load ${devtype} ${devnum}:${slot_part} ${kernel_addr_r} /boot/vmlinuz && load ${devtype} ${devnum}:${slot_part} ${ramdisk_addr_r} /boot/initrd.img; then
  booti ${kernel_addr_r} ${ramdisk_addr_r}:${filesize} ${fdt_addr}
fi
echo "fieldgate: slot ${slot} does not start"
sleep 5
reset
