"""A Modbus TCP server (pymodbus) that holds values of every type and byte order.

The first line on standard output is a JSON document: the port, and for each point its table,
address, type, order and the value that a client should see. The registers are packed here with
Python's struct module and nothing of fieldgate, so that a misreading shows.

Argument: the port to listen on, 0 for a free one. `--counter` serves one unit with a single
register instead, which counts its own reads.
"""

import asyncio
import json
import struct
import sys

from pymodbus.datastore import ModbusDeviceContext, ModbusServerContext, ModbusSparseDataBlock
from pymodbus.server import ModbusTcpServer

ORDERS = ("ABCD", "CDAB", "BADC", "DCBA")


def registers(raw, order):
    """Splits big-endian bytes into registers in the given order."""
    words = [raw[n : n + 2] for n in range(0, len(raw), 2)]
    if order in ("CDAB", "DCBA"):
        words.reverse()
    if order in ("BADC", "DCBA"):
        words = [word[::-1] for word in words]
    return [int.from_bytes(word, "big") for word in words]


def f32(value):
    """The value that a 32-bit float really holds."""
    return struct.unpack(">f", struct.pack(">f", value))[0]


# Type, struct format, values: what the type can hold at its ends, and what doubles get wrong.
NUMBERS = (
    ("i16", ">h", (-32768, 12345)),
    ("u16", ">H", (65535, 1)),
    ("i32", ">i", (-2147483648, 123456789)),
    ("u32", ">I", (4294967295, 16777217)),
    ("i64", ">q", (-9007199254740993, 9223372036854775807)),
    ("u64", ">Q", (18446744073709551615, 9007199254740993)),
    ("f16", ">e", (1.5, -0.25)),
    ("f32", ">f", (123456.0, 21.5)),
    ("f64", ">d", (123456789.125, -1e-300)),
)


def points():
    """Every point as (table, type, order, registers, value)."""
    for kind, form, values in NUMBERS:
        for order in ORDERS:
            for value in values:
                yield "holding", kind, order, registers(struct.pack(form, value), order), value
                yield "input", kind, order, registers(struct.pack(form, value), order), value
    for order in ORDERS:
        yield "holding", "u24", order, registers(b"\0" + (0xABCDEF).to_bytes(3, "big"), order), 0xABCDEF
        yield "holding", "i24", order, registers(b"\xff" + (0xFFFFFE).to_bytes(3, "big"), order), -2
        yield "holding", "bcd16", order, registers(bytes.fromhex("1234"), order), 1234
        yield "holding", "bcd32", order, registers(bytes.fromhex("12345678"), order), 12345678
    for order in ("ABCD", "BADC"):
        yield "holding", "string(12)", order, registers(b"pump Nr 7\0\0\0", order), "pump Nr 7"
    yield "holding", "u8_high", "ABCD", [0xA55A], 0xA5
    yield "holding", "u8_low", "ABCD", [0xA55A], 0x5A
    for bit in (0, 3, 15):
        yield "holding", f"bit({bit})", "ABCD", [0x8001], bit in (0, 15)


def layout():
    """Places the points with a hole after every seventh, and describes them for the test."""
    tables = {"holding": {}, "input": {}}
    listing = []
    for number, (table, kind, order, words, value) in enumerate(points()):
        cells = tables[table]
        address = max(cells, default=-1) + (2 if number % 7 == 0 else 1)
        cells.update(zip(range(address, address + len(words)), words))
        name = f"p{number}_{kind}_{order}".replace("(", "").replace(")", "").lower()
        listing.append({"name": name, "table": table, "address": address, "as": kind, "order": order, "value": value})
    bits = {"coil": [True, False, True, True], "discrete": [False, True, False, False, True]}
    for table, values in bits.items():
        for address, value in enumerate(values):
            listing.append({"name": f"{table}_{address}", "table": table, "address": address, "value": value})
    device = ModbusDeviceContext(
        co=block({n: int(v) for n, v in enumerate(bits["coil"])}),
        di=block({n: int(v) for n, v in enumerate(bits["discrete"])}),
        hr=block(tables["holding"]),
        ir=block(tables["input"]),
    )
    return device, listing


def block(cells):
    """pymodbus adds one to the address of a request before it looks it up."""
    return ModbusSparseDataBlock({address + 1: value for address, value in cells.items()})


class Counter(ModbusSparseDataBlock):
    """Registers that answer with the number of reads so far."""

    reads = 0

    def getValues(self, address, count=1):
        self.reads += 1
        return [self.reads & 0xFFFF] * count


async def main():
    port = int(sys.argv[1])
    if "--counter" in sys.argv:
        device, listing = ModbusDeviceContext(hr=Counter({1: 0}), ir=Counter({1: 0})), []
    else:
        device, listing = layout()
    context = ModbusServerContext(devices=device, single=True)
    server = ModbusTcpServer(context, address=("127.0.0.1", port))
    serving = asyncio.create_task(server.serve_forever())
    while not server.transport:
        await asyncio.sleep(0)
    port = server.transport.sockets[0].getsockname()[1]
    print(json.dumps({"port": port, "points": listing}), flush=True)
    await serving


asyncio.run(main())
