FILESEXTRAPATHS:prepend:fieldgate-os := "${THISDIR}/files:"

do_install:append:fieldgate-os() {
    sed -i -e 's/@@COMPATIBLE@@/fieldgate-${MACHINE}/' -e 's,@@DISK@@,${FIELDGATE_DISK},' \
        ${D}${nonarch_libdir}/rauc/system.conf
}
