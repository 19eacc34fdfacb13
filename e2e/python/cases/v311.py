"""paho-mqtt in MQTT 3.1.1 (RFC 9431 §6); what is refused stands in old_version.py."""

import base64
import threading

from paho.mqtt.client import CallbackAPIVersion, Client, MQTTv311

from case import case
from channel import Channel
from peer import WAIT_SECS

ALLOW = ("pub:rooms/#", "sub:rooms/#")

class Client311(Client):
    """paho-mqtt takes text for a password only: this is what it lacks, and the socket that the proof belongs to."""

    def __init__(self, system, token):
        super().__init__(CallbackAPIVersion.VERSION1, client_id="old", protocol=MQTTv311, reconnect_on_failure=False)
        self._system, self._token = system, token
        self.connack, self.received = threading.Event(), threading.Event()
        self.code, self.messages = None, []
        self.on_connect = self._connected
        self.on_message = self._message

    def _create_socket(self):
        alpn = b"http/1.1" if self._system.websocket else b"mqtt"
        channel = Channel(self._system.host, self._system.port, self._system.ca, alpn=alpn)
        text = base64.urlsafe_b64encode(self._token.text.encode()).rstrip(b"=")
        self._username, self._password = b"ace" + text, self._token.key.prove(channel.exporter())
        return channel

    def _connected(self, _client, _userdata, _flags, code):
        self.code = code
        self.connack.set()

    def _message(self, _client, _userdata, message):
        self.messages.append(message)
        self.received.set()

    def start(self):
        self.connect(self._system.host, self._system.port, keepalive=60)
        self.loop_start()
        assert self.connack.wait(WAIT_SECS), "no CONNACK"
        return self

    def stop(self):
        self.disconnect()
        self.loop_stop()


def flows(system, auth, pop):
    client = Client311(system, system.device("old", *ALLOW, auth=auth, pop=pop).token()).start()
    assert client.code == 0, client.code
    client.subscribe("rooms/#", qos=2)
    client.publish("rooms/1", b"payload", qos=2)
    assert client.received.wait(WAIT_SECS), "no message"
    assert (client.messages[0].topic, client.messages[0].payload) == ("rooms/1", b"payload")
    client.stop()


@case
def a_3_1_1_client_proves_a_shared_key(system):
    flows(system, "secret", "hs256")


@case
def a_3_1_1_client_proves_an_ed25519_key(system):
    flows(system, "key", "ed25519")


@case
def a_3_1_1_client_proves_a_p256_key(system):
    flows(system, "secret", "es256")
