#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Whether the local files that recipes name, and those that they install, are in the repository."""
import pathlib
import re
import sys

layer = pathlib.Path(__file__).resolve().parent.parent
source = layer.parent
wrong = []
count = 0
for recipe in sorted(layer.rglob("*.bb")):
    text = recipe.read_text()
    for name in re.findall(r"file://([^;\s\"$]+)", text):
        places = [source, layer / "files/boot", source / "deploy/boot", recipe.parent / "files", recipe.parent / recipe.name.split("_")[0]]
        count += 1
        if "COMMON_LICENSE" not in name and not any((place / name).exists() for place in places):
            wrong.append(f"{recipe}: file://{name}: there is no such file")
    named = re.findall(r"file://([^;\s\"$]+);subdir", text)
    for path in re.findall(r"\$\{S\}/([^\s;']+)", text):
        count += 1
        if not list(source.glob(path)) and path not in ("boot.cmd.in", "slots.cmd", "slots.env"):
            wrong.append(f"{recipe}: ${{S}}/{path}: there is no such file")
        elif named and not any(path == n or path.startswith(n + "/") for n in named):
            wrong.append(f"{recipe}: ${{S}}/{path}: is not in SRC_URI")
print("\n".join(wrong) if wrong else f"{count} names")
sys.exit(bool(wrong))
