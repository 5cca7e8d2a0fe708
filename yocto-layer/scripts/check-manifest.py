#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Whether deploy/MANIFEST is the truth: about the folder, the Debian package, the Debian image, and what the recipes really install."""
import pathlib
import re
import shutil
import subprocess
import tempfile
import tomllib

from layer import DEPLOY, LAYER, SOURCE, Recipe, finish, manifest, on_yocto, units

LINES = manifest()
wrong = []


def differ(what, got, want):
    for path in sorted(set(got) - set(want)):
        wrong.append(f"{what}: {path}: is there, but by deploy/MANIFEST should not be")
    for path in sorted(set(want) - set(got)):
        wrong.append(f"{what}: {path}: is missing, but is in deploy/MANIFEST")


def folder():
    """Every file of deploy/ has a line."""
    there = {str(path.relative_to(DEPLOY)) for path in DEPLOY.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    for path in sorted(there - {line.source for line in LINES}):
        wrong.append(f"deploy/{path}: has no line in deploy/MANIFEST")


def package():
    """The assets that cargo-deb packs."""
    crate = SOURCE / "crates/fieldgate"
    deb = tomllib.loads((crate / "Cargo.toml").read_text())["package"]["metadata"]["deb"]
    got = []
    for source, destination, _ in deb["assets"]:
        if source.startswith("target/"):
            continue
        for file in crate.glob(source):
            got.append("/" + destination + (file.name if destination.endswith("/") else ""))
    got += ["/usr/lib/systemd/system/" + file.name for file in (crate / deb["systemd-units"]["unit-scripts"]).glob("*.service")]
    differ("the Debian package", got, [line.there for line in LINES if line.package == "yes"])


def debian_image():
    """`assemble` takes nothing from deploy/ but by the table."""
    text = (DEPLOY / "image/assemble").read_text()
    if '"$deploy/install-files" debian "$root"' not in text:
        wrong.append("deploy/image/assemble: does not call install-files")
    for name in re.findall(r'\$(?:deploy|here)/([^\s")]+)', text):
        if name not in ("install-files", ".."):
            wrong.append(f"deploy/image/assemble: takes {name} by hand")
    enabled = re.search(r"systemctl --quiet --root \"\$root\" enable (.*?)\nsystemctl", text, re.S)[1].replace("\\\n", " ").split()
    check_enabled("the Debian image", [name if "." in name else name + ".service" for name in enabled], lambda line: line.debian == "yes")


def check_enabled(image, enabled, has):
    """Units that want to be enabled are, and no others of ours."""
    ours = {line.path.name: line for line in LINES if line.path.suffix in (".service", ".mount") and has(line)}
    for name, line in ours.items():
        wants = any(section == "Install" for section, _, _ in units(line.path))
        if wants != (name in enabled):
            wrong.append(f"{image}: {name}: " + ("is not enabled" if wants else "is enabled, but has no [Install]"))


def stage(recipe, sources):
    """Copies what SRC_URI names, and nothing else."""
    for name, where in re.findall(r"file://([^;\s]+)(;subdir=\$\{BP\})?", recipe.value("SRC_URI")):
        if not where:
            continue
        target = sources / name
        target.parent.mkdir(parents=True, exist_ok=True)
        place = SOURCE / name
        if not place.exists():
            wrong.append(f"{recipe.path.name}: file://{name}: there is no such file")
        elif place.is_dir():
            shutil.copytree(place, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("target", "__pycache__"))
        else:
            shutil.copy2(place, target)


def run(recipe, function, work):
    """Runs a function of a recipe as BitBake would; returns the files it made, by their paths on the system."""
    names = {"S": "source", "B": "build", "D": "image", "DEPLOYDIR": "image", "IMAGE_ROOTFS": "image"}
    for name in set(names.values()):
        (work / name).mkdir(exist_ok=True)
    (work / "build/target/fieldgate").parent.mkdir(exist_ok=True)
    (work / "build/target/fieldgate").write_text("the daemon")
    (work / "build/fieldgate-slots.bin").write_text("the sector")
    variables = {name: str(work / place) for name, place in names.items()}
    variables |= {"bindir": "/usr/bin", "sysconfdir": "/etc", "nonarch_libdir": "/usr/lib", "CARGO_TARGET_SUBDIR": ".",
                  "FIELDGATE_SRC": str(SOURCE), "DISTRO_VERSION": "1.2.3"}
    stage(recipe, work / "source")
    body = re.sub(r"\$\{@.*?BB_TASKHASH.*?\}", "0123456789abcdef", recipe.functions.get(function, f"echo no {function}; false"))
    script = "bbfatal() { echo \"$*\"; exit 1; }\n" + "".join(f"{name}='{value}'\n" for name, value in variables.items()) + body
    done = subprocess.run(["sh", "-eu"], input=script, text=True, capture_output=True, check=False)
    if done.returncode:
        wrong.append(f"{recipe.path.name}: {function}: {(done.stdout + done.stderr).strip()}")
    return {"/" + str(path.relative_to(work / "image")): path for path in (work / "image").rglob("*") if path.is_file()}


def yocto(work):
    """What the recipes install is what the table says, byte for byte, and is packaged."""
    # One of ours may be laid over another one of ours.
    lines = {line.there: line for line in LINES if line.yocto == "yes"}
    over = {line.there: line for line in LINES if line.yocto == "over"}
    enabled = []
    for folder_of, pattern, belongs in (
        ("fieldgate", "fieldgate_*.bb", lambda line: line.package == "yes"),
        ("fieldgate-system", "fieldgate-system_*.bb", lambda line: line.package != "yes" and line.yocto == "yes"),
    ):
        recipe = Recipe(next(LAYER.glob(f"recipes-fieldgate/{folder_of}/{pattern}")))
        (work / folder_of).mkdir()
        got = run(recipe, "do_install", work / folder_of)
        got.pop("/usr/bin/fieldgate", None)
        want = {path: line for path, line in lines.items() if belongs(line) and not path.startswith("BOOT/")}
        differ(recipe.path.name, got, want)
        for path in set(got) & set(want):
            if got[path].read_bytes() != want[path].path.read_bytes():
                wrong.append(f"{recipe.path.name}: {path}: is not deploy/{want[path].source}")
        packaged(recipe, got)
        enabled += recipe.value("SYSTEMD_SERVICE").split()
    check_enabled("the Yocto image", enabled, on_yocto)
    late(work, over)
    card(work, lines)


def packaged(recipe, got):
    """OE-Core stops at a file that is in no package."""
    places = {"${nonarch_libdir}": "/usr/lib", "${sysconfdir}": "/etc", "${systemd_system_unitdir}": "/usr/lib/systemd/system"}
    # What bitbake.conf and the class for systemd add.
    prefixes = ["/etc", "/usr/bin", "/usr/share/doc", *("/usr/lib/systemd/system/" + unit for unit in recipe.value("SYSTEMD_SERVICE").split())]
    for word in (recipe.value("FILES") + " " + recipe.value("FILES:${PN}-ssh")).split():
        for name, place in places.items():
            word = word.replace(name, place)
        prefixes.append(word)
    for path in got:
        if not any(path == prefix or path.startswith(prefix + "/") for prefix in prefixes):
            wrong.append(f"{recipe.path.name}: {path}: is in no package (FILES)")


def late(work, lines):
    """What the image lays over files of other packages, and its name."""
    image = Recipe("recipes-fieldgate/images/fieldgate-image.bb")
    root = work / "image/image"
    for name, text in (("etc/issue", "another"), ("usr/lib/os-release", "ID=fieldgate-os\n"), ("etc/ssh/sshd_config", "# none\n")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    for command in image.value("ROOTFS_POSTPROCESS_COMMAND").split():
        run(image, command, work / "image")
    for path, line in lines.items():
        if line.yocto == "over" and (not (root / path[1:]).is_file() or (root / path[1:]).read_bytes() != line.path.read_bytes()):
            wrong.append(f"fieldgate-image.bb: {path}: is not deploy/{line.source}")
    release = (root / "usr/lib/os-release").read_text()
    for name in ("IMAGE_ID", "IMAGE_VERSION", "BUILD_ID"):
        if not re.search(rf"^{name}=.", release, re.M):
            wrong.append(f"fieldgate-image.bb: os-release has no {name}: fieldgate-mark-good cannot tell two builds apart")


def card(work, lines):
    """The folder on the first partition."""
    slots = Recipe(next(LAYER.glob("recipes-bsp/fieldgate-boot-slots/*.bb")))
    (work / "slots").mkdir()
    got = run(slots, "do_deploy", work / "slots")
    files = Recipe("recipes-fieldgate/images/fieldgate-image.bb").value("IMAGE_BOOT_FILES")
    folders = [f"/{source.removesuffix('*')}" for source, _, target in (word.partition(";") for word in files.split()) if target == "fieldgate/"]
    want = {path.removeprefix("BOOT/") for path in lines if path.startswith("BOOT/")}
    differ("the card's folder fieldgate", {pathlib.Path(path).name for path in got for place in folders if path.startswith(place)}, want)


def others():
    """A file that another one makes something of is named there."""
    for line in LINES:
        for image, text in (("Debian image", line.debian), ("Yocto image", line.yocto)):
            if not text.startswith("by "):
                continue
            name = text.removeprefix("by ")
            places = [DEPLOY / name] if image == "Debian image" else [path for path in LAYER.rglob(f"{name}*") if path.is_file()]
            spoken = "".join(path.read_text() for path in places if path.is_file())
            file = pathlib.Path(line.source)
            folder_of = "/".join(file.parent.parts[-2:])
            name_of = file.stem if file.suffix == ".dts" else file.name
            if not any(word in spoken for word in (name_of, f"/{folder_of}/*", f"/{folder_of}\"", f"deploy/{folder_of}:")):
                wrong.append(f"deploy/MANIFEST: {line.source}: {image}: {name} does not name it")


folder()
package()
debian_image()
with tempfile.TemporaryDirectory() as name:
    yocto(pathlib.Path(name))
others()
finish(wrong, f"{len(LINES)} files")
