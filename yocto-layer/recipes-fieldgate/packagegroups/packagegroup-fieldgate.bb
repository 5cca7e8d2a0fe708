SUMMARY = "What every FieldGate image holds"
SUMMARY:${PN}-dev-tools = "Tools for development images only"
DESCRIPTION = "The gateway itself, its system configuration and the tools to operate it."

inherit packagegroup

PACKAGES = "${PN} ${PN}-dev-tools"

# Only the rauc layer has the updater.
FIELDGATE_UPDATER = "${@bb.utils.contains('BBFILE_COLLECTIONS', 'rauc', 'libubootenv-bin rauc', '', d)}"

RDEPENDS:${PN} = " \
    ${@bb.utils.contains('DISTRO_FEATURES', 'rauc', '${FIELDGATE_UPDATER}', '', d)} \
    ca-certificates \
    fieldgate \
    fieldgate-system \
    openssh-sshd \
    tzdata \
    wpa-supplicant \
"

RDEPENDS:${PN}-dev-tools = " \
    gdbserver \
    strace \
"
