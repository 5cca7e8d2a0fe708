#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Whether the local files that recipes name are in the repository, at the places where the recipe itself looks."""
import re

from layer import LAYER, SOURCE, Recipe, finish

wrong, count = [], 0


def places(recipe):
    """FILESEXTRAPATHS, and the folders that BitBake looks into by itself."""
    text = recipe.value("FILESEXTRAPATHS")
    text = text.replace("${FIELDGATE_SRC}", str(SOURCE)).replace("${THISDIR}", str(recipe.path.parent))
    name = recipe.path.name.split("_")[0].split(".")[0]
    return [recipe.path.parent / "files", recipe.path.parent / name, *(SOURCE / place for place in text.split(":") if place)]


for path in sorted([*LAYER.rglob("*.bb"), *LAYER.rglob("*.bbappend")]):
    recipe = Recipe(path)
    sources = re.findall(r"file://([^;\s]+)", recipe.value("SRC_URI"))
    for name in sources:
        count += 1
        if not any((place / name).exists() for place in places(recipe)):
            wrong.append(f"{path}: file://{name}: there is no such file where the recipe looks")
    unpacked = [re.escape(name) for name in sources]
    for name in re.findall(r"\$\{(?:S|UNPACKDIR)\}/([^\s;'\"$]+)", "".join(recipe.functions.values())):
        count += 1
        if not any(re.match(rf"{source}(/|$)", name) for source in unpacked) and name not in ("boot.cmd.in",):
            wrong.append(f"{path}: {name}: is not in SRC_URI")
finish(wrong, f"{count} names")
