"""CBOR Web Tokens that pycose and cwt made, which share no code with Symbolon, at the broker (RFC 8392, RFC 9431 §2.1)."""

import os

import cbor2
from cwt import COSE, COSEKey
from cwt import encode as encode_cwt
from pycose.algorithms import A256GCM, EdDSA
from pycose.headers import IV, KID, Algorithm
from pycose.keys import CoseKey
from pycose.keys.symmetric import SymmetricKey
from pycose.messages import Enc0Message, Sign1Message

import ace
import wire
from case import case
from foreign import gnutls_psk, openssl_psk
from cases.known import changed, flows, handshake_fails, in_cbor, secret
from system import Token, now
from wire import CONNACK, NOT_AUTHORIZED, PUBACK

ALLOW = ("pub:rooms/#", "sub:rooms/#")
SCOPE = [["rooms/#", ["pub", "sub"]]]
TAG = bytes.fromhex("d83d")
ISS, SUB, AUD, EXP, IAT, CTI, CNF, AIF = 1, 2, 3, 4, 6, 7, 8, 9


def cose_key(jwk):
    """The public part of a JWK as a COSE_Key (RFC 9052 §7)."""
    if jwk["kty"] == "OKP":
        return {1: 1, -1: 6, -2: ace.unb64url(jwk["x"])}
    return {1: 2, -1: 1, -2: ace.unb64url(jwk["x"]), -3: ace.unb64url(jwk["y"])}


def claims_of(system, cnf, **changes):
    claims = {ISS: system.issuer, SUB: "meter", AUD: system.audience, EXP: now() + 600, IAT: now(), CTI: os.urandom(8)}
    claims |= {AIF: cbor2.dumps(SCOPE), CNF: cnf}
    return {**claims, **{int(number): value for number, value in changes.items()}}


def as_key_of(system):
    """The AS's signing key as pycose and cwt have it, and its kid."""
    jwk = system.as_key().jwk
    members = {**cose_key(jwk), 3: -8, -4: ace.unb64url(jwk["d"])}
    return members, jwk["kid"].encode()


def signed_by_cwt(system, claims):
    members, kid = as_key_of(system)
    by = COSEKey.new({**members, 2: kid})
    return TAG + COSE.new().encode(cbor2.dumps(claims), by, protected={1: -8, 4: kid}, unprotected={})


def signed_by_pycose(system, claims):
    members, kid = as_key_of(system)
    message = Sign1Message(phdr={Algorithm: EdDSA, KID: kid}, uhdr={}, payload=cbor2.dumps(claims))
    message.key = CoseKey.from_dict(members)
    return TAG + message.encode()


def encrypted_by_pycose(system, key, kid=None):
    """A symmetric key as an Encrypted_COSE_Key (RFC 8747 §3.3), with the IV unprotected."""
    content = system.content_key()
    inner = {1: 4, 3: 5, -1: ace.unb64url(key.jwk["k"]), **({2: kid} if kid else {})}
    message = Enc0Message(
        phdr={Algorithm: A256GCM, KID: content["kid"].encode()}, uhdr={IV: os.urandom(12)}, payload=cbor2.dumps(inner)
    )
    message.key = SymmetricKey.from_dict({1: 4, 3: 3, -1: ace.unb64url(content["k"])})
    return cbor2.loads(message.encode(tag=False))


def admitted(system, raw, key, proof):
    """By this proof, within the scope and not beyond."""
    with system.wire() as connection:
        answer = connection.authenticate(raw, key, proof, "meter")
        assert answer is not None and answer.kind == CONNACK and answer.reason == 0, f"{proof}: {answer}"
        connection.send(wire.publish("rooms/1", qos=1))
        assert connection.expect(PUBACK).reason in (0, 0x10)
        connection.send(wire.publish("elsewhere/1", qos=1))
        connection.expect(PUBACK, NOT_AUTHORIZED)


def refused(system, raw, key, proof="exporter"):
    with system.wire() as connection:
        answer = connection.authenticate(raw, key, proof, "meter")
        assert answer is not None and answer.kind == CONNACK and answer.reason == NOT_AUTHORIZED, answer
        connection.expect_closed()


@case
def a_cwt_of_two_foreign_implementations_is_admitted_by_both_proofs(system):
    for alg in ("EdDSA", "ES256", "HS256"):
        key = ace.Key.generate(alg)
        cnf = {2: encrypted_by_pycose(system, key)} if alg == "HS256" else {1: cose_key(key.jwk)}
        for make in (signed_by_cwt, signed_by_pycose):
            raw = make(system, claims_of(system, cnf))
            for proof in ("exporter", "challenge"):
                # With and without tag 61, and as the text that a client got in a JSON answer.
                for form in (raw, raw.removeprefix(TAG), ace.b64url(raw).encode()):
                    admitted(system, form, key, proof)
            refused(system, changed(raw), key)
            refused(system, raw, ace.Key.generate(alg))


@case
def a_cwt_that_says_anything_wrong_is_refused(system):
    key = ace.Key.generate("EdDSA")
    cnf = {1: cose_key(key.jwk)}
    wrong = [
        {"1": "https://elsewhere.example"},
        {"3": "mqtts://elsewhere.example"},
        {"4": now() - 1},
        {"4": "tomorrow"},
        {"5": now() + 600},
        {"8": {}},
        {"8": {1: cose_key(key.jwk), 3: b"other"}},
        # RFC 8747 §3.2: a symmetric key in the open.
        {"8": {1: {1: 4, 3: 5, -1: bytes(32)}}},
        {"9": SCOPE},
        {"9": cbor2.dumps([["rooms/#", []]])},
        {"9": cbor2.dumps(SCOPE) + b"\0"},
    ]
    for changes in wrong:
        refused(system, signed_by_cwt(system, claims_of(system, cnf, **changes)), key)
    members, kid = as_key_of(system)
    by, plain = COSEKey.new({**members, 2: kid}), cbor2.dumps(claims_of(system, cnf))
    for protected, unprotected in (
        ({1: -8}, {4: kid}),
        ({1: -8, 4: b"other"}, {}),
        ({1: -8, 4: kid, 2: [1000], 1000: 1}, {}),
    ):
        refused(system, TAG + COSE.new().encode(plain, by, protected=protected, unprotected=unprotected), key)
    # What cwt does by itself: kid in the unprotected header.
    refused(system, encode_cwt(claims_of(system, cnf), by, tagged=True), key)
    # A MAC by the public key taken for a secret (RFC 8725 §2.1).
    confused = COSEKey.new({1: 4, 3: 5, -1: members[-2], 2: kid})
    refused(system, TAG + COSE.new().encode(plain, confused, protected={1: 5, 4: kid}, unprotected={}), key)
    admitted(system, signed_by_cwt(system, claims_of(system, cnf)), key, "exporter")


@case
def a_cwt_is_the_identity_of_a_pre_shared_key_or_is_named_by_it(system):
    # RFC 9431 §2.2.3.2: "the access token as identity"; as text for OpenSSL, as its raw bytes for GnuTLS, which takes any but 0.
    key = ace.Key.generate("HS256")
    token = Token({"access_token": ""}, key)
    kid = os.urandom(16)
    while True:
        cnf = {2: encrypted_by_pycose(system, key, kid)}
        raw = signed_by_pycose(system, claims_of(system, cnf))
        if 0 not in raw:
            break
    handshake_fails(system, openssl_psk(system, ace.b64url(in_cbor(kid)), secret(token), "-tls1_3"))
    flows(system, openssl_psk(system, ace.b64url(raw), secret(token), "-tls1_3"))
    flows(system, gnutls_psk(system, raw, secret(token)))
    handshake_fails(system, gnutls_psk(system, raw, changed(secret(token))))
    handshake_fails(system, openssl_psk(system, ace.b64url(changed(raw)), secret(token), "-tls1_3"))
    # A token that came in a handshake is stored as one that was published is: its key's name is enough from now on.
    for version in ("-tls1_3", "-tls1_2"):
        flows(system, openssl_psk(system, ace.b64url(in_cbor(kid)), secret(token), version))
