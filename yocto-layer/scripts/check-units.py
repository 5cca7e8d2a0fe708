#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Whether units, drop-ins and settings on the Yocto image refer to services that run there."""
import pathlib
import re

from layer import Recipe, finish, manifest, on_yocto, packages, table, units

# Settings of a daemon, by the folder they are in.
READ_BY = {
    "network": "systemd-networkd.service",
    "dnssd": "systemd-resolved.service",
    "resolved.conf.d": "systemd-resolved.service",
}
ORDER = {"After", "Before", "Wants", "Requires", "Conflicts", "WantedBy"}

have, optional = packages()
distro = Recipe("conf/distro/fieldgate-os.conf")
wrong = []


def package_config(recipe, word):
    """Whether a recipe of OE-Core is built with a word of PACKAGECONFIG; * is behind one that is set by default."""
    removed = distro.value(f"PACKAGECONFIG:remove:pn-{recipe}").split()
    added = distro.value(f"PACKAGECONFIG:pn-{recipe}").split()
    name = word.rstrip("*")
    return name in added or (word.endswith("*") and name not in removed)


def states():
    """Each unit that is known, and whether it comes up."""
    found = {}
    for unit, package, *when in table("units.txt"):
        if package not in have:
            continue
        found[unit] = package_config(when[3], when[1]) if when[0] == "by" else when[0] != "never"
    for line in manifest():
        if on_yocto(line) and "/systemd/system/" in line.there and line.path.suffix in (".service", ".mount", ".path"):
            found[pathlib.Path(line.there).name] = True
    return found


known = states()


def runs(unit):
    """An instance stands for its template."""
    return known.get(unit, known.get(re.sub(r"@[^.]+\.", "@.", unit)))


def refers(place, unit, what):
    state = runs(unit)
    if state:
        return
    socket = unit.replace(".service", ".socket")
    if state is None:
        wrong.append(f"{place}: {what} {unit}, which no package of the image has (scripts/closure/units.txt)")
    elif runs(socket):
        wrong.append(f"{place}: {what} {unit}, but {socket} is what is enabled: it has no effect")
    else:
        wrong.append(f"{place}: {what} {unit}, which is not enabled")


count = 0
for line in manifest():
    if not on_yocto(line):
        continue
    folder = pathlib.Path(line.there).parent.name
    place = f"deploy/{line.source}"
    if "/systemd/system/" in line.there:
        count += 1
        if folder.endswith(".d"):
            refers(place, folder.removesuffix(".d"), "is a drop-in of")
        for section, key, value in units(line.path):
            if section in ("Unit", "Install") and key in ORDER:
                for unit in value.split():
                    if unit not in known and runs(unit) is None:
                        refers(place, unit, f"{key}=")
            if key == "ConditionPathExists" and value.startswith("/usr/") and not value.startswith("!"):
                name = pathlib.Path(value).name
                owner = next((package for package, *names in table("commands.txt") if name in names), None)
                if owner not in have | optional:
                    wrong.append(f"{place}: waits for {value}, which no package of the image has")
    elif folder in READ_BY:
        count += 1
        refers(place, READ_BY[folder], "is read by")
    if line.path.suffix == ".rules":
        for unit in re.findall(r'ENV\{SYSTEMD_WANTS\}\+="(\S+)"', line.path.read_text()):
            refers(place, unit, "starts")

# What is enabled and listens without being asked must wait for a key.
for unit in ("sshd.service", "sshd.socket"):
    if known.get(unit):
        held = [line for line in manifest() if on_yocto(line) and f"/{unit}.d/" in line.there and "ConditionPathExists" in line.path.read_text()]
        if not held:
            wrong.append(f"{unit} is enabled and waits for no key")

# systemd has mDNS only where no other daemon is to have it.
if any("MulticastDNS=yes" in line.path.read_text() for line in manifest() if on_yocto(line) and line.there.endswith((".conf", ".network"))):
    opted_out = distro.value("DISTRO_FEATURES_OPTED_OUT").split()
    if "zeroconf" not in opted_out or "zeroconf" in distro.value("DISTRO_FEATURES").split():
        wrong.append("conf/distro/fieldgate-os.conf: with zeroconf in DISTRO_FEATURES systemd is built without mDNS: nothing announces NAME.local")
else:
    wrong.append("no file on the image turns MulticastDNS on: nothing announces NAME.local")
finish(wrong, f"{count} units, drop-ins and settings")
