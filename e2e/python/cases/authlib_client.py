"""Authlib against the AS: an OAuth 2.0 client that knows nothing of ACE."""

from authlib.common.security import generate_token
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from authlib.oauth2.rfc7591 import ClientMetadataClaims
from joserfc.jwk import ECKey, OKPKey

import ace
from case import case

ALLOW = "pub:rooms/#"


def endpoints(system):
    url = system.issuer + "/.well-known/oauth-authorization-server"
    return system.https("GET", url).json()


def trusting(system, made):
    """Our CA and no other, whatever the environment says of proxies and CAs."""
    made.trust_env = False
    made.verify = system.ca
    return made


def session(system, client_id, secret, method="client_secret_basic"):
    return trusting(system, OAuth2Session(client_id, secret, token_endpoint_auth_method=method))


def bearing(system, token):
    return trusting(system, OAuth2Session(token={"access_token": token, "token_type": "Bearer"}))


def with_secret(system, method):
    device = system.device("meter", ALLOW, auth="secret", pop="hs256")
    return session(system, "meter", device.profile["client_auth"]["secret"], method)


def by_assertion(system, client_id, key, algorithm):
    kind = {"EdDSA": OKPKey, "ES256": ECKey}[algorithm]
    return session(system, client_id, kind.import_key(key), PrivateKeyJWT(system.token_endpoint, alg=algorithm))


def check(system, client):
    """A token by the client credentials grant."""
    token = client.fetch_token(system.token_endpoint, grant_type="client_credentials", audience=system.audience)
    assert token["token_type"].lower() == "pop" and token["access_token"] and token["expires_in"] > 0, token
    return token


@case
def authlib_gets_a_token_with_client_secret_basic(system):
    check(system, with_secret(system, "client_secret_basic"))


@case
def authlib_gets_a_token_with_client_secret_post(system):
    check(system, with_secret(system, "client_secret_post"))


@case
def authlib_gets_a_token_with_private_key_jwt(system):
    for pop, algorithm in (("ed25519", "EdDSA"), ("es256", "ES256"), ("hs256", "EdDSA")):
        device = system.device(f"meter-{pop}", ALLOW, auth="key", pop=pop)
        token = check(system, by_assertion(system, device.client_id, device.profile["client_auth"]["jwk"], algorithm))
        # The AS makes the key where the client has none.
        assert ("cnf" in token) == (pop == "hs256"), token


@case
def authlib_is_told_why_it_gets_no_token(system):
    right = with_secret(system, "client_secret_basic")
    wrong = session(system, "meter", generate_token(43))
    for client, members, code in (
        (wrong, {}, "invalid_client"),
        (right, {"scope": ace.encode_scope([["elsewhere", ["pub"]]])}, "invalid_scope"),
        (right, {"audience": "nowhere"}, "invalid_request"),
        (right, {"grant_type": "password"}, "unsupported_grant_type"),
    ):
        asked = {"grant_type": "client_credentials", "audience": system.audience, **members}
        try:
            token = client.fetch_token(system.token_endpoint, **asked)
            raise AssertionError(f"a token for {members}: {token}")
        except OAuthError as error:
            assert error.error == code, (error, members)


@case
def authlib_asks_as_the_resource_server_and_a_revoked_token_is_inactive(system):
    described = endpoints(system)
    client = with_secret(system, "client_secret_basic")
    token = check(system, client)["access_token"]
    asking = session(system, *system.broker_secret())
    said = asking.introspect_token(described["introspection_endpoint"], token=token, token_type_hint="access_token")
    assert said.status_code == 200 and said.json()["active"] is True, said.text
    assert said.json()["client_id"] == "meter", said.text
    done = client.revoke_token(described["revocation_endpoint"], token=token, token_type_hint="access_token")
    assert done.status_code == 200, done.text
    said = asking.introspect_token(described["introspection_endpoint"], token=token)
    assert said.json() == {"active": False}, said.text


@case
def authlib_registers_a_client_and_manages_it(system):
    described = endpoints(system)
    initial = system.initial_access_token("meter", "--allow", ALLOW)
    with bearing(system, initial) as registering:
        answer = registering.post(described["registration_endpoint"], json={"client_name": "A meter", "token_endpoint_auth_method": "client_secret_post"})
    assert answer.status_code == 201, answer.text
    registered = answer.json()
    # What Authlib's own server holds of metadata.
    names = ClientMetadataClaims.REGISTERED_CLAIMS
    ClientMetadataClaims({name: value for name, value in registered.items() if name in names}, {}).validate()
    check(system, session(system, registered["client_id"], registered["client_secret"], "client_secret_post"))

    with bearing(system, registered["registration_access_token"]) as managing:
        uri = registered["registration_client_uri"]
        assert managing.get(uri).json()["client_name"] == "A meter"
        changed = managing.put(uri, json={"client_id": "meter", "client_name": "Another"})
        assert changed.status_code == 200, changed.text
        assert changed.json()["client_name"] == "Another", changed.text
        # The token of before is good no more.
        assert managing.get(uri).status_code == 401
        managing.token = {"access_token": changed.json()["registration_access_token"], "token_type": "Bearer"}
        check(system, session(system, "meter", changed.json()["client_secret"]))
        assert managing.delete(uri).status_code == 204
        assert managing.get(uri).status_code == 401


@case
def authlib_registers_a_client_with_its_own_key(system):
    described = endpoints(system)
    initial = system.initial_access_token("--beginning", "dev-", "--uses", "2", "--allow", ALLOW)
    for algorithm in ("EdDSA", "ES256"):
        key = ace.Key.generate(algorithm).jwk
        asked = {"token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": [ace.public_jwk(key)]}, "grant_types": ["client_credentials"]}
        with bearing(system, initial) as registering:
            answer = registering.post(described["registration_endpoint"], json=asked)
        assert answer.status_code == 201, answer.text
        check(system, by_assertion(system, answer.json()["client_id"], key, algorithm))
