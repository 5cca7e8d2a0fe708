# The Debian image's own configuration.
FILESEXTRAPATHS:prepend:fieldgate-os := "${FIELDGATE_SRC}/deploy/rauc:"

# The content is the machine's.
PACKAGE_ARCH:fieldgate-os = "${MACHINE_ARCH}"

# meta-rauc's example holds no certificate: with it a gateway could take no update, ever.
do_install:prepend:fieldgate-os() {
    grep -q 'BEGIN CERTIFICATE' ${UNPACKDIR}/${RAUC_KEYRING_FILE} ||
        bbfatal "RAUC_KEYRING_FILE names no certificate: set it to the path of the one that updates are signed with, before the first image"
}

# The recipe installs the certificate under its own name.
do_install:append:fieldgate-os() {
    sed -i -e 's/@COMPATIBLE@/fieldgate-${MACHINE}/' \
        -e 's,^path=.*,path=${@os.path.basename(d.getVar('RAUC_KEYRING_FILE'))},' ${D}${nonarch_libdir}/rauc/system.conf
}
