"""A Modbus TCP or RTU server (pymodbus) that holds values of every type and byte order.

The first line on standard output is a JSON document: the port, and for each point its place, its
keys in the mapping, and the value that a client should see as JSON text ("null" for a bad one).
The registers are packed here with Python's struct module and nothing of fieldgate, so that a
misreading shows. After it, "connected" and "disconnected" tell of clients.

Argument: the port to listen on, 0 for a free one, or the path of a serial port for RTU. `--counter` serves one unit instead whose
input register 0 counts its own reads. `--exceptions` serves units 1 to 8, 10 and 11, whose input register 0 is 1111; after
holding register 0 was written, two reads of it get the exception of the unit's number, and then it is 2222.
"""

import asyncio
import json
import struct
import sys

from pymodbus.datastore import ModbusDeviceContext, ModbusServerContext, ModbusSparseDataBlock
from pymodbus import FramerType
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusSerialServer, ModbusTcpServer

ORDERS = ("ABCD", "CDAB", "BADC", "DCBA")


def registers(raw, order):
    """Splits big-endian bytes into registers in the given order."""
    words = [raw[n : n + 2] for n in range(0, len(raw), 2)]
    if order in ("CDAB", "DCBA"):
        words.reverse()
    if order in ("BADC", "DCBA"):
        words = [word[::-1] for word in words]
    return [int.from_bytes(word, "big") for word in words]


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


# Type, bytes high first, keys of the mapping, value.
SPECIAL = (
    ("u24", "00ABCDEF", "", 0xABCDEF),
    ("i24", "FFFFFFFE", "", -2),
    ("bcd16", "1234", "", 1234),
    ("bcd32", "12345678", "", 12345678),
    # Scaled exactly, where a double would lose digits.
    ("u64", "FFFFFFFFFFFFFFFF", "scale: 10", 184467440737095516150),
    ("u64", "0020000000000001", "scale: 0.1", 900719925474099.3),
    ("i16", "007B", "scale: 0.1, offset: -40", -27.7),
    ("u16", "0002", "enum: {1: day, 2: night}", "night"),
    ("u16", "0003", "enum: {1: day, 2: night}", 3),
    # Values that are none.
    ("i16", "7FFF", "invalid: 0x7FFF", None),
    ("f32", "7FC00000", "", None),
    ("f64", "7FF0000000000000", "", None),
    ("bcd16", "12A4", "", None),
)


def points():
    """Every point as (table, type, order, keys, registers, value)."""
    for kind, form, values in NUMBERS:
        for order in ORDERS:
            for value in values:
                raw = struct.pack(form, value)
                yield "holding", kind, order, "", registers(raw, order), value
                yield "input", kind, order, "", registers(raw, order), value
    for kind, raw, keys, value in SPECIAL:
        for order in ORDERS:
            yield "holding", kind, order, keys, registers(bytes.fromhex(raw), order), value
    for order in ("ABCD", "BADC"):
        yield "holding", "string(12)", order, "", registers(b"pump Nr 7\0\0\0", order), "pump Nr 7"
    yield "holding", "u8_high", "ABCD", "", [0xA55A], 0xA5
    yield "holding", "u8_low", "ABCD", "", [0xA55A], 0x5A
    for bit in (0, 3, 15):
        yield "holding", f"bit({bit})", "ABCD", "", [0x8001], bit in (0, 15)


def layout():
    """Places the points with a hole after every seventh, and describes them for the test."""
    tables = {"holding": {}, "input": {}}
    listing = []
    for number, (table, kind, order, keys, words, value) in enumerate(points()):
        cells = tables[table]
        address = max(cells, default=-1) + (2 if number % 7 == 0 else 1)
        cells.update(zip(range(address, address + len(words)), words))
        name = f"p{number}_{kind}_{order}".replace("(", "").replace(")", "").lower()
        keys = f"as: {kind}, order: {order}" + (f", {keys}" if keys else "")
        listing.append(point(name, table, address, keys, value))
    bits = {"coil": [True, False, True, True], "discrete": [False, True, False, False, True]}
    for table, values in bits.items():
        for address, value in enumerate(values):
            listing.append(point(f"{table}_{address}", table, address, "", value))
    device = ModbusDeviceContext(
        co=block({n: int(v) for n, v in enumerate(bits["coil"])}),
        di=block({n: int(v) for n, v in enumerate(bits["discrete"])}),
        hr=block(tables["holding"]),
        ir=block(tables["input"]),
    )
    return device, listing


def point(name, table, address, keys, value):
    text = json.dumps(value, ensure_ascii=False)
    return {"name": name, "table": table, "address": address, "keys": keys, "text": text}


def block(cells):
    """pymodbus adds one to the address of a request before it looks it up."""
    return ModbusSparseDataBlock({address + 1: value for address, value in cells.items()})


class Counter(ModbusSparseDataBlock):
    """Registers that answer with the number of reads so far."""

    reads = 0

    def getValues(self, address, count=1):
        self.reads += 1
        return [self.reads & 0xFFFF] * count


class Failing(ModbusSparseDataBlock):
    """A register that answers with an exception twice, once it is armed."""

    def __init__(self, code, armed):
        super().__init__({1: 1111})
        self.code, self.armed, self.left = ExcCodes(code), armed, 2

    def getValues(self, address, count=1):
        if not self.armed.getValues(1)[0]:
            return [1111]
        if self.left:
            self.left -= 1
            return self.code
        return [2222]


def failing():
    """A unit for each exception that pymodbus knows."""
    units = {}
    for code in ExcCodes:
        armed = ModbusSparseDataBlock({1: 0})
        units[int(code)] = ModbusDeviceContext(hr=armed, ir=Failing(code, armed))
    return ModbusServerContext(devices=units, single=False)


async def main():
    place, listing = sys.argv[1], []
    if "--exceptions" in sys.argv:
        context = failing()
    elif "--counter" in sys.argv:
        context = ModbusServerContext(devices=ModbusDeviceContext(ir=Counter({1: 0})), single=True)
    else:
        device, listing = layout()
        context = ModbusServerContext(devices=device, single=True)
    if place.startswith("/"):
        server = ModbusSerialServer(context, framer=FramerType.RTU, port=place, baudrate=115200)
        serving = asyncio.create_task(server.serve_forever())
        while not server.transport:
            await asyncio.sleep(0)
        print(json.dumps({"port": 0, "points": listing}), flush=True)
        return await serving
    server = ModbusTcpServer(
        context,
        address=("127.0.0.1", int(place)),
        trace_connect=lambda here: print("connected" if here else "disconnected", flush=True),
    )
    serving = asyncio.create_task(server.serve_forever())
    while not server.transport:
        await asyncio.sleep(0)
    port = server.transport.sockets[0].getsockname()[1]
    print(json.dumps({"port": port, "points": listing}), flush=True)
    await serving


asyncio.run(main())
