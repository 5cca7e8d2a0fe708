#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Whether both images have each file that the documents for both of them name."""
import fnmatch
import re

from layer import CLOSURE, SOURCE, finish, manifest, on_yocto

# These tell the owner of either image what is where.
SHARED = ("README.md", "image.md", "security.md", "card/README.txt", "config/gateway.yaml", "provision/provision.yaml.example")
PATH = re.compile(r"(?<![\w./])(/(?:etc|usr|boot|data|var|run)/[\w./@-]*[\w@]|fieldgate/[\w.]+\.(?:yaml\.example|yaml|txt))")

lines = manifest()
wrong, count = [], 0


def reaches(promised, there):
    """A folder is there with what is in it."""
    return promised == there or there.startswith(promised + "/")


def places(has):
    return [re.sub(r"^BOOT/", "fieldgate/", line.there) for line in lines if has(line)]


def promises():
    """What is made otherwise, if the words that make it are there: by the path, whether all of its lines hold."""
    held = {}
    for text in (CLOSURE / "promises.txt").read_text().splitlines():
        if not text.strip() or text.startswith("#"):
            continue
        path, file, words = text.split(None, 2)
        found = sorted(SOURCE.glob(file))
        right = bool(found) and all(words in one.read_text() for one in found)
        if not right:
            wrong.append(f"{file}: does not say \"{words}\", which makes {path}")
        held[path] = held.get(path, True) and right
    return [path for path, right in held.items() if right]


made = promises()
images = {"the Debian image": places(lambda line: line.debian == "yes"), "the Yocto image": places(on_yocto)}
for name in SHARED:
    for number, text in enumerate((SOURCE / "deploy" / name).read_text().splitlines(), 1):
        for promised in PATH.findall(text):
            promised = re.sub(r"\.before$", "", promised.rstrip("/."))
            if any(fnmatch.fnmatch(promised, path) or promised.startswith(path + "/") for path in made):
                count += 1
                continue
            for image, files in images.items():
                count += 1
                if not any(reaches(promised, there) for there in files):
                    wrong.append(f"deploy/{name}:{number}: names {promised}, which {image} does not have")
finish(wrong, f"{count} names in documents")
