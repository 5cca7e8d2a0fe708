# U-Boot's part of updates: picks the slot and counts the attempt. What starts the kernel is the image's
# own and comes behind it; it finds ${slot}, A or B, and ${slot_part}, the number of its partition.
#
# BOOT_ORDER and BOOT_{A,B}_LEFT live in one 512-byte sector, checked by a CRC, 512 KiB into the card, in
# front of the first partition. One sector is written whole or not at all, so a power cut cannot tear
# it; and no file system is written before the system is up. RAUC writes the same sector through
# /etc/fw_env.config. A new card has it from slots.env. A sector that does not check out means the same:
# both slots, A first.

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
