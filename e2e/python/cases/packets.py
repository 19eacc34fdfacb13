"""Packets that break MQTT 5.0: the right reason code, then the end of the connection; and a broker that lives on."""

import random
import socket
import struct
import time

import ace
import wire
from case import case
from wire import CONNACK, DISCONNECT, MALFORMED, PROTOCOL_ERROR

ALLOW = ("pub:rooms/#", "sub:rooms/#")
TOPIC_FILTER_INVALID, TOPIC_NAME_INVALID, PACKET_TOO_LARGE, RECEIVE_MAXIMUM_EXCEEDED = 0x8F, 0x90, 0x95, 0x93


def token_of(system):
    return system.device("meter", *ALLOW, auth="key", pop="ed25519").token()


def lives_on(system, token):
    connection, _ = system.admitted(token, "probe")
    connection.close()


def each_ends_the_connection(system, packets):
    """`packets`: name → (bytes, reason codes that fit; None where closing without a word does)."""
    token = token_of(system)
    wrong = []
    for name, (octets, codes) in packets.items():
        connection, _ = system.admitted(token, "meter")
        with connection:
            connection.send(octets)
            try:
                answer = connection.read(timeout_secs=5)
                if answer is None:
                    if None not in codes:
                        wrong.append(f"{name}: closed without a word")
                elif answer.kind != DISCONNECT or answer.reason not in codes:
                    wrong.append(f"{name}: {answer}")
                else:
                    connection.expect_closed()
            except TimeoutError:
                wrong.append(f"{name}: no answer")
            except AssertionError as error:
                wrong.append(f"{name}: {error}")
    assert not wrong, "\n".join(wrong)
    lives_on(system, token)


@case
def malformed_packets_end_the_connection_with_their_reason_code(system):
    malformed, either = (MALFORMED,), (MALFORMED, PROTOCOL_ERROR)
    identifier = struct.pack("!H", 1)
    each_ends_the_connection(
        system,
        {
            "remaining length of five bytes": (b"\x30\xff\xff\xff\xff\x7f", malformed),
            "remaining length not minimal": (b"\xc0\x80\x00", malformed),
            "packet type 0": (b"\x00\x00", either),
            "PINGREQ with flags": (b"\xc1\x00", malformed),
            "PINGREQ with a body": (wire.packet(wire.PINGREQ, b"x"), malformed),
            "QoS 3": (wire.packet(wire.PUBLISH, wire.text("rooms/1") + identifier + b"\0", 6), malformed),
            "DUP at QoS 0": (wire.packet(wire.PUBLISH, wire.text("rooms/1") + b"\0", 8), either),
            "packet identifier 0": (wire.publish("rooms/1", qos=1, identifier=0), either),
            "topic longer than the packet": (wire.packet(wire.PUBLISH, b"\x00\xffrooms"), malformed),
            "topic that is no UTF-8": (wire.packet(wire.PUBLISH, b"\x00\x02\xc3\x28\0"), (MALFORMED, TOPIC_NAME_INVALID)),
            "topic with a surrogate": (wire.packet(wire.PUBLISH, b"\x00\x03\xed\xa0\x80\0"), (MALFORMED, TOPIC_NAME_INVALID)),
            "topic with U+0000": (wire.packet(wire.PUBLISH, b"\x00\x03a\0b\0"), (MALFORMED, TOPIC_NAME_INVALID)),
            "properties longer than the packet": (wire.packet(wire.PUBLISH, wire.text("rooms/1") + b"\x7f"), malformed),
            "property length of five bytes": (wire.packet(wire.PUBLISH, wire.text("rooms/1") + b"\xff\xff\xff\xff\x01"), malformed),
            "unknown property": (wire.packet(wire.PUBLISH, wire.text("rooms/1") + b"\x02\x7e\x00"), either),
            "property of another packet": (wire.packet(wire.PUBLISH, wire.text("rooms/1") + b"\x03\x21\x00\x01"), either),
            "SUBSCRIBE without flag": (wire.packet(wire.SUBSCRIBE, identifier + b"\0" + wire.text("rooms/1") + b"\0", 0), malformed),
            "SUBSCRIBE with reserved options": (wire.packet(wire.SUBSCRIBE, identifier + b"\0" + wire.text("rooms/1") + b"\xc0", 2), either),
            "SUBSCRIBE with QoS 3": (wire.packet(wire.SUBSCRIBE, identifier + b"\0" + wire.text("rooms/1") + b"\x03", 2), either),
            "SUBSCRIBE cut short": (wire.packet(wire.SUBSCRIBE, identifier + b"\0" + wire.text("rooms/1"), 2), malformed),
            "UNSUBSCRIBE without flag": (wire.packet(wire.UNSUBSCRIBE, identifier + b"\0" + wire.text("rooms/1"), 0), malformed),
            "PUBACK with an unknown reason": (wire.packet(wire.PUBACK, identifier + b"\x55\0"), either),
            "PUBREL without flag": (wire.packet(wire.PUBREL, identifier, 0), malformed),
            # It may also be taken for the goodbye it nearly is.
            "DISCONNECT with an unknown reason": (wire.packet(wire.DISCONNECT, b"\x55\0"), (*either, None)),
            "AUTH with an unknown reason": (wire.auth(0x55, b"x"), either),
        },
    )


@case
def packets_against_the_protocol_end_the_connection_with_their_reason_code(system):
    protocol, either = (PROTOCOL_ERROR,), (MALFORMED, PROTOCOL_ERROR)
    identifier = struct.pack("!H", 1)
    topic = wire.text("rooms/1")
    each_ends_the_connection(
        system,
        {
            "a second CONNECT": (wire.connect("meter"), protocol),
            "CONNACK from a client": (wire.packet(CONNACK, b"\0\0\0"), either),
            "SUBACK from a client": (wire.packet(wire.SUBACK, identifier + b"\0\0"), either),
            "PINGRESP from a client": (wire.packet(wire.PINGRESP, b""), either),
            "SUBSCRIBE without a filter": (wire.packet(wire.SUBSCRIBE, identifier + b"\0", 2), either),
            "UNSUBSCRIBE without a filter": (wire.packet(wire.UNSUBSCRIBE, identifier + b"\0", 2), either),
            "a property twice": (wire.packet(wire.PUBLISH, topic + b"\x04\x01\x00\x01\x00"), either),
            "payload format 2": (wire.packet(wire.PUBLISH, topic + b"\x02\x01\x02"), either),
            "a subscription identifier from a client": (wire.packet(wire.PUBLISH, topic + b"\x02\x0b\x01"), either),
            "subscription identifier 0": (wire.packet(wire.SUBSCRIBE, identifier + b"\x02\x0b\x00" + topic + b"\0", 2), either),
            "a wildcard in a topic name": (wire.publish("rooms/#", b"x"), (TOPIC_NAME_INVALID, *either)),
            "an empty topic without an alias": (wire.publish("", b"x"), (TOPIC_NAME_INVALID, *either)),
            "topic alias 0": (wire.publish("rooms/1", pairs=((wire.ALIAS, 0),)), (0x94, *either)),
            "a topic alias beyond the maximum": (wire.publish("rooms/1", pairs=((wire.ALIAS, 65535),)), (0x94,)),
            "No Local on a shared subscription": (
                wire.packet(wire.SUBSCRIBE, identifier + b"\0" + wire.text("$share/g/rooms/1") + b"\x04", 2),
                either,
            ),
            "AUTH of another method": (wire.auth(wire.REAUTHENTICATE, b"\0\0", method="other"), (*either, 0x8C, 0x87)),
            "AUTH that answers nothing": (wire.auth(wire.CONTINUE, bytes(72)), (*either, 0x87)),
            "AUTH that only a Server sends": (wire.auth(wire.SUCCESS, b""), (*either, 0x87)),
        },
    )


@case
def an_invalid_topic_filter_is_refused(system):
    # MQTT 5.0 §4.7.1: SUBACK 0x8F, or DISCONNECT
    token = token_of(system)
    for wrong in ("rooms/#/1", "rooms/1#", "rooms/+1", "", "$share//rooms", "$share/g+/rooms", "$share/g"):
        connection, _ = system.admitted(token, "meter")
        with connection:
            connection.send(wire.subscribe(wrong))
            answer = connection.read()
            assert answer.kind in (wire.SUBACK, DISCONNECT), f"{wrong!r}: {answer}"
            assert answer.reason in (TOPIC_FILTER_INVALID, MALFORMED, PROTOCOL_ERROR), f"{wrong!r}: {answer}"


@case
def a_packet_beyond_the_maximum_is_refused(system):
    token = token_of(system)
    connection, connack = system.admitted(token, "meter")
    with connection:
        limit = connack.find(wire.MAXIMUM_PACKET)
        assert limit, "the broker must say how much it takes: every buffer has a bound"
        # The length alone must do; the rest is never sent.
        connection.send(b"\x30" + wire.varint(min(limit + 1, 268_435_455)) + wire.text("rooms/1") + b"\0")
        connection.expect(DISCONNECT, PACKET_TOO_LARGE)
        connection.expect_closed()
    with system.wire() as connection:
        connection.send(b"\x10" + wire.varint(268_435_455))
        answer = connection.read()
        assert answer is None or answer.reason in (PACKET_TOO_LARGE, MALFORMED), answer


@case
def more_messages_in_flight_than_allowed_are_refused(system):
    # [MQTT-3.3.4-9]
    connection, connack = system.admitted(token_of(system), "meter")
    with connection:
        limit = connack.find(0x21) or 65535
        flood = b"".join(wire.publish("rooms/1", qos=2, identifier=number) for number in range(1, min(limit + 1, 65535) + 1))
        connection.send(flood)
        answer = connection.read()
        while answer is not None and answer.kind == wire.PUBREC:
            answer = connection.read()
        if limit < 65535:
            assert answer is not None and answer.kind == DISCONNECT and answer.reason == RECEIVE_MAXIMUM_EXCEEDED, answer


def answers_connect(system, octets, *codes, silent=True):
    """A CONNACK with one of the codes, or, where `silent`, the end without a word."""
    with system.wire() as connection:
        connection.send(octets)
        answer = connection.read(timeout_secs=5)
        if answer is None:
            assert silent, "the broker must say why"
            return
        assert answer.kind == CONNACK and answer.reason in codes, answer
        connection.expect_closed()


@case
def a_malformed_connect_is_refused(system):
    either = (MALFORMED, PROTOCOL_ERROR)
    answers_connect(system, wire.connect("meter", level=6), 0x84, silent=False)
    answers_connect(system, wire.connect("meter", level=3), 0x84, 1)
    answers_connect(system, wire.connect("meter", name="MQIsdp"), 0x84, 1, *either)
    answers_connect(system, wire.connect("meter", name="HTTP"), 0x84, 1, *either)
    # [MQTT-3.1.2-3]
    answers_connect(system, wire.connect("meter", flags=1), *either)
    answers_connect(system, wire.connect("meter", flags=0x18), *either)
    answers_connect(system, wire.connect("meter", flags=0x20), *either)
    answers_connect(system, wire.connect("meter", pairs=((wire.DATA, b"x"),)), *either)
    answers_connect(system, wire.connect("meter", pairs=((wire.METHOD, "ace"), (wire.METHOD, "ace"))), *either)
    answers_connect(system, wire.connect("meter", pairs=((0x21, 0),)), *either)
    answers_connect(system, wire.connect("meter", pairs=((wire.ALIAS, 1),)), *either)
    answers_connect(system, wire.connect("meter", will=("rooms/#", b"", 0, False, ())), 0x90, 0x87, *either)
    answers_connect(system, wire.connect("me\0ter"), 0x85, *either)
    body = wire.connect("meter")[2:]
    answers_connect(system, wire.packet(wire.CONNECT, body + b"\0"), *either)
    answers_connect(system, wire.packet(wire.CONNECT, body[:-2]), *either)
    lives_on(system, token_of(system))


@case
def a_first_packet_that_is_no_connect_ends_the_connection(system):
    # [MQTT-3.1.0-1]
    for first in (wire.publish("rooms/1", b"x"), wire.packet(wire.PINGREQ, b""), wire.auth(wire.REAUTHENTICATE, b"\0\0"), b"GET / HTTP/1.1\r\n\r\n", bytes(64)):
        with system.wire() as connection:
            connection.send(first)
            answer = connection.read(timeout_secs=5)
            assert answer is None or (answer.kind in (CONNACK, DISCONNECT) and answer.reason >= 0x80), answer
    lives_on(system, token_of(system))


@case
def what_is_not_tls_ends_the_connection(system):
    for first in (wire.connect("meter"), b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + bytes(100), bytes(64)):
        with socket.create_connection((system.host, system.port), timeout=5) as plain:
            plain.sendall(first)
            plain.shutdown(socket.SHUT_WR)
            try:
                while plain.recv(4096):
                    pass
            except ConnectionError:
                pass
    lives_on(system, token_of(system))


def cut_within(limit_secs, closed):
    began = time.monotonic()
    closed()
    assert time.monotonic() - began <= limit_secs, "a slow client must be cut"


# The harness starts the broker with a connect timeout of 2 s for these.
SLOW_LIMIT_SECS = 6


@case
def a_slow_connect_is_cut(system):
    token = token_of(system)
    with system.wire() as connection:
        began = time.monotonic()
        octets = wire.connect_ace("meter", ace.token_only(token.text.encode()))
        for octet in octets:
            if not connection.send(bytes([octet])) or time.monotonic() - began > SLOW_LIMIT_SECS:
                break
            time.sleep(0.1)
        assert time.monotonic() - began <= SLOW_LIMIT_SECS, "a client that sends a byte at a time must be cut"
    with system.wire() as connection:
        cut_within(SLOW_LIMIT_SECS, lambda: connection.read(timeout_secs=SLOW_LIMIT_SECS))


@case
def a_slow_answer_to_the_challenge_is_cut(system):
    token = token_of(system)
    with system.wire() as connection:
        connection.send(wire.connect_ace("meter", ace.token_only(token.text.encode())))
        wire.challenge_of(connection.read())
        cut_within(SLOW_LIMIT_SECS, lambda: connection.read(timeout_secs=SLOW_LIMIT_SECS))


@case
def a_slow_tls_handshake_is_cut(system):
    with socket.create_connection((system.host, system.port), timeout=SLOW_LIMIT_SECS) as plain:
        cut_within(SLOW_LIMIT_SECS, lambda: plain.recv(1))


@case
def mutated_packets_never_harm_the_broker(system):
    # Seeded: a failure comes again.
    chance = random.Random(9431)
    token = token_of(system)
    proper = [
        wire.publish("rooms/1", b"payload", qos=2, pairs=((wire.USER, ("name", "value")),)),
        wire.subscribe("rooms/#", "rooms/+", qos=1),
        wire.packet(wire.UNSUBSCRIBE, struct.pack("!H", 1) + b"\0" + wire.text("rooms/#"), 2),
        wire.auth(wire.REAUTHENTICATE, ace.token_only(token.text.encode())),
        wire.packet(wire.PUBREL, struct.pack("!H", 1), 2),
        wire.disconnect(4),
    ]
    for _ in range(150):
        connection, _ = system.admitted(token, "meter")
        with connection:
            octets = bytearray(b"".join(chance.choices(proper, k=3)))
            for _ in range(chance.randint(1, 6)):
                octets[chance.randrange(len(octets))] = chance.randrange(256)
            connection.send(bytes(octets[: chance.randint(1, len(octets))]))
    for _ in range(150):
        octets = bytearray(wire.connect_ace("meter", ace.token_only(token.text.encode()), will=("rooms/1", b"", 1, True, ((wire.WILL_DELAY, 1),))))
        for _ in range(chance.randint(1, 6)):
            octets[chance.randrange(len(octets))] = chance.randrange(256)
        with system.wire() as connection:
            connection.send(bytes(octets))
    lives_on(system, token)


@case
def many_half_open_connections_do_not_keep_others_out(system):
    token = token_of(system)
    waiting = [system.wire() for _ in range(50)]
    for connection in waiting:
        connection.send(wire.connect_ace("", ace.token_only(token.text.encode())))
    lives_on(system, token)
    for connection in waiting:
        connection.close()
