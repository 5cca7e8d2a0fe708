SUMMARY = "Boot script that chooses the slot, for machines of QEMU"
DESCRIPTION = "The same script as on a Raspberry Pi, where meta-raspberrypi makes it."
HOMEPAGE = "https://fieldgate.example/"
BUGTRACKER = "https://fieldgate.example/issues"
SECTION = "bootloaders"
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/MIT;md5=0835ade698e0bcf8506ecda2f7b4f302"

DEPENDS = "u-boot-mkimage-native"

FILESEXTRAPATHS:prepend := "${FIELDGATE_SRC}/yocto-layer/files/boot:${FIELDGATE_SRC}/deploy/boot:"
SRC_URI = " \
    file://boot.cmd.in \
    file://options.cmd \
    file://slots.cmd \
"
S = "${UNPACKDIR}"

inherit deploy nopackages

COMPATIBLE_MACHINE = "^qemuarm64$"
PACKAGE_ARCH = "${MACHINE_ARCH}"

do_configure[noexec] = "1"
do_install[noexec] = "1"

do_compile() {
    sed -e '/^@@SLOTS@@$/r ${S}/slots.cmd' -e '/^@@SLOTS@@$/r ${S}/options.cmd' -e '/^@@SLOTS@@$/d' \
        -e 's/@@KERNEL_IMAGETYPE@@/${KERNEL_IMAGETYPE}/' -e 's/@@KERNEL_BOOTCMD@@/booti/' \
        ${S}/boot.cmd.in > ${B}/boot.cmd
    mkimage -A arm -T script -C none -n "Boot script" -d ${B}/boot.cmd ${B}/boot.scr
}

do_deploy() {
    install -d ${DEPLOYDIR}
    install -m 0644 ${B}/boot.scr ${DEPLOYDIR}/
}
addtask deploy after do_compile before do_build
