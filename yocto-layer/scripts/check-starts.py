#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the scripts of the image in a root that holds the image's commands and no others.

What busybox provides is there as busybox; what other packages provide is played, and says what it was asked. The shell is this
machine's `sh`, as Debian's busybox knows commands that are in no folder. Needs root or a user namespace, and busybox.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from layer import LAYER, commands, manifest, on_yocto

PREFIX = ["chroot"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "chroot"]
# A played command: it notes how it was called, and then does what the scenario wants.
PLAYED = '#!/bin/sh\necho "{name} $*" >>/asked\n[ ! -f /play/{name} ] || . /play/{name}\n'


class Board:
    """A root file system of the image, as far as its scripts see it."""

    def __init__(self, folder):
        self.root = pathlib.Path(folder)
        for name in ("dev", "play", "proc", "run", "sys", "data", "etc", "var", "usr/bin", "usr/lib", "lib", "sbin"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        (self.root / "bin").symlink_to("usr/bin")
        self.program("busybox", shutil.which("busybox"))
        self.program("sh", os.path.realpath(shutil.which("sh")))
        applets = subprocess.run([shutil.which("busybox"), "--list"], capture_output=True, text=True, check=True).stdout.split()
        for name, package in commands().items():
            if package == "busybox" and name in applets and name != "sh":
                (self.root / "usr/bin" / name).symlink_to("busybox")
            elif package != "busybox":
                self.write(f"usr/bin/{name}", PLAYED.format(name=name), 0o755)
        for line in manifest():
            if on_yocto(line) and not line.there.startswith("BOOT/"):
                (self.root / line.there[1:]).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(line.path, self.root / line.there[1:])
        self.write("etc/os-release", "ID=fieldgate-os\nIMAGE_VERSION=1\nBUILD_ID=a\n")
        self.write("proc/cmdline", "root=PARTUUID=67617465-02 rauc.slot=A panic=10\n")

    def program(self, name, path):
        """A program of this machine with its libraries."""
        shutil.copy2(path, self.root / "usr/bin" / name)
        said = subprocess.run(["ldd", path], capture_output=True, text=True, check=False).stdout
        for library in re.findall(r"(/\S+) \(0x", said):
            (self.root / library[1:]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(library, self.root / library[1:])

    def write(self, name, text, mode=0o644):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def read(self, name):
        path = self.root / name
        return path.read_text() if path.is_file() else ""

    def play(self, **scripts):
        """What played commands do, and nothing asked of them yet."""
        shutil.rmtree(self.root / "play")
        self.write("asked", "")
        (self.root / "play").mkdir()
        for name, script in scripts.items():
            self.write(f"play/{name}", script + "\n")

    def run(self, *command, **more):
        """A command in this root: its code."""
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **more}
        done = subprocess.run([*PREFIX, self.root, *command], env=environment, capture_output=True, text=True, timeout=60, check=False)
        self.said = done.stdout + done.stderr
        return done.returncode

    def asked(self, *names):
        """What played commands were asked, without questions about state."""
        return [line.strip() for line in self.read("asked").splitlines() if line.split()[0] in names]


def expect(board, got, want, what):
    if got != want:
        raise AssertionError(f"{what}: {got}, not {want}; it said: {board.said.strip()}")


MARK = "/usr/lib/fieldgate/fieldgate-mark-good"
SILENT = "case $1 in health) exit 4 ;; esac"
MISTAKEN = "case $1 in health) exit 4 ;; check) exit 1 ;; esac"


def good(board):
    """a broker that answers makes the slot good, and the build is remembered"""
    board.play()
    expect(board, board.run(MARK, "1"), 0, "code")
    expect(board, board.asked("rauc", "systemctl"), ["rauc status mark-good"], "asked")
    expect(board, board.read("data/fieldgate-good"), "fieldgate-os-1-a\n", "remembered")


def hangs(board):
    """a program that hangs is ended, and makes no slot good"""
    # Left alone it would end well.
    board.play(fieldgate="exec sleep 8")
    expect(board, board.run(MARK, "-19"), 1, "code")
    expect(board, board.asked("rauc", "systemctl"), [], "asked")


def mistake(board):
    """a mistake of a person does not cost a slot that has worked"""
    board.play(fieldgate=MISTAKEN)
    board.write("data/fieldgate-good", "fieldgate-os-1-a\n")
    expect(board, board.run(MARK, "1"), 1, "code")
    expect(board, board.asked("rauc", "systemctl"), ["rauc status mark-good"], "asked")


def another_build(board):
    """another build of the same version that does not come up is started again"""
    board.play(fieldgate=MISTAKEN)
    board.write("data/fieldgate-good", "fieldgate-os-1-b\n")
    expect(board, board.run(MARK, "1"), 1, "code")
    expect(board, board.asked("rauc", "systemctl"), ["systemctl reboot"], "asked")


def first(board):
    """without a build that has worked, nothing is started again"""
    board.play(fieldgate=SILENT)
    expect(board, board.run(MARK, "1"), 1, "code")
    expect(board, board.asked("rauc", "systemctl"), [], "asked")


def console(board):
    """the console says whether the gateway runs"""
    board.play()
    show = "/usr/lib/fieldgate/fieldgate-show"
    for argument, status, text in (("running", "0", "running, slot A"), ("ended", "KILL", "NOT RUNNING, slot A: ended with KILL, see journalctl -u fieldgate")):
        expect(board, board.run(show, argument, EXIT_STATUS=status), 0, "code")
        expect(board, board.read("run/issue.d/fieldgate.issue"), f"MQTT gateway: {text}\n\n", "the line")
    expect(board, board.asked("agetty"), ["agetty --reload"] * 2, "asked")


def disk(board, size):
    """A played disk of `size` sectors in sysfs, whose second partition is the root's."""
    block = board.root / "sys/devices/card/block/mmcblk0"
    for number in (1, 2, 3, 4):
        for name, value in (("partition", number), ("start", number * 100), ("size", 100)):
            board.write(f"sys/devices/card/block/mmcblk0/mmcblk0p{number}/{name}", f"{value}\n")
    board.write("sys/devices/card/block/mmcblk0/size", f"{size}\n")
    for link, target in (("sys/dev/block/179:2", block / "mmcblk0p2"), ("sys/class/block/mmcblk0p4", block / "mmcblk0p4")):
        (board.root / link).parent.mkdir(parents=True, exist_ok=True)
        (board.root / link).symlink_to(os.path.relpath(target, (board.root / link).parent))


def grows(board):
    """the data partition grows to the end of the card, and only if there is room"""
    mounted = 'case "$*" in *FSTYPE*) echo ext4 ;; *) echo /dev/mmcblk0p4 ;; esac'
    board.write("dev/mmcblk0p4", "")
    disk(board, 500)
    board.play(findmnt=mounted)
    expect(board, board.run("/usr/lib/fieldgate/fieldgate-growdata"), 0, "code")
    expect(board, board.asked("sfdisk", "partx", "resize2fs"), ["resize2fs /dev/mmcblk0p4"], "asked of a full card")
    board.write("sys/devices/card/block/mmcblk0/size", "500000\n")
    board.play(findmnt=mounted)
    expect(board, board.run("/usr/lib/fieldgate/fieldgate-growdata"), 0, "code")
    expect(board, board.asked("partx", "resize2fs"), ["partx --update --nr 4 /dev/mmcblk0", "resize2fs /dev/mmcblk0p4"], "asked of a big card")
    expect(board, "sfdisk --no-reread --no-tell-kernel -N 4 /dev/mmcblk0" in board.read("asked"), True, "the table is written")


def start(board, with_partition, **played):
    """The first program of the image, up to the one that it hands over to."""
    if not (board.root / "sys/dev").exists():
        disk(board, 500)
    names = {f"OVERLAYFS_ETC_{name}": value for name, value in (("DEVICE", "4"), ("MOUNT_POINT", "/data"), ("FSTYPE", "ext4"), ("MOUNT_OPTIONS", "x"))}
    text = (LAYER / "files/overlay/preinit.sh.in").read_text()
    board.write("sbin/init", text.format(SBIN_INIT_NAME="/sbin/init.orig", OVERLAYFS_ETC_EXPOSE_LOWER="0", CREATE_MOUNT_DIRS="true", **names), 0o755)
    board.write("sbin/init.orig", '#!/bin/sh\necho "systemd" >>/asked\n', 0o755)
    if with_partition:
        (board.root / "dev/mmcblk0p4").unlink(missing_ok=True)
        os.mknod(board.root / "dev/mmcblk0p4", 0o60600, os.makedev(179, 4))
    board.play(mountpoint="echo 179:2", **played)
    expect(board, board.run("/sbin/init"), 0, "code")
    asked = board.asked("mount", "systemd", "e2fsck")
    # The one that systemd keeps, and the writable trees at the end.
    expect(board, "mount -t tmpfs -o mode=755,nosuid,nodev tmpfs /run" in asked, True, "/run is mounted")
    trees = [re.search(r"overlay (/\w+)$", line)[1] for line in asked if " overlay /" in line]
    expect(board, trees, ["/etc", "/var"], "trees")
    expect(board, asked[-1], "systemd", "the last")
    return asked


def kept(board):
    """the data partition is the fourth of the root's disk, checked and mounted"""
    if os.geteuid() != 0:
        print("not as root: no device can be made, so the data partition is left out")
        return
    asked = start(board, True)
    expect(board, "e2fsck -p /dev/mmcblk0p4" in asked, True, "checked")
    expect(board, "mount -t ext4 -o noatime,nosuid,nodev,commit=30 /dev/mmcblk0p4 /data" in asked, True, "mounted")
    expect(board, board.read("run/issue.d/data.issue"), "", "the console")


def in_memory(board):
    """without a data partition, and with one that cannot be mounted, the gateway comes up in memory and says so"""
    for broken in (False, True) if os.geteuid() == 0 else (False,):
        asked = start(board, broken, mount='case "$*" in *ext4*) exit 1 ;; esac', e2fsck="exit 8")
        expect(board, "mount -t tmpfs -o mode=755,size=25% data /data" in asked, True, "in memory")
        expect(board, board.read("run/issue.d/data.issue").endswith("nothing is kept in this run\n"), True, "the console")
        expect(board, board.read("dev/kmsg").startswith("<3>fieldgate: data partition: "), True, "the kernel's log")


def main():
    failed, scenarios = [], (good, hangs, mistake, another_build, first, console, grows, kept, in_memory)
    for scenario in scenarios:
        with tempfile.TemporaryDirectory() as folder:
            try:
                scenario(Board(folder))
            except (AssertionError, subprocess.SubprocessError) as error:
                failed.append(f"{scenario.__doc__}: {error}")
    print("\n".join(failed) if failed else f"{len(scenarios)} scenarios")
    sys.exit(bool(failed))


main()
