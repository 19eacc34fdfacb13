"""MQTT over WebSocket (MQTT 5.0 §6, RFC 6455): paho-mqtt's transport, and frames by hand."""

import threading

from paho.mqtt.client import CallbackAPIVersion, Client, MQTTv5, MQTTv311

import ace
import wire
from case import case
from cases.sessions import flows
from cases.v311 import Client311
from channel import Channel
from peer import WAIT_SECS, websocket_of_paho
from websocket import BINARY, CLOSE, CONTINUATION, PING, TEXT, WebSocket, frame, read_answer, request
from wire import CONNACK, PINGRESP, PUBACK, SUBACK

ALLOW = ("pub:rooms/#", "sub:rooms/#")
ORIGIN = "https://app.example"
PINGREQ = wire.packet(wire.PINGREQ, b"")


def channel(system):
    return Channel(system.host, system.port, system.ca, alpn=b"http/1.1")


def open_wire(system):
    connection = wire.Wire.__new__(wire.Wire)
    connection.channel, connection.level = WebSocket(channel(system), f"{system.host}:{system.port}"), 5
    return connection


def admitted(system):
    token = system.device("meter", *ALLOW, auth="key", pop="ed25519").token()
    connection = open_wire(system)
    answer = connection.authenticate(token.text, token.key, "exporter", "meter")
    assert answer is not None and answer.kind == CONNACK and answer.reasons == [0], answer
    return connection


def refused(system, status, octets):
    with_channel = channel(system)
    with_channel.sendall(octets)
    found, headers, body = read_answer(with_channel)
    assert found == status, (found, body)
    assert with_channel.recv(1) == b""
    return headers, body


def expect_close(connection, code):
    assert connection.read() is None
    assert connection.channel.close_code == code, connection.channel.close_code


@case
def the_exporter_proves_possession_over_wss(system):
    system.websocket = True
    flows(system, "key", "ed25519", "exporter")


@case
def a_challenge_proves_possession_over_wss(system):
    system.websocket = True
    flows(system, "secret", "hs256", "challenge")


@case
def a_3_1_1_client_proves_possession_over_wss(system):
    class Client311OverWebSocket(Client311):
        def _create_socket(self):
            return websocket_of_paho(super()._create_socket(), self._system)

    system.websocket = True
    token = system.device("old", *ALLOW, auth="key", pop="ed25519").token()
    client = Client311OverWebSocket(system, token)
    client.start()
    client.loop_start()
    assert client.connack.wait(WAIT_SECS) and client.code == 0, client.code
    client.subscribe("rooms/1", 1)
    client.publish("rooms/1", b"payload", 1)
    assert client.received.wait(WAIT_SECS)
    client.disconnect()
    client.loop_stop()


@case
def public_topics_are_served_over_ws_in_both_versions(system):
    for protocol in (MQTTv5, MQTTv311):
        connected, subscribed, changed, messages = threading.Event(), threading.Event(), threading.Condition(), []
        client = Client(CallbackAPIVersion.VERSION2, client_id="page", protocol=protocol, transport="websockets")
        client.ws_set_options(headers={"Origin": ORIGIN})
        client.on_connect = lambda *_arguments, connected=connected: connected.set()
        client.on_subscribe = lambda *_arguments, subscribed=subscribed: subscribed.set()

        def heard(_client, _userdata, message, changed=changed, messages=messages):
            with changed:
                messages.append((message.qos, message.payload))
                changed.notify_all()

        client.on_message = heard
        client.connect(system.host, system.port)
        client.loop_start()
        assert connected.wait(WAIT_SECS)
        client.subscribe("public/#", 2)
        assert subscribed.wait(WAIT_SECS)
        for qos in (0, 1, 2):
            client.publish("public/1", b"x" * 20_000, qos)
        with changed:
            assert changed.wait_for(lambda messages=messages: len(messages) == 3, WAIT_SECS), len(messages)
        assert sorted(messages) == [(qos, b"x" * 20_000) for qos in (0, 1, 2)]
        client.disconnect()
        client.loop_stop()


@case
def the_borders_of_frames_mean_nothing(system):
    # [MQTT-6.0.0-2]
    with admitted(system) as connection:
        raw = connection.channel.send_raw
        publish = wire.publish("rooms/1", b"payload", qos=1, identifier=7)
        for octet in frame(publish):
            raw(bytes([octet]))
        assert connection.expect(PUBACK).identifier == 7
        for octet in publish:
            raw(frame(bytes([octet])))
        connection.expect(PUBACK)
        raw(frame(wire.subscribe("rooms/2") + publish + PINGREQ))
        # MQTT orders the answers to packets of one kind alone.
        kinds = sorted(connection.read().kind for _ in range(3))
        assert kinds == [PUBACK, SUBACK, PINGRESP], kinds
        raw(frame(publish[:3], final=False) + frame(b"", CONTINUATION, final=False))
        raw(frame(b"there?", PING) + frame(publish[3:] + PINGREQ, CONTINUATION))
        connection.expect(PUBACK)
        connection.expect(PINGRESP)
        assert connection.channel.pongs == [b"there?"], connection.channel.pongs


@case
def offending_frames_close_the_websocket_with_their_code(system):
    offences = [
        # [MQTT-6.0.0-1]
        (frame(PINGREQ, TEXT), 1003),
        # RFC 6455 §5.1
        (frame(PINGREQ, masked=False), 1002),
        (frame(PINGREQ, CONTINUATION), 1002),
        (frame(b"", 0x0B), 1002),
        (frame(b"", BINARY | 0x40), 1002),
        (frame(b"\x03\xe8", CLOSE), 1000),
    ]
    for octets, code in offences:
        with open_wire(system) as connection:
            connection.channel.send_raw(octets + frame(PINGREQ))
            expect_close(connection, code)
    with admitted(system) as connection:
        connection.channel.send_raw(frame(PINGREQ, TEXT))
        expect_close(connection, 1003)


@case
def a_client_that_is_not_admitted_has_less_room_for_a_frame(system):
    large = wire.publish("rooms/1", bytes(400_000), qos=1)
    with open_wire(system) as connection:
        connection.channel.send_raw(frame(large)[:20_000])
        expect_close(connection, 1009)
    with admitted(system) as connection:
        connection.send(large)
        connection.expect(PUBACK)
        connection.channel.send_raw(frame(bytes(1_048_577))[:2_000])
        expect_close(connection, 1009)


@case
def a_refusal_reaches_the_client_before_the_close(system):
    token = system.device("meter", *ALLOW, auth="key", pop="ed25519").token()
    with open_wire(system) as connection:
        data = ace.token_and_proof(token.text.encode(), token.key.prove(bytes(32)))
        answer = connection.authenticate(token.text, token.key, "exporter", "meter", data=data)
        assert answer.kind == CONNACK and answer.reason == wire.NOT_AUTHORIZED, answer
        expect_close(connection, 1000)


@case
def requests_that_open_no_websocket_are_refused_with_a_reason(system):
    host = f"{system.host}:{system.port}"

    def opening(*arguments, **options):
        return request(host, *arguments, **options)[0]

    # [MQTT-6.0.0-3]
    _, body = refused(system, 400, opening(drop=("Sec-WebSocket-Protocol",)))
    assert "mqtt" in body, body
    refused(system, 400, opening(Sec_WebSocket_Protocol="chat"))
    refused(system, 400, opening(drop=("Sec-WebSocket-Key",)))
    refused(system, 404, opening("/other"))
    headers, _ = refused(system, 426, opening(Sec_WebSocket_Version="8"))
    assert headers["sec-websocket-version"] == "13", headers
    refused(system, 426, b"GET /mqtt HTTP/1.1\r\nHost: broker\r\n\r\n")
    refused(system, 431, opening(Cookie="x" * 20_000))
    _, body = refused(system, 403, opening(Origin="https://evil.example"))
    assert "origins" in body, body
    listed = channel(system)
    listed.sendall(opening(Origin=ORIGIN))
    assert read_answer(listed)[0] == 101
