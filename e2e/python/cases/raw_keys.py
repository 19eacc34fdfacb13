"""Raw public keys at the AS (RFC 7250) by GnuTLS: a client that shows its key in the TLS handshake, on the port where others show certificates."""

import json
import pathlib
import subprocess
import tempfile
import urllib.parse

from cryptography.hazmat.primitives import serialization

import ace
from case import case

PATIENCE_SECS = 20
PRIORITY = "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CTYPE-ALL:+CTYPE-CLI-RAWPK:+CTYPE-SRV-X509"


def gnutls(system, folder, key, members):
    """What the token endpoint answers GnuTLS, which shows `key`: the status and the body."""
    private, public = folder / "private.pem", folder / "public.pem"
    pkcs8 = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    private.write_bytes(key.private_key().private_bytes(*pkcs8))
    spki = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    public.write_bytes(key.private_key().public_key().public_bytes(*spki))
    words = ["--rawpkkeyfile", str(private), "--rawpkfile", str(public)]
    at = urllib.parse.urlsplit(system.token_endpoint)
    body = json.dumps(members)
    request = f"POST {at.path} HTTP/1.1\r\nhost: {at.netloc}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n{body}"
    command = ["gnutls-cli", "-p", str(at.port), "--x509cafile", system.ca, "--priority", PRIORITY, *words, at.hostname]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        # It ends when the server closes: its input stays open until then, or it would not wait for the answer.
        child.stdin.write(request.encode())
        child.stdin.flush()
        child.wait(PATIENCE_SECS)
        said = child.stdout.read().decode()
    finally:
        child.kill()
        child.wait()
    head, found, rest = said.partition("HTTP/1.1 ")
    assert found, head
    status, _, rest = rest.partition(" ")
    start = rest.index("{")
    answer, _ = json.JSONDecoder().raw_decode(rest[start:])
    return int(status), answer


def register(system, name, key):
    """By its public key, as `symbolon_rpk` (our name for it)."""
    headers = {"Content-Type": "application/json", "Authorization": "Bearer " + system.initial_access_token(name, "--allow", "pub:rooms/#")}
    members = {"token_endpoint_auth_method": "symbolon_rpk", "jwks": {"keys": [ace.public_jwk(key.jwk)]}}
    answer = system.https("POST", system.issuer + "/register", json.dumps(members).encode(), headers)
    assert answer.status == 201, answer.body


def asking(name, key):
    return {"client_id": name, "req_cnf": {"jwk": ace.public_jwk(key.jwk)}}


@case
def gnutls_gets_a_token_by_the_raw_key_that_it_shows(system):
    for algorithm in ("EdDSA", "ES256"):
        name, key, other = f"meter-{algorithm}", ace.Key.generate(algorithm), ace.Key.generate(algorithm)
        register(system, name, key)
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            status, answer = gnutls(system, folder, key, asking(name, key))
            assert status == 200 and answer["access_token"], (status, answer)
            status, answer = gnutls(system, folder, other, asking(name, key))
            assert (status, answer["error"]) == (401, "invalid_client"), (status, answer)
