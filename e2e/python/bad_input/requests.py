"""Token requests with one thing wrong (RFC 6749 §5.2, RFC 9200 §5.8.3): form and JSON, client authentication, key, scope, audience, grant."""

import json
import os
import urllib.parse

import ace
from bad import ABSENT, merged
from case import case
from system import ACE_JSON, FORM, basic, now

ALLOW = ("pub:rooms/#", "sub:rooms/#")
HEADERS = {"Content-Type": ACE_JSON}


def ask(system, body, headers, content_type=ACE_JSON):
    """The status and the error code; no token, no word from within, never to be stored."""
    answer = system.post(body, headers, content_type)
    assert answer.status != 200, f"a token was issued: {body!r}"
    assert "no-store" in answer.headers.get("Cache-Control", ""), dict(answer.headers)
    code = answer.expect_error(answer.status)["error"]
    assert 400 <= answer.status < 500, f"{answer.status} {answer.body!r}"
    if answer.status == 401:
        # RFC 6749 §5.2
        assert "WWW-Authenticate" in answer.headers, dict(answer.headers)
    return answer.status, code


def each(table, expected, between=lambda: None):
    """`table`: by name a function that asks. Every one must get one of the expected codes; `between` is done after each."""
    told = {}
    for name, asking in table.items():
        try:
            status, code = asking()
            told[name] = None if code in expected else f"{status} {code}"
        except AssertionError as error:
            told[name] = str(error)
        between()
    wrong = {name: what for name, what in told.items() if what}
    assert not wrong, f"expected {expected}, but\n" + "\n".join(f"{name}: {what}" for name, what in wrong.items())


def encoded(request, content_type):
    if content_type == FORM:
        pairs = {name: value if isinstance(value, str) else json.dumps(value) for name, value in request.items()}
        return urllib.parse.urlencode(pairs).encode()
    return json.dumps(request).encode()


@case
def a_request_whose_members_are_wrong_gets_the_error_of_the_standard(system):
    device = system.device("meter", *ALLOW)
    proper, headers = device.authenticated(device.request())
    jwk = ace.public_jwk(ace.Key.generate("EdDSA").jwk)
    private = ace.Key.generate("EdDSA").jwk
    # member, wrong in JSON and in forms, wrong in JSON alone, codes
    rows = [
        ("grant_type", ["password", "authorization_code", "CLIENT_CREDENTIALS", " client_credentials"], [], {"unsupported_grant_type", "unauthorized_client"}),
        ("grant_type", ["refresh_token"], [], {"invalid_grant", "invalid_request"}),
        ("grant_type", [], [None, 2, [], {}, "client_credentials\0"], {"invalid_request", "unsupported_grant_type"}),
        ("audience", ["mqtts://elsewhere.example", system.audience + "/", system.audience.upper(), "x" * 5_000], [], {"invalid_request", "invalid_target", "invalid_scope"}),
        ("audience", [], [None, 3, [system.audience], {}], {"invalid_request"}),
        ("scope", ["rooms/#", "!", "pub sub", ace.b64url(b"{}"), ace.b64url(b'[["rooms/#",["own"]]]'), ace.encode_scope([["rooms/#", []]])], [], {"invalid_scope"}),
        ("scope", [ace.encode_scope([["other/#", ["pub"]]]), ace.encode_scope([["$SYS/#", ["sub"]]])], [None, 5, ["x"], [["rooms/#", ["pub"]]]], {"invalid_scope", "invalid_request"}),
        ("ace_profile", ["coap_dtls", "MQTT_TLS", "mqtt_tls "], [2, [], {}, False], {"incompatible_ace_profiles", "invalid_request"}),
        ("req_cnf", [{}, {"jwk": {}}, {"jwk": jwk, "kid": "x"}, {"jwk": {"kty": "oct", "k": ace.b64url(os.urandom(32))}}, {"jwe": "a..b.c.d"}], [None, 1, "key", [jwk]], {"invalid_request", "unsupported_pop_key"}),
        ("req_cnf", [{"jwk": jwk}, {"jwk": private}, {"kid": "unknown"}, {"jwk": {**jwk, "crv": "X25519"}}, {"jwk": {"kty": "RSA", "n": "AQAB", "e": "AQAB"}}], [], {"invalid_request", "unsupported_pop_key"}),
    ]
    table = {}
    for content_type in (ACE_JSON, FORM):
        for member, both, json_only, codes in rows:
            for value in both + (json_only if content_type == ACE_JSON else []):
                request = {**proper, member: value}
                name = f"{member} {str(value)[:50]} as {content_type}"
                table.setdefault(frozenset(codes), {})[name] = lambda r=request, c=content_type: ask(system, encoded(r, c), headers, c)
    for codes, asking in table.items():
        each(asking, codes)
    assert device.ask().status == 200


@case
def a_body_that_is_no_request_gets_invalid_request(system):
    device = system.device("meter", *ALLOW)
    proper, headers = device.authenticated(device.request())
    text = json.dumps(proper)
    form = urllib.parse.urlencode(proper)
    bodies = {
        ACE_JSON: [
            b"", b" ", b"null", b"[]", b"1", b'"x"', text[:-1], text + "x", text + text, "\ufeff" + text, f"[{text}]", text.replace('"grant_type"', '"scope"', 1),
            text[:-1] + ',"audience":"x"}', text[:-1] + ',"\\u0061udience":"x"}', b"\xff" + text.encode(), text.encode("utf-16"), form, "{" + '"a":1,' * 200 + '"b":2}',
            '{"audience":' + "[" * 6_000 + "]" * 6_000 + "}", text.replace("{", "{,", 1), text[:-1] + ",}", "// x\n" + text, text.replace('"', "'"),
        ],
        FORM: [
            form + "&audience=x", form + "&grant_type=client_credentials", form.replace("audience=", "audience=%zz"), form.replace("audience=", "audience=%ff"), form + "&%ff=1",
            form + "&req_cnf=%7B", form + "&req_cnf=x", form + "&req_cnf=%7B%22jwk%22%3A%7B%7D%2C%22jwk%22%3A%7B%7D%7D", form + "&%61udience=x",
        ],
    }
    expected = {"invalid_request", "invalid_scope", "unsupported_pop_key"}
    table = {}
    for content_type, wrong in bodies.items():
        for number, body in enumerate(wrong):
            octets = body if isinstance(body, bytes) else body.encode()
            table[f"{content_type} {number}: {octets[:60]}"] = lambda o=octets, c=content_type: ask(system, o, headers, c)
    each(table, expected)
    for kind in ("text/plain", "application/cbor", "multipart/form-data", "", "application/x-www-form-urlencoded, application/json", "*/*"):
        status, _ = ask(system, text.encode(), headers, kind)
        assert status in (400, 415), f"{kind}: {status}"
    answer = system.https("POST", f"{system.token_endpoint}?audience=x", text.encode(), {**HEADERS, **headers})
    answer.expect_error(400, code="invalid_request")
    assert device.ask().status == 200


@case
def a_client_that_does_not_prove_itself_is_told_nothing_more(system):
    device = system.device("meter", *ALLOW)
    proper = device.request()
    secret = device.profile["client_auth"]["secret"]
    good = basic(device.client_id, secret)

    def by(header):
        return lambda: ask(system, json.dumps(proper).encode(), {} if header is None else {"Authorization": header})

    def member(**members):
        return lambda: ask(system, json.dumps({**proper, **members}).encode(), {})

    table = {
        "nothing": by(None), "another secret": by(basic(device.client_id, "x" + secret)), "an empty secret": by(basic(device.client_id, "")),
        "a longer secret": by(basic(device.client_id, secret + "x")), "a prefix of it": by(basic(device.client_id, secret[:-1])), "an unknown client": by(basic("nobody", secret)),
        "an empty client": by(basic("", secret)), "another case": by(basic(device.client_id.upper(), secret)), "the client padded": by(basic(device.client_id + " ", secret)),
        "no colon": by("Basic " + good.split()[1][:8]), "another scheme": by("Bearer " + secret), "no scheme": by(good.split()[1]), "not base64": by("Basic !!!"),
        "a scheme alone": by("Basic"), "the secret in the body": member(client_id=device.client_id, client_secret="x"), "the name alone": member(client_id=device.client_id),
        "an assertion of nothing": member(client_id=device.client_id, client_assertion_type=ace.ASSERTION_TYPE, client_assertion="a.b.c"),
        "an assertion without a type": member(client_id=device.client_id, client_assertion="a.b.c"),
        "an assertion of another type": member(client_id=device.client_id, client_assertion_type="urn:x", client_assertion="a.b.c"),
    }
    each(table, {"invalid_client", "invalid_request"})
    # Who is known and who is not gets the same words, and so does a wrong secret.
    told = {system.post(proper, {"Authorization": basic(name, "wrong")}).body for name in (device.client_id, "nobody", "x" * 300)}
    assert len(told) == 1, told
    for twice in ({"client_secret": secret}, {"client_id": "other"}, {"client_assertion": "a.b.c", "client_assertion_type": ace.ASSERTION_TYPE}):
        # RFC 6749 §2.3: one method for each request.
        assert system.post({**proper, **twice}, {"Authorization": good}).status in (400, 401)
    assert device.ask().status == 200


@case
def an_assertion_or_a_proof_with_one_thing_wrong_is_refused(system):
    # RFC 7523 §3, RFC 9449 §4.3, RFC 8725.
    device = system.device("meter", *ALLOW, auth="key", pop="ed25519")
    key, me, issuer = device.auth_key, device.client_id, system.issuer
    request, _ = device.authenticated(device.request())

    def signed(header=None, claims=None, by=key):
        base = {"iss": me, "sub": me, "aud": issuer, "jti": ace.b64url(os.urandom(16)), "iat": now(), "exp": now() + 60}
        head = merged({"alg": by.alg, "typ": "JWT"}, header or {})
        body = claims if isinstance(claims, str) else json.dumps(merged(base, claims or {}))
        text = f"{ace.b64url(json.dumps(head).encode())}.{ace.b64url(body.encode())}"
        return f"{text}.{ace.b64url(by.prove(text.encode()))}"

    def post(assertion):
        return lambda: ask(system, json.dumps({**request, "client_assertion": assertion}).encode(), {})

    table = {"form": post("a.b"), "no signature": post(signed()[:-86]), "one character": post(signed()[:-10] + "AAAAAAAAAA"), "another key": post(signed(by=ace.Key.generate("EdDSA")))}
    for alg in ("none", "ES256", "HS256", "RS256", ABSENT, 1):
        table[f"alg {alg}"] = post(signed(header={"alg": alg}))
    table["critical"] = post(signed(header={"crit": ["x"], "x": 1}))
    public = ace.public_jwk(key.jwk)
    table["a MAC by the public key"] = post(signed(by=ace.Key("HS256", {"kty": "oct", "k": public["x"]})))
    for claim, values in {
        "iss": [ABSENT, None, "", "other", 1, [me]], "sub": [ABSENT, None, "", "other", 1, [me]], "aud": [ABSENT, None, "", "https://elsewhere.example", 1, [], [1], issuer + "x"],
        "exp": [ABSENT, None, now(), now() - 1, "soon", -1], "nbf": [now() + 600, "now"], "iat": [now() + 6_000, "now"], "jti": [ABSENT, None, 1, ""],
    }.items():
        for value in values:
            table[f"{claim} {value}"] = post(signed(claims={claim: value}))
    table["exp twice"] = post(signed(claims=json.dumps({"iss": me, "sub": me, "aud": issuer, "jti": "x", "exp": now() + 60})[:-1] + f',"exp":{now() + 61}}}'))
    # A long life is that of the server's choice, from `iat` on.
    month = now() + 86_400 * 30
    table["long and old"] = post(signed(claims={"exp": month, "iat": now() - 600}))
    table["long from nowhere"] = post(signed(claims={"exp": month, "iat": ABSENT}))
    table["longer than any"] = post(signed(claims={"x": "A" * 50_000}))

    def right():
        # Many wrong ones in a row would have to wait.
        assert device.ask().status == 200

    each(table, {"invalid_client", "invalid_request"}, between=right)

    other = system.device("other", *ALLOW, auth="secret", pop="ed25519")
    plain, headers = other.authenticated(other.request())
    pop, url = other.pop_key, system.token_endpoint

    def proof(header=None, by=pop, **claims):
        base = {"jti": ace.b64url(os.urandom(16)), "htm": "POST", "htu": url, "iat": now()}
        head = merged({"alg": by.alg, "typ": "dpop+jwt", "jwk": ace.public_jwk(by.jwk)}, header or {})
        text = ".".join(ace.b64url(json.dumps(part).encode()) for part in (head, merged(base, claims)))
        return f"{text}.{ace.b64url(by.prove(text.encode()))}"

    def with_proof(text):
        return lambda: ask(system, json.dumps(plain).encode(), {**headers, "DPoP": text})

    assert system.post(plain, {**headers, "DPoP": proof()}).status == 200
    wrong = {"form": with_proof("a.b.c"), "empty": with_proof(""), "another key": with_proof(proof(by=ace.Key.generate("EdDSA"))), "two proofs": with_proof(f"{proof()}, {proof()}")}
    for member, values in {"typ": [ABSENT, "JWT", "dpop", 1], "alg": [ABSENT, "none", "HS256", "ES256", 1], "jwk": [ABSENT, {}, pop.jwk, ace.Key.generate("HS256").jwk, "x"], "crit": [["x"]]}.items():
        for value in values:
            wrong[f"{member} {str(value)[:30]}"] = with_proof(proof(header={member: value}))
    for claim, values in {"htm": [ABSENT, "GET", "post", 1], "htu": [ABSENT, "https://elsewhere.example/token", url + "/x", 1], "iat": [ABSENT, now() - 3_600, now() + 3_600, "now"], "jti": [ABSENT, "", 1]}.items():
        for value in values:
            wrong[f"{claim} {value}"] = with_proof(proof(**{claim: value}))
    each(wrong, {"invalid_dpop_proof", "invalid_request", "invalid_client", "unsupported_pop_key"})
    assert other.ask().status == 200 and device.ask().status == 200
