SUMMARY = "FieldGate appliance image"
DESCRIPTION = "Read-only root in two slots, writable data partition, no password."
LICENSE = "MIT"

inherit core-image

IMAGE_FEATURES += "overlayfs-etc read-only-rootfs ssh-server-openssh"
IMAGE_INSTALL = "packagegroup-core-boot packagegroup-fieldgate kernel-modules ${CORE_IMAGE_EXTRA_INSTALL}"
# U-Boot loads the kernel of the chosen slot, so it belongs into the root.
IMAGE_INSTALL += "kernel-image"
IMAGE_LINGUAS = ""
NO_RECOMMENDATIONS ?= "0"
# It tells the boot loader that a start was good without asking the gateway.
BAD_RECOMMENDATIONS:append = " rauc-mark-good"

# /etc of the slot below, changes on the data partition: the fourth of the root's own disk.
OVERLAYFS_ETC_MOUNT_POINT = "/data"
OVERLAYFS_ETC_FSTYPE = "ext4"
OVERLAYFS_ETC_DEVICE = "4"
OVERLAYFS_ETC_MOUNT_OPTIONS = "noatime,nosuid,nodev"
OVERLAYFS_ETC_INIT_TEMPLATE = "${FIELDGATE_SRC}/yocto-layer/files/overlay/preinit.sh.in"

IMAGE_FSTYPES = "ext4 wic.zst wic.bmap"
WKS_FILE = "fieldgate-ab.wks.in"
WKS_FILE_DEPENDS:append = " fieldgate-boot-slots"
WKS_FILE_DEPENDS:append:qemuarm64 = " fieldgate-boot-script"
IMAGE_BOOT_FILES:append:qemuarm64 = " boot.scr"
# Both slots have this size for the life of the product: room to grow.
FIELDGATE_SLOT_SIZE ?= "768M"
FIELDGATE_DATA_SIZE ?= "128M"
IMAGE_ROOTFS_MAXSIZE = "716800"
IMAGE_OVERHEAD_FACTOR = "1.0"
WICVARS:append = " FIELDGATE_SLOT_SIZE FIELDGATE_DATA_SIZE"

# Where RAUC finds what U-Boot reads: deploy/boot/slots.cmd. After the packages, as U-Boot's own may hold
# that file, too, for another place.
fieldgate_boot_sector() {
    echo "${FIELDGATE_CARD} 0x80000 0x200" > ${IMAGE_ROOTFS}${sysconfdir}/fw_env.config
}
ROOTFS_POSTPROCESS_COMMAND += "fieldgate_boot_sector"
