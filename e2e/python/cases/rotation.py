"""Keys that the authorization server and the broker share take turns: what was made with the one before is good until its end, and no longer."""

import json
import pathlib
import time

import ace
from case import case
from cases.kinds import run
from system import Token, now

ALLOW = ("pub:rooms/#", "sub:rooms/#")
GOOD_SECS = 4


def share(system, name, option, *words):
    """A further key in the broker's configuration, and tokens of this kind."""
    file = system.directory / "keys" / f"{name}.jwk"
    run(system, "rs", "set", system.audience, option, str(file), *words, "--dir", str(system.directory))
    config = pathlib.Path(system.config)
    config.write_text(config.read_text().replace("content_key =", f'{name}_key = "keys/{name}.jwk"\ncontent_key =', 1))
    run(system, "reload", str(system.directory))
    return file


def rotate(system, purpose):
    run(system, "rs", "rotate", system.audience, purpose, "--now", "--dir", str(system.directory))


def takes_turns(system, purpose):
    device = system.device("meter", *ALLOW)
    before = device.token()
    rotate(system, purpose)
    between = device.token()
    rotate(system, purpose)
    after = device.token()
    for token in (before, between, after):
        system.admitted(token)[0].close()


@case
def tokens_under_an_earlier_content_key_are_good(system):
    takes_turns(system, "content")


@case
def tokens_under_an_earlier_mac_key_are_good(system):
    share(system, "mac", "--mac-key", "--protection", "mac")
    takes_turns(system, "mac")


@case
def tokens_with_an_earlier_derivation_key_are_good(system):
    share(system, "derivation", "--derivation-key", "--symmetric-keys", "derived")
    takes_turns(system, "derivation")


@case
def a_refresh_token_outlives_a_content_key(system):
    device = system.device("meter", *ALLOW, more=("--refresh-tokens",))
    first = device.token()
    rotate(system, "content")
    answer = device.ask(grant_type="refresh_token", refresh_token=first.response["refresh_token"])
    assert answer.status == 200, answer.body
    # RFC 9200 §4: the same key; it is told again, or known.
    renewed = Token(answer.json(), first.key)
    system.admitted(renewed)[0].close()


@case
def a_key_whose_time_is_over_is_forgotten(system):
    """Whoever has learnt an old key can make tokens with it until then, and not after: nobody asks for a reload."""
    file = share(system, "mac", "--mac-key")
    old = json.loads(file.read_text())
    fresh = {**old, "kid": "fresh", "k": ace.b64url(bytes(range(32)))}
    file.write_text(json.dumps({"keys": [{**old, "good_until": now() + GOOD_SECS}, fresh]}))
    run(system, "reload", str(system.directory))
    token = system.device("meter", *ALLOW).token()
    by = {name: system.forge(token, key=ace.Key("HS256", jwk), headers={"kid": jwk["kid"]}) for name, jwk in (("old", old), ("fresh", fresh))}
    for forged in by.values():
        system.admitted(forged)[0].close()
    time.sleep(GOOD_SECS + 2)
    system.admitted(by["fresh"])[0].close()
    wire = system.wire()
    answer = wire.authenticate(by["old"].text, by["old"].key, "exporter", "")
    assert answer is None or answer.reasons != [0], answer
