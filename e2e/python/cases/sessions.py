"""paho-mqtt over pyOpenSSL: admitted in both ways, and what flows then."""

import hashlib

import ace
from case import case
from channel import TLS12, TLS13
from cryptography.hazmat.primitives.serialization import Encoding
from peer import Peer

ALLOW = ("pub:rooms/#", "sub:rooms/#")


def flows(system, auth, pop, proof, version=None):
    """Connects and sends a message to itself at each QoS."""
    token = system.device("meter", *ALLOW, auth=auth, pop=pop).token()
    with Peer(system, token, proof, "meter", version) as peer:
        assert peer.client.challenges == (1 if proof == "challenge" else 0)
        # [MQTT-4.12.0-5]
        assert peer.connack[1].AuthenticationMethod == ace.METHOD
        for qos in (0, 1, 2):
            topic = f"rooms/{qos}"
            reasons, _ = peer.subscribe(topic, qos)
            assert reasons == [qos], reasons
            acknowledged = peer.publish(topic, f"payload {qos}", qos)
            assert acknowledged is None or acknowledged[0] in (0, 0x10), acknowledged
            message = peer.message(qos + 1)[qos]
            assert (message.topic, message.payload, message.qos) == (topic, f"payload {qos}".encode(), qos)
        assert len(peer.messages) == 3, peer.messages
    assert not peer.disconnects or not peer.disconnects[0][2], peer.disconnects


@case
def a_shared_key_is_proved_by_the_exporter_and_messages_flow(system):
    flows(system, "secret", "hs256", "exporter")


@case
def a_shared_key_is_proved_by_a_challenge_and_messages_flow(system):
    flows(system, "secret", "hs256", "challenge")


@case
def an_ed25519_key_is_proved_by_the_exporter_and_messages_flow(system):
    flows(system, "key", "ed25519", "exporter")


@case
def an_ed25519_key_is_proved_by_a_challenge_and_messages_flow(system):
    flows(system, "key", "ed25519", "challenge")


@case
def a_p256_key_is_proved_by_the_exporter_and_messages_flow(system):
    flows(system, "secret", "es256", "exporter")


@case
def a_p256_key_is_proved_by_a_challenge_and_messages_flow(system):
    flows(system, "secret", "es256", "challenge")


@case
def the_exporter_proof_works_on_tls_1_3(system):
    flows(system, "key", "ed25519", "exporter", TLS13)


@case
def the_exporter_proof_works_on_tls_1_2(system):
    # RFC 5705 §4: an empty context is not an absent one there.
    flows(system, "key", "ed25519", "exporter", TLS12)


@case
def the_broker_chooses_the_protocol_mqtt(system):
    # RFC 9431 §2.2.3: ALPN
    with system.wire() as wire:
        assert wire.channel.alpn() == b"mqtt", wire.channel.alpn()


@case
def the_as_vouches_for_the_brokers_certificate(system):
    # RFC 9431 §2.2.1: the thumbprint, where the AS gives one, is that of the certificate the broker shows.
    response = system.device("meter", *ALLOW, auth="key", pop="ed25519").token().response
    with system.wire() as wire:
        shown = wire.channel.certificate().public_bytes(Encoding.DER)
    assert response["rs_cnf"]["x5t#S256"] == ace.b64url(hashlib.sha256(shown).digest()), response["rs_cnf"]


@case
def two_devices_talk_within_their_scopes(system):
    sensor = system.device("sensor", "pub:sensors/${client_id}/#", auth="key", pop="ed25519").token()
    board = system.device("board", "sub:sensors/#").token()
    with Peer(system, board, "challenge", "board") as reader, Peer(system, sensor, "exporter", "sensor") as writer:
        assert reader.subscribe("sensors/+/temperature", 1)[0] == [1]
        assert writer.publish("sensors/sensor/temperature", "21.5", 1)[0] == 0
        assert reader.message()[0].payload == b"21.5"
        assert reader.subscribe("commands/#")[0] == [0x87]
        reason, why = writer.publish("sensors/board/temperature", "0", 1)
        assert reason == 0x87 and why, (reason, why)


@case
def a_retained_message_reaches_later_subscribers(system):
    token = system.device("meter", *ALLOW).token()
    with Peer(system, token, "exporter", "writer") as writer:
        writer.publish("rooms/1", "kept", 1, retain=True)
        writer.publish("rooms/2", "dropped", 1, retain=True)
        writer.publish("rooms/2", "", 1, retain=True)
    with Peer(system, token, "exporter", "reader") as reader:
        reader.subscribe("rooms/#", 1)
        message = reader.message()[0]
        assert (message.topic, message.payload, message.retain) == ("rooms/1", b"kept", True)
        reader.publish("rooms/end", "", 1)
        assert [message.topic for message in reader.message(2)] == ["rooms/1", "rooms/end"]


@case
def the_will_is_published_when_the_connection_breaks(system):
    token = system.device("meter", *ALLOW).token()
    with Peer(system, token, "exporter", "reader") as reader:
        reader.subscribe("rooms/will", 1)
        broken = Peer(system, token, "exporter", "writer", will=("rooms/will", "gone", 1)).admitted()
        broken.client.socket().cut()
        assert reader.message()[0].payload == b"gone"
        with Peer(system, token, "exporter", "writer", will=("rooms/will", "not said", 1)):
            # It says goodbye: no Will [MQTT-3.14.4-3].
            pass
        reader.publish("rooms/will", "end", 1)
        assert [message.payload for message in reader.message(2)] == [b"gone", b"end"]


@case
def a_token_is_renewed_in_session(system):
    device = system.device("meter", *ALLOW, auth="key", pop="ed25519")
    with Peer(system, device.token(), "exporter", "meter") as peer:
        peer.client.reauthenticate(device.token())
        assert peer.client.challenges == 1, "renewing takes a challenge"
        assert peer.publish("rooms/1", "still here", 1)[0] in (0, 0x10)
