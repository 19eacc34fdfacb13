"""The system under test, as its operator and its devices see it: what `symbolon init -o json` printed, profiles, HTTPS."""

import base64
import http.client
import json
import pathlib
import ssl
import subprocess
import time
import tomllib
import urllib.parse

import jwt

import ace
from wire import Wire

COMMAND_LIMIT_SECS = 60
ACE_JSON = "application/ace+json"
FORM = "application/x-www-form-urlencoded"


class Answer:
    """An HTTP answer."""

    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    def json(self):
        return json.loads(self.body)

    def expect_error(self, *statuses, code=None):
        """An OAuth error (RFC 6749 §5.2) with one of these statuses."""
        assert self.status in statuses, f"expected {statuses}, got {self.status} {self.body!r}"
        error = self.json()
        assert isinstance(error.get("error"), str), f"no `error` in {error}"
        if code is not None:
            codes = (code,) if isinstance(code, str) else code
            assert error["error"] in codes, f"expected {codes}, got {error}"
        lowered = self.body.lower()
        assert b"panicked" not in lowered and b"backtrace" not in lowered and b".rs:" not in lowered, f"a stack leaks: {self.body!r}"
        return error


class Token:
    """What a client holds: the token, its key, and what else the AS said."""

    def __init__(self, response, key):
        self.response = response
        self.text = response["access_token"]
        self.key = key


class Device:
    """A device with its profile."""

    def __init__(self, system, profile):
        self.system, self.profile = system, profile
        self.client_id = profile["client_id"]
        jwk = profile["pop"].get("jwk")
        self.pop_key = ace.Key(profile["pop"]["alg"], jwk) if jwk else None
        jwk = profile["client_auth"].get("jwk")
        self.auth_key = ace.Key(_alg_of(jwk), jwk) if jwk else None

    def request(self, scope=None, **members):
        """The members of a token request, client authentication not among them."""
        scope = self.profile["scope"] if scope is None else scope
        request = {
            "grant_type": "client_credentials",
            "audience": self.profile["audience"],
            "scope": ace.encode_scope(scope),
            "ace_profile": "",
        }
        if self.pop_key:
            request["req_cnf"] = {"jwk": ace.public_jwk(self.pop_key.jwk)}
        return {**request, **members}

    def authenticated(self, request):
        """Request and headers with client authentication, and proof of possession of the key in `req_cnf` where it takes one."""
        headers = {}
        if self.auth_key:
            signed = ace.assertion(self.auth_key, self.client_id, self.system.issuer)
            request = {**request, "client_id": self.client_id, "client_assertion_type": ace.ASSERTION_TYPE, "client_assertion": signed}
        else:
            headers["Authorization"] = basic(self.client_id, self.profile["client_auth"]["secret"])
        asserted = self.auth_key and self.pop_key and ace.thumbprint(self.auth_key.jwk) == ace.thumbprint(self.pop_key.jwk)
        if self.pop_key and not asserted:
            headers["DPoP"] = ace.dpop(self.pop_key, self.system.token_endpoint)
        return request, headers

    def ask(self, content_type=ACE_JSON, scope=None, **members):
        """Asks the AS for a token; the HTTP answer, whatever it is."""
        request, headers = self.authenticated(self.request(scope, **members))
        return self.system.post(request, headers, content_type)

    def token(self, **options):
        """A token, granted."""
        answer = self.ask(**options)
        assert answer.status == 200, f"no token: {answer.status} {answer.body!r}"
        return self.token_of(answer.json())

    def token_of(self, response):
        """The token in an answer, with the key that proves it."""
        if self.pop_key:
            return Token(response, self.pop_key)
        return Token(response, ace.Key("HS256", response["cnf"]["jwk"]))


def _alg_of(jwk):
    return {"OKP": "EdDSA", "EC": "ES256", "oct": "HS256"}[jwk["kty"]]


def basic(client_id, secret):
    """RFC 6749 §2.3.1: both parts are form-encoded first."""
    pair = f"{urllib.parse.quote_plus(client_id)}:{urllib.parse.quote_plus(secret)}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


class System:
    """Made from the JSON file that the harness writes."""

    def __init__(self, path):
        described = json.loads(pathlib.Path(path).read_text())
        self.directory = pathlib.Path(described["directory"])
        self._program = described["program"]
        init = described["init"]
        self.issuer, self.token_endpoint, self.audience = init["issuer"], init["token_endpoint"], init["audience"]
        self.ca, self.config = init["ca"], init["config"]
        broker = urllib.parse.urlsplit(init["broker"])
        assert broker.scheme == "mqtts", init["broker"]
        self.host, self.port = broker.hostname, broker.port
        # Whether `Peer` speaks MQTT over WebSocket.
        self.websocket = False

    def device(self, name, *allow, auth="secret", pop="hs256", more=()):
        """Registers a device; `allow` as on the command line, `pub:FILTER` or `sub:FILTER`; `more` words there."""
        command = [self._program, "client", "add", name, "--dir", str(self.directory), "--auth", auth, "--pop", pop, "-o", "json", *more]
        for permission in allow:
            command += ["--allow", permission]
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_LIMIT_SECS, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, f"client add: {done.returncode}\n{done.stdout}\n{done.stderr}"
        printed = json.loads(done.stdout)
        if "client_auth" not in printed:
            printed = json.loads(pathlib.Path(printed["profile"]).read_text())
        return Device(self, printed)

    def initial_access_token(self, *words):
        """What `enrol token` makes, by the words behind it."""
        command = [self._program, "enrol", "token", *words, "--dir", str(self.directory), "-o", "json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_LIMIT_SECS, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, f"enrol token: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout)["token"]

    def broker_secret(self):
        """Who the broker is at the AS, and its secret."""
        config = pathlib.Path(self.config)
        asking = tomllib.loads(config.read_text())["broker"]["introspection"]
        return asking["client_id"], (config.parent / asking["secret"]).read_text().strip()

    def https(self, method, url, body=None, headers=()):
        parts = urllib.parse.urlsplit(url)
        context = ssl.create_default_context(cafile=self.ca)
        connection = http.client.HTTPSConnection(parts.hostname, parts.port, context=context, timeout=20)
        try:
            path = parts.path + (f"?{parts.query}" if parts.query else "")
            connection.request(method, path, body=body, headers=dict(headers))
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def post(self, request, headers=(), content_type=ACE_JSON):
        """Posts to the token endpoint: a dictionary is encoded as the content type asks, bytes go as they are."""
        if isinstance(request, dict):
            if content_type == FORM:
                flat = {name: json.dumps(value) if isinstance(value, dict) else value for name, value in request.items()}
                request = urllib.parse.urlencode(flat).encode()
            else:
                request = json.dumps(request).encode()
        headers = {"Content-Type": content_type, **dict(headers)}
        return self.https("POST", self.token_endpoint, request, headers)

    def _key_file(self, section, name):
        config = pathlib.Path(self.config)
        settings = tomllib.loads(config.read_text())
        return json.loads((config.parent / settings[section][name]).read_text())

    def as_key(self):
        """The AS's own signing key, to sign what the AS never would."""
        jwk = self._key_file("as", "signing_key")
        return ace.Key(jwk.get("alg") or _alg_of(jwk), jwk)

    def content_key(self):
        """The JWK that the AS and the broker share for symmetric keys in tokens."""
        return self._key_file("broker", "content_key")

    def forge(self, token, key=None, headers=None, drop=(), **changes):
        """The same token with other claims, signed anew with the AS's key or another. Possession stays provable."""
        signer = key or self.as_key()
        claims = jwt.decode(token.text, options={"verify_signature": False})
        claims = {name: value for name, value in {**claims, **changes}.items() if name not in drop}
        head = {**jwt.get_unverified_header(token.text), **(headers or {})}
        head.pop("alg", None)
        forged = dict(token.response, access_token=signer.sign_jwt(claims, **head))
        return Token(forged, token.key)

    def wire(self, **options):
        return Wire(self, **options)

    def admitted(self, token, client_id="", proof="exporter", **options):
        """A connection that the broker has admitted, and its CONNACK."""
        wire = self.wire()
        answer = wire.authenticate(token.text, token.key, proof, client_id, **options)
        assert answer is not None and answer.reasons == [0], f"not admitted: {answer}"
        return wire, answer


def now():
    return int(time.time())
