"""Looks into a NATS cluster with the client that its makers wrote. The first argument is a list of servers.

create NAME SUBJECT REPLICAS WINDOW [MESSAGES]
                                      makes a stream; the window for duplicates is in seconds. It takes so many
                                      messages and no more
delete NAME                           removes a stream with what it holds
purge NAME                            removes what a stream holds
read NAME                             prints its messages, each as a line of JSON
leader NAME                           prints the name of the server that leads it, when all its replicas are current
publish SUBJECT PAYLOAD [NAME=VALUE]  publishes a message, with a header

Who asks is in the URLs, or in NATS_JWT and NATS_KEY: files with what an account says of a user, and with its key.
"""

import asyncio
import base64
import json
import os
import subprocess
import sys
import tempfile
import time

import nats
import nats.js.errors
from nats.js.api import DiscardPolicy, StreamConfig

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


async def create(js, name, subject, replicas, window, most=None):
    config = StreamConfig(
        name=name, subjects=[subject], num_replicas=int(replicas), duplicate_window=float(window)
    )
    if most is not None:
        config.max_msgs, config.discard = int(most), DiscardPolicy.NEW
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


def sign(nonce):
    """Its own way needs a package more, openssl is here."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(nonce.encode())
        file.flush()
        command = ["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", os.environ["NATS_KEY"], "-in", file.name]
        return base64.b64encode(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def jwt():
    with open(os.environ["NATS_JWT"], "rb") as file:
        return file.read()


async def main(servers, command, *arguments):
    who = {"user_jwt_cb": jwt, "signature_cb": sign} if "NATS_JWT" in os.environ else {}
    client = await nats.connect(
        servers.split(","), connect_timeout=5, max_reconnect_attempts=20, **who
    )
    js = client.jetstream(timeout=5)
    match command:
        case "create":
            await create(js, *arguments)
        case "delete":
            await js.delete_stream(*arguments)
        case "purge":
            await js.purge_stream(*arguments)
        case "read":
            await read(js, *arguments)
        case "leader":
            await leader(js, *arguments)
        case "publish":
            await publish(client, arguments[0], arguments[1], arguments[2:])
    await client.close()


asyncio.run(main(*sys.argv[1:]))
