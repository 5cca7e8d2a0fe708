# Only for the product's own distribution: adding the layer changes nothing else.
FILESEXTRAPATHS:prepend:fieldgate-os := "${FIELDGATE_SRC}/yocto-layer/files/boot:${FIELDGATE_SRC}/deploy/boot:"
SRC_URI:append:fieldgate-os = " file://slots.cmd file://options.cmd"

# What the recipe fills in it leaves to the rest of the script; a second run finds the line gone.
do_compile:prepend:fieldgate-os() {
    sed -i -e '/^@@SLOTS@@$/r ${UNPACKDIR}/slots.cmd' -e '/^@@SLOTS@@$/r ${UNPACKDIR}/options.cmd' -e '/^@@SLOTS@@$/d' \
        ${UNPACKDIR}/boot.cmd.in
}
