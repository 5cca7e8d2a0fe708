# Only for the product's own distribution: adding the layer changes nothing else.
FILESEXTRAPATHS:prepend:fieldgate-os := "${FIELDGATE_SRC}/yocto-layer/files/boot:"
