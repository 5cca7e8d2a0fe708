SUMMARY = "System configuration of a FieldGate appliance"
SUMMARY:${PN}-ssh = "Access by SSH with keys only, and none without a key"
DESCRIPTION = "Provisioning from the card, the data partition, network, firewall, watchdog, \
journal limits, access by SSH, and the check that a slot is good."
HOMEPAGE = "https://fieldgate.example/"
BUGTRACKER = "https://fieldgate.example/issues"
SECTION = "base"
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/MIT;md5=0835ade698e0bcf8506ecda2f7b4f302"

# The files are those of the Debian image, and deploy/MANIFEST says where each of them comes to.
FILESEXTRAPATHS:prepend := "${FIELDGATE_SRC}:"
SRC_URI = " \
    file://deploy/MANIFEST;subdir=${BP} \
    file://deploy/install-files;subdir=${BP} \
    file://deploy/card;subdir=${BP} \
    file://deploy/console;subdir=${BP} \
    file://deploy/firewall;subdir=${BP} \
    file://deploy/health;subdir=${BP} \
    file://deploy/journald;subdir=${BP} \
    file://deploy/network;subdir=${BP} \
    file://deploy/provision;subdir=${BP} \
    file://deploy/ssh;subdir=${BP} \
    file://deploy/system;subdir=${BP} \
    file://deploy/update;subdir=${BP} \
"

inherit allarch features_check systemd

REQUIRED_DISTRO_FEATURES = "systemd usrmerge"
INHIBIT_DEFAULT_DEPS = "1"

do_configure[noexec] = "1"
do_compile[noexec] = "1"

do_install() {
    sh ${S}/deploy/install-files yocto ${D}
    install -d ${D}/boot/firmware ${D}/data ${D}${sysconfdir}/nftables.d
}

SYSTEMD_SERVICE:${PN} = "boot-firmware.mount fieldgate-firewall.service fieldgate-growdata.service \
    fieldgate-mark-good.service fieldgate-provision.service"

# The development image goes without.
PACKAGE_BEFORE_PN = "${PN}-ssh"
FILES:${PN}-ssh += "${sysconfdir}/ssh ${systemd_system_unitdir}/sshd.service.d"
FILES:${PN} += "${nonarch_libdir} /boot /data"
RDEPENDS:${PN} = "e2fsprogs-e2fsck e2fsprogs-resize2fs kmod util-linux-agetty util-linux-findmnt util-linux-mount \
    util-linux-mountpoint util-linux-partx util-linux-sfdisk"
RDEPENDS:${PN}-ssh = "openssh-sshd"
