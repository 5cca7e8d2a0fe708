#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Whether the card is the Debian image's: four partitions in the order that boot script, overlay and RAUC count on, behind the
boot loader's sector, found by the same number, and a data partition that can grow as far."""
import re
import shlex

from layer import DEPLOY, LAYER, Recipe, finish

WKS = LAYER / "files/wic/fieldgate-ab.wks.in"
KNOWN = {
    "part": {"--source", "--fstype", "--label", "--align", "--fixed-size", "--active", "--sourceparams", "--no-table", "--offset", "--mkfs-extraopts"},
    "bootloader": {"--ptable", "--diskid"},
}
wrong = []


def option(words, name):
    return words[words.index(name) + 1] if name in words else ""


def lines():
    for number, line in enumerate(WKS.read_text().splitlines(), 1):
        words = shlex.split(line, comments=True)
        if not words:
            continue
        place = f"{WKS}:{number}"
        if words[0] not in KNOWN:
            wrong.append(f'{place}: what is "{words[0]}"?')
            continue
        for word in words:
            if word.startswith("--") and word.split("=")[0] not in KNOWN[words[0]]:
                wrong.append(f"{place}: {word} is unknown")
        yield place, words


def mke2fs(words):
    """What decides the layout of an ext4 file system."""
    found = {name: option(words, name) for name in ("-b", "-i", "-m")}
    found["resize"] = next((part.split("=")[1] for part in option(words, "-E").split(",") if part.startswith("resize=")), "")
    return found


labels, sector, data, disk = [], None, [], ""
for place, words in lines():
    if words[0] == "bootloader":
        disk = option(words, "--diskid").removeprefix("0x")
    elif "--no-table" in words:
        sector = option(words, "--offset")
    else:
        if sector and not labels and int(option(words, "--align")) <= 512:
            wrong.append(f"{place}: lies over the boot loader's sector")
        labels.append(option(words, "--label"))
        if labels[-1] == "data":
            data = shlex.split(option(words, "--mkfs-extraopts"))

image = Recipe("recipes-fieldgate/images/fieldgate-image.bb")
for name in re.findall(r"\$\{(\w+)\}", WKS.read_text()):
    if not image.value(name) or name not in image.value("WICVARS").split():
        wrong.append(f"{WKS}: {name} is not set in the image, or is not in WICVARS")
if labels != ["boot", "rootfs-a", "rootfs-b", "data"]:
    wrong.append(f"{WKS}: the partitions are {labels}")

# The boot loader's sector: in U-Boot's blocks, in wic's and genimage's offset, in RAUC's file.
slots, card = (DEPLOY / "boot/slots.cmd").read_text(), (DEPLOY / "image/genimage.cfg").read_text()
block = int(re.search(r"read \$\{kernel_addr_r\} (0x\w+) 1;", slots)[1], 16) * 512
length = re.search(r"env import -c \$\{kernel_addr_r\} (0x\w+)", slots)[1]
if f"{hex(block)} {length}" not in (DEPLOY / "boot/fw_env.config").read_text():
    wrong.append(f"deploy/boot/fw_env.config: the sector is not at {hex(block)}, or not {length} long, as slots.cmd has it")
if not (f"{block // 1024}K" == sector == re.search(r"offset = (\w+)", card)[1]) or "file=fieldgate-slots.bin" not in WKS.read_text():
    wrong.append(f"{WKS}: the boot loader's sector is not at {block // 1024} KiB")

# The number of the card.
build = (DEPLOY / "image/build").read_text()
number = re.search(r"^disk_id=(\w+)", build, re.M)[1]
for name in ("card/61-fieldgate-card.rules", "card/boot-firmware.mount", "rauc/system.conf"):
    if number not in (DEPLOY / name).read_text():
        wrong.append(f"deploy/{name}: does not find the card by {number}")
if disk != number:
    wrong.append(f"{WKS}: the card's number is {disk or 'by chance'}, not {number}: RAUC and the units do not find its partitions")

# The data partition.
want = mke2fs(shlex.split(re.search(r"mke2fs\[@\]\}\" (.*-L data.*) \"\$work/data\.ext4\"", build)[1]))
if mke2fs(data) != want:
    wrong.append(f"{WKS}: the data partition is made with {mke2fs(data)}, and with {want} in deploy/image/build")
finish(wrong, ", ".join(labels))
