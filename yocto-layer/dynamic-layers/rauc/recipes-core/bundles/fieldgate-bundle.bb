SUMMARY = "RAUC update bundle of the FieldGate image"
DESCRIPTION = "Signed, verity-protected update of the inactive slot."
HOMEPAGE = "https://fieldgate.example/"
LICENSE = "MIT"

inherit bundle

# The keys are the builder's: set RAUC_KEY_FILE, RAUC_CERT_FILE and
# RAUC_KEYRING_FILE as README.md says; they are never part of this layer.
RAUC_BUNDLE_FORMAT = "verity"
RAUC_BUNDLE_COMPATIBLE = "fieldgate-${MACHINE}"
RAUC_BUNDLE_VERSION = "${DISTRO_VERSION}"
RAUC_BUNDLE_SLOTS = "rootfs"
RAUC_SLOT_rootfs = "fieldgate-image"
RAUC_SLOT_rootfs[fstype] = "ext4"
RAUC_SLOT_rootfs[adaptive] = "block-hash-index"
