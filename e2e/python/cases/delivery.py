"""What MQTT 5.0 promises about messages, seen from outside and packet by packet."""

import os
import time

import wire
from case import case
from wire import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, SUBACK, UNSUBACK

ALLOW = ("pub:rooms/#", "sub:rooms/#")
FORMAT, EXPIRY, CONTENT_TYPE, RESPONSE, CORRELATION = 0x01, 0x02, 0x03, 0x08, 0x09
SUBSCRIPTION, ASSIGNED, RECEIVE_MAXIMUM = 0x0B, 0x12, 0x21


def token_of(system):
    return system.device("meter", *ALLOW, auth="key", pop="ed25519").token()


def subscribe(connection, *filters, options=0, pairs=(), identifier=1):
    """Granted, all of them."""
    body = identifier.to_bytes(2, "big") + properties(pairs)
    body += b"".join(wire.text(topic_filter) + bytes([options]) for topic_filter in filters)
    connection.send(wire.packet(wire.SUBSCRIBE, body, 2))
    answer = connection.expect(SUBACK)
    assert all(reason == options & 3 for reason in answer.reasons), answer
    return answer


def properties(pairs):
    """With a subscription identifier, which `wire` does not write."""
    if pairs and pairs[0][0] == SUBSCRIPTION:
        return wire.varint(1 + len(wire.varint(pairs[0][1]))) + bytes([SUBSCRIPTION]) + wire.varint(pairs[0][1])
    return wire.properties(*pairs)


def publish(connection, topic, payload=b"", identifier=1, **options):
    connection.send(wire.publish(topic, payload, qos=1, identifier=identifier, **options))
    answer = connection.expect(PUBACK)
    assert answer.reason in (0, 0x10) and answer.identifier == identifier, answer


def two(system, token, **options):
    reader, connack = system.admitted(token, "reader", **options)
    writer, _ = system.admitted(token, "writer")
    return reader, writer, connack


@case
def a_message_arrives_with_all_its_properties(system):
    # [MQTT-3.3.2-4], [MQTT-3.3.2-15], [MQTT-3.3.2-16], [MQTT-3.3.2-17], [MQTT-3.3.2-18], [MQTT-3.3.2-20]
    reader, writer, _ = two(system, token_of(system))
    with reader, writer:
        subscribe(reader, "rooms/+")
        sent = [
            (FORMAT, 1),
            (CONTENT_TYPE, "text/plain"),
            (RESPONSE, "rooms/answer"),
            (CORRELATION, b"\0\xff42"),
            (wire.USER, ("a", "1")),
            (wire.USER, ("b", "2")),
            (wire.USER, ("a", "1")),
        ]
        publish(writer, "rooms/1", "grüße".encode(), pairs=sent)
        received = reader.expect(PUBLISH)
        assert received.payload == "grüße".encode()
        assert [pair for pair in received.pairs if pair[0] == wire.USER] == sent[4:], "in their order"
        assert sorted(pair for pair in received.pairs if pair[0] != wire.USER) == sent[:4], received.pairs


@case
def a_message_expires(system):
    # [MQTT-3.3.2-5], [MQTT-3.3.2-6]
    token = token_of(system)
    writer, _ = system.admitted(token, "writer")
    with writer:
        publish(writer, "rooms/short", b"x", retain=True, pairs=((EXPIRY, 2),))
        publish(writer, "rooms/long", b"x", retain=True, pairs=((EXPIRY, 100),))
        time.sleep(3)
        reader, _ = system.admitted(token, "reader")
        with reader:
            subscribe(reader, "rooms/#")
            received = reader.expect(PUBLISH)
            assert received.topic == "rooms/long", received
            assert 95 <= received.find(EXPIRY) <= 98, received.find(EXPIRY)


@case
def the_lower_quality_of_service_holds(system):
    # MQTT 5.0 §3.8.4
    reader, writer, _ = two(system, token_of(system))
    with reader, writer:
        for granted in (0, 1, 2):
            subscribe(reader, "rooms/1", options=granted)
            for sent in (0, 1, 2):
                writer.send(wire.publish("rooms/1", b"x", qos=sent, identifier=7))
                received = reader.expect(PUBLISH)
                assert received.flags >> 1 & 3 == min(granted, sent), (granted, sent, received)
                if received.flags >> 1 & 3 == 1:
                    reader.send(wire.packet(PUBACK, received.identifier.to_bytes(2, "big")))
                if received.flags >> 1 & 3 == 2:
                    reader.send(wire.packet(PUBREC, received.identifier.to_bytes(2, "big")))
                    released = reader.expect(PUBREL)
                    assert released.flags == 2 and released.identifier == received.identifier, released
                    reader.send(wire.packet(PUBCOMP, received.identifier.to_bytes(2, "big")))
                if sent == 1:
                    writer.expect(PUBACK, 0)
                if sent == 2:
                    writer.expect(PUBREC, 0)
                    writer.send(wire.packet(PUBREL, b"\0\7", 2))
                    writer.expect(PUBCOMP, 0)


@case
def a_message_sent_twice_at_qos_2_arrives_once(system):
    # [MQTT-4.3.3-10]
    reader, writer, _ = two(system, token_of(system))
    with reader, writer:
        subscribe(reader, "rooms/1")
        once = wire.publish("rooms/1", b"once", qos=2, identifier=7)
        writer.send(once)
        writer.expect(PUBREC, 0)
        writer.send(bytes([once[0] | 8]) + once[1:])
        assert writer.expect(PUBREC).reason in (0, 0x10, 0x91)
        writer.send(wire.packet(PUBREL, b"\0\7", 2))
        writer.expect(PUBCOMP, 0)
        # The identifier is free again: this is another message.
        writer.send(wire.publish("rooms/1", b"other", qos=2, identifier=7))
        writer.expect(PUBREC, 0)
        writer.send(wire.packet(PUBREL, b"\0\7", 2))
        writer.expect(PUBCOMP, 0)
        assert [reader.expect(PUBLISH).payload for _ in range(2)] == [b"once", b"other"]
        reader.expect_silence(0.5)


@case
def an_unknown_packet_identifier_is_told_as_such(system):
    # MQTT 5.0 §3.6.2.1, §3.7.2.1: 0x92
    connection, _ = system.admitted(token_of(system), "meter")
    with connection:
        connection.send(wire.packet(PUBREL, b"\0\7", 2))
        connection.expect(PUBCOMP, 0x92)
        connection.send(wire.packet(PUBREC, b"\0\7"))
        connection.expect(PUBREL, 0x92)


@case
def messages_of_one_publisher_arrive_in_order(system):
    # [MQTT-4.6.0-6]
    token = token_of(system)
    count = 300
    reader, _ = system.admitted(token, "reader")
    writers = [system.admitted(token, f"writer{number}")[0] for number in range(4)]
    with reader:
        subscribe(reader, "rooms/#", options=1)
        for turn in range(count):
            for number, writer in enumerate(writers):
                writer.send(wire.publish(f"rooms/{number}", str(turn).encode(), qos=0))
        seen = {}
        for _ in range(count * len(writers)):
            received = reader.expect(PUBLISH)
            seen.setdefault(received.topic, []).append(int(received.payload))
        assert all(turns == list(range(count)) for turns in seen.values()), {topic: turns[:20] for topic, turns in seen.items()}
        assert len(seen) == len(writers), seen.keys()
    for writer in writers:
        writer.close()


@case
def a_clients_receive_maximum_is_kept(system):
    # [MQTT-3.3.4-7]
    token = token_of(system)
    reader, writer, _ = two(system, token)
    reader.close()
    reader = system.wire()
    with reader, writer:
        data = wire.ace.token_and_proof(token.text.encode(), token.key.prove(reader.channel.exporter()))
        pairs = ((wire.METHOD, "ace"), (wire.DATA, data), (RECEIVE_MAXIMUM, 2))
        reader.send(wire.connect("reader", pairs))
        reader.expect(wire.CONNACK, 0)
        subscribe(reader, "rooms/1", options=1)
        for number in range(1, 6):
            publish(writer, "rooms/1", str(number).encode(), identifier=number)
        first = [reader.expect(PUBLISH) for _ in range(2)]
        reader.expect_silence(0.5)
        received = list(first)
        while len(received) < 5:
            reader.send(wire.packet(PUBACK, received[len(received) - 2].identifier.to_bytes(2, "big")))
            received.append(reader.expect(PUBLISH))
        assert [message.payload for message in received] == [b"1", b"2", b"3", b"4", b"5"]


@case
def a_clients_maximum_packet_size_is_kept(system):
    # [MQTT-3.1.2-24], [MQTT-3.1.2-25]
    token = token_of(system)
    writer, _ = system.admitted(token, "writer")
    with writer, system.wire() as reader:
        data = wire.ace.token_and_proof(token.text.encode(), token.key.prove(reader.channel.exporter()))
        reader.send(wire.connect("reader", ((wire.METHOD, "ace"), (wire.DATA, data), (wire.MAXIMUM_PACKET, 200))))
        reader.expect(wire.CONNACK, 0)
        subscribe(reader, "rooms/1")
        publish(writer, "rooms/1", bytes(500))
        publish(writer, "rooms/1", b"small")
        assert reader.expect(PUBLISH).payload == b"small"


@case
def large_messages_arrive_whole(system):
    reader, writer, connack = two(system, token_of(system))
    with reader, writer:
        subscribe(reader, "rooms/1")
        limit = connack.find(wire.MAXIMUM_PACKET)
        for size in (16_000, 16_384, 65_536, min(limit - 100, 1_000_000)):
            payload = os.urandom(size)
            publish(writer, "rooms/1", payload)
            assert reader.expect(PUBLISH).payload == payload, size


@case
def no_local_retain_options_and_subscription_identifiers_are_kept(system):
    # [MQTT-3.8.3-3], [MQTT-3.3.1-9] to [MQTT-3.3.1-13], [MQTT-3.3.4-3]
    connection, other, _ = two(system, token_of(system))
    no_local, as_published, only_new, never = 0x04, 0x08, 0x10, 0x20
    with connection, other:
        publish(other, "rooms/kept", b"kept", retain=True)
        subscribe(connection, "rooms/kept", options=never)
        connection.expect_silence(0.3)
        subscribe(connection, "rooms/kept", options=only_new)
        connection.expect_silence(0.3)
        subscribe(connection, "rooms/new", options=only_new)
        subscribe(connection, "rooms/kept", options=as_published)
        assert connection.expect(PUBLISH).flags & 1, "retained when subscribing"
        publish(other, "rooms/kept", b"again", retain=True)
        assert connection.expect(PUBLISH).flags & 1, "RETAIN as published"
        subscribe(connection, "rooms/kept", options=never)
        publish(other, "rooms/kept", b"again", retain=True)
        assert not connection.expect(PUBLISH).flags & 1, "RETAIN cleared"
        subscribe(connection, "rooms/own", options=no_local)
        connection.send(wire.publish("rooms/own", b"own"))
        publish(other, "rooms/own", b"other")
        assert connection.expect(PUBLISH).payload == b"other"
        subscribe(connection, "rooms/id", pairs=((SUBSCRIPTION, 268_435_455),))
        publish(other, "rooms/id")
        assert connection.expect(PUBLISH).find(SUBSCRIPTION) == 268_435_455


@case
def unsubscribing_ends_delivery(system):
    reader, writer, _ = two(system, token_of(system))
    with reader, writer:
        subscribe(reader, "rooms/1", "rooms/2")
        reader.send(wire.packet(wire.UNSUBSCRIBE, b"\0\7\0" + wire.text("rooms/1") + wire.text("rooms/none"), 2))
        answer = reader.expect(UNSUBACK)
        assert answer.reasons == [0, 0x11], answer
        publish(writer, "rooms/1", b"no")
        publish(writer, "rooms/2", b"yes")
        assert reader.expect(PUBLISH).topic == "rooms/2"


@case
def an_empty_client_identifier_gets_one_assigned(system):
    # [MQTT-3.2.2-16]
    token = token_of(system)
    connections = [system.admitted(token, "") for _ in range(3)]
    names = {connack.find(ASSIGNED) for _, connack in connections}
    assert len(names) == 3 and None not in names, names
    for connection, _ in connections:
        connection.close()


@case
def a_delayed_will_is_not_published_if_the_client_returns(system):
    # MQTT 5.0 §3.1.3.2.2. The Session must outlive the connection for the delay to count [MQTT-3.1.3-9].
    token = token_of(system)
    reader, _ = system.admitted(token, "reader")
    with reader:
        subscribe(reader, "rooms/will")
        mortal, _ = system.admitted(token, "mortal", will=("rooms/will", b"now", 1, False, ((wire.WILL_DELAY, 0),)))
        mortal.channel.cut()
        assert reader.expect(PUBLISH).payload == b"now"
        mortal, _ = system.admitted(token, "mortal", will=("rooms/will", b"asked for", 0, False, ()))
        with mortal:
            mortal.send(wire.disconnect(0x04))
            mortal.expect_closed()
        assert reader.expect(PUBLISH).payload == b"asked for"
        # A takeover ends the old connection; its Will is published, unless a session lives on.
        mortal, _ = system.admitted(token, "mortal", will=("rooms/will", b"taken over", 0, False, ()))
        again, _ = system.admitted(token, "mortal")
        with mortal, again:
            assert reader.expect(PUBLISH).payload == b"taken over"


@case
def many_clients_get_what_is_theirs(system):
    # Bounded: it shows that nothing is lost or mixed up between shards, not how fast it is.
    token = token_of(system)
    count = 60
    writer, _ = system.admitted(token, "writer")
    readers = [system.admitted(token, f"reader{number}")[0] for number in range(count)]
    for number, reader in enumerate(readers):
        subscribe(reader, f"rooms/{number}", "rooms/all")
    with writer:
        for number in range(count):
            publish(writer, f"rooms/{number}", str(number).encode())
        publish(writer, "rooms/all", b"end")
        for number, reader in enumerate(readers):
            assert [reader.expect(PUBLISH).payload for _ in range(2)] == [str(number).encode(), b"end"]
            reader.close()


@case
def a_reader_that_does_not_read_holds_nobody_up(system):
    reader, writer, _ = two(system, token_of(system))
    other, _ = system.admitted(token_of_other(system), "other")
    with reader, writer, other:
        subscribe(reader, "rooms/1")
        subscribe(other, "rooms/1")
        payload = bytes(100_000)
        for number in range(200):
            publish(writer, "rooms/1", payload)
            assert other.expect(PUBLISH).payload == payload, number


def token_of_other(system):
    return system.device("other", *ALLOW, auth="key", pop="ed25519").token()
