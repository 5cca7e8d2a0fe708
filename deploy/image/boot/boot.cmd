# Starts the kernel of the slot that deploy/boot/slots.cmd has picked, with what deploy/boot/options.cmd has read:
# both are in front of this.
setenv consoles "console=ttyS1,115200 console=ttyAMA0,115200 console=ttyAMA10,115200 console=tty1"
test -z "${console}" || setenv consoles "console=${console}"

# The firmware's device tree with its overlays on a Raspberry Pi; elsewhere U-Boot's own.
test -n "${fdt_addr}" || setenv fdt_addr ${fdtcontroladdr}

part uuid ${devtype} ${devnum}:${slot_part} root_uuid
part uuid ${devtype} ${devnum}:4 data_uuid
# panic: a kernel that cannot go on starts again, which uses up an attempt.
setenv bootargs "root=PARTUUID=${root_uuid} ro rootwait fieldgate.data=PARTUUID=${data_uuid} rauc.slot=${slot} panic=10 loglevel=4 systemd.ssh_auto=no ${consoles} ${extra}"
# A kernel of 50 MB reaches into U-Boot's own place for the initramfs, on a Raspberry Pi 38 MB behind its beginning. The
# build checks that both have room: kernel, initramfs, then the device tree at 128 MB, where QEMU puts it.
setexpr ramdisk_addr_r ${kernel_addr_r} + 0x4000000
if load ${devtype} ${devnum}:${slot_part} ${kernel_addr_r} /boot/vmlinuz && load ${devtype} ${devnum}:${slot_part} ${ramdisk_addr_r} /boot/initrd.img; then
  booti ${kernel_addr_r} ${ramdisk_addr_r}:${filesize} ${fdt_addr}
fi
echo "fieldgate: slot ${slot} does not start"
sleep 5
reset
