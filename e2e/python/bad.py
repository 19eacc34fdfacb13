"""What is wrong in one place and right everywhere else: tokens made field by field, and how all of them must be refused."""

import json
import os

import ace
import wire
from system import now
from wire import CONNACK, NOT_AUTHORIZED, PUBACK, TOKEN_PAYLOAD

SCOPE = [["rooms/#", ["pub", "sub"]]]


class Absent:
    """Takes a member away where a table gives its value."""


ABSENT = Absent()


def merged(members, changes):
    return {name: value for name, value in {**members, **changes}.items() if value is not ABSENT}


def as_json(value):
    """JSON of a value; bytes and text stand for what they are, to say what no encoder would."""
    if isinstance(value, bytes):
        return value
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


def jws(key, header, claims):
    """Signed by `key` whatever the header says."""
    signed = ".".join(ace.b64url(as_json(part)) for part in (header, claims))
    return f"{signed}.{ace.b64url(key.prove(signed.encode()))}"


class Bad:
    """Makes tokens that would be good, signed by the AS's own key, but for what is asked for."""

    def __init__(self, system, alg="EdDSA"):
        self.system, self.as_key, self.key = system, system.as_key(), ace.Key.generate(alg)

    def header(self, **changes):
        return merged({"alg": self.as_key.alg, "kid": self.as_key.jwk["kid"], "typ": "at+jwt"}, changes)

    def cnf(self):
        if self.key.alg == "HS256":
            return {"jwe": ace.encrypt_jwk(self.system.content_key(), self.key.jwk)}
        return {"jwk": ace.public_jwk(self.key.jwk)}

    def claims(self, **changes):
        base = {"iss": self.system.issuer, "sub": "meter", "client_id": "meter", "aud": self.system.audience}
        base |= {"exp": now() + 600, "iat": now(), "jti": ace.b64url(os.urandom(16))}
        return merged({**base, "scope": ace.encode_scope(SCOPE), "cnf": self.cnf()}, changes)

    def token(self, header=None, claims=None):
        return jws(self.as_key, self.header() if header is None else header, self.claims() if claims is None else claims)

    def with_claims(self, **changes):
        return self.token(claims=self.claims(**changes))

    def with_header(self, **changes):
        return self.token(header=self.header(**changes))


def seen(answer):
    """All that a refusal tells: it must not depend on what was wrong."""
    return answer.reason, answer.reason_string, tuple(sorted(answer.pairs))


def refusal(system, token, key, proof="exporter"):
    """What a client with this token is told, and that it is closed upon."""
    with system.wire() as connection:
        answer = connection.authenticate(token, key, proof, "meter")
        assert answer is not None and answer.kind == CONNACK, f"expected a CONNACK, got {answer}"
        assert answer.reason == NOT_AUTHORIZED, f"{answer.reason:#04x} {answer.reason_string}"
        assert not answer.session_present, "[MQTT-3.2.2-6]"
        connection.expect_closed()
        return seen(answer)


def bad_proof(system, good):
    """What a thief is told who has a good token and not its key: the measure of all refusals."""
    return refusal(system, good.token(), ace.Key.generate(good.key.alg))


def lives_on(system, good, proof="exporter", timeout_secs=10.0):
    with system.wire(timeout_secs=timeout_secs) as connection:
        answer = connection.authenticate(good.token(), good.key, proof, "meter")
        assert answer is not None and answer.reasons == [0], f"the broker must go on serving: {answer}"


def all_refused_alike(system, good, table):
    """Each of the tokens, by name, in CONNECT: the same code and the same words as for a proof that is wrong."""
    expected = bad_proof(system, good)
    wrong = {}
    for name, token in table.items():
        try:
            told = refusal(system, token, good.key)
        except AssertionError as error:
            told = str(error)
        if told != expected:
            wrong[name] = told
    assert not wrong, f"expected {expected}, but\n" + "\n".join(f"{name}: {told}" for name, told in wrong.items())
    lives_on(system, good)


def none_is_stored(system, good, table):
    """Each of the tokens at `authz-info`: 0x87, or 0x99 for what is no token, with one text for each code, and the connection goes on."""
    texts, wrong = {}, {}
    with system.wire() as stranger:
        stranger.send(wire.connect("stranger"))
        stranger.expect(CONNACK, 0)
        for name, token in table.items():
            payload = token if isinstance(token, bytes) else token.encode()
            stranger.send(wire.publish("authz-info", payload, qos=1))
            answer = stranger.expect(PUBACK)
            texts.setdefault(answer.reason, set()).add(answer.reason_string)
            if answer.reason not in (NOT_AUTHORIZED, TOKEN_PAYLOAD):
                wrong[name] = f"{answer.reason:#04x} {answer.reason_string}"
        stranger.send(wire.publish("authz-info", good.token().encode(), qos=1))
        stranger.expect(PUBACK, 0)
    assert not wrong, wrong
    assert all(len(said) == 1 for said in texts.values()), texts
