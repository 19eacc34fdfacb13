"""MQTT 3.1.1 (RFC 9431 §6): the token in the User Name, the proof over the exporter value in the Password, and no words on refusal."""

import struct

import ace
import wire
from case import case
from channel import TLS12
from system import now
from wire import CONNACK, PUBACK, PUBLISH, SUBACK

ALLOW = ("pub:rooms/#", "sub:rooms/#")
USER_NAME, PASSWORD = 0x80, 0x40
BAD_PASSWORD_311, NOT_AUTHORIZED_311 = 4, 5


def token_of(system, pop="ed25519"):
    return system.device("meter", *ALLOW, auth="key", pop=pop).token()


def connect(client_id, user_name=None, password=None, will=None):
    flags = 0x02 | (USER_NAME if user_name is not None else 0) | (PASSWORD if password is not None else 0)
    payload = wire.text(client_id)
    if will:
        flags |= 0x04
        payload += wire.text(will[0]) + wire.binary(will[1])
    payload += wire.text(user_name) if user_name is not None else b""
    payload += wire.binary(password) if password is not None else b""
    return wire.packet(wire.CONNECT, wire.text("MQTT") + struct.pack("!BBH", 4, flags, 60) + payload)


def user_name(token):
    return "ace" + ace.b64url(token.text.encode())


def open_311(system, token, client_id, key=None, will=None, version=None):
    connection = system.wire(version=version)
    connection.level = 4
    proof = (key or token.key).prove(connection.channel.exporter())
    connection.send(connect(client_id, user_name(token), proof, will))
    return connection


def publish(topic, payload, qos=0, identifier=1):
    head = wire.text(topic) + (struct.pack("!H", identifier) if qos else b"")
    return wire.packet(PUBLISH, head + payload, qos << 1)


def subscribe(*filters, qos=0):
    return wire.packet(wire.SUBSCRIBE, b"\0\1" + b"".join(wire.text(f) + bytes([qos]) for f in filters), 2)


def admitted(system, token, client_id, **options):
    connection = open_311(system, token, client_id, **options)
    answer = connection.expect(CONNACK, 0)
    assert len(answer.body) == 2, "no properties in 3.1.1"
    return connection


def is_refused(connection):
    """A code that fits and the end, or the end without a word."""
    with connection:
        answer = connection.read()
        if answer is not None:
            assert answer.kind == CONNACK and not answer.session_present, answer
            assert answer.reason in (BAD_PASSWORD_311, NOT_AUTHORIZED_311), answer
            connection.expect_closed()


@case
def a_3_1_1_client_proves_possession_and_messages_flow(system):
    for number, (pop, version) in enumerate((("ed25519", None), ("hs256", None), ("es256", TLS12))):
        token = system.device(f"meter{number}", *ALLOW, pop=pop).token()
        with admitted(system, token, "meter", version=version) as connection:
            connection.send(subscribe("rooms/1", qos=1))
            assert connection.expect(SUBACK).reasons == [1]
            connection.send(publish("rooms/1", b"hello", qos=1, identifier=7))
            received = {packet.kind: packet for packet in (connection.read(), connection.read())}
            assert received[PUBACK].identifier == 7 and len(received[PUBACK].body) == 2, received
            assert received[PUBLISH].payload == b"hello", received


@case
def versions_talk_to_each_other(system):
    token = token_of(system)
    new, _ = system.admitted(token, "new")
    with new, admitted(system, token, "old") as old:
        new.send(wire.subscribe("rooms/#"))
        new.expect(SUBACK, 0)
        old.send(subscribe("rooms/#"))
        old.expect(SUBACK, 0)
        new.send(wire.publish("rooms/1", b"from 5.0", pairs=((wire.USER, ("a", "b")),)))
        assert [new.expect(PUBLISH).payload, old.expect(PUBLISH).payload] == [b"from 5.0"] * 2
        old.send(publish("rooms/1", b"from 3.1.1"))
        assert [new.expect(PUBLISH).payload, old.expect(PUBLISH).payload] == [b"from 3.1.1"] * 2


@case
def a_3_1_1_client_without_a_good_token_is_refused(system):
    token = token_of(system)
    is_refused(open_311(system, token, "meter", key=ace.Key.generate("EdDSA")))
    is_refused(open_311(system, system.forge(token, aud="mqtts://elsewhere.example"), "meter"))
    is_refused(open_311(system, system.forge(token, exp=now() - 1), "meter"))
    is_refused(open_311(system, system.forge(token, key=ace.Key.generate(system.as_key().alg)), "meter"))
    for name, password in ((None, None), ("ace", b"x"), ("ace!!!", b"x"), ("user", b"password"), (user_name(token), None), (user_name(token), b"")):
        connection = system.wire()
        connection.level = 4
        connection.send(connect("meter", name, password))
        is_refused(connection)
    with system.wire() as first:
        replayed = token.key.prove(first.channel.exporter())
    connection = system.wire()
    connection.level = 4
    connection.send(connect("meter", user_name(token), replayed))
    is_refused(connection)


@case
def a_3_1_1_client_beyond_its_scope_is_cut(system):
    # RFC 9431 §3.1, §3.3: there is no reason code to tell it.
    token = token_of(system)
    for qos in (0, 1, 2):
        with admitted(system, token, "meter") as connection:
            connection.send(publish("halls/1", b"x", qos=qos))
            connection.expect_closed()
    with admitted(system, token, "meter") as connection:
        connection.send(subscribe("rooms/1", "halls/1", "#"))
        assert connection.expect(SUBACK).reasons == [0, 0x80, 0x80]
    is_refused(open_311(system, token, "meter", will=("halls/1", b"gone")))


@case
def a_3_1_1_connection_ends_when_the_token_expires(system):
    token = system.forge(token_of(system), exp=now() + 3)
    with admitted(system, token, "meter") as connection:
        connection.expect_closed(timeout_secs=6)
