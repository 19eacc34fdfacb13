"""The packets of RFC 9431 §2.2.4 and §4 with one field wrong: CONNECT, AUTH in answer to a challenge, AUTH that renews, and tokens at `authz-info`."""

import os
import struct

import ace
import wire
from bad import Bad, lives_on
from case import case
from cases.known import changed
from cases.old_version import connect as connect_311
from wire import AUTH, CONNACK, CONTINUE, DATA, DISCONNECT, MALFORMED, METHOD, NOT_AUTHORIZED, PROTOCOL_ERROR, PUBACK, REAUTHENTICATE, TOKEN_PAYLOAD

BAD_METHOD, BAD_PASSWORD = 0x8C, 0x86
METHOD_ACE = wire.encode_property(METHOD, ace.METHOD)


def data(octets):
    return wire.encode_property(DATA, octets)


def connect(properties, payload=b"", flags=2, level=5, client_id="meter"):
    """A CONNECT with these bytes for its properties."""
    head = wire.text("MQTT") + struct.pack("!BBH", level, flags, 60)
    return wire.packet(wire.CONNECT, head + wire.varint(len(properties)) + properties + wire.text(client_id) + payload)


def auth(reason, properties, flags=0, behind=b""):
    return wire.packet(AUTH, bytes([reason]) + wire.varint(len(properties)) + properties + behind, flags)


def ends_with(connection, kind, codes):
    answer = connection.read()
    assert answer is not None and answer.kind == kind and answer.reason in codes, f"expected {kind} with {codes}, got {answer}"
    assert answer.session_present in (None, False), answer
    connection.expect_closed()
    return answer


def each(table, check):
    """Runs `check` on every row and names all that fail."""
    wrong = {}
    for name, row in table.items():
        try:
            check(*row)
        except (AssertionError, TimeoutError) as error:
            wrong[name] = error
    assert not wrong, "\n".join(f"{name}: {error}" for name, error in wrong.items())


@case
def a_connect_whose_authentication_fields_are_wrong_is_refused(system):
    good = Bad(system)
    token = good.token().encode()
    alone = data(ace.token_only(token))
    unauthorized, malformed, protocol = (NOT_AUTHORIZED,), (MALFORMED,), (PROTOCOL_ERROR,)
    table = {
        # [MQTT-3.1.2-11 ff.]
        "method twice": (connect(METHOD_ACE + METHOD_ACE + alone), protocol),
        "data twice": (connect(METHOD_ACE + alone + alone), protocol),
        "data without a method": (connect(alone), protocol),
        "method empty": (connect(wire.encode_property(METHOD, "") + alone), (BAD_METHOD,)),
        "method with a zero": (connect(wire.encode_property(METHOD, "ace\0") + alone), malformed),
        "method not UTF-8": (connect(b"\x15\0\3a\xffe" + alone), malformed),
        "method of another": (connect(wire.encode_property(METHOD, "SCRAM-SHA-1") + alone), (BAD_METHOD,)),
        "method longer than the packet": (connect(b"\x15\xff\xfface"), malformed),
        "data longer than the packet": (connect(METHOD_ACE + b"\x16\xff\xff\0\1"), malformed),
        "a property of another packet": (connect(METHOD_ACE + alone + b"\x23\0\1"), (MALFORMED, PROTOCOL_ERROR)),
        "properties longer than the packet": (wire.packet(wire.CONNECT, wire.text("MQTT") + b"\5\2\0\x3c\xff\xff\x7f" + METHOD_ACE), malformed),
        # RFC 9431 §2.2.4.1: both flags 0.
        "a user name": (connect(METHOD_ACE + alone, wire.text("meter"), flags=0x82), unauthorized),
        "a password": (connect(METHOD_ACE + alone, wire.binary(b"x"), flags=0x42), unauthorized),
        "user name and password": (connect(METHOD_ACE + alone, wire.text("ace") + wire.binary(b"x"), flags=0xC2), unauthorized),
        "the token in the user name": (connect(b"", wire.text("ace" + ace.b64url(token)) + wire.binary(b"x"), flags=0xC2), (BAD_PASSWORD, NOT_AUTHORIZED)),
        "a reserved flag": (connect(METHOD_ACE + alone, flags=3), malformed),
        "no layout": (connect(METHOD_ACE + data(b"\0")), unauthorized),
        "a token beyond the end": (connect(METHOD_ACE + data(struct.pack("!H", len(token) + 1) + token)), unauthorized),
        "a token one byte short": (connect(METHOD_ACE + data(struct.pack("!H", len(token) - 1) + token)), unauthorized),
        "the length in the other order": (connect(METHOD_ACE + data(struct.pack("<H", len(token)) + token)), unauthorized),
        "a proof and no token": (connect(METHOD_ACE + data(bytes(66))), unauthorized),
        "a token without a length": (connect(METHOD_ACE + data(token)), unauthorized),
        "a proof with a length of its own": (connect(METHOD_ACE + data(ace.token_and_proof(token, struct.pack("!H", 64) + bytes(64)))), unauthorized),
        "a proof of one byte": (connect(METHOD_ACE + data(ace.token_and_proof(token, b"x"))), unauthorized),
        "all that fits": (connect(METHOD_ACE + data(ace.token_and_proof(token, bytes(65_533 - len(token))))), unauthorized),
    }

    def check(octets, codes):
        with system.wire() as connection:
            connection.send(octets)
            ends_with(connection, CONNACK, codes)

    each(table, check)
    lives_on(system, good)


@case
def an_answer_to_a_challenge_whose_fields_are_wrong_is_refused(system):
    good = Bad(system)
    token = good.token().encode()
    unauthorized, malformed, protocol = (NOT_AUTHORIZED,), (MALFORMED,), (PROTOCOL_ERROR,)

    def right(nonce):
        return ace.answer_challenge(good.key, nonce)

    def reordered(answer):
        return answer[8:] + answer[:8]

    def signed(nonce, client, *order):
        return client + good.key.prove(b"".join(order or (nonce, client)))

    client = os.urandom(8)
    table = {
        "reason Success": (lambda nonce: auth(0, METHOD_ACE + data(right(nonce))), protocol),
        "reason Re-authenticate": (lambda nonce: auth(REAUTHENTICATE, METHOD_ACE + data(right(nonce))), protocol),
        "reason unknown": (lambda nonce: auth(0x17, METHOD_ACE + data(right(nonce))), (MALFORMED, PROTOCOL_ERROR)),
        "nothing in it": (lambda _: wire.packet(AUTH, b""), protocol),
        "no properties": (lambda _: wire.packet(AUTH, b"\x18"), (MALFORMED, PROTOCOL_ERROR, BAD_METHOD)),
        "no method": (lambda nonce: auth(CONTINUE, data(right(nonce))), (PROTOCOL_ERROR, BAD_METHOD)),
        "method of another": (lambda nonce: auth(CONTINUE, wire.encode_property(METHOD, "other") + data(right(nonce))), (BAD_METHOD, PROTOCOL_ERROR)),
        "method twice": (lambda nonce: auth(CONTINUE, METHOD_ACE * 2 + data(right(nonce))), protocol),
        "data twice": (lambda nonce: auth(CONTINUE, METHOD_ACE + data(right(nonce)) * 2), protocol),
        "flags": (lambda nonce: auth(CONTINUE, METHOD_ACE + data(right(nonce)), flags=2), malformed),
        "bytes behind": (lambda nonce: auth(CONTINUE, METHOD_ACE + data(right(nonce)), behind=b"\0"), malformed),
        "a property of another packet": (lambda nonce: auth(CONTINUE, METHOD_ACE + data(right(nonce)) + b"\x23\0\1"), (MALFORMED, PROTOCOL_ERROR)),
        "no data": (lambda _: auth(CONTINUE, METHOD_ACE), unauthorized),
        "nonces exchanged": (lambda nonce: wire.auth(CONTINUE, signed(nonce, client, client, nonce)), unauthorized),
        "the broker's nonce alone": (lambda nonce: wire.auth(CONTINUE, signed(nonce, client, nonce)), unauthorized),
        "the client's nonce alone": (lambda nonce: wire.auth(CONTINUE, signed(nonce, client, client)), unauthorized),
        "the proof before the nonce": (lambda nonce: wire.auth(CONTINUE, reordered(right(nonce))), unauthorized),
        "the nonce with a length": (lambda nonce: wire.auth(CONTINUE, b"\0\x08" + right(nonce)), unauthorized),
        "a nonce of 7 bytes": (lambda nonce: wire.auth(CONTINUE, right(nonce)[1:]), unauthorized),
        "a byte behind": (lambda nonce: wire.auth(CONTINUE, right(nonce) + b"\0"), unauthorized),
        "a byte missing": (lambda nonce: wire.auth(CONTINUE, right(nonce)[:-1]), unauthorized),
        "the token again": (lambda nonce: wire.auth(CONTINUE, ace.token_only(token)), unauthorized),
        "one bit": (lambda nonce: wire.auth(CONTINUE, changed(right(nonce))), unauthorized),
        "zeros": (lambda _: wire.auth(CONTINUE, bytes(72)), unauthorized),
    }

    def check(answer, codes):
        with system.wire() as connection:
            connection.send(wire.connect_ace("meter", ace.token_only(token)))
            connection.send(answer(wire.challenge_of(connection.read())))
            ends_with(connection, CONNACK, codes)

    each(table, check)
    lives_on(system, good, "challenge")


def renews(system, good):
    """An admitted connection that has asked to renew, and the nonce it got."""
    connection = system.wire()
    answer = connection.authenticate(good.token(), good.key, "exporter", "meter")
    assert answer.reasons == [0], answer
    connection.send(wire.auth(REAUTHENTICATE, ace.token_only(good.token().encode())))
    return connection, wire.challenge_of(connection.read())


@case
def a_renewal_whose_fields_are_wrong_ends_the_connection(system):
    good = Bad(system)
    token = good.token().encode()
    unauthorized, malformed, protocol = (NOT_AUTHORIZED,), (MALFORMED,), (PROTOCOL_ERROR,)
    asks = {
        "Continue without a challenge": (wire.auth(CONTINUE, bytes(72)), protocol),
        "Success from a client": (auth(0, METHOD_ACE), protocol),
        "nothing in it": (wire.packet(AUTH, b""), protocol),
        "no method": (auth(REAUTHENTICATE, data(ace.token_only(token))), (PROTOCOL_ERROR, BAD_METHOD)),
        "method of another": (auth(REAUTHENTICATE, wire.encode_property(METHOD, "other") + data(ace.token_only(token))), (PROTOCOL_ERROR, BAD_METHOD)),
        "method twice": (auth(REAUTHENTICATE, METHOD_ACE * 2 + data(ace.token_only(token))), protocol),
        "flags": (auth(REAUTHENTICATE, METHOD_ACE + data(ace.token_only(token)), flags=1), malformed),
        "no data": (auth(REAUTHENTICATE, METHOD_ACE), unauthorized),
        "no token": (wire.auth(REAUTHENTICATE, b"\0\0"), unauthorized),
        "no layout": (wire.auth(REAUTHENTICATE, b"\0"), unauthorized),
        "a token beyond the end": (wire.auth(REAUTHENTICATE, struct.pack("!H", len(token) + 1) + token), unauthorized),
        # RFC 9431 §4: never by the exporter.
        "a proof": (wire.auth(REAUTHENTICATE, ace.token_and_proof(token, bytes(64))), unauthorized),
        "a bad token": (wire.auth(REAUTHENTICATE, ace.token_only(token[:-2])), unauthorized),
        "an expired token": (wire.auth(REAUTHENTICATE, ace.token_only(good.with_claims(exp=1).encode())), unauthorized),
        "another's token": (wire.auth(REAUTHENTICATE, ace.token_only(good.with_claims(sub="x", client_id="x").encode())), unauthorized),
    }

    def check_ask(octets, codes):
        with system.wire() as connection:
            assert connection.authenticate(good.token(), good.key, "exporter", "meter").reasons == [0]
            connection.send(octets)
            ends_with(connection, DISCONNECT, codes)

    each(asks, check_ask)

    def right(nonce):
        return ace.answer_challenge(good.key, nonce)

    answers = {
        "a second request": (lambda _: wire.auth(REAUTHENTICATE, ace.token_only(token)), protocol),
        "Success": (lambda nonce: auth(0, METHOD_ACE + data(right(nonce))), protocol),
        "method of another": (lambda nonce: wire.auth(CONTINUE, right(nonce), method="other"), (PROTOCOL_ERROR, BAD_METHOD)),
        "no data": (lambda _: auth(CONTINUE, METHOD_ACE), unauthorized),
        "a byte missing": (lambda nonce: wire.auth(CONTINUE, right(nonce)[:-1]), unauthorized),
        "one bit": (lambda nonce: wire.auth(CONTINUE, changed(right(nonce))), unauthorized),
        "another key": (lambda nonce: wire.auth(CONTINUE, ace.answer_challenge(ace.Key.generate("EdDSA"), nonce)), unauthorized),
        "an older challenge": (lambda _: wire.auth(CONTINUE, right(bytes(8))), unauthorized),
    }

    def check_answer(answer, codes):
        connection, nonce = renews(system, good)
        with connection:
            connection.send(answer(nonce))
            ends_with(connection, DISCONNECT, codes)

    each(answers, check_answer)
    connection, nonce = renews(system, good)
    with connection:
        # Between challenge and answer the old rights hold ([MQTT-4.12.1-2] says no word against other packets).
        connection.send(wire.publish("rooms/1", qos=1))
        assert connection.expect(PUBACK).reason in (0, 0x10)
        connection.send(wire.auth(CONTINUE, right(nonce)))
        connection.expect(AUTH, 0)


@case
def who_connected_without_the_method_cannot_authenticate_later(system):
    # [MQTT-4.12.0-6 ff.]: no method in CONNECT, no AUTH.
    good = Bad(system)
    for octets in (wire.auth(REAUTHENTICATE, ace.token_only(good.token().encode())), wire.auth(CONTINUE, bytes(72)), wire.packet(AUTH, b"")):
        with system.wire() as connection:
            connection.send(wire.connect("stranger"))
            connection.expect(CONNACK, 0)
            connection.send(octets)
            ends_with(connection, DISCONNECT, (PROTOCOL_ERROR,))
        # 3.1.1 has no such packet.
        with system.wire() as connection:
            connection.level = 4
            connection.send(connect_311("stranger"))
            connection.expect(CONNACK, 0)
            connection.send(octets)
            connection.expect_closed()


@case
def what_is_no_good_token_at_authz_info_gets_its_code_at_every_qos(system):
    # RFC 9431 §2.2.2.
    good = Bad(system)
    bad = {
        "no token": (b"no token", TOKEN_PAYLOAD),
        "nothing": (b"", TOKEN_PAYLOAD),
        "a JSON text": (b'{"access_token":"x"}', TOKEN_PAYLOAD),
        "bytes": (os.urandom(600), TOKEN_PAYLOAD),
        "longer than any token": (b"eyJ" * 30_000, TOKEN_PAYLOAD),
        "expired": (good.with_claims(exp=1).encode(), NOT_AUTHORIZED),
        "of another": (good.with_claims(iss="https://elsewhere.example").encode(), NOT_AUTHORIZED),
        "changed": (good.token()[:-8].encode() + b"AAAAAAAA", NOT_AUTHORIZED),
        "for another": (good.with_claims(aud="x").encode(), NOT_AUTHORIZED),
    }

    def check(payload, code):
        with system.wire() as connection:
            connection.send(wire.connect("stranger"))
            connection.expect(CONNACK, 0)
            connection.send(wire.publish("authz-info", payload, qos=1))
            connection.expect(PUBACK, code)
            connection.send(wire.publish("authz-info", payload, qos=2, identifier=9))
            connection.expect(wire.PUBREC, code)
            connection.send(wire.publish("authz-info", payload))
            ends_with(connection, DISCONNECT, (code,))

    each(bad, check)
    with system.wire() as connection:
        connection.send(wire.connect("stranger"))
        connection.expect(CONNACK, 0)
        connection.send(wire.publish("authz-info", good.token().encode(), qos=1, retain=True))
        assert connection.expect(PUBACK).reason >= 0x80
        for topic in ("authz-info/", "/authz-info", "authz-info/x", "AUTHZ-INFO"):
            connection.send(wire.publish(topic, good.token().encode(), qos=1))
            connection.expect(PUBACK, NOT_AUTHORIZED)
        connection.send(wire.subscribe("authz-info", "#", "+", "$share/g/authz-info"))
        assert all(reason >= 0x80 for reason in connection.expect(wire.SUBACK).reasons)
        # By a Topic Alias it is the same topic.
        connection.send(wire.publish("authz-info", good.token().encode(), qos=1, pairs=((wire.ALIAS, 1),)))
        connection.expect(PUBACK, 0)
        connection.send(wire.publish("", b"no token", qos=1, pairs=((wire.ALIAS, 1),)))
        connection.expect(PUBACK, TOKEN_PAYLOAD)
    lives_on(system, good)


@case
def a_3_1_1_connect_whose_fields_are_wrong_is_refused(system):
    # RFC 9431 §6: the token in the User Name behind `ace`, base64url of its bytes; the proof in the Password, over the exporter value.
    good = Bad(system)
    text = ace.b64url(good.token().encode())

    def attempt(name, password):
        with system.wire() as connection:
            connection.level = 4
            proof = good.key.prove(connection.channel.exporter())
            connection.send(connect_311("meter", name, password(proof) if callable(password) else password))
            answer = connection.read()
            assert answer is not None and answer.kind == CONNACK, answer
            if answer.reason != 0:
                connection.expect_closed()
            return answer.reason

    def proved(proof):
        return proof

    assert attempt(f"ace{text}", proved) == 0
    changed = ace.b64url(good.with_claims(exp=1).encode())
    wrong = {
        "no prefix": (text, proved),
        "prefix alone": ("ace", proved),
        "prefix in capitals": (f"ACE{text}", proved),
        "prefix twice": (f"aceace{text}", proved),
        "a space between": (f"ace {text}", proved),
        "padded": (f"ace{text}==", proved),
        "another alphabet": (f"ace{text[:-2]}+/", proved),
        "not encoded": (f"ace{good.token()}", proved),
        "encoded twice": (f"ace{ace.b64url(text.encode())}", proved),
        "cut": (f"ace{text[:-4]}", proved),
        "expired": (f"ace{changed}", proved),
        "no password": (f"ace{text}", None),
        "an empty password": (f"ace{text}", b""),
        "a short proof": (f"ace{text}", lambda proof: proof[:-1]),
        "a long proof": (f"ace{text}", lambda proof: proof + b"\0"),
        "the proof as text": (f"ace{text}", lambda proof: ace.b64url(proof).encode()),
        "one bit": (f"ace{text}", lambda proof: proof[:-1] + bytes([proof[-1] ^ 1])),
        "all that fits": (f"ace{text}", bytes(65_535)),
    }

    def check(name, password):
        code = attempt(name, password)
        assert code in (4, 5), code

    each(wrong, check)
    # No tell-tale: a bad token and a bad proof have one code.
    codes = {attempt(f"ace{changed}", proved), attempt(f"ace{text}", lambda proof: bytes(64)), attempt(f"ace{text[:-4]}", proved)}
    assert len(codes) == 1, codes
    assert attempt(f"ace{text}", proved) == 0
