"""An RFC 9431 client on paho-mqtt 2: it answers the broker's challenge and runs over pyOpenSSL for the exporter value."""

import threading

from paho.mqtt.client import MQTT_ERR_PROTOCOL, MQTT_ERR_SUCCESS, CallbackAPIVersion, Client, MQTTv5, _WebsocketWrapper
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

import ace
import wire
from channel import Channel

WAIT_SECS = 15


def websocket_of_paho(channel, system):
    """paho-mqtt's own WebSocket over a channel. It is no browser: the origin that it would claim is left out."""

    def headers(proposed):
        return {name: value for name, value in proposed.items() if name != "Origin"}

    return _WebsocketWrapper(channel, system.host, system.port, True, "/mqtt", headers)


class AceClient(Client):
    """paho-mqtt knows no AUTH packet: this is what it lacks."""

    def __init__(self, system, token, proof, client_id, **options):
        super().__init__(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=MQTTv5, reconnect_on_failure=False, **options)
        self._system, self._token, self._proof, self._version = system, token, proof, None
        self.challenges = 0
        self.reauthenticated = threading.Event()

    def over(self, version):
        """Holds to one TLS version."""
        self._version = version
        return self

    def _create_socket(self):
        alpn = b"http/1.1" if self._system.websocket else b"mqtt"
        channel = Channel(self._system.host, self._system.port, self._system.ca, version=self._version, alpn=alpn)
        data = ace.token_only(self._token.text.encode())
        if self._proof == "exporter":
            data += self._token.key.prove(channel.exporter())
        properties = Properties(PacketTypes.CONNECT)
        properties.AuthenticationMethod = ace.METHOD
        properties.AuthenticationData = data
        self._connect_properties = properties
        return websocket_of_paho(channel, self._system) if self._system.websocket else channel

    def _packet_handle(self):
        if self._in_packet["command"] & 0xF0 != PacketTypes.AUTH << 4:
            return super()._packet_handle()
        received = wire.Received(wire.AUTH, self._in_packet["command"] & 0x0F, bytes(self._in_packet["packet"]))
        if received.reason == wire.SUCCESS:
            self.reauthenticated.set()
            return MQTT_ERR_SUCCESS
        if received.reason != wire.CONTINUE:
            return MQTT_ERR_PROTOCOL
        self.challenges += 1
        answer = ace.answer_challenge(self._token.key, wire.challenge_of(received))
        return self._send_auth(wire.CONTINUE, answer)

    def _send_auth(self, reason, data):
        return self._packet_queue(PacketTypes.AUTH << 4, wire.auth(reason, data), 0, 0)

    def reauthenticate(self, token):
        """Renews the token in session (RFC 9431 §4): always by a challenge."""
        self._token = token
        self._send_auth(wire.REAUTHENTICATE, ace.token_only(token.text.encode()))
        assert self.reauthenticated.wait(WAIT_SECS), "the broker does not answer AUTH 0x19"


class Peer:
    """A connected client that waits, with a bound, for what its callbacks see."""

    def __init__(self, system, token, proof, client_id="", version=None, will=None):
        self._changed = threading.Condition()
        self.connack, self.messages, self.acknowledged, self.subacks, self.disconnects = None, [], {}, {}, []
        self.client = AceClient(system, token, proof, client_id).over(version)
        if will:
            self.client.will_set(*will)
        self.client.on_connect = lambda _c, _u, flags, reason, properties: self._note(
            lambda: setattr(self, "connack", (reason.value, properties, flags.session_present))
        )
        self.client.on_message = lambda _c, _u, message: self._note(lambda: self.messages.append(message))
        self.client.on_publish = lambda _c, _u, mid, reason, properties: self._note(
            lambda: self.acknowledged.__setitem__(mid, (reason.value, getattr(properties, "ReasonString", None)))
        )
        self.client.on_subscribe = lambda _c, _u, mid, reasons, properties: self._note(
            lambda: self.subacks.__setitem__(mid, ([reason.value for reason in reasons], getattr(properties, "ReasonString", None)))
        )
        self.client.on_disconnect = lambda _c, _u, flags, reason, properties: self._note(
            lambda: self.disconnects.append((reason.value, getattr(properties, "ReasonString", None), flags.is_disconnect_packet_from_server))
        )
        self.client.connect(system.host, system.port, keepalive=60)
        self.client.loop_start()
        self.wait("CONNACK", lambda: self.connack or self.disconnects)

    def _note(self, action):
        with self._changed:
            action()
            self._changed.notify_all()

    def wait(self, what, condition, secs=WAIT_SECS):
        with self._changed:
            assert self._changed.wait_for(condition, secs), f"{what} did not come in {secs} s"
            return condition()

    def admitted(self):
        assert self.connack and self.connack[0] == 0, f"not admitted: {self.connack or self.disconnects}"
        return self

    def subscribe(self, topic_filter, qos=0):
        """The reason codes of the SUBACK and its reason string."""
        _, mid = self.client.subscribe(topic_filter, qos=qos)
        return self.wait("SUBACK", lambda: self.subacks.get(mid))

    def publish(self, topic, payload, qos=0, retain=False):
        """At QoS 1 and 2 the reason code and string of what ends the exchange."""
        mid = self.client.publish(topic, payload, qos=qos, retain=retain).mid
        return self.wait("the acknowledgement", lambda: self.acknowledged.get(mid)) if qos else None

    def message(self, count=1):
        """The messages, once there are this many."""
        return self.wait(f"message {count}", lambda: len(self.messages) >= count and self.messages)

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()

    def __enter__(self):
        return self.admitted()

    def __exit__(self, *_exception):
        self.close()
