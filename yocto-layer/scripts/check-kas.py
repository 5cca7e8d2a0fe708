#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Whether the files for kas fit its schema. Needs kas."""
import json
import pathlib
import sys

import jsonschema
import kas
import yaml

layer = pathlib.Path(__file__).resolve().parent.parent
schema = json.loads((pathlib.Path(kas.__file__).parent / "schema-kas.json").read_text())
wrong = []
files = sorted((layer / "kas").glob("*.yml"))
for file in files:
    for error in jsonschema.Draft202012Validator(schema).iter_errors(yaml.safe_load(file.read_text())):
        wrong.append(f"{file}: {'.'.join(map(str, error.path))}: {error.message}")
print("\n".join(wrong) if wrong else f"{len(files)} files")
sys.exit(bool(wrong))
