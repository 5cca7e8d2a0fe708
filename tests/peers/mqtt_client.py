"""An MQTT client (paho-mqtt) that a test steers: one JSON command a line in, one JSON event a line out.

Commands, by "do":
  connect      port, id, version ("3.1", "3.1.1" or "5"), clean; optional expiry (seconds, MQTT 5),
               keepalive, will {topic, payload, qos, retain}, manual_ack, host (or the path of a
               Unix socket), transport ("tcp", "websockets" or "unix"), tls {ca, and perhaps
               certificate and key: files}
  subscribe    filter, qos
  unsubscribe  filter
  publish      topic, payload, qos, retain; optional count (payload "N" is replaced by 0, 1, …),
               response_topic, correlation, user [[name, value], …]
  disconnect   a proper DISCONNECT
Events, by "event": connected, subscribed, unsubscribed, published (all of them, acknowledged as
their QoS asks), message, disconnected.
"""

import json
import sys
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

VERSIONS = {"3.1": mqtt.MQTTv31, "3.1.1": mqtt.MQTTv311, "5": mqtt.MQTTv5}
OUT = threading.Lock()


def say(event, **fields):
    with OUT:
        print(json.dumps({"event": event, **fields}), flush=True)


def on_message(_client, _data, message):
    properties = message.properties
    say(
        "message",
        topic=message.topic,
        payload=message.payload.decode(errors="replace"),
        qos=message.qos,
        retain=bool(message.retain),
        dup=bool(message.dup),
        response_topic=getattr(properties, "ResponseTopic", None),
        correlation=getattr(properties, "CorrelationData", b"").decode(errors="replace"),
        user=getattr(properties, "UserProperty", []),
    )


class Peer:
    def __init__(self):
        self.client = None
        self.version = None

    def connect(
        self, port, id, version, clean=True, expiry=None, keepalive=60, will=None, manual_ack=False,
        host="127.0.0.1", transport="tcp", tls=None,
    ):
        self.version = VERSIONS[version]
        five = self.version == mqtt.MQTTv5
        self.client = client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2,
            client_id=id,
            clean_session=None if five else clean,
            protocol=self.version,
            manual_ack=manual_ack,
            transport=transport,
            reconnect_on_failure=False,
        )
        client.max_inflight_messages_set(20)
        client.on_message = on_message
        client.on_connect = lambda _c, _d, flags, reason, _p: say(
            "connected", session_present=flags.session_present, reason=str(reason)
        )
        client.on_disconnect = lambda _c, _d, _f, reason, _p: say("disconnected", reason=str(reason))
        client.on_subscribe = lambda _c, _d, _m, codes, _p: say("subscribed", codes=[c.value for c in codes])
        client.on_unsubscribe = lambda _c, _d, _m, _codes, _p: say("unsubscribed")
        if tls:
            client.tls_set(ca_certs=tls["ca"], certfile=tls.get("certificate"), keyfile=tls.get("key"))
        if will:
            client.will_set(will["topic"], will["payload"], will.get("qos", 0), will.get("retain", False))
        options = {}
        if five:
            options["clean_start"] = clean
            options["properties"] = Properties(PacketTypes.CONNECT)
            if expiry is not None:
                options["properties"].SessionExpiryInterval = expiry
        client.connect(host, port, keepalive, **options)
        client.loop_start()

    def subscribe(self, filter, qos):
        self.client.subscribe(filter, qos)

    def unsubscribe(self, filter):
        self.client.unsubscribe(filter)

    def publish(self, topic, payload, qos=0, retain=False, count=1, response_topic=None, correlation=None, user=()):
        properties = None
        if self.version == mqtt.MQTTv5:
            properties = Properties(PacketTypes.PUBLISH)
            if response_topic:
                properties.ResponseTopic = response_topic
            if correlation:
                properties.CorrelationData = correlation.encode()
            if user:
                properties.UserProperty = [tuple(pair) for pair in user]
        sent = [
            self.client.publish(topic, payload.replace("N", str(n)) if count > 1 else payload, qos, retain, properties)
            for n in range(count)
        ]
        for message in sent:
            message.wait_for_publish(60)
        say("published", count=sum(message.is_published() for message in sent))

    def disconnect(self):
        self.client.disconnect()


def main():
    peer = Peer()
    for line in sys.stdin:
        command = json.loads(line)
        getattr(peer, command.pop("do"))(**command)


main()
