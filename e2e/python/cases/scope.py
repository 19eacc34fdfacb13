"""What a valid token lets through, and what happens when it runs out (RFC 9431 §2.3, §3, §4, §5)."""

import time

import ace
import wire
from case import case
from system import now
from wire import AUTH, CONTINUE, DISCONNECT, NOT_AUTHORIZED, PUBACK, PUBLISH, PUBREC, REAUTHENTICATE, SUBACK, SUCCESS

ALLOW = ("pub:rooms/+/t", "sub:rooms/+/t", "sub:halls/#")
# How late the broker may notice that a token has run out.
NOTICE_SECS = 3


def token_of(system, *allow):
    return system.device("meter", *(allow or ALLOW), auth="key", pop="ed25519").token()


def alive(connection):
    connection.send(wire.packet(wire.PINGREQ, b""))
    connection.expect(wire.PINGRESP)


@case
def a_publish_beyond_the_scope_at_qos_0_ends_the_connection(system):
    connection, _ = system.admitted(token_of(system), "meter")
    with connection:
        connection.send(wire.publish("halls/1", b"x"))
        answer = connection.expect(DISCONNECT, NOT_AUTHORIZED)
        assert answer.reason_string, "it must say why"
        connection.expect_closed()


@case
def a_publish_beyond_the_scope_at_qos_1_gets_a_puback_that_refuses(system):
    connection, _ = system.admitted(token_of(system), "meter")
    with connection:
        connection.send(wire.publish("halls/1", b"x", qos=1, identifier=7))
        answer = connection.expect(PUBACK, NOT_AUTHORIZED)
        assert answer.identifier == 7 and answer.reason_string, answer
        alive(connection)


@case
def a_publish_beyond_the_scope_at_qos_2_gets_a_pubrec_that_refuses(system):
    connection, _ = system.admitted(token_of(system), "meter")
    with connection:
        connection.send(wire.publish("halls/1", b"x", qos=2, identifier=7))
        answer = connection.expect(PUBREC, NOT_AUTHORIZED)
        assert answer.identifier == 7 and answer.reason_string, answer
        # The exchange is over, the identifier free [MQTT-4.3.3-4].
        connection.send(wire.publish("rooms/1/t", b"x", qos=2, identifier=7))
        assert connection.expect(PUBREC).reason in (0, 0x10)


@case
def a_refused_publish_reaches_nobody(system):
    token = token_of(system)
    everything = system.device("board", "sub:#", auth="key", pop="ed25519").token()
    reader, _ = system.admitted(everything, "board")
    writer, _ = system.admitted(token, "meter")
    with reader, writer:
        reader.send(wire.subscribe("#"))
        reader.expect(SUBACK, 0)
        writer.send(wire.publish("halls/1", b"no", qos=1, identifier=1))
        writer.expect(PUBACK, NOT_AUTHORIZED)
        writer.send(wire.publish("rooms/1/t", b"yes", qos=1, identifier=1))
        writer.expect(PUBACK, 0)
        assert reader.expect(PUBLISH).payload == b"yes"


@case
def a_subscription_beyond_the_scope_is_refused_filter_by_filter(system):
    connection, _ = system.admitted(token_of(system), "meter")
    with connection:
        asked = {
            "rooms/+/t": 0,
            "rooms/1/t": 0,
            "halls/#": 0,
            "halls": 0,
            "halls/+/x/#": 0,
            "rooms/#": NOT_AUTHORIZED,
            "rooms/+/+": NOT_AUTHORIZED,
            "rooms/1": NOT_AUTHORIZED,
            "+/1/t": NOT_AUTHORIZED,
            "#": NOT_AUTHORIZED,
            "$share/group/halls/1": 0,
            "$share/group/cellars/1": NOT_AUTHORIZED,
            "$SYS/#": NOT_AUTHORIZED,
        }
        connection.send(wire.subscribe(*asked))
        answer = connection.expect(SUBACK)
        got = dict(zip(asked, answer.reasons, strict=True))
        # A broker may have no shared subscriptions: 0x9E says so [MQTT-3.3.4-6].
        assert got.pop("$share/group/halls/1") in (0, 0x9E), answer
        assert got.pop("$share/group/cellars/1") in (NOT_AUTHORIZED, 0x9E), answer
        expected = {name: code for name, code in asked.items() if not name.startswith("$share")}
        assert got == expected, {name: hex(code) for name, code in got.items() if expected[name] != code}
        alive(connection)


@case
def a_wildcard_scope_does_not_cover_topics_with_a_dollar(system):
    # MQTT 5.0 §4.7.2
    connection, _ = system.admitted(token_of(system, "pub:#", "sub:#"), "meter")
    with connection:
        connection.send(wire.subscribe("$SYS/#", "$other/1"))
        assert connection.expect(SUBACK).reasons == [NOT_AUTHORIZED] * 2
        connection.send(wire.publish("$other/1", b"x", qos=1))
        assert connection.expect(PUBACK).reason >= 0x80


@case
def a_topic_alias_does_not_escape_the_scope(system):
    connection, connack = system.admitted(token_of(system), "meter")
    with connection:
        if not connack.find(0x22):
            # No aliases here: one is an error of its own [MQTT-3.3.2-9].
            connection.send(wire.publish("rooms/1/t", b"x", pairs=((wire.ALIAS, 1),)))
            connection.expect(DISCONNECT, 0x94)
            return
        connection.send(wire.publish("halls/1", b"x", qos=1, pairs=((wire.ALIAS, 1),)))
        connection.expect(PUBACK, NOT_AUTHORIZED)
        connection.send(wire.publish("", b"x", qos=1, pairs=((wire.ALIAS, 1),)))
        # The alias was set or it was not; the topic stays refused.
        answer = connection.read()
        assert answer.kind in (PUBACK, DISCONNECT) and answer.reason >= 0x80, answer


@case
def an_empty_scope_permits_nothing(system):
    # RFC 9431 §2.3
    token = system.forge(token_of(system), scope=ace.encode_scope([]))
    connection, _ = system.admitted(token, "meter")
    with connection:
        connection.send(wire.subscribe("rooms/1/t"))
        assert connection.expect(SUBACK).reasons == [NOT_AUTHORIZED]
        connection.send(wire.publish("rooms/1/t", b"x", qos=1))
        connection.expect(PUBACK, NOT_AUTHORIZED)


@case
def authz_info_reaches_nobody(system):
    # RFC 9431 §2.2.2: a token published there is for the broker alone.
    token = token_of(system, "pub:#", "sub:#")
    connection, _ = system.admitted(token, "meter")
    with connection:
        connection.send(wire.subscribe("#", "authz-info", "+"))
        reasons = connection.expect(SUBACK).reasons
        assert reasons[1] >= 0x80, [hex(reason) for reason in reasons]
        with system.wire() as other:
            answer = other.authenticate(token.text, token.key, "exporter", "other")
            assert answer.reasons == [0]
            other.send(wire.publish("authz-info", token.text.encode(), qos=0))
            other.send(wire.publish("rooms/1/t", b"after", qos=1))
            while (answer := other.read()) is not None and answer.kind != PUBACK:
                pass
        connection.send(wire.publish("rooms/1/t", b"end", qos=1))
        topics = set()
        while (received := connection.read()).kind == PUBLISH:
            topics.add(received.topic)
        assert "authz-info" not in topics, "a token was delivered"


@case
def the_connection_ends_when_the_token_expires(system):
    # RFC 9431 §4: whether or not anything flows.
    life = 3
    token = system.forge(token_of(system), exp=now() + life)
    began = time.monotonic()
    connection, _ = system.admitted(token, "meter")
    with connection:
        answer = connection.expect(DISCONNECT, NOT_AUTHORIZED, timeout_secs=life + NOTICE_SECS)
        lasted = time.monotonic() - began
        assert life - 1.5 <= lasted <= life + NOTICE_SECS, lasted
        assert "expired" in (answer.reason_string or "").lower(), answer
        connection.expect_closed()


@case
def nothing_is_delivered_once_the_subscribers_token_has_expired(system):
    everything = token_of(system)
    expires_at = now() + 3
    short = system.forge(everything, exp=expires_at)
    reader, _ = system.admitted(short, "reader")
    writer, _ = system.admitted(everything, "writer")
    with reader, writer:
        reader.send(wire.subscribe("rooms/+/t"))
        reader.expect(SUBACK, 0)
        writer.send(wire.publish("rooms/1/t", b"before", qos=1))
        writer.expect(PUBACK, 0)
        assert reader.expect(PUBLISH).payload == b"before"
        while True:
            writer.send(wire.publish("rooms/1/t", str(time.time()).encode(), qos=1))
            assert writer.expect(PUBACK).reason in (0, 0x10)
            received = reader.read()
            if received is None or received.kind == DISCONNECT:
                break
            late = float(received.payload) - expires_at
            assert late < 0, f"delivered what was published {late:.3f} s after expiry"
            time.sleep(0.05)
        assert received is not None and received.reason == NOT_AUTHORIZED, received


@case
def an_accepted_will_is_published_after_the_token_has_expired(system):
    # RFC 9431 §5
    token = token_of(system)
    reader, _ = system.admitted(token, "reader")
    with reader:
        reader.send(wire.subscribe("rooms/+/t"))
        reader.expect(SUBACK, 0)
        short = system.forge(token, exp=now() + 2)
        writer, _ = system.admitted(short, "writer", will=("rooms/1/t", b"gone", 0, False, ()))
        with writer:
            writer.expect(DISCONNECT, NOT_AUTHORIZED, timeout_secs=2 + NOTICE_SECS)
            assert reader.expect(PUBLISH).payload == b"gone"


@case
def a_retained_message_is_forgotten_when_its_publishers_token_expires(system):
    # RFC 9431 §5
    writer, reader = token_of(system), system.device("reader", *ALLOW).token()
    assert kept_after_the_end(system, writer, reader, renewed=False) == []
    # Who has renewed meanwhile has a valid token, whatever connection it came by.
    assert kept_after_the_end(system, writer, reader, renewed=True) == [b"kept"]


def kept_after_the_end(system, token, other, renewed):
    """The retained messages that are there once the token has run out under which one was published."""
    writer, _ = system.admitted(system.forge(token, exp=now() + 3), "writer")
    with writer:
        writer.send(wire.publish("rooms/1/t", b"kept", qos=1, retain=True))
        assert writer.expect(PUBACK).reason in (0, 0x10)
    with system.admitted(other, "reader")[0] as reader:
        reader.send(wire.subscribe("rooms/1/t"))
        reader.expect(SUBACK, 0)
        assert reader.expect(PUBLISH).payload == b"kept"
        if renewed:
            system.admitted(token, "writer")[0].close()
        time.sleep(3 + NOTICE_SECS)
        reader.send(wire.subscribe("rooms/1/t", identifier=2))
        reader.expect(SUBACK, 0)
        try:
            return [reader.read(1).payload]
        except TimeoutError:
            return []


@case
def a_renewed_token_replaces_the_old_one(system):
    # RFC 9431 §4: AUTH 0x19, then a challenge; the new token's life and scope hold.
    token = token_of(system)
    short = system.forge(token, exp=now() + 4)
    renewed = system.forge(token, scope=ace.encode_scope([["cellars/#", ["pub"]]]))
    connection, _ = system.admitted(short, "meter")
    with connection:
        connection.send(wire.auth(REAUTHENTICATE, ace.token_only(renewed.text.encode())))
        nonce = wire.challenge_of(connection.read())
        # Until it is done the old authorization holds [MQTT-4.12.1-2].
        connection.send(wire.publish("rooms/1/t", b"x", qos=1))
        assert connection.expect(PUBACK).reason in (0, 0x10)
        connection.send(wire.auth(CONTINUE, ace.answer_challenge(renewed.key, nonce)))
        answer = connection.expect(AUTH, SUCCESS)
        assert answer.find(wire.METHOD) == ace.METHOD, answer
        # The very topic that was allowed a moment ago first: what was decided under the old token is forgotten.
        connection.send(wire.publish("rooms/1/t", b"x", qos=1))
        connection.expect(PUBACK, NOT_AUTHORIZED)
        connection.send(wire.publish("cellars/1", b"x", qos=1))
        assert connection.expect(PUBACK).reason in (0, 0x10)
        connection.expect_silence(4 + NOTICE_SECS)
        alive(connection)


@case
def a_renewed_token_that_allows_less_ends_what_it_does_not_allow(system):
    # RFC 9431 §3.2: nothing is delivered beyond the scope. A broker may also end the connection.
    token = token_of(system)
    narrow = system.forge(token, scope=ace.encode_scope([["halls/#", ["sub"]]]))
    reader, _ = system.admitted(token, "reader")
    writer, _ = system.admitted(system.forge(token, scope=ace.encode_scope([["#", ["pub"]]])), "writer")
    with reader, writer:
        reader.send(wire.subscribe("rooms/+/t", "halls/#"))
        reader.expect(SUBACK, 0)
        reader.send(wire.auth(REAUTHENTICATE, ace.token_only(narrow.text.encode())))
        reader.send(wire.auth(CONTINUE, ace.answer_challenge(narrow.key, wire.challenge_of(reader.read()))))
        reader.expect(AUTH, SUCCESS)
        for topic in ("rooms/1/t", "halls/1"):
            writer.send(wire.publish(topic, b"x", qos=1))
            assert writer.expect(PUBACK).reason in (0, 0x10)
        received = reader.read()
        assert received.kind == DISCONNECT or received.topic == "halls/1", received


def renewal_fails(system, token, data, answer=None):
    connection, _ = system.admitted(token, "meter")
    with connection:
        connection.send(wire.auth(REAUTHENTICATE, data))
        received = connection.read()
        if received is not None and received.kind == AUTH:
            nonce = wire.challenge_of(received)
            connection.send(wire.auth(CONTINUE, answer(nonce) if answer else bytes(72)))
            received = connection.read()
        assert received.kind == DISCONNECT, received
        assert received.reason in (NOT_AUTHORIZED, wire.PROTOCOL_ERROR, wire.MALFORMED), received
        connection.expect_closed()


@case
def a_failed_renewal_ends_the_connection(system):
    token = token_of(system)
    forged = system.forge(token, key=ace.Key.generate(system.as_key().alg))
    renewal_fails(system, token, ace.token_only(forged.text.encode()), lambda nonce: ace.answer_challenge(token.key, nonce))
    other = ace.Key.generate("EdDSA")
    renewal_fails(system, token, ace.token_only(token.text.encode()), lambda nonce: ace.answer_challenge(other, nonce))
    renewal_fails(system, token, b"\0")
    renewal_fails(system, token, b"")


@case
def the_exporter_does_not_renew_a_token(system):
    # RFC 9431 §4
    token = token_of(system)
    connection, _ = system.admitted(token, "meter")
    with connection:
        proof = token.key.prove(connection.channel.exporter())
        connection.send(wire.auth(REAUTHENTICATE, ace.token_and_proof(token.text.encode(), proof)))
        received = connection.read()
        assert received.kind == DISCONNECT and received.reason >= 0x80, received


@case
def a_token_of_another_client_does_not_renew(system):
    token = token_of(system)
    other = system.device("other", *ALLOW, auth="key", pop="ed25519").token()
    renewal_fails(system, token, ace.token_only(other.text.encode()), lambda nonce: ace.answer_challenge(other.key, nonce))


@case
def a_second_connection_of_the_same_client_takes_over(system):
    # [MQTT-3.1.4-3]
    token = token_of(system)
    first, _ = system.admitted(token, "meter")
    with first:
        second, _ = system.admitted(token, "meter", "challenge")
        with second:
            first.expect(DISCONNECT, 0x8E)
            first.expect_closed()
            alive(second)


@case
def a_refused_connection_takes_nothing_over(system):
    token = token_of(system)
    first, _ = system.admitted(token, "meter")
    with first, system.wire() as second:
        answer = second.authenticate(token.text, ace.Key.generate("EdDSA"), "exporter", "meter")
        assert answer.reason == NOT_AUTHORIZED, answer
        alive(first)


@case
def a_silent_client_is_cut_after_one_and_a_half_times_its_keep_alive(system):
    # [MQTT-3.1.2-22]
    connection, _ = system.admitted(token_of(system), "meter", keep_alive=2)
    with connection:
        began = time.monotonic()
        answer = connection.read(timeout_secs=8)
        lasted = time.monotonic() - began
        assert 2.5 <= lasted <= 6, lasted
        assert answer is None or (answer.kind == DISCONNECT and answer.reason == 0x8D), answer
