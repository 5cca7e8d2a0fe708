# SPDX-License-Identifier: MIT
"""What the checks of this layer share: recipes, deploy/MANIFEST and the image's packages, read as text. Knows no BitBake."""
import dataclasses
import pathlib
import re
import sys

LAYER = pathlib.Path(__file__).resolve().parent.parent
SOURCE = LAYER.parent
DEPLOY = SOURCE / "deploy"
CLOSURE = LAYER / "scripts/closure"

ASSIGNMENT = re.compile(r'^([A-Za-z_][\w-]*)((?::[\w${}-]+)*|\[[\w-]+\])\s*(?:\?\?=|\?=|:=|\+=|=\+|\.=|=)\s*"((?:[^"\\]|\\.|\\\n)*)"', re.M)
FUNCTION = re.compile(r"^([\w:${}-]+)\s*\(\)\s*\{\n(.*?)^\}", re.M | re.S)
# Overrides that hold for the product on its boards.
OURS = {"fieldgate-os", "class-target", "prepend", "append", "${PN}"}


class Recipe:
    """A recipe, an append or a configuration file."""

    def __init__(self, path):
        self.path = LAYER / path if isinstance(path, str) else path
        self.text = re.sub(r"^#.*\n", "", self.path.read_text(), flags=re.M)
        self.functions = {}
        for name, body in FUNCTION.findall(self.text):
            plain = ":".join(word for word in name.split(":") if word not in OURS)
            self.functions[plain] = self.functions.get(plain, "") + body

    def value(self, name):
        """All that is assigned to a variable, one after the other; `name` may have a flag or an override behind it."""
        found = []
        for variable, more, text in ASSIGNMENT.findall(self.text):
            words = [word for word in more.split(":") if word]
            full = variable + "".join(f":{word}" for word in words if word not in OURS) if not more.startswith("[") else variable + more
            if name in (full, variable + more):
                found.append(text.replace("\\\n", " ").replace('\\"', '"'))
        return " ".join(found)

    def words(self, name):
        """The value's words, those of `${@...contains(..., 'words', '', d)}` and of the recipe's own variables among them."""
        text = re.sub(r"\$\{@bb\.utils\.contains\('\w+', '[\w-]+', '([^']*)', '', d\)\}", r"\1", self.value(name))
        text = re.sub(r"\$\{(FIELDGATE_\w+)\}", lambda found: " ".join(self.words(found[1])), text)
        return re.sub(r"\$\{@.*?\}", "", text).split()


@dataclasses.dataclass
class Line:
    """A line of deploy/MANIFEST for one file."""

    source: str
    destination: str
    package: str
    debian: str
    yocto: str

    @property
    def path(self):
        return DEPLOY / self.source

    @property
    def there(self):
        """Where the file is on a system; on the first partition where it begins with BOOT/."""
        return self.destination + (pathlib.Path(self.source).name if self.destination.endswith("/") else "")


def manifest():
    """Each line of the table, with each file of a pattern on a line of its own."""
    lines = []
    for number, text in enumerate((DEPLOY / "MANIFEST").read_text().splitlines(), 1):
        if not text.strip() or text.startswith("#"):
            continue
        columns = [column.strip() for column in text.split("|")]
        if len(columns) != 5:
            sys.exit(f"deploy/MANIFEST:{number}: {len(columns)} columns, not 5")
        folder, _, pattern = columns[0].rpartition("/")
        found = sorted(path.name for path in (DEPLOY / folder).glob(pattern) if path.is_file())
        if not found:
            sys.exit(f"deploy/MANIFEST:{number}: {columns[0]}: there is no such file")
        lines += [Line(f"{folder}/{name}" if folder else name, *columns[1:]) for name in found]
    return lines


def on_yocto(line):
    return line.yocto in ("yes", "over")


def table(name):
    """The lines of a file beside this one, as words."""
    return [line.split() for line in (CLOSURE / name).read_text().splitlines() if line.strip() and not line.startswith("#")]


def packages():
    """What the image holds: OE-Core's packages and those that our recipes name. And those that only another layer has."""
    found = {line[0] for line in table("packages.txt")}
    group = Recipe("recipes-fieldgate/packagegroups/packagegroup-fieldgate.bb")
    image = Recipe("recipes-fieldgate/images/fieldgate-image.bb")
    system = Recipe(next(LAYER.glob("recipes-fieldgate/fieldgate-system/*.bb")))
    optional = set(re.findall(r"'networking-layer', '([\w-]+)'", image.value("IMAGE_INSTALL")))
    named = set(group.words("RDEPENDS") + group.words("RRECOMMENDS") + image.words("IMAGE_INSTALL")) | {"rauc-service"}
    if "fieldgate-system" in named:
        named |= set(system.words("RDEPENDS"))
    return found | named - optional, optional


def commands():
    """Each command of the image with the package it comes from."""
    found, _ = packages()
    known = {command: "busybox" for line in table("busybox.txt") for command in line}
    for package, *names in table("commands.txt"):
        if package in found:
            known |= dict.fromkeys(names, package)
    return known


def units(path):
    """Assignments of a unit: (section, key, value)."""
    section = ""
    for line in path.read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif "=" in line and not line.startswith(("#", ";")):
            key, value = line.split("=", 1)
            yield section, key.strip(), value.strip()


def finish(wrong, right):
    """Ends the check: with what is wrong, or with one line on what was looked at."""
    print("\n".join(wrong) if wrong else right)
    sys.exit(bool(wrong))
