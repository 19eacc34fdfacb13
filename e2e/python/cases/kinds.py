"""The rows of the matrix that only others' TLS can be: raw public keys and named pre-shared keys on TLS 1.2, with tokens of every kind of the AS."""

import pathlib
import subprocess
import tempfile

import cbor2
import cwt
from cwt import COSEKey

import ace
import wire
from case import case
from cases.known import ALLOW, TLS_1_2_SUITE, changed, changed_text, flows, handshake_fails, in_cbor, pem_files, secret
from foreign import gnutls_raw_key, openssl_psk
from system import COMMAND_LIMIT_SECS
from wire import CONNACK, DISCONNECT, NOT_AUTHORIZED, PUBACK

SHORT_SECS = 8
TLS_1_2_PSK = ("-tls1_2", "-cipher", TLS_1_2_SUITE)
VERSIONS = ("VERS-TLS1.3", "VERS-TLS1.2")


def run(system, *words):
    subprocess.run([system._program, *words], check=True, capture_output=True, timeout=COMMAND_LIMIT_SECS, stdin=subprocess.DEVNULL)


def set_kind(system, kind):
    """What tokens the AS makes; where it makes references, the running broker is told that it may ask about them."""
    run(system, "rs", "set", system.audience, "--format", kind, "--dir", str(system.directory))
    if kind == "reference":
        config = pathlib.Path(system.config)
        config.write_text(config.read_text().replace("# endpoint = ", "endpoint = "))
        run(system, "reload", str(system.directory))


def upload(system, text, code=0):
    """To `authz-info`."""
    with system.wire() as stranger:
        stranger.send(wire.connect("stranger") + wire.publish("authz-info", text.encode(), qos=1))
        stranger.expect(CONNACK, 0)
        answer = stranger.expect(PUBACK)
        assert answer.reason == code if code == 0 else answer.reason >= 0x80, answer


def short(system, name, **options):
    """A device whose tokens end soon."""
    words = ("--token-lifetime-secs", str(SHORT_SECS))
    return system.device(name, *ALLOW, more=words, **options)


def raw_keys(system, kind):
    set_kind(system, kind)
    for pop in ("ed25519", "es256"):
        device, other = (make(system, f"{name}-{pop}", pop) for name, make in (("meter", lasting), ("brief", brief)))
        for version in VERSIONS:
            with tempfile.TemporaryDirectory() as folder:
                files = pem_files(device.pop_key, folder)
                upload(system, changed_text(device.token().text), NOT_AUTHORIZED)
                if version == VERSIONS[0]:
                    refused(system, gnutls_raw_key(system, files, version))
                upload(system, device.token().text)
                flows(system, gnutls_raw_key(system, files, version), f"meter-{pop}")
                stranger = pem_files(ace.Key.generate(device.pop_key.alg), folder)
                refused(system, gnutls_raw_key(system, stranger, version))
        with tempfile.TemporaryDirectory() as folder:
            upload(system, other.token().text)
            is_cut_but_for_a_new_token(system, gnutls_raw_key(system, pem_files(other.pop_key, folder), VERSIONS[1]), other)


def lasting(system, name, pop):
    return system.device(name, *ALLOW, auth="key", pop=pop)


def brief(system, name, pop):
    return short(system, name, auth="key", pop=pop)


def refused(system, channel):
    with system.wire(channel=channel) as connection:
        connection.send(wire.connect("thief"))
        connection.expect(CONNACK, NOT_AUTHORIZED)
        connection.expect_closed()


def is_cut_but_for_a_new_token(system, channel, device):
    """Renewed on the live connection by a token for the same key, and cut when there is no other."""
    with system.wire(channel=channel) as connection:
        connection.send(wire.connect(device.client_id))
        connection.expect(CONNACK, 0)
        connection.expect_silence(SHORT_SECS / 2)
        connection.send(wire.publish("authz-info", device.token().text.encode(), qos=1))
        connection.expect(PUBACK, 0)
        connection.expect_silence(SHORT_SECS * 3 / 4)
        connection.expect(DISCONNECT, NOT_AUTHORIZED)
        connection.expect_closed()


def named_keys(system, kind):
    set_kind(system, kind)
    device = system.device("meter", *ALLOW)
    answer = device.ask().json()
    token = device.token_of(answer)
    identity = ace.b64url(in_cbor(ace.unb64url(answer["cnf"]["jwk"]["kid"])))
    handshake_fails(system, openssl_psk(system, identity, secret(token), *TLS_1_2_PSK))
    upload(system, changed_text(token.text), NOT_AUTHORIZED)
    handshake_fails(system, openssl_psk(system, identity, secret(token), *TLS_1_2_PSK))
    upload(system, token.text)
    flows(system, openssl_psk(system, identity, secret(token), *TLS_1_2_PSK))
    flows(system, openssl_psk(system, identity, secret(token), "-tls1_3"))
    handshake_fails(system, openssl_psk(system, identity, changed(secret(token)), *TLS_1_2_PSK))
    answer = short(system, "brief").ask().json()
    token = device.token_of(answer)
    identity = ace.b64url(in_cbor(ace.unb64url(answer["cnf"]["jwk"]["kid"])))
    upload(system, token.text)
    with system.wire(channel=openssl_psk(system, identity, secret(token), *TLS_1_2_PSK)) as connection:
        connection.send(wire.connect("brief"))
        connection.expect(CONNACK, 0)
        connection.expect(DISCONNECT, NOT_AUTHORIZED, timeout_secs=SHORT_SECS + 5)
        connection.expect_closed()
    handshake_fails(system, openssl_psk(system, identity, secret(token), *TLS_1_2_PSK))


@case
def a_raw_key_opens_by_a_jwt_on_both_versions_of_tls(system):
    raw_keys(system, "jwt")


@case
def a_raw_key_opens_by_a_cwt_on_both_versions_of_tls(system):
    raw_keys(system, "cwt")


@case
def a_named_key_opens_by_a_jwt_on_tls_1_2(system):
    named_keys(system, "jwt")


@case
def a_named_key_opens_by_a_cwt_on_tls_1_2(system):
    named_keys(system, "cwt")


@case
def a_raw_key_opens_by_a_reference_on_both_versions_of_tls(system):
    raw_keys(system, "reference")


@case
def a_named_key_opens_by_a_reference_on_tls_1_2(system):
    named_keys(system, "reference")


@case
def a_signed_cwt_is_verified_by_the_published_keys(system):
    """By python-cwt, which shares no code with Symbolon (RFC 8392 §7.2)."""
    set_kind(system, "cwt")
    device = system.device("meter-cwt", *ALLOW, auth="key", pop="ed25519")
    token = ace.unb64url(device.token().text)
    published = system.https("GET", system.issuer.rstrip("/") + "/jwks.json").json()["keys"]
    kid = cbor2.loads(cbor2.loads(token).value.value[0])[4].decode()
    key = COSEKey.from_jwk(next(jwk for jwk in published if jwk["kid"] == kid))
    claims = cwt.decode(token, key)
    assert (claims[1], claims[3]) == (system.issuer, system.audience), claims
    set_kind(system, "jwt")
