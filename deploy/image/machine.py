"""The image as a running machine: QEMU with the card in it, seen from the host."""

import copy
import os
import re
import socket
import struct
import subprocess
import time
from pathlib import Path

import raspi3b

# Both emulate the processor, which on a busy computer takes its time.
BOOT = 1500
COMMAND = 240


class Failed(Exception):
    """What was expected did not come."""


def expect(condition, message):
    if not condition:
        raise Failed(message)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Card:
    """A copy of the image on a card of a given size in bytes; without an image, the card that is there."""

    def __init__(self, image, folder, size):
        self.path = Path(folder) / "card.img"
        if image:
            subprocess.run(["zstd", "-qdf", "--long=27", image, "-o", self.path], check=True)
            os.truncate(self.path, size)
        # Where the boot partition begins, in genimage.cfg.
        self.boot = f"{self.path}@@4M"

    def put(self, name, text):
        """Writes a file of the boot partition, as any PC would."""
        subprocess.run(["mcopy", "-o", "-i", self.boot, "-", f"::{name}"], input=text.encode(), check=True)

    def remove(self, name):
        """Deletes a file of the boot partition, if it is there."""
        subprocess.run(["mdel", "-i", self.boot, f"::{name}"], capture_output=True, check=False)

    def get(self, name):
        return subprocess.run(["mcopy", "-i", self.boot, f"::{name}", "-"], capture_output=True, check=True).stdout.decode()

    def partition(self, number):
        """Where a partition begins, in bytes, by the card's table."""
        return 512 * struct.unpack("<I", self.read(446 + 16 * (number - 1) + 8, 4))[0]

    def read(self, at, length):
        with open(self.path, "rb") as card:
            card.seek(at)
            return card.read(length)

    def overwrite(self, at, data):
        """Whatever happens to a card on its way."""
        with open(self.path, "r+b") as card:
            card.seek(at)
            card.write(data)

    def copy(self, name):
        """A second card like this one."""
        spare = copy.copy(self)
        spare.path = self.path.with_name(name)
        spare.boot = self.boot.replace(str(self.path), str(spare.path))
        subprocess.run(["cp", "--sparse=always", self.path, spare.path], check=True)
        return spare

    def names(self, folder):
        out = subprocess.run(["mdir", "-b", "-i", self.boot, f"::{folder}"], capture_output=True, text=True, check=True).stdout
        return [line.rsplit("/", 1)[-1] for line in out.splitlines()]


class Machine:
    """One power-on of a board."""

    def __init__(self, board, card, firmware, folder, key, user):
        self.board, self.card, self.key = board, card, key
        self.user = ["-u", user[0], "-P", user[1]]
        self.mqtt, self.ssh_port = free_port(), free_port()
        # The last is for the board at another address than DHCP gives it.
        self.http, self.https, self.moved = free_port(), free_port(), free_port()
        self.console = Path(folder) / f"console-{time.monotonic_ns()}.log"
        ports = {self.mqtt: ":1883", self.ssh_port: ":22", self.http: ":80", self.https: ":443", self.moved: "10.0.2.16:443"}
        forward = ",".join(f"hostfwd=tcp:127.0.0.1:{port}-{to}" for port, to in ports.items())
        drive = f"file={card.path},format=raw,if="
        self.outside = None
        if board == "virt":
            machine = ["-M", "virt", "-cpu", "cortex-a72", "-smp", "2", "-m", "1G"]
            machine += ["-bios", firmware / "usr/lib/u-boot/qemu_arm64/u-boot.bin"]
            machine += ["-drive", drive + "none,id=card", "-device", "virtio-blk-pci,drive=card"]
            machine += ["-netdev", f"user,id=net,{forward}", "-device", "virtio-net-pci,netdev=net"]
            machine += ["-serial", f"file:{self.console}"]
        else:
            machine = ["-M", "raspi3b", "-kernel", firmware / "usr/lib/u-boot/rpi_arm64/u-boot.bin"]
            machine += ["-dtb", folder / raspi3b.DEVICE_TREE, "-drive", drive + "sd"]
            self.outside = raspi3b.Outside("net")
            machine += ["-netdev", f"user,id=net,{forward}", *self.outside.arguments()]
            # The second port of the two is the one on the pins.
            machine += ["-serial", "null", "-serial", f"file:{self.console}"]
        self.started = time.monotonic()
        # It complains of each attempt to connect before the system is up.
        with open(folder / "qemu.log", "ab") as log:
            command = ["qemu-system-aarch64", *map(str, machine), "-display", "none"]
            inherited = self.outside.ends() if self.outside else []
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log, pass_fds=inherited)
        if self.outside:
            self.outside.started()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.cut()

    def cut(self):
        """The power fails."""
        self.process.kill()
        self.process.wait()
        if self.outside:
            self.outside.close()

    def seen(self):
        """What the console showed so far."""
        text = self.console.read_text(errors="replace") if self.console.exists() else ""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "")

    def wait_for(self, what, check, limit=BOOT):
        """Polls until `check` gives something; returns that and the seconds it took."""
        began = time.monotonic()
        while time.monotonic() - began < limit:
            if self.process.poll() is not None:
                raise Failed(f"the machine went off while waiting for {what}; its console:\n{self.seen()[-3000:]}")
            if self.outside:
                self.outside.look_at(self.seen())
            try:
                found = check()
            except (OSError, subprocess.SubprocessError):
                found = None
            if found:
                return found, time.monotonic() - began
            time.sleep(1)
        raise Failed(f"{what} did not come within {limit} s; the console:\n{self.seen()[-3000:]}")

    def wait_for_slots(self, slots):
        """Waits until the boot loader has picked these slots one after the other."""
        pattern = r"fieldgate: slot ([AB]), attempts left"
        return self.wait_for(f"starts of {slots}", lambda: "".join(re.findall(pattern, self.seen())) == slots, BOOT * len(slots))

    def subscribe(self, topic, seconds=30, count=1):
        """What `mosquitto_sub` shows of a topic, line by line."""
        done = subprocess.run(
            ["mosquitto_sub", "-h", "127.0.0.1", "-p", str(self.mqtt), *self.user, "-t", topic, "-C", str(count), "-W", str(seconds), "-v"],
            capture_output=True, text=True, timeout=seconds + 30, check=False)
        return done.stdout.splitlines() if done.returncode == 0 else None

    def command(self, point, payload, seconds=30):
        """Sets a point and returns the gateway's answer."""
        done = subprocess.run(
            ["mosquitto_rr", "-h", "127.0.0.1", "-p", str(self.mqtt), *self.user, "-t", f"{point}/set", "-e", f"{point}/result", "-m", payload,
             "-W", str(seconds)], capture_output=True, text=True, timeout=seconds + 30, check=False)
        return done.stdout.strip()

    def run(self, command, check=True, limit=COMMAND, data=None):
        """A command in the machine through SSH, as the owner would."""
        done = subprocess.run(
            ["ssh", "-q", "-i", self.key, "-p", str(self.ssh_port), "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
             "-o", "ConnectTimeout=60", "-o", "BatchMode=yes", "root@127.0.0.1", command],
            capture_output=True, text=data is None, input=data, timeout=limit, check=False)
        if check and done.returncode != 0:
            raise Failed(f"`{command}` ended with code {done.returncode}: {done.stdout[-1500:]} {done.stderr[-1500:]}")
        return done if not check else done.stdout

    def slot(self):
        """The one that runs."""
        return self.run("cat /proc/cmdline").split("rauc.slot=")[1][0]

    def log_in(self):
        return self.wait_for("an answer of SSH", lambda: self.run("true", check=False, limit=90).returncode == 0)

    def off(self):
        """An orderly end."""
        self.run("systemctl poweroff", check=False)
        try:
            self.process.wait(COMMAND)
        except subprocess.TimeoutExpired:
            # raspi3b has no power switch: its console says when it is down.
            if "Power down" not in self.seen() and "System halted" not in self.seen():
                raise Failed(f"it did not go off:\n{self.seen()[-2000:]}") from None
            self.cut()
