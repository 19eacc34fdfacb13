"""Tokens and proofs that the broker must refuse (RFC 9431 §2.2.5, §2.4.1): CONNACK 0x87, in both ways to prove possession."""

import json
import os
import struct

import jwt

import ace
import wire
from case import case
from system import Token, now
from wire import AUTH, CONNACK, CONTINUE, DATA, METHOD, NOT_AUTHORIZED

PROOFS = ("exporter", "challenge")
ALLOW = ("pub:rooms/#", "sub:rooms/#")
# `bad_input/tokens.py` holds the words against each other.


def device(system, pop="ed25519"):
    return system.device("meter", *ALLOW, auth="key" if pop == "ed25519" else "secret", pop=pop)


def refused(answer, *codes):
    """A CONNACK that refuses, says why, and comes from a broker that gives nothing else away."""
    assert answer is not None and answer.kind == CONNACK, f"expected a CONNACK, got {answer}"
    assert answer.reason in (codes or (NOT_AUTHORIZED,)), f"{answer.reason:#04x} {answer.reason_string}"
    assert not answer.session_present, "[MQTT-3.2.2-6]"
    return answer


def hinted(system, answer):
    """The AS's address for a client whose token is missing or bad (RFC 9431 §2.4.1)."""
    hint = answer.user("ace_as_hint")
    assert hint, f"no ace_as_hint: {answer}"
    hint = json.loads(hint)
    assert hint["AS"] == system.token_endpoint, hint
    assert hint.get("audience", system.audience) == system.audience, hint
    return hint


# One text for whatever is wrong with a token, its key or its proof: who tries stolen tokens or guessed keys learns nothing from it.
NOT_VALID = "the token or the proof of possession is not valid here"


def is_refused(system, token, key=None):
    """In both ways, with a reason string that does not tell what was wrong, and the connection closed."""
    for proof in PROOFS:
        with system.wire() as connection:
            answer = refused(connection.authenticate(token.text, key or token.key, proof, "meter"))
            assert answer.reason_string == NOT_VALID, f"{proof}: {answer.reason_string}"
            hinted(system, answer)
            connection.expect_closed()


@case
def a_token_for_another_audience_is_refused(system):
    is_refused(system, system.forge(device(system).token(), aud="mqtts://elsewhere.example:8883"))


@case
def a_token_of_another_issuer_is_refused(system):
    is_refused(system, system.forge(device(system).token(), iss="https://elsewhere.example"))


@case
def a_token_signed_with_another_key_is_refused(system):
    # The header names the AS's key, the signature is another's.
    alg = system.as_key().alg
    is_refused(system, system.forge(device(system).token(), key=ace.Key.generate(alg)))


@case
def a_token_whose_claims_were_changed_is_refused(system):
    token = device(system).token()
    head, claims, signature = token.text.split(".")
    changed = json.loads(ace.unb64url(claims))
    changed["scope"] = ace.encode_scope([["#", ["pub", "sub"]]])
    changed = ace.b64url(json.dumps(changed).encode())
    is_refused(system, Token({"access_token": f"{head}.{changed}.{signature}"}, token.key))


@case
def a_token_without_a_signature_is_refused(system):
    # RFC 8725 §3.2
    token = device(system).token()
    claims = jwt.decode(token.text, options={"verify_signature": False})
    for none in ("none", "None", "NONE"):
        head = {**jwt.get_unverified_header(token.text), "alg": none}
        parts = [ace.b64url(json.dumps(part).encode()) for part in (head, claims)]
        for signature in ("", token.text.split(".")[2]):
            is_refused(system, Token({"access_token": ".".join([*parts, signature])}, token.key))


@case
def a_token_macked_with_the_public_key_is_refused(system):
    # RFC 8725 §2.1: the verifying key taken for a shared secret
    token = device(system).token()
    public = ace.public_jwk(system.as_key().jwk)
    for secret in (ace.unb64url(public["x"]), json.dumps(public).encode()):
        confused = ace.Key("HS256", {"kty": "oct", "k": ace.b64url(secret)})
        is_refused(system, system.forge(token, key=confused))


@case
def a_token_that_brings_its_own_key_is_refused(system):
    # RFC 8725 §3.10: a key in the header is the sender's word
    own = ace.Key.generate("EdDSA")
    token = device(system).token()
    for headers in ({"jwk": ace.public_jwk(own.jwk)}, {"jku": "https://127.0.0.1:9/jwks.json"}, {"kid": "../../../etc/hostname"}):
        is_refused(system, system.forge(token, key=own, headers=headers))


@case
def a_token_with_an_unknown_critical_header_is_refused(system):
    # RFC 7515 §4.1.11
    is_refused(system, system.forge(device(system).token(), headers={"crit": ["exotic"], "exotic": 1}))


@case
def an_expired_token_is_refused(system):
    late = now() - 3600
    is_refused(system, system.forge(device(system).token(), iat=late, nbf=late, exp=now() - 1))


@case
def a_token_that_is_not_yet_valid_is_refused(system):
    is_refused(system, system.forge(device(system).token(), nbf=now() + 3600))


@case
def a_token_without_expiry_or_confirmation_is_refused(system):
    token = device(system).token()
    for claim in ("exp", "cnf", "iss", "aud"):
        is_refused(system, system.forge(token, drop=(claim,)))


@case
def a_token_with_odd_claims_is_refused(system):
    token = device(system).token()
    other = ace.public_jwk(ace.Key.generate("EdDSA").jwk)
    odd = [
        {"exp": "tomorrow"},
        {"exp": -1},
        {"scope": 7},
        {"scope": "rooms/#"},
        {"scope": ace.encode_scope([["rooms/#/x", ["pub"]]])},
        {"cnf": {}},
        {"cnf": {"kid": "unknown"}},
        {"cnf": {"jwe": "a.b.c.d.e"}},
        # RFC 7800 §3.1: one key, not two
        {"cnf": {"jwk": other, "jwe": "a.b.c.d.e"}},
        {"cnf": {"jwk": {"kty": "OKP", "crv": "Ed25519", "x": "AA"}}},
        {"cnf": {"jwk": {"kty": "EC", "crv": "P-256", "x": ace.b64url(bytes(32)), "y": ace.b64url(bytes(32))}}},
    ]
    for claims in odd:
        is_refused(system, system.forge(token, **claims))


@case
def a_token_that_is_none_is_refused(system):
    key = ace.Key.generate("EdDSA")
    for text in ("x", "a.b.c", "....", "é" * 50, "eyJ" * 20_000):
        is_refused(system, Token({"access_token": text}, key))


@case
def a_proof_by_another_ed25519_key_is_refused(system):
    is_refused(system, device(system).token(), key=ace.Key.generate("EdDSA"))


@case
def a_proof_by_another_shared_key_is_refused(system):
    is_refused(system, device(system, "hs256").token(), key=ace.Key.generate("HS256"))


@case
def a_proof_by_another_p256_key_is_refused(system):
    is_refused(system, device(system, "es256").token(), key=ace.Key.generate("ES256"))


@case
def a_proof_of_another_kind_is_refused(system):
    # A MAC with the public key as its secret, and a DER signature where R||S is due.
    token = device(system).token()
    public = ace.Key("HS256", {"kty": "oct", "k": token.key.jwk["x"]})
    is_refused(system, token, key=public)
    token = system.device("p256", *ALLOW, pop="es256").token()
    raw = token.key.prove
    token.key.prove = lambda message: b"\x30\x45" + raw(message) + bytes(7)
    is_refused(system, token)


@case
def the_exporter_proof_of_another_connection_is_refused(system):
    token = device(system).token()
    with system.wire() as first, system.wire() as second:
        data = ace.token_and_proof(token.text.encode(), token.key.prove(first.channel.exporter()))
        refused(second.authenticate(token.text, token.key, "exporter", "meter", data=data))
        answer = first.authenticate(token.text, token.key, "exporter", "meter", data=data)
        assert answer.reasons == [0], "on its own connection it holds"


@case
def the_answer_to_an_earlier_challenge_is_refused(system):
    token = device(system).token()
    with system.wire() as first:
        first.send(wire.connect_ace("meter", ace.token_only(token.text.encode())))
        answer = ace.answer_challenge(token.key, wire.challenge_of(first.read()))
        first.send(wire.auth(CONTINUE, answer))
        first.expect(CONNACK, 0)
    with system.wire() as second:
        second.send(wire.connect_ace("meter", ace.token_only(token.text.encode())))
        wire.challenge_of(second.read())
        second.send(wire.auth(CONTINUE, answer))
        refused(second.read())
        second.expect_closed()


@case
def no_two_challenges_are_alike(system):
    token = device(system).token()
    seen = set()
    for _ in range(20):
        with system.wire() as connection:
            connection.send(wire.connect_ace("", ace.token_only(token.text.encode())))
            seen.add(wire.challenge_of(connection.read()))
    assert len(seen) == 20, seen


@case
def one_challenge_gets_one_answer(system):
    token = device(system).token()
    with system.wire() as connection:
        connection.send(wire.connect_ace("meter", ace.token_only(token.text.encode())))
        nonce = wire.challenge_of(connection.read())
        wrong = ace.answer_challenge(ace.Key.generate("EdDSA"), nonce)
        connection.send(wire.auth(CONTINUE, wrong) + wire.auth(CONTINUE, ace.answer_challenge(token.key, nonce)))
        refused(connection.read())
        connection.expect_closed()


@case
def a_challenge_says_nothing_about_the_token(system):
    # An invalid token is challenged like a valid one, or refused at once with the same code: no oracle about stored tokens.
    token = device(system).token()
    bad = system.forge(token, key=ace.Key.generate(system.as_key().alg))
    with system.wire() as connection:
        connection.send(wire.connect_ace("meter", ace.token_only(bad.text.encode())))
        answer = connection.read()
        assert answer.kind == AUTH or refused(answer), answer


@case
def a_client_without_a_token_is_told_where_to_get_one(system):
    # RFC 9431 §2.4.1; a token of length 0 is no token.
    for data in (None, b"", b"\0\0"):
        with system.wire() as connection:
            connection.send(wire.connect_ace("meter", data))
            answer = connection.read()
            if answer is not None and answer.kind == AUTH:
                # A broker may challenge for a token it has stored; there is none.
                connection.send(wire.auth(CONTINUE, ace.answer_challenge(ace.Key.generate("EdDSA"), wire.challenge_of(answer))))
                answer = connection.read()
            hinted(system, refused(answer))
            connection.expect_closed()


@case
def a_client_without_a_method_is_told_where_to_get_a_token(system):
    with system.wire() as connection:
        connection.send(wire.connect("meter"))
        hinted(system, refused(connection.read()))
        connection.expect_closed()


@case
def an_unknown_method_is_refused_as_such(system):
    # [MQTT-4.12.0-1]
    for method in ("SCRAM-SHA-256", "", "ACE", "ace "):
        with system.wire() as connection:
            connection.send(wire.connect_ace("meter", b"\0\0", method=method))
            refused(connection.read(), 0x8C)
            connection.expect_closed()


@case
def malformed_authentication_data_is_refused(system):
    token = device(system).token()
    text = token.text.encode()
    for data in (b"\0", b"\xff\xff", struct.pack("!H", len(text) + 1) + text, b"\0\0" + bytes(64), os.urandom(64)):
        with system.wire() as connection:
            connection.send(wire.connect_ace("meter", data))
            answer = connection.read()
            if answer is not None and answer.kind == AUTH:
                connection.send(wire.auth(CONTINUE, bytes(72)))
                answer = connection.read()
            refused(answer)
            connection.expect_closed()


@case
def a_malformed_answer_to_a_challenge_is_refused(system):
    token = device(system).token()
    for data in (None, b"", bytes(7), bytes(8), bytes(9), bytes(71), bytes(73), bytes(60_000)):
        with system.wire() as connection:
            connection.send(wire.connect_ace("meter", ace.token_only(token.text.encode())))
            wire.challenge_of(connection.read())
            connection.send(wire.auth(CONTINUE, data))
            refused(connection.read(), NOT_AUTHORIZED, wire.MALFORMED, wire.PROTOCOL_ERROR)
            connection.expect_closed()


@case
def a_proof_with_bytes_after_it_is_refused(system):
    token = device(system).token()
    with system.wire() as connection:
        proof = token.key.prove(connection.channel.exporter()) + b"\0"
        refused(connection.authenticate(token.text, token.key, "exporter", data=ace.token_and_proof(token.text.encode(), proof)))
    with system.wire() as connection:
        proof = token.key.prove(connection.channel.exporter())[:-1]
        refused(connection.authenticate(token.text, token.key, "exporter", data=ace.token_and_proof(token.text.encode(), proof)))


@case
def another_method_in_the_answer_is_refused(system):
    # [MQTT-4.12.0-5]
    token = device(system).token()
    with system.wire() as connection:
        connection.send(wire.connect_ace("meter", ace.token_only(token.text.encode())))
        nonce = wire.challenge_of(connection.read())
        connection.send(wire.auth(CONTINUE, ace.answer_challenge(token.key, nonce), method="other"))
        refused(connection.read(), NOT_AUTHORIZED, 0x8C, wire.PROTOCOL_ERROR)
        connection.expect_closed()


@case
def nothing_but_auth_may_come_before_the_connack(system):
    # RFC 9431 §2.2.4.1, [MQTT-3.1.4-6]
    token = device(system).token()
    for early in (wire.publish("rooms/1", b"early"), wire.subscribe("rooms/#"), wire.packet(wire.PINGREQ, b""), wire.connect("meter")):
        with system.wire() as connection:
            connection.send(wire.connect_ace("meter", ace.token_only(token.text.encode())))
            wire.challenge_of(connection.read())
            connection.send(early)
            answer = connection.read()
            assert answer is None or (answer.kind in (CONNACK, wire.DISCONNECT) and answer.reason >= 0x80), answer
            if answer is not None:
                connection.expect_closed()


@case
def the_will_must_lie_within_the_scope(system):
    # RFC 9431 §2.2.4.1, §5
    token = device(system).token()
    for proof in PROOFS:
        with system.wire() as connection:
            will = ("elsewhere/1", b"gone", 0, False, ())
            answer = refused(connection.authenticate(token.text, token.key, proof, "meter", will=will))
            assert answer.reason_string, answer
            connection.expect_closed()
        with system.wire() as connection:
            will = ("rooms/1", b"gone", 0, False, ())
            answer = connection.authenticate(token.text, token.key, proof, "meter", will=will)
            assert answer.reasons == [0], answer


@case
def the_method_stands_in_every_authentication_packet(system):
    # [MQTT-4.12.0-5]
    token = device(system).token()
    connection, answer = system.admitted(token, "meter", "challenge")
    with connection:
        assert answer.find(METHOD) == ace.METHOD, answer
        assert answer.find(DATA) is None, answer
