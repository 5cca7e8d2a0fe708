"""Update bundles that are not as they should be."""

import random
import subprocess
from pathlib import Path

from machine import Failed

HERE = Path(__file__).resolve().parent
MEBI = 1 << 20


def bundle(content, signer, result):
    """`content` as a bundle, signed with a pair of key and certificate."""
    key, cert = signer
    result.unlink(missing_ok=True)
    subprocess.run(["rauc", "bundle", f"--key={key}", f"--cert={cert}", f"--keyring={cert}", content, result], check=True, capture_output=True)
    return result


def made(good, ours, folder):
    """Bundles that no gateway may take, by what is wrong with them; and `small`, of noise, which one would take."""
    folder.mkdir(exist_ok=True)
    whole = good.read_bytes()
    middle = len(whole) // 2
    bundles = {"cut": folder / "cut.raucb", "one bit flipped": folder / "flipped.raucb"}
    bundles["cut"].write_bytes(whole[:middle])
    bundles["one bit flipped"].write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1:])
    theirs = (folder / "key.pem", folder / "cert.pem")
    if not theirs[0].exists():
        subprocess.run([HERE / "make-key", *theirs], check=True)
    small = folder / "content"
    small.mkdir(exist_ok=True)
    # Noise, as a bundle of nothing is too small for RAUC.
    (small / "root.ext4").write_bytes(random.Random(1).randbytes(MEBI))
    manifest = (HERE / "manifest.raucm").read_text().replace("@VERSION@", "9")
    (small / "manifest.raucm").write_text(manifest.replace("fieldgate-arm64", "toaster"))
    bundles["for another device"] = bundle(small, ours, folder / "device.raucb")
    (small / "manifest.raucm").write_text(manifest)
    bundles["small"] = bundle(small, ours, folder / "small.raucb")
    bundles["of another key"] = bundle(small, theirs, folder / "key.raucb")
    bundles["not signed"] = folder / "unsigned.raucb"
    subprocess.run(["mksquashfs", small, bundles["not signed"], "-quiet", "-noappend", "-no-progress"], check=True, capture_output=True)
    return bundles


def altered(good, signer, folder, commands):
    """The bundle with its root file system altered by `debugfs`."""
    folder.mkdir(exist_ok=True)
    root = folder / "root.ext4"
    subprocess.run(["unsquashfs", "-q", "-f", "-d", folder, good], check=True, capture_output=True)
    for command in commands:
        done = subprocess.run(["debugfs", "-w", "-R", command, root], check=True, capture_output=True, text=True)
        # It ends with 0 whatever happens, and its first line is its version.
        if len(done.stderr.splitlines()) > 1:
            raise Failed(f"debugfs {command}: {done.stderr}")
    result = bundle(folder, signer, folder.with_suffix(".raucb"))
    root.unlink()
    return result
