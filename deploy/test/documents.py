#!/usr/bin/env python3
"""Follows the documents on a machine that a container plays: each `sh` block is typed, in the order of its document,
and what stands in the block after it has to appear. `nspawn` calls it:

    documents.py LEADER ROOT FOLDER

LEADER is the process of the container's systemd, ROOT its files, FOLDER this machine's, with the package's program.
A block that cannot be followed there says why in the line before it: `<!-- not run: REASON -->`.
"""

import os
import re
import select
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
PASSWORD = "a long password 1"
ADAPTER = "/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A50285BI-if00-port0"
# The one page that begins on a bare system; the package that it installs stays for the others.
FIRST = "config/first-meter.md"
# What the documents leave to the reader.
HERE = {
    "_arm64.deb": "_amd64.deb",
    "-u USER ": "-u ann ",
    "-P PASSWORD": f"-P '{PASSWORD}'",
    '"password": "..."': f'"password": "{PASSWORD}"',
}
# These would go on for ever, or for minutes: enough that they begin.
BEGINS = re.compile(r"^(sudo )?(mosquitto_sub (?!.*-[CW] )|fieldgate (scan|monitor) )")
ASKS = re.compile(r"fieldgate (user (add|passwd)|backup) (?!.*--without-keys)")

# A plant in which everything that the documents name exists.
PLANT = f"""version: 1
gateway: {{name: plant7}}
console: {{listen: {{http: "127.0.0.1:8080"}}}}
buses:
  meters: {{serial: {{port: {ADAPTER}, baud: 9600}}}}
  plc_net: {{tcp: "127.0.0.1:0", modbus: tcp, simulated: true}}
devices:
  main-meter: {{type: sdm120, bus: meters, unit: 1}}
  plc:
    bus: plc_net
    unit: 1
    points:
      pump: {{coil: 0, write: true}}
      setpoint: {{holding: 0, as: f32, write: true}}
uplinks:
  cloud: {{url: "mqtt://127.0.0.1:1884", forward: [{{topics: ["plant7/#"], to: "site/{{topic}}"}}]}}
"""
REMOTE = """version: 1
gateway: {name: remote}
broker: {listen: {tcp: "127.0.0.1:1884"}, allow_anonymous: true}
"""
TLS = """broker:
  listen: {tcp: 1883, tls: 8883}
  tls: {certificate: broker.pem, key: broker.key}
"""


class Wrong(Exception):
    """A document says what is not so."""


class Machine:
    """The container, as its owner sees it."""

    def __init__(self, leader, root, folder):
        self.enter = ["nsenter", "-t", leader, "-m", "-u", "-i", "-n", "-p", "--"]
        self.root, self.folder = Path(root), Path(folder)

    def shell(self, line, cwd="/root"):
        return [*self.enter, "env", "-i", "HOME=/root", "USER=root", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "TERM=dumb",
                "DEBIAN_FRONTEND=noninteractive", "bash", "-c", f"cd {cwd} && {line}"]

    def run(self, line, cwd="/root"):
        """What a command prints; it has to go well."""
        if BEGINS.match(line):
            return self.begin(line, cwd)
        if ASKS.search(line):
            code, said = self.answer(line, cwd)
        else:
            done = subprocess.run(self.shell(line, cwd), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
            code, said = done.returncode, done.stdout + done.stderr
        # mosquitto_sub that ends after a time says so by its code.
        if code != 0 and not (code == 27 and " -W " in line):
            raise Wrong(f"`{line}` ended with code {code}: {said[-1500:]}")
        return said

    def begin(self, line, cwd):
        """The first lines of a command that goes on."""
        done = subprocess.run(self.shell(f"timeout -s INT -k 5 4 {line}", cwd), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
        said = done.stdout
        if not said.strip() or re.search(r"^(Error|Connection error)", said, re.M):
            raise Wrong(f"`{line}` shows nothing or a mistake: {said[:1500]}")
        return said

    def answer(self, line, cwd):
        """A command at a terminal, which asks for a password as often as it likes."""
        at_terminal = self.shell(f"exec script -qec {shlex.quote(line)} /dev/null", cwd)
        process = subprocess.Popen(at_terminal, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        said = b""
        while True:
            if not select.select([process.stdout], [], [], 60)[0]:
                process.kill()
                raise Wrong(f"`{line}` says nothing more after {said!r}")
            part = os.read(process.stdout.fileno(), 4096)
            if not part:
                break
            said += part
            if re.search(rb"(?i)(password|again)[^\n]*: ?$", said):
                process.stdin.write(f"{PASSWORD}\n".encode())
                process.stdin.flush()
                said += b"\n"
        return process.wait(60), said.decode().replace("\r", "")

    def within(self, seconds, line):
        end = time.monotonic() + seconds
        while subprocess.run(self.shell(line), capture_output=True, check=False).returncode != 0:
            if time.monotonic() > end:
                log = self.run("journalctl -u fieldgate -o cat -n 12 --no-pager")
                raise Wrong(f"`{line}` does not hold within {seconds} s; the log:\n{log}")
            time.sleep(0.2)

    def write(self, path, text):
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def plug_in(self, link, mapping):
        """An adapter with what is described behind it, played by the package's program."""
        name = Path(link).name.lower()[:16]
        self.write(f"/root/{name}.yaml", mapping)
        self.run(f"systemd-run -q --unit={name} sh -c '/root/player simulate /root/{name}.yaml >/root/{name}.log 2>&1'")
        self.within(20, f"grep -q /dev/pts/ /root/{name}.log")
        line = re.search(r"/dev/pts/\d+", (self.root / f"root/{name}.log").read_text())[0]
        self.run(f"chown root:dialout {line} && chmod 660 {line} && mkdir -p {Path(link).parent} && ln -sf {line} {link}")
        self.run(f"mkdir -p /dev/serial/by-path && ln -sf {line} /dev/serial/by-path/platform-{name} && ln -sf {line} /dev/ttyUSB0")

    def as_delivered(self):
        """The plant of the documents, and the user who is in their commands."""
        # A pseudo terminal remembers that a program, which was ended, had it for itself (TIOCNXCL).
        self.run(f"perl -e 'open(my $line, \"+<\", \"{ADAPTER}\"); ioctl($line, 0x540D, 0)'")
        self.run("echo 'users: {}' >/etc/fieldgate/users.yaml")
        self.write("/etc/fieldgate/gateway.yaml", PLANT)
        self.run("fieldgate check && chown fieldgate: /etc/fieldgate/gateway.yaml && systemctl restart fieldgate")
        self.run("fieldgate user add --console admin ann")
        # Without a user, it would be let in.
        self.within(10, "! mosquitto_pub -t test -m hello")
        self.within(20, f"mosquitto_sub -u ann -P '{PASSWORD}' -t 'plant7/main-meter/$state' -C 1 -W 2 | grep -q online")


def serve(machine, text):
    machine.write("/etc/fieldgate/gateway.yaml", text)
    machine.run("fieldgate check && systemctl restart fieldgate")


def certificates_copied(machine, cwd):
    machine.run("cp ca.pem broker.pem broker.key /etc/fieldgate/ && chown fieldgate: /etc/fieldgate/broker.key", cwd)
    serve(machine, PLANT + TLS)


def clients_have_certificates(machine, cwd):
    del cwd
    machine.run("fieldgate user add panel")
    serve(machine, PLANT + TLS.replace("broker.key}", "broker.key, client_ca: ca.pem}"))


def no_users_any_more(machine, cwd):
    machine.run("echo 'users: {}' >/etc/fieldgate/users.yaml")
    users_hold(machine, cwd)


def otto_may_operate(machine, cwd):
    del cwd
    # The gateway applies it within two seconds.
    machine.within(10, f"curl -sf -H 'Sec-Fetch-Site: same-origin' -H 'Content-Type: application/json' -d '{{\"user\": \"otto\", \"password\": \"{PASSWORD}\"}}' http://127.0.0.1:8080/api/v1/session")


def users_hold(machine, cwd):
    del machine, cwd
    time.sleep(2)


# What a person does between two commands because the text says so.
AFTER = {
    ("config/README.md", "chmod 600 ca.key broker.key"): certificates_copied,
    ("config/README.md", "openssl x509 -req -in panel.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 825 -extfile client.ext -out panel.pem"):
        clients_have_certificates,
    ("config/README.md", "mosquitto_pub --cafile ca.pem --cert panel.pem --key panel.key -h plant7.local -p 8883 -t test -m hello"):
        no_users_any_more,
    ("config/console.md", "fieldgate user add --console operate otto"): otto_may_operate,
    ("config/not-authorised.md", "sudo fieldgate user add dashboard --read 'plant7/#'"): users_hold,
    (FIRST, "sudo fieldgate user add dashboard --read 'plant7/#'"): users_hold,
}


def history_kept(machine, cwd):
    del cwd
    serve(machine, PLANT.replace("main-meter:", "meter:") + "history: {max: 64M, keep: 30d}\n")


def signed_release(machine, cwd):
    folder = machine.root / cwd.lstrip("/")
    (folder / "CHANGES.md").write_text("- one\n")
    key = machine.folder / "key.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", key], check=True, capture_output=True)
    subprocess.run([TOP / "deploy/seal", folder, key], check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out", folder / "fieldgate-release.pem"], check=True, capture_output=True)


def downloaded(machine, cwd):
    shutil.copy(machine.folder / "fieldgate.deb", machine.root / cwd.lstrip("/") / "fieldgate_0.1.0_amd64.deb")


def as_bare(machine, cwd):
    """No user yet, and only the configuration that the package brings."""
    downloaded(machine, cwd)
    machine.run("echo 'users: {}' >/etc/fieldgate/users.yaml; systemctl restart fieldgate")


def certificate_known(machine, cwd):
    machine.run("cp /etc/fieldgate/ca.pem .", cwd)
    serve(machine, PLANT + TLS)


# What there is before the first command.
BEFORE = {
    FIRST: downloaded,
    "deploy/install.md": as_bare,
    "deploy/releases.md": signed_release,
    "config/tls-clients.md": certificate_known,
    "config/history.md": history_kept,
}


def blocks(text):
    """Language, mark and lines of each fenced block."""
    mark, block = "", None
    for line in text.splitlines():
        bare = line.strip()
        if bare.startswith("```"):
            if block is None:
                block = (bare[3:], mark, [])
                indent = len(line) - len(line.lstrip())
                mark = ""
            else:
                yield block
                block = None
        elif block is not None:
            block[2].append(line[indent:])
        elif bare.startswith("<!-- "):
            mark = bare.removeprefix("<!-- ").removesuffix(" -->")
        elif bare:
            mark = ""


def commands(lines):
    """Whole commands, without the remark behind them."""
    whole = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [re.sub(r"\s+# .*", "", line) for line in whole.splitlines() if line.strip()]


def fits(shown, line):
    pattern = ".*".join(map(re.escape, re.split(r"\s*…\s*", shown.strip())))
    return re.fullmatch(pattern, line.strip()) is not None


def follow(machine, name, text):
    """Does what a document says. Returns how many commands that were."""
    cwd = f"/root/{name.replace('/', '-')}"
    machine.run(f"mkdir -p {cwd}")
    if name in BEFORE:
        BEFORE[name](machine, cwd)
    typed, said, written = 0, None, ""
    for language, mark, lines in blocks(text):
        if language == "yaml" and name == FIRST:
            written += "\n".join(lines) + "\n"
            machine.write("/etc/fieldgate/gateway.yaml", written)
        elif language == "sh" and not mark.startswith("not run: "):
            said = ""
            for command in commands(lines):
                typed += 1
                here = command
                for placeholder, value in HERE.items():
                    here = here.replace(placeholder, value)
                said += machine.run(here, cwd)
                if (name, command) in AFTER:
                    AFTER[name, command](machine, cwd)
            continue
        elif language == "" and said is not None:
            for shown in filter(str.strip, lines):
                if not any(fits(shown, line) for line in said.splitlines()):
                    raise Wrong(f"{shown!r} does not appear in:\n{said[-2000:]}")
        said = None
    return typed


def main():
    leader, root, folder = sys.argv[1:]
    machine = Machine(leader, root, folder)
    machine.run("printf '127.0.0.1 localhost %s\n10.99.0.1 plant7.local\n' $(hostname) >/etc/hosts; ip addr add 192.168.1.10/32 dev lo")
    # For the person who presses Enter.
    machine.write("/etc/apt/apt.conf.d/yes", 'APT::Get::Assume-Yes "true";\n')
    shutil.copy(machine.folder / "player", machine.root / "root/player")
    machine.plug_in(ADAPTER, "version: 1\nbuses: {line: {serial: {port: /dev/none, baud: 9600}}}\n"
                             "devices: {meter: {type: sdm120, bus: line, unit: 1}}\n")
    names = sorted(str(path.relative_to(TOP)) for folder in ("config", "deploy") for path in (TOP / folder).glob("*.md"))
    names.remove(FIRST)
    failed = passed = 0
    for name in (FIRST, "deploy/install.md", *(name for name in names if name != "deploy/install.md")):
        text = (TOP / name).read_text()
        if not any(language == "sh" and not mark.startswith("not run: ") for language, mark, _ in blocks(text)):
            continue
        try:
            if name not in (FIRST, "deploy/install.md"):
                machine.as_delivered()
            typed = follow(machine, name, text)
            passed += 1
            print(f"ok      {name} can be followed: {typed} commands", flush=True)
        except (Wrong, subprocess.SubprocessError) as wrong:
            failed += 1
            print(f"FAILED  {name}: {wrong}", flush=True)
        if name == "deploy/install.md":
            machine.write("/root/remote.yaml", REMOTE)
            machine.run("systemd-run -q --unit=remote /root/player run /root/remote.yaml --control /root/remote.sock")
            machine.plug_in("/dev/serial/by-id/usb-SECOND-ADAPTER", "version: 1\nbuses: {line: {serial: {port: /dev/none, baud: 9600}}}\n"
                                                                 "devices: {meter: {type: sdm120, bus: line, unit: 1}}\n")
    if failed:
        sys.exit(1)
    print(f"documents: {passed} followed")


main()
