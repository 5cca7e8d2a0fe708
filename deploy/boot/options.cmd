
# What the owner may set in fieldgate/boot.txt on the first partition: console (a kernel console), extra (kernel
# options). Behind slots.cmd, and in front of what starts the kernel.
setenv console
setenv extra
if test -e ${devtype} ${devnum}:1 fieldgate/boot.txt; then
  load ${devtype} ${devnum}:1 ${kernel_addr_r} fieldgate/boot.txt
  env import -t ${kernel_addr_r} ${filesize} console extra
fi
