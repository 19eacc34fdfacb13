"""aiomqtt: with public topics as it comes, with a token on a connection that was made for it."""

import asyncio
import base64
import contextlib
import ssl

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

import ace
from case import case
from channel import Channel
from peer import WAIT_SECS

V311, V5 = aiomqtt.ProtocolVersion.V311, aiomqtt.ProtocolVersion.V5
VERSIONS = (V5, V311)
ALLOW = ("pub:rooms/#", "sub:rooms/#")
ORIGIN = "https://app.example"


def public(system, version, **options):
    context = ssl.create_default_context(cafile=system.ca)
    return aiomqtt.Client(system.host, system.port, protocol=version, tls_context=context, timeout=WAIT_SECS, **options)


def public_websocket(system, version, **options):
    # As paho-mqtt does below it, it always names an origin.
    headers = {"Origin": ORIGIN}
    return public(system, version, transport="websockets", websocket_path="/mqtt", websocket_headers=headers, **options)


def proven(system, version, token):
    client = aiomqtt.Client(system.host, system.port, protocol=version, timeout=WAIT_SECS)
    below = client._client

    def create_socket():
        channel = Channel(system.host, system.port, system.ca)
        proof = token.key.prove(channel.exporter())
        text = token.text.encode()
        if version == V311:
            # Bytes, where paho-mqtt takes text only.
            below._username, below._password = b"ace" + base64.urlsafe_b64encode(text).rstrip(b"="), proof
        else:
            below._connect_properties = Properties(PacketTypes.CONNECT)
            below._connect_properties.AuthenticationMethod = ace.METHOD
            below._connect_properties.AuthenticationData = ace.token_and_proof(text, proof)
        return channel

    below._create_socket = create_socket
    return client


async def next_message(client):
    return await asyncio.wait_for(anext(aiter(client.messages)), WAIT_SECS)


async def at_every_qos(reader, writer, topic):
    for qos in (0, 1, 2):
        granted = await reader.subscribe(f"{topic}/{qos}", qos=qos)
        assert [getattr(code, "value", code) for code in granted] == [qos], granted
        await writer.publish(f"{topic}/{qos}", "warm", qos=qos)
        message = await next_message(reader)
        found = (str(message.topic), message.payload, message.qos, message.retain)
        assert found == (f"{topic}/{qos}", b"warm", qos, False), found


def between_two(system, kind):
    async def play():
        for version in VERSIONS:
            async with kind(system, version) as reader, kind(system, version) as writer:
                await at_every_qos(reader, writer, "public/room")

    asyncio.run(play())


def with_token(system, version, auth, pop):
    token = system.device("board", *ALLOW, auth=auth, pop=pop).token()

    async def play():
        async with proven(system, version, token) as client:
            await at_every_qos(client, client, "rooms")

    asyncio.run(play())


@case
def aiomqtt_publishes_and_subscribes_at_every_qos(system):
    between_two(system, public)


@case
def aiomqtt_publishes_and_subscribes_at_every_qos_over_a_websocket(system):
    between_two(system, public_websocket)


@case
def aiomqtt_gets_a_retained_message(system):
    async def play():
        for version in VERSIONS:
            async with public(system, version) as writer, public(system, version) as reader:
                await writer.publish("public/kept", "kept", qos=1, retain=True)
                await reader.subscribe("public/#", qos=1)
                message = await next_message(reader)
                assert (str(message.topic), message.payload, message.retain) == ("public/kept", b"kept", True), message
                await writer.publish("public/kept", b"", qos=1, retain=True)

    asyncio.run(play())


@case
def the_will_of_aiomqtt_is_published_when_its_connection_breaks(system):
    async def play():
        for version in VERSIONS:
            async with public(system, version) as reader:
                await reader.subscribe("public/will", qos=2)
                for qos in (0, 1, 2):
                    with contextlib.suppress(aiomqtt.MqttError):
                        async with public(system, version, will=aiomqtt.Will("public/will", b"gone", qos)) as lost:
                            lost._client.socket().shutdown(2)
                    message = await next_message(reader)
                    assert (message.payload, message.qos) == (b"gone", qos), message

    asyncio.run(play())


@case
def aiomqtt_asks_and_is_answered(system):
    async def play():
        async with public(system, V5) as asker, public(system, V5) as answerer:
            await answerer.subscribe("public/question", qos=1)
            await asker.subscribe("public/answer", qos=1)
            asked = Properties(PacketTypes.PUBLISH)
            asked.ResponseTopic, asked.CorrelationData = "public/answer", b"\0\xff7"
            await asker.publish("public/question", "how warm?", qos=1, properties=asked)
            question = await next_message(answerer)
            answered = Properties(PacketTypes.PUBLISH)
            answered.CorrelationData = question.properties.CorrelationData
            await answerer.publish(question.properties.ResponseTopic, "21", qos=1, properties=answered)
            answer = await next_message(asker)
            assert (answer.payload, answer.properties.CorrelationData) == (b"21", b"\0\xff7"), answer

    asyncio.run(play())


@case
def aiomqtt_proves_a_shared_key(system):
    with_token(system, V5, "secret", "hs256")


@case
def aiomqtt_proves_an_ed25519_key(system):
    with_token(system, V5, "key", "ed25519")


@case
def aiomqtt_proves_a_shared_key_in_mqtt_3_1_1(system):
    with_token(system, V311, "secret", "hs256")


@case
def aiomqtt_is_refused_where_no_token_opens_the_topic(system):
    async def play():
        async with public(system, V5) as client:
            granted = await client.subscribe("rooms/1", qos=1)
            assert [code.value for code in granted] == [0x87], granted

    asyncio.run(play())
