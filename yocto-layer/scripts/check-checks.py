#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Breaks a copy of the tree, one thing at a time, and sees that a check says so. What is broken here, an image once had."""
import pathlib
import shutil
import subprocess
import sys
import tempfile

from layer import SOURCE, finish

DISTRO = "yocto-layer/conf/distro/fieldgate-os.conf"
GROUP = "yocto-layer/recipes-fieldgate/packagegroups/packagegroup-fieldgate.bb"
IMAGE = "yocto-layer/recipes-fieldgate/images/fieldgate-image.bb"
DEV = "yocto-layer/recipes-fieldgate/images/fieldgate-image-dev.bb"
SYSTEM = "yocto-layer/recipes-fieldgate/fieldgate-system/fieldgate-system_*.bb"
DAEMON = "yocto-layer/recipes-fieldgate/fieldgate/fieldgate_*.bb"
RAUC = "yocto-layer/dynamic-layers/rauc/recipes-core/rauc/rauc-conf.bbappend"
WKS = "yocto-layer/files/wic/fieldgate-ab.wks.in"
PREINIT = "yocto-layer/files/overlay/preinit.sh.in"
MARK = "deploy/health/fieldgate-mark-good"
MANIFEST = "deploy/MANIFEST"

# The check, the file, what stands there, what stands there instead, and what the check has to say.
BROKEN = [
    # No start counts as good.
    ("commands", MARK, "if within $((wait + 20)) fieldgate", "if timeout $((wait + 20)) fieldgate", "timeout: the image has no such command; coreutils would"),
    ("starts", MARK, "if within $((wait + 20)) fieldgate", "if timeout $((wait + 20)) fieldgate", "a broker that answers makes the slot good"),
    ("starts", MARK, 'kill -KILL "$program"', ":", "a program that hangs is ended"),
    ("commands", SYSTEM, "util-linux-sfdisk", "", "sfdisk: the image has no such command; util-linux-sfdisk would"),
    ("commands", "deploy/console/fieldgate-show", "agetty --reload", "trap 'paste -sd, /dev/null' EXIT", "paste: the image has no such command"),
    ("commands", GROUP, "'libubootenv-bin rauc'", "'rauc'", "fw_printenv: the image has no such command; libubootenv-bin would"),
    ("commands", "deploy/udev/60-fieldgate.rules", "/bin/chgrp -hR", "/usr/bin/setfacl -R", "setfacl: the image has no such command"),
    # No Wi-Fi.
    ("product", GROUP, "d.getVar('MACHINE_EXTRA_RRECOMMENDS').split()", "[]", "does not recommend linux-firmware-rpidistro-bcm43455"),
    ("product", GROUP, "wireless-regdb-static", "", "does not recommend wireless-regdb-static"),
    # No update is taken, ever.
    ("product", RAUC, "grep -q 'BEGIN CERTIFICATE'", "true || grep", "the build goes on with a keyring that says '# an example'"),
    ("product", RAUC, "-e 's,^path=.*", "-e 's,^path=none.*", "says path=keyring.pem, and the certificate is installed as my-ca.pem"),
    # sshd listens without a key.
    ("units", DISTRO, 'PACKAGECONFIG:remove:pn-openssh = "systemd-sshd-socket-mode"', "", "sshd.socket is enabled and waits for no key"),
    ("units", DISTRO, " systemd-sshd-service-mode", "", "is a drop-in of sshd.service, which is not enabled"),
    # Nothing is announced.
    ("units", DISTRO, " zeroconf ", " ", "systemd is built without mDNS"),
    # A data partition that cannot be mounted.
    ("starts", "deploy/card/fieldgate-mount-data", "mount -t tmpfs", "false -t tmpfs", "in memory and says so: in memory: False"),
    ("product", PREINIT, "/usr/lib/fieldgate/fieldgate-mount-data", "mount", "does not leave the data partition to fieldgate-mount-data"),
    # Watchdog, sysctl, firewall are in one image.
    ("product", MANIFEST, "/usr/lib/systemd/system.conf.d/50-fieldgate.conf                | no: the system is the owner's | yes | yes",
     "/usr/lib/systemd/system.conf.d/50-fieldgate.conf                | no: the system is the owner's | yes | no: forgotten", "no hardware watchdog"),
    ("commands", "deploy/firewall/fieldgate-firewall.service", "ConditionPathExists=/usr/sbin/nft", "", "only another layer has nftables"),
    # Without kas, another system.
    ("product", DISTRO, 'RPI_USE_U_BOOT ?= "1"', "", "sets no RPI_USE_U_BOOT"),
    ("product", "yocto-layer/kas/raspberrypi5.yml", "machine: raspberrypi5", 'machine: raspberrypi5\nlocal_conf_header:\n  x: |\n    ENABLE_UART = "1"', "sets ENABLE_UART"),
    # Without meta-rauc the slots take turns.
    ("product", IMAGE, "if 'rauc' not in", "if 'core' not in", 'with the layers "core fieldgate raspberrypi" it is built'),
    # The boot partition.
    ("product", "deploy/card/boot-firmware.mount", "Options=ro,", "Options=sync,", "is always writable"),
    ("manifest", IMAGE, 'IMAGE_BOOT_FILES:append = " fieldgate-card/*;fieldgate/"', "", "the card's folder fieldgate: README.txt: is missing"),
    # There is no way into the development image.
    ("product", DEV, 'IMAGE_INSTALL:remove = "fieldgate-system-ssh"', "", "sshd takes keys only"),
    ("product", DEV, "inherit testimage", "", "does not inherit testimage"),
    # Two builds of one version.
    ("manifest", IMAGE, "\\nBUILD_ID=%s", "", "os-release has no BUILD_ID"),
    # The data partition of a small card, and one that is not found.
    ("wks", WKS, "-b 4096 ", "", "the data partition is made with"),
    ("wks", WKS, " --diskid 0x67617465", "", "the card's number is by chance"),
    ("wks", "deploy/rauc/system.conf", "67617465", "12345678", "deploy/rauc/system.conf: does not find the card"),
    # Promises.
    ("product", DISTRO, "# Supply chain:", "# CVE data, supply chain:", "CVE data is promised"),
    ("docs", "deploy/image.md", "`/etc/nftables.d/", "`/etc/firewall.d/", "names /etc/firewall.d/NAME.nft, which the Yocto image does not have"),
    ("docs", "deploy/journald/50-fieldgate.conf", "Storage=persistent", "", "which makes /var/log/journal"),
    # What depends on the machine.
    ("product", RAUC, 'PACKAGE_ARCH:fieldgate-os = "${MACHINE_ARCH}"', "", "rauc-conf.bbappend: depends on the machine"),
    # The table.
    ("manifest", MANIFEST, "journald/50-fieldgate.conf", "#", "deploy/journald/50-fieldgate.conf: has no line"),
    ("manifest", DAEMON, "    file://deploy/udev;subdir=${BP} \\\n", "", "MANIFEST names udev/60-fieldgate.rules, which is not there"),
    ("manifest", SYSTEM, "install-files yocto ", "install-files debian ", "is missing, but is in deploy/MANIFEST"),
    ("manifest", SYSTEM, "fieldgate-firewall.service ", "", "the Yocto image: fieldgate-firewall.service: is not enabled"),
    ("manifest", SYSTEM, "${nonarch_libdir} /boot", "/boot", "is in no package (FILES)"),
    ("manifest", "crates/fieldgate/Cargo.toml", '    ["../../deploy/udev/60-fieldgate.rules", "usr/lib/udev/rules.d/", "644"],\n', "",
     "the Debian package: /usr/lib/udev/rules.d/60-fieldgate.rules: is missing"),
    ("manifest", "deploy/image/assemble", 'cp "$cert" "$root/etc/rauc/keyring.pem"', 'cp "$deploy/ssh/50-fieldgate.conf" "$root/etc"', "takes ssh/50-fieldgate.conf by hand"),
    ("files", DAEMON, "file://LICENSE;", "file://LICENCE;", "file://LICENCE: there is no such file"),
]


def copy(folder):
    for name in ("yocto-layer", "deploy", "config", "crates/update/src"):
        shutil.copytree(SOURCE / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("README.md", "Cargo.toml", "Cargo.lock", "LICENSE", "crates/fieldgate/Cargo.toml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(SOURCE / name, folder / name)
    for name in ("crates", "tests"):
        shutil.copytree(SOURCE / name, folder / name, dirs_exist_ok=True,
                        ignore=lambda place, names: [n for n in names if not (pathlib.Path(place) / n).is_dir() or n in ("target", "fuzz", "__pycache__") or n.startswith(".")])


def main():
    wrong = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        copy(folder)
        for check, file, old, new, said in BROKEN:
            path = next(folder.glob(file))
            text = path.read_text()
            if old not in text:
                wrong.append(f"check-checks.py: {file} does not say {old!r}")
                continue
            path.write_text(text.replace(old, new))
            done = subprocess.run([sys.executable, folder / f"yocto-layer/scripts/check-{check}.py"], capture_output=True, text=True, check=False)
            path.write_text(text)
            if done.returncode == 0 or said not in done.stdout + done.stderr:
                wrong.append(f"check-{check}.py: {file} without {old!r}: should say {said!r}, and says: {(done.stdout + done.stderr).strip()}")
    finish(wrong, f"{len(BROKEN)} ways to break it")


main()
