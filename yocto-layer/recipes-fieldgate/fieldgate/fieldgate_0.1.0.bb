SUMMARY = "FieldGate edge gateway: MQTT broker and field-bus bridges"
DESCRIPTION = "One daemon that holds an MQTT broker and the bridges to Modbus, \
serial and GPIO devices, built from the repository that this layer is part of."
HOMEPAGE = "https://fieldgate.example/"
BUGTRACKER = "https://fieldgate.example/issues"
SECTION = "net"
CVE_PRODUCT = "fieldgate"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE;md5=3b83ef96387f14655fc854ddc3c6bd57"

inherit cargo cargo-update-recipe-crates systemd useradd

# The source is the tree around this layer. Only what the build reads is named,
# so that target/, .git and the layer itself are neither copied nor hashed, and
# a change of any named file, committed or not, rebuilds the recipe. The tests
# are a member of the workspace: cargo wants to see them, and builds none.
FILESEXTRAPATHS:prepend := "${FIELDGATE_SRC}:"
SRC_URI = " \
    file://Cargo.toml;subdir=${BP} \
    file://Cargo.lock;subdir=${BP} \
    file://LICENSE;subdir=${BP} \
    file://config;subdir=${BP} \
    file://crates;subdir=${BP} \
    file://deploy/MANIFEST;subdir=${BP} \
    file://deploy/install-files;subdir=${BP} \
    file://deploy/README.md;subdir=${BP} \
    file://deploy/containers.md;subdir=${BP} \
    file://deploy/image.md;subdir=${BP} \
    file://deploy/install.md;subdir=${BP} \
    file://deploy/release.md;subdir=${BP} \
    file://deploy/releases.md;subdir=${BP} \
    file://deploy/security.md;subdir=${BP} \
    file://deploy/config;subdir=${BP} \
    file://deploy/systemd;subdir=${BP} \
    file://deploy/tmpfiles.d;subdir=${BP} \
    file://deploy/udev;subdir=${BP} \
    file://tests/Cargo.toml;subdir=${BP} \
    file://tests/benches;subdir=${BP} \
    file://tests/cases;subdir=${BP} \
    file://tests/src;subdir=${BP} \
"
require ${BPN}-crates.inc

# The commit for `fieldgate --version`, as the build folder has no git: README.md says how to give it.
FIELDGATE_COMMIT ?= ""
export FIELDGATE_COMMIT

# Only the workspace's lock file, never one of a vendored crate.
CARGO_LOCK_SRC_DIR = "${S}"
CARGO_BUILD_FLAGS += "--package fieldgate"

do_install() {
    install -d ${D}${bindir}
    install -m 0755 ${B}/target/${CARGO_TARGET_SUBDIR}/fieldgate ${D}${bindir}/
}

# The rest is what the Debian package holds, by deploy/MANIFEST.
do_install:append:class-target() {
    sh ${S}/deploy/install-files yocto-daemon ${D}
}

# The same user as deploy/sysusers.d makes where packages are installed on the board.
USERADD_PACKAGES = "${PN}"
GROUPADD_PARAM:${PN} = "--system gpio; --system fieldgate"
USERADD_PARAM:${PN} = "--system --gid fieldgate --groups dialout,gpio --home-dir ${localstatedir}/lib/fieldgate \
    --no-create-home --shell ${base_sbindir}/nologin fieldgate"

SYSTEMD_SERVICE:${PN} = "fieldgate.service"

FILES:${PN} += "${nonarch_libdir}/tmpfiles.d ${nonarch_libdir}/udev"
CONFFILES:${PN} += "${sysconfdir}/fieldgate/gateway.yaml"

BBCLASSEXTEND = "native"
