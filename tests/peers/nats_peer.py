"""Looks into a NATS cluster with the client that its makers wrote. The first argument is a list of servers.

create NAME SUBJECT REPLICAS WINDOW   makes a stream; the window for duplicates is in seconds
read NAME                             prints its messages, each as a line of JSON
leader NAME                           prints the name of the server that leads it, when all its replicas are current
publish SUBJECT PAYLOAD [NAME=VALUE]  publishes a message, with a header
"""

import asyncio
import json
import sys
import time

import nats
import nats.js.errors
from nats.js.api import StreamConfig

# How long a cluster may take to answer.
PATIENCE = 40


async def until(what, ask):
    """Asks again until there is an answer: a cluster chooses its leaders first."""
    end, last = time.monotonic() + PATIENCE, None
    while time.monotonic() < end:
        try:
            found = await ask()
            if found is not None:
                return found
        except (nats.errors.Error, TimeoutError) as error:  # Whatever is in the way may go.
            last = error
        await asyncio.sleep(0.1)
    raise TimeoutError(f"{what}: {last!r}")


async def create(js, name, subject, replicas, window):
    config = StreamConfig(
        name=name, subjects=[subject], num_replicas=int(replicas), duplicate_window=float(window)
    )
    await until("create", lambda: js.add_stream(config))


async def leader(js, name):
    async def ask():
        info = await js.stream_info(name)
        cluster = info.cluster
        replicas = cluster.replicas or []
        is_whole = all(replica.current and not replica.offline for replica in replicas)
        return cluster.leader if cluster.leader and is_whole else None

    print(await until("leader", ask))


async def read(js, name):
    """Asks the leader for one after the other: a consumer may be at a replica that lags behind."""
    info = await until("read", lambda: js.stream_info(name))

    async def get(seq):
        try:
            return await js.get_msg(name, seq)
        except nats.js.errors.NotFoundError:
            return None

    first, last = info.state.first_seq, info.state.last_seq
    for begin in range(first, last + 1, 100):
        asked = range(begin, min(begin + 100, last + 1))
        for message in await asyncio.gather(*map(get, asked)):
            if message is not None:
                one = {
                    "subject": message.subject,
                    "headers": message.headers or {},
                    "payload": (message.data or b"").decode(),
                }
                print(json.dumps(one))


async def publish(client, subject, payload, headers):
    pairs = dict(header.split("=", 1) for header in headers)
    await client.publish(subject, payload.encode(), headers=pairs or None)
    await client.flush()


async def main(servers, command, *arguments):
    client = await nats.connect(servers.split(","), connect_timeout=5, max_reconnect_attempts=20)
    js = client.jetstream(timeout=5)
    match command:
        case "create":
            await create(js, *arguments)
        case "read":
            await read(js, *arguments)
        case "leader":
            await leader(js, *arguments)
        case "publish":
            await publish(client, arguments[0], arguments[1], arguments[2:])
    await client.close()


asyncio.run(main(*sys.argv[1:]))
