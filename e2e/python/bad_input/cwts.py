"""CWTs of which one thing is wrong (RFC 8392, RFC 9052): the message and its headers, the claims, COSE_Key, Encrypted_COSE_Key, CBOR itself."""

import os

import cbor2
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import ace
from bad import ABSENT, SCOPE, Bad, all_refused_alike, merged, none_is_stored
from case import case
from cases.cwts import TAG, cose_key
from system import now

ISS, SUB, AUD, EXP, NBF, IAT, CTI, CNF, AIF, CNONCE, EXI = 1, 2, 3, 4, 5, 6, 7, 8, 9, 39, 40
EDDSA, HMAC, A256GCM = -8, 5, 3
SIGN1, MAC0, ENCRYPT0 = 18, 17, 16


class Raw(bytes):
    """CBOR already, well-formed or not."""


def dumps(value):
    return bytes(value) if isinstance(value, Raw) else cbor2.dumps(value, canonical=True)


class BadCwt(Bad):
    """The same for CWTs; `good.token` stays a JWT, which is what the broker must go on to serve."""

    def protected(self, **changes):
        return merged({1: EDDSA, 4: self.as_key.jwk["kid"].encode()}, numbered(changes))

    def members(self, **changes):
        base = {ISS: self.system.issuer, SUB: "meter", AUD: self.system.audience, EXP: now() + 600, IAT: now(), CTI: os.urandom(8)}
        cnf = {3: b"unknown"} if self.key.alg == "HS256" else {1: cose_key(self.key.jwk)}
        return merged({**base, AIF: cbor2.dumps(SCOPE), CNF: cnf}, numbered(changes))

    def cwt(self, protected=None, unprotected=None, members=None, **others):
        """A COSE_Sign1; `others`: the tags before it, the number of its context, what stands in its array."""
        head = dumps(self.protected() if protected is None else protected)
        payload = dumps(self.members() if members is None else members)
        context = others.get("context", "Signature1")
        signature = self.as_key.prove(cbor2.dumps([context, head, b"", payload]))
        parts = [head, {} if unprotected is None else unprotected, payload, signature]
        parts = others.get("arrange", lambda parts: parts)(parts)
        body = others["array"](parts) if "array" in others else cbor2.dumps(parts)
        return others.get("tags", TAG + b"\xd2") + body

    def with_members(self, **changes):
        return self.cwt(members=self.members(**changes))

    def with_protected(self, **changes):
        return self.cwt(protected=self.protected(**changes))


def numbered(changes):
    """Keyword arguments cannot be numbers: `_1` stands for 1 and `m1` for -1."""
    return {int(name.replace("_", "").replace("m", "-")): value for name, value in changes.items()}


def both_ways(system, good, table):
    all_refused_alike(system, good, table)
    none_is_stored(system, good, table)


@case
def a_cwt_whose_form_is_wrong_is_refused(system):
    good = BadCwt(system)
    token = good.cwt()
    assert token.startswith(TAG + b"\xd2\x84")
    text = ace.b64url(token)
    table = {
        "empty array": TAG + b"\xd2\x80",
        "three parts": good.cwt(arrange=lambda parts: parts[:3]),
        "five parts": good.cwt(arrange=lambda parts: [*parts, b""]),
        "a text for the payload": good.cwt(arrange=lambda parts: [parts[0], parts[1], "claims", parts[3]]),
        "no payload": good.cwt(arrange=lambda parts: [parts[0], parts[1], None, parts[3]]),
        "a map for the protected header": good.cwt(arrange=lambda parts: [cbor2.loads(parts[0]), *parts[1:]]),
        "a list for the unprotected header": good.cwt(arrange=lambda parts: [parts[0], [], *parts[2:]]),
        "no signature": good.cwt(arrange=lambda parts: [*parts[:3], b""]),
        "a short signature": good.cwt(arrange=lambda parts: [*parts[:3], parts[3][:63]]),
        "a long signature": good.cwt(arrange=lambda parts: [*parts[:3], parts[3] + b"\0"]),
        "another signature": good.cwt(arrange=lambda parts: [*parts[:3], bytes(64)]),
        "of another context": good.cwt(context="Signature"),
        "of a MAC's context": good.cwt(context="MAC0"),
        "tag of a MAC": good.cwt(tags=TAG + b"\xd1"),
        "tag of an encryption": good.cwt(tags=TAG + b"\xd0"),
        "tag of many signatures": good.cwt(tags=TAG + b"\xd8\x62"),
        "no COSE tag": good.cwt(tags=TAG),
        "no tag at all": good.cwt(tags=b""),
        "tag 61 twice": good.cwt(tags=TAG + TAG + b"\xd2"),
        "tags exchanged": good.cwt(tags=b"\xd2" + TAG),
        "a tag in two bytes": good.cwt(tags=b"\xd9\x00\x3d\xd2"),
        "an indefinite array": good.cwt(array=lambda parts: b"\x9f" + b"".join(map(cbor2.dumps, parts)) + b"\xff"),
        "a long array head": good.cwt(array=lambda parts: b"\x98\x04" + b"".join(map(cbor2.dumps, parts))),
        "a payload in chunks": good.cwt(
            array=lambda parts: b"\x84" + b"".join(map(cbor2.dumps, parts[:2])) + b"\x5f" + cbor2.dumps(parts[2]) + b"\xff" + cbor2.dumps(parts[3])
        ),
        "a byte behind": token + b"\0",
        "cut": token[:-1],
        "cut in the middle": token[: len(token) // 2],
        "a length beyond all": TAG + b"\xd2\x9b" + b"\xff" * 8,
        "a length beyond the end": TAG + b"\xd2\x84\x5b\x7f" + b"\xff" * 7,
        "deep": TAG + b"\xd2\x84" + b"\x81" * 5_000,
        "deep tags": b"\xd2" * 5_000,
        "only tags": TAG + b"\xd2",
        "text, padded": text + "=" * (-len(text) % 4 or 4),
        "text, cut": text[:-3],
        "text of text": ace.b64url(text.encode()),
    }
    both_ways(system, good, table)


@case
def a_cwt_whose_headers_are_wrong_is_refused(system):
    good = BadCwt(system)
    kid = good.as_key.jwk["kid"].encode()
    table = {
        "nothing protected": good.cwt(protected=Raw(b""), unprotected=good.protected()),
        "alg unprotected": good.cwt(protected={4: kid}, unprotected={1: EDDSA}),
        "kid unprotected": good.cwt(protected={1: EDDSA}, unprotected={4: kid}),
        "anything unprotected": good.cwt(unprotected={1000: 1}),
        "no map": good.cwt(protected=Raw(b"\x80")),
        "alg twice": good.cwt(protected=Raw(b"\xa3\x01\x27\x01\x27\x04" + cbor2.dumps(kid))),
        "an indefinite map": good.cwt(protected=Raw(b"\xbf\x01\x27\x04" + cbor2.dumps(kid) + b"\xff")),
        "a byte behind": good.cwt(protected=Raw(cbor2.dumps(good.protected(), canonical=True) + b"\0")),
        "alg in two bytes": good.cwt(protected=Raw(b"\xa2\x01\x38\x07\x04" + cbor2.dumps(kid))),
        "not UTF-8": good.cwt(protected=Raw(b"\xa3\x01\x27\x04" + cbor2.dumps(kid) + b"\x61\xff\x00")),
    }
    algs = [ABSENT, None, "EdDSA", 0, -7, -35, HMAC, 4, A256GCM, [EDDSA], b"\x27", -8.0]
    values = {"_1": algs, "_4": [b"other", b"", kid.decode(), 7, [kid], kid[:-1], bytes(20_000)], "_2": [[1000], [1], [], 1, "x"], "_16": [7, "jwt", 60, []]}
    for label, wrong in values.items():
        table |= {f"{label}: {str(value)[:40]}": good.with_protected(**{label: value}) for value in wrong}
    both_ways(system, good, table)


@case
def a_cwt_whose_claims_are_wrong_is_refused(system):
    good = BadCwt(system)
    plain = cbor2.dumps(good.members(), canonical=True)
    raw = {
        "no map": b"\x80",
        "empty": b"",
        "a text": b"\x61a",
        "cut": plain[:-1],
        "a byte behind": plain + b"\0",
        "exp twice": b"\xa9" + plain[1:] + b"\x04" + cbor2.dumps(now() + 9_000),
        "scope twice": b"\xa9" + plain[1:] + b"\x09" + cbor2.dumps(cbor2.dumps([["#", ["pub"]]])),
        "indefinite": b"\xbf" + plain[1:] + b"\xff",
        "deep": b"\xa9" + plain[1:] + b"\x18\x64" + b"\x81" * 5_000 + b"\0",
        "not UTF-8": b"\xa9" + plain[1:] + b"\x61\xff\x00",
    }
    table = {f"claims: {name}": good.cwt(members=Raw(text)) for name, text in raw.items()}
    other, aud = "https://elsewhere.example", system.audience
    values = {
        "_1": [ABSENT, None, 1, b"x", [system.issuer], other, f"{system.issuer}/"],
        "_3": [ABSENT, None, 1, [], [1], {}, aud.encode(), "mqtts://elsewhere.example", [other], [aud, 1], [[aud]]],
        "_4": [ABSENT, None, "tomorrow", -1, 0, now(), now() - 0.5, float("inf"), float("nan"), [1], b"\1", True],
        "_5": [now() + 600, "now", -1, float("nan"), []],
        "_6": ["now", -1, float("-inf"), []],
        "_2": [1, b"meter", []],
        "_7": ["text", 7, []],
        "_39": ["text", 7, []],
        "_40": ["soon", -1, 0.5, []],
    }
    for claim, wrong in values.items():
        table |= {f"{claim}: {value}": good.with_members(**{claim: value}) for value in wrong}
    scopes = [ABSENT, None, 1, SCOPE, ace.encode_scope(SCOPE), b"", b"\xa0", b"\x80\x00", b"\x81\x80", cbor2.dumps(SCOPE) + b"\0"]
    arrays = [["rooms/#"], [["rooms/#"]], [["rooms/#", []]], [["rooms/#", "pub"]], [["rooms/#", ["own"]]], [["rooms/#", [1]]], [["rooms/#", ["pub", "pub"]]]]
    arrays += [[[1, ["pub"]]], [[b"rooms/#", ["pub"]]], [["", ["pub"]]], [["rooms/#/x", ["pub"]]], [["a\0b", ["pub"]]], [["rooms/#", ["pub"], 1]]]
    arrays += [[[f"a{n}", ["pub"]] for n in range(1_025)]]
    scopes += [cbor2.dumps(array) for array in arrays] + [b"\x81" * 3_000, b"\x81\x82\x61\xff\x81\x63pub"]
    table |= {f"scope {number}: {str(value)[:40]}": good.with_members(_9=value) for number, value in enumerate(scopes)}
    both_ways(system, good, table)


@case
def a_cwt_whose_cose_key_is_wrong_is_refused(system):
    good = BadCwt(system)
    key = cose_key(good.key.jwk)
    point = cose_key(ace.Key.generate("ES256").jwk)
    wrong = {
        "absent": ABSENT, "null": None, "a list": [key], "bytes": cbor2.dumps({1: key}), "nothing in it": {}, "an unknown kid": {3: os.urandom(8)},
        "kid a text": {3: "kid"}, "two keys": {1: key, 3: b"other"}, "key as bytes": {1: cbor2.dumps(key)}, "named by a text": {"jwk": key}, "key a list": {1: [1, 6]},
        "key null": {1: None}, "a thumbprint": {5: os.urandom(32)}, "a secret in the open": {1: {1: 4, 3: HMAC, -1: os.urandom(32)}},
        "a private key": {1: {**key, -4: ace.unb64url(good.key.jwk["d"])}}, "a name": {1: {1: 4, 2: os.urandom(8)}}, "negative": {-1: key},
    }
    for name, members in {
        "kty absent": {1: ABSENT}, "kty a text": {1: "OKP"}, "kty EC2": {1: 2}, "kty RSA": {1: 3}, "kty symmetric": {1: 4}, "kty negative": {1: -1},
        "crv absent": {-1: ABSENT}, "crv Ed448": {-1: 7}, "crv X25519": {-1: 4}, "crv P-256": {-1: 1}, "crv a text": {-1: "Ed25519"},
        "x absent": {-2: ABSENT}, "x empty": {-2: b""}, "x short": {-2: key[-2][:31]}, "x long": {-2: key[-2] + b"\0"}, "x a text": {-2: good.key.jwk["x"]}, "x a number": {-2: 5},
        "alg ES256": {3: -7}, "alg unknown": {3: -999}, "alg null": {3: None}, "only to sign": {4: [1]}, "operations a number": {4: 2}, "operations unknown": {4: [99]},
        "kid a number": {2: 5},
    }.items():
        wrong[name] = {1: merged(key, members)}
    for name, members in {
        "y absent": {-3: ABSENT}, "y as a sign": {-3: True}, "not on the curve": {-3: bytes(32)}, "x short": {-2: point[-2][:31]}, "crv P-384": {-1: 2}, "alg EdDSA": {3: EDDSA},
        "x beyond the field": {-2: b"\xff" * 32},
    }.items():
        wrong[f"P-256, {name}"] = {1: merged(point, members)}
    both_ways(system, good, {f"cnf, {name}": good.with_members(_8=cnf) for name, cnf in wrong.items()})


@case
def a_cwt_whose_encrypted_key_is_wrong_is_refused(system):
    # RFC 8747 §3.3: COSE_Encrypt0 with the key that AS and RS share, of which only A256GCM is taken.
    good = BadCwt(system, "HS256")
    content, secret = system.content_key(), ace.unb64url(good.key.jwk["k"])
    plain = {1: 4, 3: HMAC, -1: secret}

    def encrypted(protected=None, unprotected=None, inner=None, key=None, **others):
        head = dumps({1: A256GCM, 4: content["kid"].encode()} if protected is None else protected)
        iv = others.get("iv", os.urandom(12))
        authenticated = cbor2.dumps([others.get("context", "Encrypt0"), head, b""])
        nonce = iv if isinstance(iv, bytes) and len(iv) >= 8 else bytes(12)
        sealed = AESGCM(key or ace.unb64url(content["k"])).encrypt(nonce, dumps(plain if inner is None else inner), authenticated)
        return others.get("arrange", lambda parts: parts)([head, {5: iv} if unprotected is None else unprotected, sealed])

    kid = content["kid"].encode()
    wrong = {
        "no array": b"x", "two parts": encrypted(arrange=lambda parts: parts[:2]), "four parts": encrypted(arrange=lambda parts: [*parts, b""]),
        "detached": encrypted(arrange=lambda parts: [*parts[:2], None]), "tag cut": encrypted(arrange=lambda parts: [*parts[:2], parts[2][:-4]]),
        "content changed": encrypted(arrange=lambda parts: [*parts[:2], bytes([parts[2][0] ^ 1]) + parts[2][1:]]), "empty": encrypted(arrange=lambda parts: [*parts[:2], b""]),
        "another context": encrypted(context="Encrypt"), "another key": encrypted(key=os.urandom(32)), "iv short": encrypted(iv=bytes(11)), "iv long": encrypted(iv=bytes(13)),
        "no iv": encrypted(unprotected={}), "iv a text": encrypted(iv="x" * 12), "a partial iv": encrypted(unprotected={6: b"\1"}),
        "alg absent": encrypted(protected={4: kid}), "alg A128GCM": encrypted(protected={1: 1, 4: kid}), "alg AES-CCM": encrypted(protected={1: 10, 4: kid}),
        "kid absent": encrypted(protected={1: A256GCM}), "kid of another": encrypted(protected={1: A256GCM, 4: b"other"}), "critical": encrypted(protected={1: A256GCM, 2: [1000], 4: kid, 1000: 1}),
        "alg unprotected": encrypted(protected={4: kid}, unprotected={1: A256GCM, 5: bytes(12)}),
    }
    for name, inner in {
        "no map": [1], "nothing": {}, "a public key": cose_key(ace.Key.generate("EdDSA").jwk), "no k": {1: 4}, "k of 31 bytes": {**plain, -1: secret[:31]}, "k empty": {**plain, -1: b""},
        "k a text": {**plain, -1: good.key.jwk["k"]}, "for HMAC 256/64": {**plain, 3: 4}, "for A256GCM": {**plain, 3: A256GCM}, "a byte behind": Raw(cbor2.dumps(plain, canonical=True) + b"\0"),
        "k twice": Raw(b"\xa3\x01\x04\x20" + cbor2.dumps(secret) + b"\x20" + cbor2.dumps(secret)),
    }.items():
        wrong[f"content: {name}"] = encrypted(inner=inner)
    both_ways(system, good, {f"encrypted key, {name}": good.with_members(_8={2: value}) for name, value in wrong.items()})
    # And what is right is taken: the table is wrong in nothing but what it says.
    with system.wire() as connection:
        answer = connection.authenticate(good.with_members(_8={2: encrypted()}), good.key, "exporter", "meter")
        assert answer.reasons == [0], answer
