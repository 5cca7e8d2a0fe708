#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Whether the image has every command that our scripts, units, udev rules and programs run. Needs tree-sitter and its grammar of
shells."""
import pathlib
import re

import tree_sitter
import tree_sitter_bash

from layer import LAYER, SOURCE, commands, finish, manifest, on_yocto, packages, table, units

PARSER = tree_sitter.Parser(tree_sitter.Language(tree_sitter_bash.language()))
BUILTIN = set(
    ". : [ alias break cd command continue echo eval exec exit export false getopts kill local printf pwd read readonly return set shift "
    "test times trap true type ulimit umask unset wait".split()
)
# The first process, which the class for the overlay moves away.
INIT = "/sbin/init.orig"


def text_of(node):
    return node.text.decode()


def walk(node):
    yield node
    for child in node.children:
        yield from walk(child)


def literal(node):
    """A word without quotes, or None if it is not known before it runs."""
    if node.type == "raw_string" or (node.type == "string" and len(node.named_children) <= 1):
        return text_of(node).strip("'\"")
    return text_of(node) if node.type in ("word", "command_name", "number") and "$" not in text_of(node) else None


def called(script, functions=None):
    """The commands that a script runs, on any of its ways: (line, command)."""
    root = PARSER.parse(script.encode()).root_node
    if root.has_error:
        yield 0, "what is no shell script"
        return
    # A function that runs its own arguments makes a command of the first that is not a number.
    functions = functions or {text_of(node.child_by_field_name("name")): node for node in walk(root) if node.type == "function_definition"}
    runs_arguments = {name for name, node in functions.items() if any(n.type == "command_name" and text_of(n) == '"$@"' for n in walk(node))}
    for node in walk(root):
        if node.type != "command":
            continue
        line = node.start_point[0] + 1
        name = node.child_by_field_name("name")
        name, arguments = text_of(name).strip("'\""), node.children_by_field_name("argument")
        words = [literal(argument) for argument in arguments]
        if name == "trap" and words and words[0]:
            yield from called(words[0], functions)
        if name == "exec" or name in runs_arguments:
            yield from ((line, word) for word in [w for w in words if w and not re.match(r"-|\d+$", w)][:1])
        if name not in BUILTIN and name not in functions and "$" not in name:
            yield line, name


def from_unit(path):
    """What a unit starts: the command, and what it asks to be there first."""
    found = list(units(path))
    conditions = {value for _, key, value in found if key == "ConditionPathExists"}
    for _, key, value in found:
        if re.match(r"Exec(Start|Stop|Reload)(Pre|Post)?$", key) and value:
            words = value.lstrip("-+@:!").split()
            yield words[0], conditions
            if words[0].endswith("/sh"):
                inner = value.split("-c", 1)[1].strip().strip("'\"")
                yield from ((name, conditions) for _, name in called(inner))


def main():
    have, (_, optional) = commands(), packages()
    elsewhere = {name: package for package, *names in table("commands.txt") for name in names}
    lines = [line for line in manifest() if on_yocto(line)]
    ours = {line.there for line in lines}
    wrong, count = [], 0

    def judge(place, command, conditions=()):
        name = pathlib.Path(command).name
        if command in ours or command == INIT or name in have:
            return
        package = elsewhere.get(name)
        if package in optional and command in conditions:
            return
        why = f"; {package} would have it: name it in RDEPENDS, or do without" if package else ""
        why = f"; only another layer has {package}: ask by ConditionPathExists" if package in optional else why
        wrong.append(f"{place}: {command}: the image has no such command{why}")

    for line in lines:
        text = line.path.read_text() if line.path.suffix not in (".dtbo",) else ""
        if text.startswith("#!/bin/sh"):
            for number, command in called(text):
                count += 1
                judge(f"deploy/{line.source}:{number}", command)
        elif line.path.suffix in (".service", ".conf") and "/systemd/system/" in line.there:
            for command, conditions in from_unit(line.path):
                count += 1
                judge(f"deploy/{line.source}", command, conditions)
        elif line.path.suffix == ".rules":
            for command in re.findall(r'(?:RUN|PROGRAM|IMPORT\{program\})\+?=+"(\S+)', text):
                count += 1
                judge(f"deploy/{line.source}", command)
    for path in sorted(SOURCE.glob("crates/*/src/**/*.rs")):
        for command in re.findall(r'\bCommand::new\("([^"]+)"\)', path.read_text()):
            count += 1
            judge(path.relative_to(SOURCE), command)
    for number, command in called(preinit()):
        count += 1
        judge(f"files/overlay/preinit.sh.in:{number}", command)
    finish(wrong, f"{count} commands of {len(have)} that the image has")


def preinit():
    """The template as the class for the overlay fills it in, by Python's rules."""
    names = ("MOUNT_POINT", "MOUNT_OPTIONS", "FSTYPE", "DEVICE", "EXPOSE_LOWER")
    values = {f"OVERLAYFS_ETC_{name}": "x" for name in names}
    return (LAYER / "files/overlay/preinit.sh.in").read_text().format(SBIN_INIT_NAME=INIT, CREATE_MOUNT_DIRS="true", **values)


main()
