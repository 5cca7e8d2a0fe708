#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Whether the partitions are four, in the order that boot script, overlay and RAUC count on, behind the boot loader's sector."""
import pathlib
import re
import shlex
import sys

layer = pathlib.Path(__file__).resolve().parent.parent
wks = layer / "files/wic/fieldgate-ab.wks.in"
known = {"--source", "--fstype", "--label", "--align", "--fixed-size", "--active", "--ptable", "--sourceparams", "--no-table", "--offset"}
labels, sector, wrong = [], None, []
for number, line in enumerate(wks.read_text().splitlines(), 1):
    words = shlex.split(line, comments=True)
    if not words:
        continue
    if words[0] not in ("part", "bootloader"):
        wrong.append(f"{wks}:{number}: what is \"{words[0]}\"?")
    for word in words:
        if word.startswith("--") and word.split("=")[0] not in known:
            wrong.append(f"{wks}:{number}: {word} is unknown")
    if "--no-table" in words:
        sector = words[words.index("--offset") + 1]
    elif words[0] == "part":
        if sector and not labels and int(words[words.index("--align") + 1]) <= 512:
            wrong.append(f"{wks}:{number}: lies over the boot loader's sector")
        labels.append(words[words.index("--label") + 1])
image = (layer / "recipes-fieldgate/images/fieldgate-image.bb").read_text()
for name in re.findall(r"\$\{(\w+)\}", wks.read_text()):
    if f"{name} ?=" not in image or not re.search(rf"WICVARS:append = \".*\b{name}\b", image):
        wrong.append(f"{wks}: {name} is not set in the image, or is not in WICVARS")
if "file=fieldgate-slots.bin" not in wks.read_text() or sector != "512K" or "0x80000 0x200" not in image:
    wrong.append(f"{wks}: the boot loader's sector is not at 512 KiB, or the image's fw_env.config has it elsewhere")
if labels != ["boot", "rootfs-a", "rootfs-b", "data"]:
    wrong.append(f"{wks}: the partitions are {labels}")
print("\n".join(wrong) if wrong else ", ".join(labels))
sys.exit(bool(wrong))
