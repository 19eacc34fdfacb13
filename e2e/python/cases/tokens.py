"""The authorization server: tokens granted (RFC 9200 §5.8, RFC 9431 §2.1) and refused."""

import json
import os

import jwt

import ace
from case import case
from system import ACE_JSON, FORM, basic, now

BOTH = ("pub:sensors/${client_id}/#", "sub:commands/+")


def check_claims(system, device, token):
    """The token against the AS's published keys, by PyJWT."""
    keys = jwt.PyJWKSet.from_dict(system.https("GET", metadata(system)["jwks_uri"]).json())
    header = jwt.get_unverified_header(token.text)
    key = next(key for key in keys.keys if key.key_id == header["kid"])
    claims = jwt.decode(token.text, key.key, algorithms=["EdDSA", "ES256"], audience=system.audience, issuer=system.issuer)
    assert abs(claims["exp"] - now() - token.response["expires_in"]) <= 5, (claims, token.response)
    assert device.client_id in (claims.get("client_id"), claims.get("sub")), claims
    assert claims["jti"], claims
    return claims


def metadata(system):
    answer = system.https("GET", system.issuer.rstrip("/") + "/.well-known/oauth-authorization-server")
    assert answer.status == 200, answer.status
    return answer.json()


def granted(system, device, answer):
    assert answer.status == 200, f"{answer.status} {answer.body!r}"
    # RFC 6749 §5.1
    assert "no-store" in answer.headers["Cache-Control"], answer.headers
    response = answer.json()
    assert response["ace_profile"] == "mqtt_tls", response
    return response


@case
def the_metadata_names_the_endpoints(system):
    described = metadata(system)
    # RFC 8414 §3.3: the issuer must be the one the document was asked from.
    assert described["issuer"] == system.issuer, described
    assert described["token_endpoint"] == system.token_endpoint, described
    assert {"client_secret_basic", "private_key_jwt"} <= set(described["token_endpoint_auth_methods_supported"]), described
    for jwk in system.https("GET", described["jwks_uri"]).json()["keys"]:
        assert "d" not in jwk, "a private key is published"


@case
def a_secret_gets_a_token_with_a_key_made_by_the_as(system):
    device = system.device("meter", *BOTH, auth="secret", pop="hs256")
    response = granted(system, device, device.ask())
    made = response["cnf"]["jwk"]
    assert made["kty"] == "oct" and len(ace.unb64url(made["k"])) == 32, "the key must be 32 bytes"
    # RFC 9201 §3.2: no key of the RS where the key is symmetric. A certificate's thumbprint is no key.
    assert "jwk" not in response.get("rs_cnf", {}), response
    claims = check_claims(system, device, device.token())
    # RFC 9431 §2.1: a JWT carries the symmetric key encrypted.
    assert set(claims["cnf"]) == {"jwe"}, claims["cnf"].keys()
    assert made["k"] not in json.dumps(claims)


@case
def an_assertion_gets_a_token_for_an_ed25519_key(system):
    own_key(system, auth="key", pop="ed25519", kty="OKP")


@case
def an_assertion_gets_a_token_for_a_p256_key(system):
    own_key(system, auth="key", pop="es256", kty="EC")


@case
def an_assertion_gets_a_token_with_a_key_made_by_the_as(system):
    device = system.device("meter", *BOTH, auth="key", pop="hs256")
    response = granted(system, device, device.ask())
    assert len(ace.unb64url(response["cnf"]["jwk"]["k"])) == 32


@case
def a_secret_and_a_dpop_proof_get_a_token_for_an_ed25519_key(system):
    own_key(system, auth="secret", pop="ed25519", kty="OKP")


@case
def a_secret_and_a_dpop_proof_get_a_token_for_a_p256_key(system):
    own_key(system, auth="secret", pop="es256", kty="EC")


def own_key(system, auth, pop, kty):
    device = system.device("meter", *BOTH, auth=auth, pop=pop)
    granted(system, device, device.ask())
    claims = check_claims(system, device, device.token())
    confirmed = claims["cnf"]["jwk"]
    assert confirmed["kty"] == kty and "d" not in confirmed, confirmed
    assert ace.thumbprint(confirmed) == ace.thumbprint(device.pop_key.jwk)


@case
def plain_json_and_forms_are_understood_as_well(system):
    for pop in ("hs256", "ed25519"):
        device = system.device(f"meter-{pop}", *BOTH, pop=pop)
        for content_type in ("application/json", FORM, "application/ace+json; charset=utf-8"):
            granted(system, device, device.ask(content_type=content_type))


@case
def the_grant_type_may_be_absent(system):
    # RFC 9200 §5.8.1
    device = system.device("meter", *BOTH)
    request = device.request()
    del request["grant_type"]
    granted(system, device, system.post(*device.authenticated(request)))


@case
def the_scope_is_what_the_policy_says(system):
    device = system.device("meter", *BOTH)
    expected = {("commands/+", ("sub",)), ("sensors/meter/#", ("pub",))}
    for scope in (device.profile["scope"], [["#", ["pub", "sub"]]]):
        claims = check_claims(system, device, device.token(scope=scope))
        # RFC 9431 §2.3: one string, base64url of the JSON array.
        got = {(f, tuple(sorted(permissions))) for f, permissions in ace.decode_scope(claims["scope"])}
        assert got == expected, got


@case
def a_scope_may_be_asked_for_more_narrowly(system):
    device = system.device("meter", *BOTH)
    claims = check_claims(system, device, device.token(scope=[["sensors/meter/t", ["pub", "sub"]]]))
    assert ace.decode_scope(claims["scope"]) == [["sensors/meter/t", ["pub"]]], claims["scope"]


@case
def a_scope_beyond_the_policy_is_refused(system):
    device = system.device("meter", *BOTH)
    device.ask(scope=[["sensors/other/t", ["pub"]]]).expect_error(400, code="invalid_scope")


@case
def a_malformed_scope_is_refused(system):
    device = system.device("meter", *BOTH)
    wrong = [
        "sensors/meter/t",
        "!!",
        ace.b64url(b"[[]]"),
        ace.b64url(b"{"),
        ace.encode_scope([["a/#/b", ["pub"]]]),
        ace.encode_scope([["a", ["own"]]]),
        ace.encode_scope([["a", []]]),
        ace.encode_scope([["a", ["pub", "pub"]]]),
    ]
    for scope in wrong:
        request, headers = device.authenticated(device.request())
        system.post({**request, "scope": scope}, headers).expect_error(400, code=("invalid_scope", "invalid_request"))


@case
def an_unknown_audience_is_refused(system):
    device = system.device("meter", *BOTH)
    device.ask(audience="mqtts://elsewhere.example").expect_error(400)


@case
def a_wrong_secret_is_refused_with_a_challenge(system):
    device = system.device("meter", *BOTH)
    for client_id, secret in ((device.client_id, "wrong"), ("nobody", "wrong"), (device.client_id, "")):
        answer = system.post(device.request(), {"Authorization": basic(client_id, secret)})
        answer.expect_error(401, code="invalid_client")
        # RFC 6749 §5.2
        assert answer.headers["WWW-Authenticate"].lower().startswith("basic"), answer.headers


@case
def a_request_without_authentication_is_refused(system):
    device = system.device("meter", *BOTH)
    system.post(device.request()).expect_error(400, 401, code="invalid_client")


@case
def an_assertion_that_does_not_hold_is_refused(system):
    device = system.device("meter", *BOTH, auth="key", pop="ed25519")
    right, other = device.auth_key, ace.Key.generate("EdDSA")
    me, issuer, late = device.client_id, system.issuer, now() - 600
    wrong = {
        "another key": ace.assertion(other, me, issuer),
        "another audience": ace.assertion(right, me, "https://elsewhere.example"),
        "expired": ace.assertion(right, me, issuer, iat=late, exp=late + 60),
        "not yet valid": ace.assertion(right, me, issuer, nbf=now() + 600),
        "another subject": ace.assertion(right, me, issuer, sub="other"),
        "another issuer": ace.assertion(right, me, issuer, iss="other"),
        # What says when it was made may say that it lives for long: it is good for 5 minutes.
        "made long ago": ace.assertion(right, me, issuer, iat=late, exp=now() + 86400 * 365),
        "too long a life": right.sign_jwt({"iss": me, "sub": me, "aud": issuer, "jti": "x0", "exp": now() + 86400 * 365}),
        "no expiry": right.sign_jwt({"iss": me, "sub": me, "aud": issuer, "jti": "x1"}),
        "not signed": jwt.encode({"iss": me, "sub": me, "aud": issuer, "jti": "x2", "exp": now() + 60}, None, algorithm="none"),
        "no token": "abc",
    }
    request, _ = device.authenticated(device.request())
    for why, signed in wrong.items():
        answer = system.post({**request, "client_assertion": signed})
        assert answer.status in (400, 401), f"{why}: {answer.status} {answer.body!r}"
        answer.expect_error(400, 401, code="invalid_client")


@case
def an_assertion_is_good_for_one_request(system):
    # RFC 7523 §3, jti
    device = system.device("meter", *BOTH, auth="key", pop="ed25519")
    request, headers = device.authenticated(device.request())
    assert system.post(request, headers).status == 200
    system.post(request, headers).expect_error(400, 401, code="invalid_client")


@case
def a_key_that_was_not_proved_gets_no_token(system):
    # RFC 9201 §5: the AS verifies that the client holds the private key.
    device = system.device("meter", *BOTH, auth="secret", pop="ed25519")
    other = ace.Key.generate("EdDSA")
    request, headers = device.authenticated(device.request())
    endpoint = system.token_endpoint
    wrong = {
        "no proof": None,
        "another key": ace.dpop(other, endpoint),
        "another address": ace.dpop(device.pop_key, "https://elsewhere.example/token"),
        "another method": ace.dpop(device.pop_key, endpoint, method="GET"),
        "old": ace.dpop(device.pop_key, endpoint, iat=now() - 3600),
        "no proof at all": "abc",
    }
    for why, proof in wrong.items():
        headers.pop("DPoP", None)
        answer = system.post(request, headers if proof is None else {**headers, "DPoP": proof})
        assert answer.status in (400, 401), f"{why}: {answer.status} {answer.body!r}"
        answer.expect_error(400, 401)


@case
def a_dpop_proof_is_good_for_one_request(system):
    # RFC 9449 §11.1
    device = system.device("meter", *BOTH, auth="secret", pop="ed25519")
    request, headers = device.authenticated(device.request())
    assert system.post(request, headers).status == 200
    system.post(request, headers).expect_error(400, 401)


@case
def the_assertion_of_one_key_does_not_prove_another(system):
    device = system.device("meter", *BOTH, auth="key", pop="ed25519")
    request, _ = device.authenticated(device.request())
    request["req_cnf"] = {"jwk": ace.public_jwk(ace.Key.generate("EdDSA").jwk)}
    system.post(request).expect_error(400, 401)


@case
def a_symmetric_key_of_the_client_is_refused(system):
    device = system.device("meter", *BOTH)
    device.ask(req_cnf={"jwk": ace.Key.generate("HS256").jwk}).expect_error(400)


@case
def a_key_the_broker_cannot_use_is_refused_as_such(system):
    # RFC 9200 §5.8.3, unsupported_pop_key
    device = system.device("meter", *BOTH)
    x25519 = {"kty": "OKP", "crv": "X25519", "x": ace.b64url(os.urandom(32))}
    for jwk in (x25519, {"kty": "RSA", "n": ace.b64url(b"\xc0" + os.urandom(255)), "e": "AQAB"}):
        device.ask(req_cnf={"jwk": jwk}).expect_error(400, code=("unsupported_pop_key", "invalid_request"))


@case
def malformed_requests_get_an_oauth_error(system):
    device = system.device("meter", *BOTH)
    _, headers = device.authenticated(device.request())
    bodies = [b"", b"{", b"[]", b"null", b'"text"', b'{"scope":7}', b'{"audience":{}}', b'{"a":' * 2000, b"\xff\xfe", b'{"grant_type":"\xff"}']
    for body in bodies:
        system.post(body, headers, ACE_JSON).expect_error(400)
    for body in (b"audience=a&audience=b", b"req_cnf=%7B", b"scope=%ff"):
        system.post(body, headers, FORM).expect_error(400)
    system.post(b"x" * 20_000, headers, ACE_JSON).expect_error(400, 413)
    try:
        system.post(b"x" * (2 << 20), headers, ACE_JSON).expect_error(400, 413)
    except OSError:
        # So much that the AS hangs up before all of it is sent.
        pass
    device.ask(grant_type="password").expect_error(400, code=("unsupported_grant_type", "unauthorized_client"))
    for garbled in ("Basic", "Basic !!!!", "Basic " + "A" * 5_000, "Bearer x"):
        answer = system.post(device.request(), {"Authorization": garbled})
        assert 400 <= answer.status < 500, f"{garbled[:20]}: {answer.status}"
    assert device.ask().status == 200, "the AS must go on"


@case
def other_methods_types_and_paths_get_a_4xx(system):
    device = system.device("meter", *BOTH)
    for method in ("GET", "PUT", "DELETE"):
        answer = system.https(method, system.token_endpoint)
        assert answer.status in (404, 405), f"{method}: {answer.status}"
    request, headers = device.authenticated(device.request())
    answer = system.post(json.dumps(request).encode(), headers, "text/plain")
    answer.expect_error(400, 415)
    assert system.https("GET", system.issuer.rstrip("/") + "/nothing").status == 404
