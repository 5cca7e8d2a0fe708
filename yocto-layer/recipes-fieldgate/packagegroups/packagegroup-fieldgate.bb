SUMMARY = "What every FieldGate image holds"
SUMMARY:${PN}-dev-tools = "Tools for development images only"
DESCRIPTION = "The gateway itself, its system configuration and the tools to operate it."

# The machine's own firmware is recommended.
PACKAGE_ARCH = "${MACHINE_ARCH}"

inherit packagegroup

PACKAGES = "${PN} ${PN}-dev-tools"

# Only the rauc layer has the updater.
FIELDGATE_UPDATER = "${@bb.utils.contains('BBFILE_COLLECTIONS', 'rauc', 'libubootenv-bin rauc', '', d)}"

RDEPENDS:${PN} = " \
    ${@bb.utils.contains('DISTRO_FEATURES', 'rauc', '${FIELDGATE_UPDATER}', '', d)} \
    ca-certificates \
    fieldgate \
    fieldgate-doc \
    fieldgate-system \
    openssh-sshd \
    os-release \
    tzdata \
    wpa-supplicant \
"

RDEPENDS:${PN}-dev-tools = " \
    gdbserver \
    strace \
"

# Firmware of the Wi-Fi chip, and what is permitted where. Bluetooth is not used.
RRECOMMENDS:${PN} = " \
    ${@' '.join(p for p in d.getVar('MACHINE_EXTRA_RRECOMMENDS').split() if not p.startswith('bluez-'))} \
    wireless-regdb-static \
"
