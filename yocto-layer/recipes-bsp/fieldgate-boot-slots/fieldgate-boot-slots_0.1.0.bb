SUMMARY = "The boot loader's sector of a new card, and the folder for the owner's settings"
DESCRIPTION = "Order and attempts of the two slots, as U-Boot and RAUC read them in front of the first partition; \
what the folder fieldgate on that partition holds."
HOMEPAGE = "https://fieldgate.example/"
BUGTRACKER = "https://fieldgate.example/issues"
SECTION = "bootloaders"
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/MIT;md5=0835ade698e0bcf8506ecda2f7b4f302"

DEPENDS = "u-boot-mkenvimage-native"

FILESEXTRAPATHS:prepend := "${FIELDGATE_SRC}:"
SRC_URI = " \
    file://deploy/MANIFEST;subdir=${BP} \
    file://deploy/install-files;subdir=${BP} \
    file://deploy/boot;subdir=${BP} \
    file://deploy/card;subdir=${BP} \
    file://deploy/provision;subdir=${BP} \
"

inherit deploy nopackages

# Beside the other files that the card is made of.
PACKAGE_ARCH = "${MACHINE_ARCH}"

do_configure[noexec] = "1"
do_install[noexec] = "1"

do_compile() {
    mkenvimage -s 0x200 -o ${B}/fieldgate-slots.bin ${S}/deploy/boot/slots.env
}

do_deploy() {
    install -d ${DEPLOYDIR}
    install -m 0644 ${B}/fieldgate-slots.bin ${DEPLOYDIR}/
    sh ${S}/deploy/install-files boot ${DEPLOYDIR}/fieldgate-card
}
addtask deploy after do_compile before do_build
