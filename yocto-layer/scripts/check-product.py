#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Whether the two images are one product: values that both have, what only one distribution sets, and what stops a wrong build."""
import re
import subprocess
import tempfile
import pathlib
import types

from layer import DEPLOY, LAYER, Recipe, finish, manifest, on_yocto, packages

wrong = []
distro = Recipe("conf/distro/fieldgate-os.conf")
image = Recipe("recipes-fieldgate/images/fieldgate-image.bb")
dev = Recipe("recipes-fieldgate/images/fieldgate-image-dev.bb")
group = Recipe("recipes-fieldgate/packagegroups/packagegroup-fieldgate.bb")
system = Recipe(next(LAYER.glob("recipes-fieldgate/fieldgate-system/*.bb")))
rauc = Recipe("dynamic-layers/rauc/recipes-core/rauc/rauc-conf.bbappend")
build = (DEPLOY / "image/build").read_text()


def must(right, text):
    if not right:
        wrong.append(text)


def without_kas():
    """What the product needs is the distribution's: there are people who build without kas."""
    for name in ("RPI_USE_U_BOOT", "ENABLE_UART", "LICENSE_FLAGS_ACCEPTED"):
        must(distro.value(name), f"conf/distro/fieldgate-os.conf: sets no {name}: a build without kas gets another system")
    for path in sorted((LAYER / "kas").glob("*.yml")):
        for name in re.findall(r"^ +([A-Z][A-Z_]+) \??=", path.read_text(), re.M):
            must(name in ("CONF_VERSION", "PATCHRESOLVE"), f"{path}: sets {name}, which belongs into the distribution")


class Data:
    """The variables of a build, as a recipe's Python asks for them."""

    def __init__(self, **values):
        self.values = values

    def getVar(self, name):  # noqa: N802
        return self.values.get(name, "")


def updater():
    """The image is not built where nothing would call a start good."""

    class SkipRecipe(Exception):
        pass

    bb = types.SimpleNamespace(parse=types.SimpleNamespace(SkipRecipe=SkipRecipe))
    for layers, skips in (("core fieldgate raspberrypi", True), ("core fieldgate rauc", False)):
        try:
            exec("if True:\n" + image.functions.get("python", " pass\n"), {"bb": bb, "d": Data(BBFILE_COLLECTIONS=layers)})
            skipped = False
        except SkipRecipe:
            skipped = True
        must(skipped == skips, f"fieldgate-image.bb: with the layers \"{layers}\" it is {'skipped' if skipped else 'built'}")
    must("rauc" in image.value("REQUIRED_DISTRO_FEATURES").split(), "fieldgate-image.bb: does not require the distribution's feature rauc")
    must("rauc-mark-good" in image.value("BAD_RECOMMENDATIONS"), "fieldgate-image.bb: installs rauc-mark-good, which does not ask the gateway")


def wifi():
    """The firmware is recommended by the machine, and nothing else of the image takes these recommendations."""
    found = group.value("RRECOMMENDS")
    machine = Data(MACHINE_EXTRA_RRECOMMENDS="linux-firmware-rpidistro-bcm43455 bluez-firmware-rpidistro-bcm4345c0-hcd udev-rules-rpi")
    for expression in re.findall(r"\$\{@(.*?)\}", found):
        found += " " + eval(expression, {"d": machine})
    for name in ("linux-firmware-rpidistro-bcm43455", "udev-rules-rpi", "wireless-regdb-static"):
        must(name in found.split(), f"packagegroup-fieldgate.bb: does not recommend {name}: no Wi-Fi")
    must("MACHINE_ARCH" in group.value("PACKAGE_ARCH"), "packagegroup-fieldgate.bb: depends on the machine, and its PACKAGE_ARCH does not")


def keyring():
    """No certificate stops the build; the certificate's name is the one in RAUC's configuration."""
    must("MACHINE_ARCH" in rauc.value("PACKAGE_ARCH"), "rauc-conf.bbappend: depends on the machine, and its PACKAGE_ARCH does not")
    must("deploy/rauc:" in rauc.text, "rauc-conf.bbappend: its system.conf is not that of the Debian image")
    for text, passes in (("# an example\n", False), ("-----BEGIN CERTIFICATE-----\n", True)):
        with tempfile.TemporaryDirectory() as folder:
            work = pathlib.Path(folder)
            for name in ("unpacked/home/you", "image/usr/lib/rauc"):
                (work / name).mkdir(parents=True)
            for place in ("unpacked/home/you/my-ca.pem", "image/usr/lib/rauc/my-ca.pem"):
                (work / place).write_text(text)
            conf = work / "image/usr/lib/rauc/system.conf"
            conf.write_text((DEPLOY / "rauc/system.conf").read_text())
            body = re.sub(r"\$\{@os\.path\.basename\(.*?\)\)\}", "my-ca.pem", rauc.functions.get("do_install", ""))
            head = f"bbfatal() {{ exit 1; }}\nD={work}/image UNPACKDIR={work}/unpacked nonarch_libdir=/usr/lib MACHINE=board RAUC_KEYRING_FILE=/home/you/my-ca.pem\n"
            done = subprocess.run(["sh", "-eu"], input=head + body, text=True, capture_output=True, check=False)
            must((done.returncode == 0) == passes, f"rauc-conf.bbappend: the build goes on with a keyring that says {text.strip()!r}" if not passes else f"rauc-conf.bbappend: {done.stderr}")
            path = re.search(r"^path=(.*)$", conf.read_text(), re.M)[1]
            must(not passes or (conf.parent / path).is_file(), f"rauc-conf.bbappend: system.conf says path={path}, and the certificate is installed as my-ca.pem")
            must(not passes or "@" not in conf.read_text(), "rauc-conf.bbappend: leaves a name in system.conf that nothing fills in")


def same_values():
    """What both images say must be one."""
    assemble = (DEPLOY / "image/assemble").read_text()
    name = re.search(r"echo (\S+) >\"\$root/etc/hostname\"", assemble)[1]
    must(distro.value("hostname:pn-base-files") == name, f"conf/distro/fieldgate-os.conf: the board is not named {name}, as with the Debian image")
    slot = re.search(r"^slot=(\w+)", build, re.M)[1]
    must(image.value("FIELDGATE_SLOT_SIZE") == slot, f"fieldgate-image.bb: a slot is {image.value('FIELDGATE_SLOT_SIZE')}, and {slot} in deploy/image/build")
    must("fs-perms-volatile-log.txt" in distro.value("FILESYSTEM_PERMS_TABLES:remove"), "conf/distro/fieldgate-os.conf: /var/log is volatile, the journal is not kept")
    mount = (DEPLOY / "card/boot-firmware.mount").read_text()
    must(re.search(r"^Options=ro,", mount, re.M), "deploy/card/boot-firmware.mount: the boot partition is always writable: a power cut can damage it")
    there = {line.there for line in manifest() if on_yocto(line)}
    must("fieldgate-doc" in packages()[0], "packagegroup-fieldgate.bb: the documents are not in the image")
    must("/usr/lib/systemd/system.conf.d/50-fieldgate.conf" in there, "deploy/MANIFEST: the Yocto image has no hardware watchdog")


def preinit():
    """One script mounts the data partition on both."""
    script = "fieldgate-mount-data"
    for path in (LAYER / "files/overlay/preinit.sh.in", DEPLOY / "image/initramfs/scripts/init-bottom/fieldgate-data"):
        must(script in path.read_text(), f"{path}: does not leave the data partition to {script}")


def development():
    """The development image can be logged into, by hand and by OE-Core's tests."""
    gone = dev.value("IMAGE_INSTALL:remove").split()
    files = system.value("FILES:${PN}-ssh").split()
    must("fieldgate-system-ssh" in gone and "${sysconfdir}/ssh" in files, "fieldgate-image-dev.bb: sshd takes keys only, and there is none")
    must("${systemd_system_unitdir}/sshd.service.d" in files, "fieldgate-system.bb: sshd of the development image waits for a key")
    must(re.search(r"^inherit .*\btestimage\b", dev.text, re.M), "fieldgate-image-dev.bb: does not inherit testimage")
    for name in dev.value("TEST_SUITES").split():
        must(name in ("ping", "ssh") or (LAYER / f"lib/oeqa/runtime/cases/{name}.py").is_file(), f"fieldgate-image-dev.bb: there is no test {name}")
    must("fieldgate" in dev.value("TEST_SUITES").split(), "fieldgate-image-dev.bb: does not run this layer's test")


def promises():
    """What is said of data for security is inherited; and a person is told which tables a new user belongs into."""
    said = (LAYER / "SECURITY.md").read_text() + distro.path.read_text()
    must("CVE" not in said or re.search(r'INHERIT \+= ".*cve', distro.text), "CVE data is promised, and no class that makes it is inherited")
    must("with sources" not in said or distro.value("SPDX_INCLUDE_SOURCES") == "1", "an SBOM with sources is promised, and SPDX_INCLUDE_SOURCES is not set")
    readme = (LAYER / "README.md").read_text()
    for name in ("fieldgate-passwd", "fieldgate-group", "meta-networking", "KAS_WORK_DIR", "RAUC_KEYRING_FILE", "local.yml", "make-key"):
        must(name in readme, f"README.md: says nothing of {name}")


for check in (without_kas, updater, wifi, keyring, same_values, preinit, development, promises):
    check()
finish(wrong, "the Debian image's values")
