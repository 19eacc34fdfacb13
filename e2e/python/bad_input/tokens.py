"""JWTs of which one thing is wrong (RFC 9431 §2.2.5): header, claims, confirmation, the JWE around a key, scope. The AS's own key signs them all."""

import json
import os

import ace
from bad import ABSENT, Bad, all_refused_alike, as_json, bad_proof, jws, none_is_stored, refusal
from case import case
from system import now


def both_ways(system, good, table):
    all_refused_alike(system, good, table)
    none_is_stored(system, good, table)


def swapped(text, old, new):
    assert old in text
    return text.replace(old, new, 1)


@case
def a_jwt_whose_form_is_wrong_is_refused(system):
    good = Bad(system)
    token = good.token()
    head, claims, signature = token.split(".")
    # The last character of 64 bytes has 4 bits that mean nothing and must be 0 (RFC 4648 §3.5).
    loose = signature[:-1] + chr(ord(signature[-1]) + 1)
    table = {
        "two parts": f"{head}.{claims}",
        "four parts": f"{token}.AA",
        "no header": f".{claims}.{signature}",
        "no claims": f"{head}..{signature}",
        "no signature": f"{head}.{claims}.",
        "padded": f"{token}==",
        "padded inside": f"{head}=.{claims}.{signature}",
        "another alphabet": f"{head}.{claims}.{signature[:-2]}+/",
        "loose bits": f"{head}.{claims}.{loose}",
        "signature too short": f"{head}.{claims}.{signature[:-4]}",
        "signature too long": f"{head}.{claims}.{signature}AAAA",
        "signature twice": f"{head}.{claims}.{signature}{signature}",
        "signature of zeros": f"{head}.{claims}.{ace.b64url(bytes(64))}",
        "another's signature": f"{head}.{claims}.{good.token().split('.')[2]}",
        "parts exchanged": f"{claims}.{head}.{signature}",
        "space before": f" {token}",
        "newline after": f"{token}\n",
        "newline inside": f"{head}.{claims[:9]}\n{claims[9:]}.{signature}",
        "zero after": f"{token}\0",
        "case of one letter": swapped(token, "e", "E"),
        "JSON serialization": json.dumps({"protected": head, "payload": claims, "signature": signature}),
        "five parts": f"{head}..AAAA.{claims}.{signature}",
        "not ASCII": f"é{token}",
        "not UTF-8": b"\xff" + token.encode(),
        "as text of text": ace.b64url(token.encode()),
        "only dots": "..",
        "one byte": "e",
        "very long": token + "A" * 60_000,
    }
    both_ways(system, good, table)


@case
def a_jwt_whose_header_is_wrong_is_refused(system):
    good = Bad(system)
    kid = good.as_key.jwk["kid"]
    raw = {
        "no object": "[]",
        "a text": '"EdDSA"',
        "null": "null",
        "empty": "",
        "not closed": '{"alg":"EdDSA"',
        "something behind": '{"alg":"EdDSA"}{}',
        "a mark before": b"\xef\xbb\xbf" + as_json(good.header()),
        "not UTF-8": b'{"alg":"EdDSA","x":"\xff"}',
        "alg twice": f'{{"alg":"none","alg":"EdDSA","kid":"{kid}"}}',
        "alg twice, the second escaped": f'{{"alg":"EdDSA","\\u0061lg":"none","kid":"{kid}"}}',
        "kid twice": f'{{"alg":"EdDSA","kid":"other","kid":"{kid}"}}',
        "crit twice": f'{{"alg":"EdDSA","kid":"{kid}","crit":["a"],"crit":[]}}',
        "deep": '{"alg":"EdDSA","kid":' + "[" * 5_000 + "]" * 5_000 + "}",
    }
    table = {f"header: {name}": good.token(header=text) for name, text in raw.items()}
    algs = [ABSENT, "none", "NONE", "", "eddsa", "EdDSA ", "ES256", "ES384", "HS256", "HS512", "RS256", "PS256", "dir"]
    values = {
        "alg": [*algs, None, 1, ["EdDSA"], {"alg": "EdDSA"}],
        "kid": ["other", "", kid[:-1], f"{kid} ", 7, ["x"], {}, "x" * 10_000, "../../../etc/hostname", "\0"],
        "typ": ["dpop+jwt", "JWE", "secevent+jwt", "", 7, ["at+jwt"]],
        "crit": [["exotic"], ["exp"], ["b64"], [], "exotic", 1, {}, [1]],
    }
    for member, wrong in values.items():
        table |= {f"{member}: {str(value)[:40]}": good.with_header(**{member: value}) for value in wrong}
    both_ways(system, good, table)


@case
def a_jwt_that_brings_or_names_other_keys_is_judged_by_the_as_key_alone(system):
    # RFC 8725 §3.10: what the header says of keys is the sender's word.
    good, own = Bad(system), ace.Key.generate("EdDSA")
    brought = {
        "jwk": ace.public_jwk(own.jwk),
        "jku": "https://127.0.0.1:9/jwks.json",
        "x5u": "https://127.0.0.1:9/cert.pem",
        "x5c": ["AAAA"],
        "x5t": "AAAA",
    }
    table = {name: jws(own, good.header(**{name: value}), good.claims()) for name, value in brought.items()}
    public = ace.public_jwk(good.as_key.jwk)
    for name, secret in {"x": ace.unb64url(public["x"]), "JWK": json.dumps(public).encode(), "nothing": b""}.items():
        confused = ace.Key("HS256", {"kty": "oct", "k": ace.b64url(secret)})
        table[f"a MAC by {name}"] = jws(confused, good.header(alg="HS256"), good.claims())
    content = system.content_key()
    confused = ace.Key("HS256", {"kty": "oct", "k": content["k"]})
    # RFC 8725 §3.1: one key, one algorithm.
    table["a MAC by the content key"] = jws(confused, good.header(alg="HS256", kid=content["kid"]), good.claims())
    both_ways(system, good, table)


@case
def a_jwt_whose_claims_are_wrong_is_refused(system):
    good = Bad(system)
    plain = good.claims()
    inner = json.dumps(plain)[1:-1]
    raw = {
        "no object": "[]",
        "empty": "",
        "null": "null",
        "not closed": "{" + inner,
        "something behind": "{" + inner + "}x",
        "not UTF-8": b'{"x":"\xff",' + inner.encode() + b"}",
        "exp twice": "{" + inner + f',"exp":{now() + 9_000}}}',
        "scope twice": "{" + inner + f',"scope":"{ace.encode_scope([["#", ["pub"]]])}"}}',
        "aud twice, the second escaped": "{" + inner + ',"\\u0061ud":"x"}',
        "deep": "{" + inner + ',"nbf":' + '{"a":' * 5_000 + "1" + "}" * 5_000 + "}",
        "number beyond all": swapped("{" + inner + "}", f'"exp": {plain["exp"]}', '"exp": 1e999'),
        "number with zeros before": swapped("{" + inner + "}", '"exp": ', '"exp": 0'),
    }
    table = {f"claims: {name}": good.token(claims=text) for name, text in raw.items()}
    other = "https://elsewhere.example"
    values = {
        "iss": [ABSENT, None, 1, [system.issuer], {}, "", other, f"{system.issuer}/", system.issuer.upper(), f"{system.issuer} "],
        "exp": [ABSENT, None, "tomorrow", str(now() + 600), [now() + 600], True, -1, 0, 0.5, now(), now() - 1, -(2**70)],
        "nbf": ["now", now() + 600, [1], {}, -1, True],
        "iat": ["now", [1], {}, -1, True],
        "aud": [ABSENT, None, 1, [], [1], {}, "", [system.audience, 1], [[system.audience]], "mqtts://elsewhere.example", [other]],
        "sub": [1, [], {}, True],
        "client_id": [1, [], {}, True],
        "jti": [1, [], {}],
        "cnonce": [1, [], "!", "AAAA="],
        "exi": ["soon", -1, 0.5, []],
    }
    for claim, wrong in values.items():
        table |= {f"{claim}: {value}": good.with_claims(**{claim: value}) for value in wrong}
    both_ways(system, good, table)


@case
def a_token_whose_scope_is_wrong_is_refused(system):
    # RFC 9431 §2.3: one text, base64url of a JSON array of [filter, [permissions]].
    good = Bad(system)
    rooms = b'[["rooms/#",["pub","sub"]]]'
    table = {f"scope: {value}": good.with_claims(scope=value) for value in (ABSENT, None, 1, [], {}, [["rooms/#", ["pub"]]], "rooms/#", "pub sub")}
    texts = {
        "padded": ace.b64url(rooms + b" ") + "=" * 2,
        "another alphabet": ace.b64url(b'[["\xc3\xbb\xc3\xbf\xc3\xbe",["pub"]]]').replace("-", "+").replace("_", "/") + "+",
        "newline": ace.b64url(rooms)[:8] + "\n" + ace.b64url(rooms)[8:],
        "not encoded": rooms.decode(),
        "empty": "",
    }
    arrays = [
        b"", b"{}", b"null", b"[", b"[[]]", b'["rooms/#"]', b'[["rooms/#"]]', b'[["rooms/#",[]]]', b'[["rooms/#","pub"]]',
        b'[["rooms/#",["own"]]]', b'[["rooms/#",["PUB"]]]', b'[["rooms/#",["pub","pub"]]]', b'[["rooms/#",["pub",1]]]',
        b'[["rooms/#",["pub"],1]]', b'[[1,["pub"]]]', b'[["",["pub"]]]', b'[["rooms/#/x",["pub"]]]', b'[["ro#",["pub"]]]',
        b'[["a+/b",["pub"]]]', b'[["a\\u0000b",["pub"]]]', b'[["a\\ud800",["pub"]]]', b'[["a\xff",["pub"]]]', rooms + b",", rooms + rooms,
        json.dumps([[f"a{n}", ["pub"]] for n in range(1_025)]).encode(), b"[" * 3_000 + b"]" * 3_000,
        json.dumps([["a" * 30_000, ["pub"], []]]).encode(),
    ]
    texts |= {f"array {number}: {array[:40]}": ace.b64url(array) for number, array in enumerate(arrays)}
    table |= {f"scope {name}": good.with_claims(scope=text) for name, text in texts.items()}
    both_ways(system, good, table)


@case
def a_token_whose_confirmation_is_wrong_is_refused(system):
    good = Bad(system)
    jwk, kid = ace.public_jwk(good.key.jwk), ace.b64url(os.urandom(16))
    p256 = ace.public_jwk(ace.Key.generate("ES256").jwk)
    jwe = ace.encrypt_jwk(system.content_key(), ace.Key.generate("HS256").jwk)
    wrong = {
        "absent": ABSENT, "null": None, "a text": "key", "a list": [jwk], "nothing in it": {},
        "an unknown kid": {"kid": kid}, "kid a number": {"kid": 7}, "kid and key": {"kid": kid, "jwk": jwk}, "two keys": {"jwk": jwk, "jwe": jwe},
        "a place": {"jku": "https://127.0.0.1:9/"}, "a thumbprint": {"jkt": kid}, "a certificate": {"x5t#S256": kid},
        "jwk a text": {"jwk": json.dumps(jwk)}, "jwk a list": {"jwk": [jwk]}, "jwk null": {"jwk": None}, "jwe a number": {"jwe": 5}, "jwe null": {"jwe": None},
        "a secret in the open": {"jwk": ace.Key.generate("HS256").jwk}, "a private key": {"jwk": good.key.jwk}, "an unknown name": {"jwk": {"kty": "oct", "kid": kid}},
    }
    for name, members in {
        "kty absent": {"kty": ABSENT}, "kty RSA": {"kty": "RSA", "n": "AQAB", "e": "AQAB"}, "kty EC": {"kty": "EC"}, "kty lower": {"kty": "okp"}, "kty number": {"kty": 1},
        "crv absent": {"crv": ABSENT}, "crv Ed448": {"crv": "Ed448"}, "crv X25519": {"crv": "X25519"}, "crv P-256": {"crv": "P-256"}, "crv number": {"crv": 6},
        "x absent": {"x": ABSENT}, "x empty": {"x": ""}, "x short": {"x": jwk["x"][:-2]}, "x long": {"x": jwk["x"] + "AA"}, "x padded": {"x": jwk["x"] + "="},
        "x number": {"x": 1}, "x null": {"x": None}, "x no base64url": {"x": "!" * 43},
        "for another algorithm": {"alg": "ES256"}, "to encrypt": {"use": "enc"}, "only to sign": {"key_ops": ["sign"]}, "operations a text": {"key_ops": "verify"},
    }.items():
        changed = {member: value for member, value in {**jwk, **members}.items() if value is not ABSENT}
        wrong[f"jwk, {name}"] = {"jwk": changed}
    for name, members in {
        "y absent": {"y": ABSENT}, "y of another": {"y": ace.public_jwk(ace.Key.generate("ES256").jwk)["y"]}, "zeros": {"x": ace.b64url(bytes(32)), "y": ace.b64url(bytes(32))},
        "crv P-384": {"crv": "P-384"}, "crv secp256k1": {"crv": "secp256k1"}, "x short": {"x": ace.b64url(bytes(31))}, "for EdDSA": {"alg": "EdDSA"},
        "x beyond the field": {"x": ace.b64url(b"\xff" * 32)},
    }.items():
        changed = {member: value for member, value in {**p256, **members}.items() if value is not ABSENT}
        wrong[f"P-256, {name}"] = {"jwk": changed}
    both_ways(system, good, {f"cnf, {name}": good.with_claims(cnf=cnf) for name, cnf in wrong.items()})
    doubled = json.dumps(jwk)[:-1] + f',"x":"{kid}"}}'
    text = json.dumps(good.claims(cnf="HERE")).replace('"HERE"', f'{{"jwk":{doubled}}}')
    both_ways(system, good, {"cnf, x twice": good.token(claims=text)})


@case
def a_token_whose_encrypted_key_is_wrong_is_refused(system):
    # RFC 9431 §2.1: a JWE around the key, of which only this kind is taken: `dir`, A256GCM, the key that AS and RS share.
    good = Bad(system, "HS256")
    content, jwk = system.content_key(), good.key.jwk
    jwe = ace.encrypt_jwk(content, jwk)
    head, _, iv, sealed, tag = jwe.split(".")

    def flipped(part, at=0):
        octets = bytearray(ace.unb64url(part))
        octets[at] ^= 1
        return ace.b64url(bytes(octets))

    wrong = {
        "four parts": ".".join([head, iv, sealed, tag]), "six parts": f"{jwe}.AA", "an encrypted key": ".".join([head, "AAAA", iv, sealed, tag]),
        "header changed": ".".join([flipped(head, -2), "", iv, sealed, tag]), "iv changed": ".".join([head, "", flipped(iv), sealed, tag]),
        "iv short": ".".join([head, "", ace.b64url(ace.unb64url(iv)[:11]), sealed, tag]), "iv long": ".".join([head, "", iv + "AA", sealed, tag]),
        "content changed": ".".join([head, "", iv, flipped(sealed), tag]), "content empty": ".".join([head, "", iv, "", tag]),
        "tag changed": ".".join([head, "", iv, sealed, flipped(tag)]), "tag short": ".".join([head, "", iv, sealed, ace.b64url(ace.unb64url(tag)[:12])]),
        "tag absent": ".".join([head, "", iv, sealed, ""]), "padded": f"{jwe}==", "empty": "", "dots": "....",
        "under another key": ace.encrypt_jwk({**content, "k": ace.b64url(os.urandom(32))}, jwk),
    }
    for name, headers in {
        "kid of another": {"kid": "other"}, "kid a number": {"kid": 1}, "kid null": {"kid": None}, "alg A256KW": {"alg": "A256KW"}, "alg none": {"alg": "none"},
        "enc A128GCM": {"enc": "A128GCM"}, "enc A256CBC-HS512": {"enc": "A256CBC-HS512"}, "compressed": {"zip": "DEF"}, "critical": {"crit": ["x"], "x": 1},
    }.items():
        wrong[name] = ace.encrypt_jwk(content, jwk, **headers)
    for name, inner in {
        "no key": {}, "a public key": ace.public_jwk(ace.Key.generate("EdDSA").jwk), "a private key": ace.Key.generate("EdDSA").jwk, "no k": {"kty": "oct"},
        "k of 31 bytes": {**jwk, "k": ace.b64url(os.urandom(31))}, "k of 16 bytes": {**jwk, "k": ace.b64url(os.urandom(16))}, "k empty": {**jwk, "k": ""},
        "k padded": {**jwk, "k": jwk["k"] + "="}, "k a number": {**jwk, "k": 5}, "for HS512": {**jwk, "alg": "HS512"}, "for A256GCM": {**jwk, "alg": "A256GCM"},
        "to encrypt": {**jwk, "use": "enc"}, "a list": [jwk], "a text": "key", "kid a number": {**jwk, "kid": 5},
        "large": {**jwk, "x5c": ["A" * 9_000]},
    }.items():
        wrong[f"content: {name}"] = ace.encrypt_jwk(content, inner)
    both_ways(system, good, {f"jwe, {name}": good.with_claims(cnf={"jwe": value}) for name, value in wrong.items()})


@case
def whatever_is_wrong_the_client_is_told_the_same(system):
    # A thief with a token learns from no answer whether token, key or proof was at fault, by either proof; nor from the close.
    for alg in ("EdDSA", "ES256", "HS256"):
        good, thief = Bad(system, alg), ace.Key.generate(alg)
        tokens = {
            "a bad proof": (good.token(), thief),
            "expired": (good.with_claims(exp=now() - 5), good.key),
            "expired and a bad proof": (good.with_claims(exp=now() - 5), thief),
            "another audience": (good.with_claims(aud="mqtts://elsewhere.example"), good.key),
            "another issuer": (good.with_claims(iss="https://elsewhere.example"), good.key),
            "a bad signature": (good.token()[:-6] + "AAAAAA", good.key),
            "an unknown key": (good.with_header(kid="other"), good.key),
            "a bad scope": (good.with_claims(scope="!"), good.key),
            "a bad key": (good.with_claims(cnf={"jwk": {"kty": "OKP"}}), good.key),
            "no token": ("a.b.c", good.key),
        }
        told = {f"{name}, {proof}": refusal(system, *pair, proof) for name, pair in tokens.items() for proof in ("exporter", "challenge")}
        assert set(told.values()) == {bad_proof(system, good)}, "\n".join(f"{name}: {what}" for name, what in told.items())
