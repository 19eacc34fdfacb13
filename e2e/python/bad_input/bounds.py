"""What strangers can hold on to is bounded, each by a key of the configuration: handshakes, CONNECTs and answers that do not come, tokens without end."""

import os
import socket
import time

from OpenSSL import SSL

import ace
import wire
from bad import Bad, lives_on
from case import case
from wire import CONNACK, CONTINUE, DISCONNECT, NOT_AUTHORIZED, PUBACK, REAUTHENTICATE

QUOTA_EXCEEDED = 0x97
# What the tests' settings say, seconds; and how long the machine may take beyond it.
TIMEOUT_SECS, SLACK_SECS = 2, 4


def within(began):
    return time.monotonic() - began <= TIMEOUT_SECS + SLACK_SECS


def trickle(send, octets):
    """A byte at a time, slower than the limit allows: True once the broker has hung up."""
    began = time.monotonic()
    for octet in octets:
        if not send(bytes([octet])):
            return True
        if not within(began):
            return False
        time.sleep(0.05)
    return False


@case
def a_handshake_that_trickles_is_cut(system):
    # `handshake_timeout_secs`
    good = Bad(system)
    # The beginning of a ClientHello that would be long.
    hello = bytes.fromhex("1603010200010001fc0303") + os.urandom(32) + bytes(400)
    with socket.create_connection((system.host, system.port), timeout=10) as plain:

        def send(octets):
            try:
                plain.sendall(octets)
            except OSError:
                return False
            return True

        assert trickle(send, hello), "a handshake that never ends must be cut"
    lives_on(system, good)


@case
def a_connect_that_trickles_and_one_that_never_comes_are_cut(system):
    # `connect_timeout_secs` from the end of the handshake.
    good = Bad(system)
    for octets in (wire.connect_ace("meter", ace.token_only(good.token().encode())), b"\x10\xff\xff\x7f" + bytes(1_000)):
        with system.wire() as connection:
            assert trickle(connection.send, octets), "a CONNECT that never ends must be cut"
    with system.wire() as connection:
        began = time.monotonic()
        connection.expect_closed(TIMEOUT_SECS + SLACK_SECS)
        assert within(began)
    lives_on(system, good)


@case
def an_answer_to_a_challenge_that_trickles_is_cut(system):
    # `connect_timeout_secs` is for CONNECT and answer together.
    good = Bad(system)
    with system.wire() as connection:
        began = time.monotonic()
        time.sleep(TIMEOUT_SECS * 0.6)
        connection.send(wire.connect_ace("meter", ace.token_only(good.token().encode())))
        nonce = wire.challenge_of(connection.read())
        answer = wire.auth(CONTINUE, ace.answer_challenge(good.key, nonce))
        trickle(connection.send, answer)
        assert within(began), "the time is not counted anew with the challenge"
        assert connection.read() is None
    lives_on(system, good, "challenge")


@case
def half_open_authentications_leave_room_for_others_and_end(system):
    # `handshakes`, 8 in the tests' settings for each listener and shard: the others wait, and come in once the time of the silent is up.
    good = Bad(system)
    began = time.monotonic()
    half_open = [socket.create_connection((system.host, system.port), timeout=10) for _ in range(60)]
    try:
        lives_on(system, good, timeout_secs=10 * (TIMEOUT_SECS + SLACK_SECS))
        for plain in half_open:
            plain.settimeout(max(0.1, 5 * (TIMEOUT_SECS + SLACK_SECS) - (time.monotonic() - began)))
            try:
                assert plain.recv(1) == b"", "a connection that says nothing must be closed"
            except ConnectionError:
                pass
    finally:
        for plain in half_open:
            plain.close()
    # One less than there is room for, whichever shard they come to.
    challenged = [system.wire() for _ in range(7)]
    for connection in challenged:
        connection.send(wire.connect_ace("", ace.token_only(good.token().encode())))
        wire.challenge_of(connection.read())
    lives_on(system, good)
    for connection in challenged:
        connection.expect_closed(TIMEOUT_SECS + SLACK_SECS)
        connection.close()


@case
def a_renewal_that_is_never_answered_ends_with_the_old_token(system):
    good = Bad(system)
    with system.wire() as connection:
        end = int(time.time()) + 3
        assert connection.authenticate(good.with_claims(exp=end), good.key, "exporter", "meter").reasons == [0]
        connection.send(wire.auth(REAUTHENTICATE, ace.token_only(good.token().encode())))
        wire.challenge_of(connection.read())
        connection.expect(DISCONNECT, NOT_AUTHORIZED, timeout_secs=8)
        connection.expect_closed()
        assert time.time() >= end


@case
def a_flood_of_tokens_on_one_connection_is_held_by_its_rate(system):
    # `authz_info_rate`, 5 for each minute in the tests' settings, for good tokens and bad ones together.
    good = Bad(system)
    with system.wire() as connection:
        connection.send(wire.connect("stranger"))
        connection.expect(CONNACK, 0)
        reasons = []
        for number in range(20):
            payload = good.token().encode() if number % 2 else b"no token"
            connection.send(wire.publish("authz-info", payload, qos=1, identifier=number + 1))
            reasons.append(connection.expect(PUBACK).reason)
        assert QUOTA_EXCEEDED not in reasons[:5] and set(reasons[5:]) == {QUOTA_EXCEEDED}, reasons
        # At QoS 0 the connection is all there is to end.
        connection.send(wire.publish("authz-info", b"no token"))
        connection.expect(DISCONNECT, QUOTA_EXCEEDED)
        connection.expect_closed()
    lives_on(system, good)


@case
def tokens_for_ever_new_keys_fill_the_store_to_its_bound_and_no_further(system):
    # `stored_tokens`, 8 in the tests' settings: from many connections, since each may publish so many only.
    tokens = [Bad(system) for _ in range(12)]
    reasons = []
    for good in tokens:
        with system.wire() as connection:
            connection.send(wire.connect(""))
            connection.expect(CONNACK, 0)
            connection.send(wire.publish("authz-info", good.token().encode(), qos=1))
            reasons.append(connection.expect(PUBACK).reason)
    assert reasons == [0] * 8 + [QUOTA_EXCEEDED] * 4, reasons
    # A newer token for a key that is stored takes the old one's place, and who brings the token in CONNECT is let in all the same.
    with system.wire() as connection:
        connection.send(wire.connect(""))
        connection.expect(CONNACK, 0)
        connection.send(wire.publish("authz-info", tokens[0].with_claims(iat=int(time.time()) + 1).encode(), qos=1))
        connection.expect(PUBACK, 0)
    for good in (tokens[0], tokens[-1]):
        lives_on(system, good)
        lives_on(system, good, "challenge")


@case
def bad_tokens_in_connect_without_end_do_not_keep_good_ones_out(system):
    good, bad = Bad(system), Bad(system)
    began = time.monotonic()
    for number in range(60):
        with system.wire() as connection:
            token = bad.with_header(kid=f"unknown-{number}")
            answer = connection.authenticate(token, bad.key, "exporter", "meter")
            assert answer.kind == CONNACK and answer.reason == NOT_AUTHORIZED, answer
        if number % 20 == 0:
            lives_on(system, good)
    # An unknown kid has the keys fetched anew, but not each time.
    assert time.monotonic() - began < 60
    lives_on(system, good)


@case
def connections_of_one_address_are_bounded(system):
    # `connections_per_address`, 12 in the tests' settings.
    good = Bad(system)
    plain = [socket.create_connection((system.host, system.port), timeout=10) for _ in range(30)]
    closed = 0
    for one in plain:
        one.settimeout(0.2)
        try:
            closed += one.recv(1) == b""
        except TimeoutError:
            pass
        except ConnectionError:
            closed += 1
    assert closed >= 18, f"{closed} of 30 were closed at once"
    for one in plain:
        one.close()
    deadline = time.monotonic() + 10
    while True:
        try:
            lives_on(system, good)
            break
        except (AssertionError, OSError, SSL.Error):
            assert time.monotonic() < deadline, "the places must come free again"
            time.sleep(0.2)
