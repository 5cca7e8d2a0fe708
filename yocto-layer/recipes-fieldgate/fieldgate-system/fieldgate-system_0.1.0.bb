SUMMARY = "System configuration of a FieldGate appliance"
DESCRIPTION = "Provisioning from the card, the data partition, network, journal \
limits, access by SSH, and the check that a slot is good."
HOMEPAGE = "https://fieldgate.example/"
BUGTRACKER = "https://fieldgate.example/issues"
SECTION = "base"
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/MIT;md5=0835ade698e0bcf8506ecda2f7b4f302"

# The files of deploy/ are those of the Debian image, too; what only this image needs is beside the recipe.
FILESEXTRAPATHS:prepend := "${FIELDGATE_SRC}:"
SRC_URI = " \
    file://boot-firmware.mount \
    file://fieldgate-tmpfiles.conf \
    file://var-lib-fieldgate.mount \
    file://deploy/console;subdir=${BP} \
    file://deploy/health;subdir=${BP} \
    file://deploy/journald;subdir=${BP} \
    file://deploy/network;subdir=${BP} \
    file://deploy/provision;subdir=${BP} \
    file://deploy/ssh;subdir=${BP} \
"

inherit allarch features_check systemd

REQUIRED_DISTRO_FEATURES = "systemd usrmerge"
INHIBIT_DEFAULT_DEPS = "1"

do_configure[noexec] = "1"
do_compile[noexec] = "1"

do_install() {
    install -d ${D}${systemd_system_unitdir} ${D}${nonarch_libdir}/fieldgate ${D}${nonarch_libdir}/tmpfiles.d \
        ${D}${systemd_unitdir}/network ${D}${systemd_unitdir}/dnssd ${D}${systemd_unitdir}/journald.conf.d \
        ${D}${sysconfdir}/ssh/sshd_config.d ${D}/boot/firmware ${D}/data ${D}${localstatedir}/lib/fieldgate
    install -m 0644 ${S}/deploy/provision/*.service ${S}/deploy/health/*.service \
        ${UNPACKDIR}/boot-firmware.mount ${UNPACKDIR}/var-lib-fieldgate.mount ${D}${systemd_system_unitdir}/
    install -m 0755 ${S}/deploy/provision/fieldgate-growdata ${S}/deploy/health/fieldgate-mark-good \
        ${S}/deploy/console/fieldgate-show ${D}${nonarch_libdir}/fieldgate/
    install -m 0644 ${UNPACKDIR}/fieldgate-tmpfiles.conf ${D}${nonarch_libdir}/tmpfiles.d/fieldgate-system.conf
    install -m 0644 ${S}/deploy/network/*.network ${D}${systemd_unitdir}/network/
    install -m 0644 ${S}/deploy/network/*.dnssd ${D}${systemd_unitdir}/dnssd/
    install -m 0644 ${S}/deploy/journald/50-fieldgate.conf ${D}${systemd_unitdir}/journald.conf.d/
    install -m 0644 ${S}/deploy/ssh/50-fieldgate.conf ${D}${sysconfdir}/ssh/sshd_config.d/

    # Drop-ins of units of other packages.
    install -D -m 0644 ${S}/deploy/console/show.conf ${D}${systemd_system_unitdir}/fieldgate.service.d/show.conf
    install -D -m 0644 ${S}/deploy/ssh/ssh-fieldgate.conf ${D}${systemd_system_unitdir}/sshd.service.d/fieldgate.conf
    install -D -m 0644 ${S}/deploy/network/wpa_supplicant-wlan0.conf \
        ${D}${systemd_system_unitdir}/wpa_supplicant@wlan0.service.d/fieldgate.conf
    install -D -m 0644 ${S}/deploy/network/70-fieldgate-wlan.rules ${D}${nonarch_base_libdir}/udev/rules.d/70-fieldgate-wlan.rules
}

SYSTEMD_SERVICE:${PN} = "boot-firmware.mount fieldgate-growdata.service fieldgate-mark-good.service \
    fieldgate-provision.service var-lib-fieldgate.mount"
FILES:${PN} += "${systemd_unitdir} ${nonarch_base_libdir}/udev ${nonarch_libdir}/fieldgate ${nonarch_libdir}/tmpfiles.d /boot /data \
    ${localstatedir}/lib/fieldgate"
RDEPENDS:${PN} = "e2fsprogs-e2fsck e2fsprogs-resize2fs util-linux-agetty util-linux-findmnt util-linux-mountpoint \
    util-linux-partx util-linux-sfdisk"
