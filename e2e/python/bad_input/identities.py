"""PSK identities that name no key and are no token (RFC 9431 §2.2.3.2), and good ones with another's key: one alert for all, and no certificate instead."""

import json
import os
import re
import subprocess

import cbor2

import ace
import wire
from bad import ABSENT, Bad, lives_on
from case import case
from cases.cwts import claims_of, encrypted_by_pycose, signed_by_pycose
from cases.known import flows, handshake_fails, in_cbor, names_of, publish_token, secret
from foreign import openssl_psk
from system import Token, now

HANDSHAKE_SECS = 30


def alert(system, identity, key, *version):
    """The alert that OpenSSL got, and that it was shown no certificate."""
    words = ["openssl", "s_client", "-connect", f"{system.host}:{system.port}", "-psk_identity", identity, "-psk", key.hex(), *version]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=HANDSHAKE_SECS)
    said = (done.stdout + done.stderr).decode(errors="replace")
    assert "BEGIN CERTIFICATE" not in said, said
    found = re.search(r"SSL alert number (\d+)", said)
    assert found, f"no alert for {identity[:60]!r}\n{said}"
    return int(found[1])


def stored(system):
    """A good token with a named key, stored."""
    good, kid = Bad(system, "HS256"), os.urandom(16)
    jwk = {**good.key.jwk, "kid": ace.b64url(kid)}
    token = Token({"access_token": good.with_claims(cnf={"jwe": ace.encrypt_jwk(system.content_key(), jwk)})}, good.key)
    publish_token(system, token)
    return good, token, kid


def wrong_identities(system, good, kid):
    other = os.urandom(16)
    cnf = {1: {1: 4, 2: kid}}
    in_json = {"cnf": {"jwk": {"kty": "oct", "kid": ace.b64url(kid)}}}
    text = json.dumps(in_json, separators=(",", ":"))
    maps = {
        "another kid": {8: {1: {1: 4, 2: other}}}, "a shorter kid": {8: {1: {1: 4, 2: kid[:-1]}}}, "a longer kid": {8: {1: {1: 4, 2: kid + b"\1"}}},
        "an empty kid": {8: {1: {1: 4, 2: b""}}}, "a text for the kid": {8: {1: {1: 4, 2: ace.b64url(kid)}}}, "no kid": {8: {1: {1: 4}}}, "no kty": {8: {1: {2: kid}}},
        "kty of a signature": {8: {1: {1: 1, 2: kid}}}, "another member": {9: cnf}, "cnf a list": {8: [cnf]}, "empty": {8: {}}, "two keys": {8: {**cnf, 3: kid}},
        "a key": {8: {1: {1: 4, 2: kid, -1: ace.unb64url(good.key.jwk["k"])}}},
    }
    good_map = cbor2.dumps({8: cnf})
    wrong = {name: ace.b64url(cbor2.dumps(members)) for name, members in maps.items()}
    wrong |= {
        "a byte behind": ace.b64url(good_map + b"\0"),
        "indefinite": ace.b64url(b"\xbf" + good_map[1:] + b"\xff"),
        "cut": ace.b64url(good_map[:-1]),
        "in hex": good_map.hex(),
        "padded": ace.b64url(good_map) + "=" * (-len(ace.b64url(good_map)) % 4 or 1),
        "the kid alone": ace.b64url(kid),
        "JSON, cut": text[:-1],
        "JSON, something behind": text + "x",
        "JSON, another kid": text.replace(ace.b64url(kid), ace.b64url(other)),
        "JSON, kty of a signature": text.replace("oct", "OKP"),
        "JSON, kid twice": text.replace('"kid"', '"kid":"x","kid"'),
        "JSON, cnf twice": '{"cnf":{},' + text[1:],
        "JSON, a list": f"[{text}]",
        "JSON, no cnf": json.dumps({"key": in_json["cnf"]["jwk"]}),
        "JSON, deep": '{"cnf":' * 30 + "1" + "}" * 30,
        "a name": "meter",
        "one byte": "x",
        "a space": " ",
    }
    return wrong


@case
def an_identity_that_names_no_key_is_refused_as_a_wrong_key_is(system):
    good, token, kid = stored(system)
    for version in (["-tls1_3"], ["-tls1_2", "-cipher", "PSK"]):
        expected = alert(system, names_of(kid)[0], os.urandom(32), *version)
        table = wrong_identities(system, good, kid)
        told = {name: alert(system, identity, secret(token), *version) for name, identity in table.items()}
        wrong = {name: number for name, number in told.items() if number != expected}
        assert not wrong, f"{version}: alert {expected} was expected, {wrong}"
        flows(system, openssl_psk(system, names_of(kid)[0], secret(token), *version))
    lives_on(system, good)


@case
def a_token_as_identity_is_judged_as_one_in_connect_is(system):
    good = Bad(system, "HS256")
    key = ace.unb64url(good.key.jwk["k"])
    flows(system, openssl_psk(system, good.token(), key, "-tls1_3"))
    expected = alert(system, good.token(), os.urandom(32), "-tls1_3")
    asymmetric = ace.public_jwk(ace.Key.generate("EdDSA").jwk)
    another = signed_by_pycose(system, claims_of(system, {2: encrypted_by_pycose(system, good.key)}, **{"3": "mqtts://elsewhere.example"}))
    table = {
        "expired": good.with_claims(exp=now() - 1),
        "not yet valid": good.with_claims(nbf=now() + 600),
        "another audience": good.with_claims(aud="mqtts://elsewhere.example"),
        "another issuer": good.with_claims(iss="https://elsewhere.example"),
        "no audience": good.with_claims(aud=ABSENT),
        "a bad scope": good.with_claims(scope="!"),
        "an asymmetric key": good.with_claims(cnf={"jwk": asymmetric}),
        "the key in the open": good.with_claims(cnf={"jwk": good.key.jwk}),
        "an unknown key": good.with_claims(cnf={"kid": "unknown"}),
        "a signature of another": good.token()[:-8] + "AAAAAAAA",
        "no algorithm": good.with_header(alg="none"),
        "a critical header": good.with_header(crit=["x"]),
        "an unknown signer": good.with_header(kid="other"),
        "cut": good.token()[:-1],
        "longer": good.token() + "A",
        "a CWT for another audience": ace.b64url(another),
        "60 000 bytes": "eyJ" * 20_000,
    }
    told = {name: alert(system, identity, key, "-tls1_3") for name, identity in table.items()}
    wrong = {name: number for name, number in told.items() if number != expected}
    assert not wrong, f"alert {expected} was expected, {wrong}"
    flows(system, openssl_psk(system, good.token(), key, "-tls1_3"))


@case
def what_a_handshake_named_but_did_not_prove_is_not_stored(system):
    # A token that a thief found opens nothing for others by being shown.
    good, kid = Bad(system, "HS256"), os.urandom(16)
    jwk = {**good.key.jwk, "kid": ace.b64url(kid)}
    token = good.with_claims(cnf={"jwe": ace.encrypt_jwk(system.content_key(), jwk)})
    handshake_fails(system, openssl_psk(system, token, os.urandom(32), "-tls1_3"))
    handshake_fails(system, openssl_psk(system, ace.b64url(in_cbor(kid)), ace.unb64url(jwk["k"]), "-tls1_3"))
    with system.wire() as connection:
        connection.send(wire.connect_ace("meter", b""))
        answer = connection.read()
        assert answer.kind == wire.CONNACK and answer.reason == wire.NOT_AUTHORIZED, answer
