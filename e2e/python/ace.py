"""What RFC 9431 asks of a client, written from the RFCs with PyJWT and cryptography: tokens, keys, proofs, Authentication Data."""

import base64
import hashlib
import hmac
import json
import os
import struct
import time

import jwt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

METHOD = "ace"
EXPORTER_LABEL = b"EXPORTER-ACE-MQTT-Sign-Challenge"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
PRIVATE_MEMBERS = ("d", "k")


def b64url(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unb64url(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def encode_scope(aif):
    """AIF-MQTT as JSON messages and JWTs carry it: base64url of the JSON array (RFC 9431 §2.3)."""
    return b64url(json.dumps(aif, separators=(",", ":")).encode())


def decode_scope(text):
    return json.loads(unb64url(text))


def public_jwk(jwk):
    return {name: value for name, value in jwk.items() if name not in PRIVATE_MEMBERS}


class Key:
    """A proof-of-possession key: raw MAC or signature over the given bytes, no wrapper (RFC 9431 §2.2.4.2)."""

    def __init__(self, alg, jwk):
        self.alg, self.jwk = alg, jwk
        self._key = unb64url(jwk["k"]) if alg == "HS256" else jwt.PyJWK.from_dict(jwk, algorithm=alg).key

    @classmethod
    def generate(cls, alg):
        if alg == "HS256":
            return cls(alg, {"kty": "oct", "k": b64url(os.urandom(32))})
        if alg == "EdDSA":
            private = ed25519.Ed25519PrivateKey.generate()
            return cls(alg, json.loads(jwt.algorithms.OKPAlgorithm.to_jwk(private)))
        private = ec.generate_private_key(ec.SECP256R1())
        return cls(alg, json.loads(jwt.algorithms.ECAlgorithm.to_jwk(private)))

    def private_key(self):
        """As the package cryptography has it."""
        return self._key

    def prove(self, message):
        if self.alg == "HS256":
            return hmac.new(self._key, message, hashlib.sha256).digest()
        if self.alg == "EdDSA":
            return self._key.sign(message)
        r, s = decode_dss_signature(self._key.sign(message, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def sign_jwt(self, claims, **headers):
        if self.alg == "HS256":
            # PyJWT refuses, rightly, the secrets that an attacker would try.
            parts = [b64url(json.dumps(part).encode()) for part in ({"alg": self.alg, **headers}, claims)]
            signed = ".".join(parts)
            return f"{signed}.{b64url(self.prove(signed.encode()))}"
        return jwt.encode(claims, self._key, algorithm=self.alg, headers=headers)


def thumbprint(jwk):
    """RFC 7638."""
    members = {"OKP": ("crv", "kty", "x"), "EC": ("crv", "kty", "x", "y"), "oct": ("k", "kty")}[jwk["kty"]]
    canonical = json.dumps({name: jwk[name] for name in members}, separators=(",", ":"), sort_keys=True)
    return b64url(hashlib.sha256(canonical.encode()).digest())


def encrypt_jwk(content_key, jwk, **headers):
    """A key as a JWE that the AS's and the broker's content key opens (RFC 7516, `dir` and A256GCM), as a `cnf` has it."""
    head = {"alg": "dir", "enc": "A256GCM", "kid": content_key["kid"], "cty": "jwk+json", **headers}
    head = b64url(json.dumps(head).encode())
    iv = os.urandom(12)
    sealed = AESGCM(unb64url(content_key["k"])).encrypt(iv, json.dumps(jwk).encode(), head.encode())
    return ".".join([head, "", b64url(iv), b64url(sealed[:-16]), b64url(sealed[-16:])])


def token_only(token):
    """Authentication Data that asks for a challenge (RFC 9431 §2.2.4.2.2)."""
    return struct.pack("!H", len(token)) + token


def token_and_proof(token, proof):
    """Authentication Data with a proof over the exporter value (RFC 9431 §2.2.4.2.1): no length before the proof."""
    return token_only(token) + proof


def answer_challenge(key, rs_nonce, client_nonce=None):
    """The client's AUTH: its 8-byte nonce, then the proof over both nonces."""
    client_nonce = client_nonce or os.urandom(8)
    return client_nonce + key.prove(rs_nonce + client_nonce)


def assertion(key, client_id, audience, **changes):
    """A client assertion (RFC 7523 §3)."""
    now = int(time.time())
    claims = {"iss": client_id, "sub": client_id, "aud": audience, "jti": b64url(os.urandom(16)), "iat": now, "exp": now + 60}
    return key.sign_jwt({**claims, **changes})


def dpop(key, url, method="POST", **changes):
    """A DPoP proof (RFC 9449 §4.2): possession of the key in `req_cnf`, shown to the AS."""
    claims = {"jti": b64url(os.urandom(16)), "htm": method, "htu": url, "iat": int(time.time())}
    return key.sign_jwt({**claims, **changes}, typ="dpop+jwt", jwk=public_jwk(key.jwk))
