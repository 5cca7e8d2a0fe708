SUMMARY = "FieldGate appliance image"
DESCRIPTION = "Read-only root in two slots, writable data partition, no password."
LICENSE = "MIT"

inherit core-image features_check

REQUIRED_DISTRO_FEATURES = "rauc systemd usrmerge"

# The boot script counts starts. Where nothing calls one good, the slots would take turns.
# nooelint: oelint.task.noanonpython
python () {
    if 'rauc' not in d.getVar('BBFILE_COLLECTIONS').split():
        raise bb.parse.SkipRecipe('it needs the layer meta-rauc: without the updater no start ever counts as good')
}

IMAGE_FEATURES += "overlayfs-etc read-only-rootfs ssh-server-openssh"
IMAGE_INSTALL = "packagegroup-core-boot packagegroup-fieldgate fieldgate-system-ssh kernel-modules ${CORE_IMAGE_EXTRA_INSTALL}"
# U-Boot loads the kernel of the chosen slot, so it belongs into the root.
IMAGE_INSTALL += "kernel-image"
# Only the layer meta-networking has what loads the firewall's rules.
IMAGE_INSTALL += "${@bb.utils.contains('BBFILE_COLLECTIONS', 'networking-layer', 'nftables', '', d)}"
IMAGE_LINGUAS = ""
NO_RECOMMENDATIONS ?= "0"
# It tells the boot loader that a start was good without asking the gateway.
BAD_RECOMMENDATIONS:append = " rauc-mark-good"

# /etc and /var of the slot below, changes on the data partition: the fourth of the root's own disk. The
# class wants the other names, too; deploy/card/fieldgate-mount-data is what mounts.
OVERLAYFS_ETC_MOUNT_POINT = "/data"
OVERLAYFS_ETC_FSTYPE = "ext4"
OVERLAYFS_ETC_DEVICE = "4"
OVERLAYFS_ETC_INIT_TEMPLATE = "${FIELDGATE_SRC}/yocto-layer/files/overlay/preinit.sh.in"

IMAGE_FSTYPES = "ext4 wic.zst wic.bmap"
WKS_FILE = "fieldgate-ab.wks.in"
WKS_FILE_DEPENDS:append = " fieldgate-boot-slots"
WKS_FILE_DEPENDS:append:qemuarm64 = " fieldgate-boot-script"
# The folder for the owner's settings.
IMAGE_BOOT_FILES:append = " fieldgate-card/*;fieldgate/"
IMAGE_BOOT_FILES:append:qemuarm64 = " boot.scr"
# Both slots have this size for the life of the product: room to grow.
FIELDGATE_SLOT_SIZE ?= "768M"
FIELDGATE_DATA_SIZE ?= "128M"
IMAGE_ROOTFS_MAXSIZE = "716800"
IMAGE_OVERHEAD_FACTOR = "1.0"
WICVARS:append = " FIELDGATE_SLOT_SIZE FIELDGATE_DATA_SIZE"

# What is laid over files of other packages, after these; and the name of this build, which fieldgate-mark-good
# tells from another build of the same version. It is the hash of all that the image is made of.
fieldgate_over() {
    sh ${FIELDGATE_SRC}/deploy/install-files yocto-over ${IMAGE_ROOTFS}
    build="${@(d.getVar('BB_TASKHASH') or '')[:16]}"
    release=${IMAGE_ROOTFS}${nonarch_libdir}/os-release
    [ -n "$build" ] && [ -f "$release" ] || bbfatal "this build has no name"
    printf 'IMAGE_ID=fieldgate\nIMAGE_VERSION=%s\nBUILD_ID=%s\n' "${DISTRO_VERSION}" "$build" >> "$release"
    # Where sshd's own configuration does not read the folder with ours.
    grep -q '^Include .*/sshd_config.d/' ${IMAGE_ROOTFS}${sysconfdir}/ssh/sshd_config ||
        sed -i '1i Include ${sysconfdir}/ssh/sshd_config.d/*.conf' ${IMAGE_ROOTFS}${sysconfdir}/ssh/sshd_config
}
ROOTFS_POSTPROCESS_COMMAND += "fieldgate_over"
do_rootfs[file-checksums] += "${FIELDGATE_SRC}/deploy/MANIFEST:True"
do_rootfs[file-checksums] += "${FIELDGATE_SRC}/deploy/install-files:True"
do_rootfs[file-checksums] += "${FIELDGATE_SRC}/deploy/boot:True"
do_rootfs[file-checksums] += "${FIELDGATE_SRC}/deploy/card:True"
do_rootfs[file-checksums] += "${FIELDGATE_SRC}/deploy/console:True"
do_rootfs[file-checksums] += "${OVERLAYFS_ETC_INIT_TEMPLATE}:True"
