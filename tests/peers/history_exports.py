"""Reads exports of the history back and compares them with the CSV, value by value.

`files FOLDER`: all.csv, all.jsonl and all.parquet there, by Python and by DuckDB.
`victoria FOLDER ADDRESS`: what VictoriaMetrics took of all.line, with the good numbers of all.csv.
The last line of the output is the number of readings or values that are the same.
"""

import collections
import csv
import datetime
import json
import math
import pathlib
import sys
import time
import urllib.request
from decimal import Decimal

import duckdb

FOLDER = pathlib.Path(sys.argv[2])
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def millis(text):
    time = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    return (time - EPOCH) // datetime.timedelta(milliseconds=1)


def lines():
    with open(FOLDER / "all.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def in_json(text):
    """A number of the CSV, as JSON tells it."""
    if text == "":
        return None
    if text in ("true", "false"):
        return text == "true"
    return text if text in ("NaN", "inf", "-inf") else Decimal(text)


def as_double(text):
    return {"true": 1.0, "false": 0.0}.get(text) if text in ("true", "false") else float(text)


def files():
    want = lines()
    with open(FOLDER / "all.jsonl", encoding="utf-8") as file:
        found = [json.loads(line, parse_float=Decimal, parse_int=Decimal) for line in file]
    assert len(found) == len(want), (len(found), len(want))
    for one, row in zip(found, want):
        row = {**row, "value": in_json(row["value"]), "unit": row["unit"] or None}
        assert one == row, (one, row)
    query = "select epoch_us(time), device, point, value, exact, quality, clock, unit from read_parquet(?)"
    found = duckdb.execute(query, [str(FOLDER / "all.parquet")]).fetchall()
    assert len(found) == len(want), (len(found), len(want))
    for (micros, device, point, value, exact, quality, clock, unit), row in zip(found, want):
        assert micros == millis(row["time"]) * 1000, row
        assert (device, point, quality, clock) == (row["device"], row["point"], row["quality"], row["clock"]), row
        assert unit == (row["unit"] or None), row
        if row["value"] == "":
            assert value is None and exact is None, row
            continue
        double = as_double(row["value"])
        assert value == double or (math.isnan(value) and math.isnan(double)), (value, row)
        if exact is not None:
            assert exact == row["value"], (exact, row)
        elif math.isfinite(double) and row["value"] not in ("true", "false"):
            assert Decimal(repr(value)) == Decimal(row["value"]), (value, row)
    print(len(want))


def victoria():
    want = collections.defaultdict(dict)
    for row in lines():
        name = (row["device"].replace("\\", "/"), row["point"], row["unit"], "" if row["clock"] == "set" else row["clock"])
        want[("fieldgate_quality", *name)][millis(row["time"])] = float(("good", "stale", "bad").index(row["quality"]))
        if row["quality"] == "good" and row["value"] and math.isfinite(as_double(row["value"])):
            want[("fieldgate_value", *name)][millis(row["time"])] = as_double(row["value"])
    address = f"http://{sys.argv[3]}"
    end = time.monotonic() + 30
    told = []
    while sum(len(one["values"]) for one in told) < sum(map(len, want.values())) and time.monotonic() < end:
        urllib.request.urlopen(f"{address}/internal/force_flush").read()
        found = urllib.request.urlopen(f"{address}/api/v1/export?match[]={{__name__=~%22fieldgate_.*%22}}").read()
        told = [json.loads(line) for line in found.decode().splitlines()]
    count = 0
    for one in told:
        metric = one["metric"]
        name = (metric["__name__"], metric["device"], metric["point"], metric.get("unit", ""), metric.get("clock", ""))
        found = dict(zip(one["timestamps"], one["values"]))
        own = want.pop(name)
        assert found.keys() == own.keys(), (name, found.keys() ^ own.keys())
        # It keeps the digits of the largest number of a block.
        near = 1e-12 * max(map(abs, own.values()))
        for at, value in own.items():
            assert abs(found[at] - value) <= near, (name, at, found[at], value)
        count += len(own)
    assert not want, want.keys()
    print(count)


{"files": files, "victoria": victoria}[sys.argv[1]]()
