"""Clients that TLS knows (RFC 9431 §2.2.3), by programs of others: OpenSSL, GnuTLS and mosquitto bring the key, the token comes with it or before."""

import json
import os
import pathlib
import tempfile

from cryptography.hazmat.primitives import serialization

import ace
import wire
from case import case
from foreign import ended, gnutls_psk, gnutls_raw_key, mosquitto, openssl_psk
from system import now
from wire import CONNACK, NOT_AUTHORIZED, PUBACK, PUBLISH, SUBACK

ALLOW = ("pub:rooms/#", "sub:rooms/#")
# RFC 9202 §3.3.2: what comes before the kid in `{ 8: { 1: { 1: 4, 2: kid } } }`.
CNF_WITH_KID = bytes.fromhex("a108a101a2010402")
TLS_1_2_SUITE = "ECDHE-PSK-CHACHA20-POLY1305"


def shared(system):
    return system.device("meter", *ALLOW).token()


def secret(token):
    return ace.unb64url(token.key.jwk["k"])


def named(system, kid):
    """A token whose symmetric key has a name: in its JWE, as the client knows it."""
    token = shared(system)
    jwk = {**token.key.jwk, "kid": ace.b64url(kid)}
    token = system.forge(token, cnf={"jwe": ace.encrypt_jwk(system.content_key(), jwk)})
    publish_token(system, token)
    return token


def publish_token(system, token):
    """To `authz-info`, as anybody may (RFC 9431 §2.2.2)."""
    with system.wire() as stranger:
        stranger.send(wire.connect("stranger") + wire.publish("authz-info", token.text.encode(), qos=1))
        stranger.expect(CONNACK, 0)
        stranger.expect(PUBACK, 0)


def in_cbor(kid):
    assert len(kid) < 24
    return CNF_WITH_KID + bytes([0x40 + len(kid)]) + kid


def names_of(kid):
    """The identities as text that name the key."""
    text = ace.b64url(kid)
    compact = json.dumps({"cnf": {"jwk": {"kty": "oct", "kid": text}}}, separators=(",", ":"))
    return [ace.b64url(in_cbor(kid)), compact, json.dumps({"cnf": {"jwk": {"kid": text, "kty": "oct"}}}, indent=1)]


def flows(system, channel, client_id="meter"):
    """Admitted without a word of the method `ace`, within the token's scope and not beyond."""
    with system.wire(channel=channel) as connection:
        connection.send(wire.connect(client_id))
        connection.expect(CONNACK, 0)
        connection.send(wire.subscribe("rooms/#", "elsewhere/#"))
        assert connection.expect(SUBACK).reasons == [0, NOT_AUTHORIZED]
        connection.send(wire.publish("rooms/1", b"warm", qos=1))
        seen = {received.kind: received for received in (connection.read(), connection.read())}
        assert set(seen) == {PUBACK, PUBLISH} and seen[PUBACK].reason == 0, seen
        assert (seen[PUBLISH].topic, seen[PUBLISH].payload) == ("rooms/1", b"warm"), seen
        connection.send(wire.publish("elsewhere/1", b"warm", qos=1))
        connection.expect(PUBACK, NOT_AUTHORIZED)


def handshake_fails(system, channel):
    with system.wire(channel=channel) as connection:
        connection.send(wire.connect("meter"))
        received = connection.read()
        assert received is None, f"a wrong key was let in: {received}"


def changed(octets, at=-1):
    """One bit is another."""
    octets = bytearray(octets)
    octets[at] ^= 1
    return bytes(octets)


def changed_text(text):
    """One character in the middle is another."""
    middle = len(text) // 2
    return text[:middle] + ("A" if text[middle] != "A" else "B") + text[middle + 1 :]


@case
def openssl_brings_its_whole_token_as_identity_on_tls_1_3(system):
    # RFC 9431 §2.2.3.2: the token as PSK identity, nothing was uploaded before.
    token = shared(system)
    flows(system, openssl_psk(system, token.text, secret(token), "-tls1_3"))
    handshake_fails(system, openssl_psk(system, token.text, changed(secret(token)), "-tls1_3"))
    handshake_fails(system, openssl_psk(system, changed_text(token.text), secret(token), "-tls1_3"))
    flows(system, openssl_psk(system, token.text, secret(token), "-tls1_3"))


@case
def openssl_names_its_key_on_both_versions(system):
    # RFC 9202 §3.3.2: the identity names the key of a token that was uploaded.
    kid = os.urandom(16)
    token = named(system, kid)
    for version in (["-tls1_3"], ["-tls1_2", "-cipher", TLS_1_2_SUITE], ["-tls1_2", "-cipher", "ECDHE-PSK-AES128-CBC-SHA256"]):
        for identity in names_of(kid):
            flows(system, openssl_psk(system, identity, secret(token), *version))
        handshake_fails(system, openssl_psk(system, names_of(kid)[0], changed(secret(token)), *version))
        handshake_fails(system, openssl_psk(system, names_of(changed(kid))[0], secret(token), *version))


@case
def gnutls_names_its_key_or_brings_its_token_as_raw_bytes(system):
    kid = bytes(1 + octet % 255 for octet in os.urandom(16))
    token = named(system, kid)
    for identity in (in_cbor(kid), token.text.encode()):
        flows(system, gnutls_psk(system, identity, secret(token)))
        handshake_fails(system, gnutls_psk(system, identity, changed(secret(token))))
    handshake_fails(system, gnutls_psk(system, in_cbor(kid[::-1]), secret(token)))


def pem_files(key, folder):
    """The device's own key pair as two PEM files."""
    private = key.private_key()
    written = {
        "private.pem": private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
        "public.pem": private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
    }
    for name, octets in written.items():
        (pathlib.Path(folder) / name).write_bytes(octets)
    return tuple(str(pathlib.Path(folder) / name) for name in written)


def shows_its_raw_key(system, pop, version, more=""):
    device = system.device(f"meter-{pop}", *ALLOW, auth="key", pop=pop)
    with tempfile.TemporaryDirectory() as folder:
        files = pem_files(device.pop_key, folder)

        def come():
            return gnutls_raw_key(system, files, version, more)

        with system.wire(channel=come()) as early:
            early.send(wire.connect("meter"))
            early.expect(CONNACK, NOT_AUTHORIZED)
            early.expect_closed()
        # A token for another key of the same client opens nothing for this one.
        own = ace.Key.generate({"ed25519": "EdDSA", "es256": "ES256"}[pop])
        publish_token(system, system.forge(device.token(), cnf={"jwk": ace.public_jwk(own.jwk)}))
        with system.wire(channel=come()) as early:
            early.send(wire.connect("meter"))
            early.expect(CONNACK, NOT_AUTHORIZED)
        publish_token(system, device.token())
        flows(system, come())


@case
def gnutls_shows_a_raw_ed25519_key_on_tls_1_3(system):
    shows_its_raw_key(system, "ed25519", "VERS-TLS1.3")


@case
def gnutls_shows_a_raw_p256_key_on_tls_1_3(system):
    shows_its_raw_key(system, "es256", "VERS-TLS1.3")


@case
def gnutls_shows_a_raw_ed25519_key_on_tls_1_2(system):
    shows_its_raw_key(system, "ed25519", "VERS-TLS1.2")


@case
def gnutls_shows_a_raw_p256_key_on_tls_1_2_with_the_suite_of_the_profile(system):
    # RFC 9431 §2.2.3: TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256.
    shows_its_raw_key(system, "es256", "VERS-TLS1.2", ":-KX-ALL:+ECDHE-ECDSA:-CIPHER-ALL:+AES-128-GCM:-MAC-ALL:+AEAD")


@case
def mosquitto_comes_with_a_pre_shared_key_and_messages_flow(system):
    # mosquitto's --psk-identity is text: base64url of the CBOR, or JSON. The token comes first, by authz-info.
    kid = os.urandom(16)
    token = named(system, kid)
    for identity in names_of(kid)[:2]:
        for tls in ("tlsv1.2", "tlsv1.3"):
            keyed = ("--tls-version", tls, "--psk-identity", identity, "--psk", secret(token).hex())
            for version in ("5", "311"):
                for qos in "012":
                    message_passes(system, keyed, version, qos)
        wrong = ("--psk-identity", identity, "--psk", changed(secret(token)).hex())
        _, said, code = ended(mosquitto("pub", system, *wrong, "-V", "5", "-q", "1", "-t", "rooms/1", "-m", "x"))
        assert code != 0, f"a wrong key was let in: {said}"


def message_passes(system, keyed, version, qos):
    words = (*keyed, "-V", version, "-q", qos)
    kept = f"kept-{version}-{qos}"
    # Retained, so that it does not matter who comes first.
    out, said, code = ended(mosquitto("pub", system, *words, "-r", "-t", "rooms/1", "-m", kept))
    assert code == 0, f"{words}: {out}{said}"
    out, said, code = ended(mosquitto("sub", system, *words, "-t", "rooms/#", "-C", "1", "-W", "20", "-F", "%t %q %p"))
    assert code == 0 and out == f"rooms/1 {qos} {kept}\n", f"{words}: {code} {out}{said}"
    if version == "5" and qos != "0":
        _, said, code = ended(mosquitto("pub", system, *words, "-t", "elsewhere", "-m", "x"))
        assert "failed" in said, f"{words}: beyond the scope: {code} {said}"


@case
def a_token_in_connect_replaces_what_a_raw_key_brought(system):
    # RFC 9431 §2.2.1: TLS:Known, MQTT:ace.
    device = system.device("meter", *ALLOW, auth="key", pop="ed25519")
    publish_token(system, device.token())
    narrow = system.device("other", "pub:other/#", auth="key", pop="ed25519").token()
    with tempfile.TemporaryDirectory() as folder:
        channel = gnutls_raw_key(system, pem_files(device.pop_key, folder), "VERS-TLS1.3")
        with system.wire(channel=channel) as connection:
            answer = connection.authenticate(narrow.text, narrow.key, "challenge", "other")
            assert answer.kind == CONNACK and answer.reason == 0, answer
            connection.send(wire.publish("rooms/1", qos=1))
            connection.expect(PUBACK, NOT_AUTHORIZED)
            connection.send(wire.publish("other/1", qos=1))
            assert connection.expect(PUBACK).reason in (0, 0x10)


@case
def a_client_with_a_pre_shared_key_is_cut_when_its_token_expires(system):
    token = shared(system)
    short = system.forge(token, exp=now() + 4)
    with system.wire(channel=openssl_psk(system, short.text, secret(token), "-tls1_3")) as connection:
        connection.send(wire.connect("meter"))
        connection.expect(CONNACK, 0)
        connection.expect(wire.DISCONNECT, NOT_AUTHORIZED)
        connection.expect_closed()
    handshake_fails(system, openssl_psk(system, short.text, secret(token), "-tls1_3"))
