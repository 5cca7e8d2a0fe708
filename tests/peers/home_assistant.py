"""Prints what the parts of Home Assistant need that a configuration with MQTT loads, for pip."""

import ast
import json
import pathlib
import sys

import homeassistant

top = pathlib.Path(homeassistant.__file__).parent


def always():
    """The parts that every start loads."""
    tree = ast.parse((top / "bootstrap.py").read_text())
    for node in tree.body:
        targets = getattr(node, "targets", [])
        if any(getattr(target, "id", "") == "DEFAULT_INTEGRATIONS" for target in targets):
            return ast.literal_eval(node.value)
    sys.exit("bootstrap.py has no DEFAULT_INTEGRATIONS")


waiting = set(always()) | {"mqtt", "api", "config", "analytics", "recorder", "camera"}
seen, needed = set(), set()
while waiting:
    part = waiting.pop()
    seen.add(part)
    manifest = json.loads((top / "components" / part / "manifest.json").read_text())
    needed.update(manifest.get("requirements", []))
    waiting.update(set(manifest.get("dependencies", [])) - seen)
# The MQTT integration loads the camera's code, which loads no more than this of what streams of pictures need.
stream = json.loads((top / "components" / "stream" / "manifest.json").read_text())
needed.update(part for part in stream["requirements"] if part.startswith("numpy"))
print("\n".join(sorted(needed)))
