"""MQTT 5.0 packets by hand, to send what a well-behaved library never would and to see exactly what comes back."""

import struct
from dataclasses import dataclass, field

import ace
from channel import Channel

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = 1, 2, 3, 4, 5, 6, 7
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT, AUTH = 8, 9, 10, 11, 12, 13, 14, 15

SUCCESS, CONTINUE, REAUTHENTICATE = 0x00, 0x18, 0x19
MALFORMED, PROTOCOL_ERROR, NOT_AUTHORIZED, TOKEN_PAYLOAD = 0x81, 0x82, 0x87, 0x99

SESSION_EXPIRY, METHOD, DATA, WILL_DELAY, REASON, USER, ALIAS, MAXIMUM_PACKET = 0x11, 0x15, 0x16, 0x18, 0x1F, 0x26, 0x23, 0x27
_U8 = {0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A}
_U16 = {0x13, 0x21, 0x22, 0x23}
_U32 = {0x02, 0x11, 0x18, 0x27}
_TEXT = {0x03, 0x08, 0x12, 0x15, 0x1A, 0x1C, 0x1F}
_BINARY = {0x09, 0x16}


def varint(value):
    octets = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        octets.append(low | (0x80 if value else 0))
        if not value:
            return bytes(octets)


def binary(raw):
    return struct.pack("!H", len(raw)) + raw


def text(string):
    return binary(string.encode())


def packet(kind, body, flags=0):
    return bytes([kind << 4 | flags]) + varint(len(body)) + body


def encode_property(identifier, value):
    head = bytes([identifier])
    if identifier in _U8:
        return head + struct.pack("!B", value)
    if identifier in _U16:
        return head + struct.pack("!H", value)
    if identifier in _U32:
        return head + struct.pack("!I", value)
    if identifier == USER:
        return head + text(value[0]) + text(value[1])
    return head + (text(value) if isinstance(value, str) else binary(value))


def properties(*pairs):
    encoded = b"".join(encode_property(identifier, value) for identifier, value in pairs if value is not None)
    return varint(len(encoded)) + encoded


def connect(client_id="", pairs=(), will=None, keep_alive=60, clean=True, flags=0, level=5, name="MQTT"):
    """`will`: (topic, payload, qos, retain, pairs)."""
    flags |= 0x02 if clean else 0
    payload = text(client_id)
    if will is not None:
        topic, message, qos, retain, will_pairs = will
        flags |= 0x04 | qos << 3 | (0x20 if retain else 0)
        payload += properties(*will_pairs) + text(topic) + binary(message)
    return packet(CONNECT, text(name) + struct.pack("!BBH", level, flags, keep_alive) + properties(*pairs) + payload)


def connect_ace(client_id, data, method=ace.METHOD, **options):
    return connect(client_id, ((METHOD, method), (DATA, data)), **options)


def auth(reason, data, method=ace.METHOD):
    return packet(AUTH, bytes([reason]) + properties((METHOD, method), (DATA, data)))


def publish(topic, payload=b"", qos=0, identifier=1, retain=False, pairs=()):
    head = text(topic) + (struct.pack("!H", identifier) if qos else b"")
    return packet(PUBLISH, head + properties(*pairs) + payload, qos << 1 | retain)


def subscribe(*filters, qos=0, identifier=1):
    return packet(SUBSCRIBE, struct.pack("!H", identifier) + properties() + b"".join(text(f) + bytes([qos]) for f in filters), 2)


def disconnect(reason=0):
    return packet(DISCONNECT, bytes([reason]) + properties())


@dataclass
class Received:
    """A packet of the Server's, as far as these tests look into it."""

    kind: int
    flags: int
    body: bytes
    level: int = 5
    reasons: list = field(default_factory=list)
    pairs: list = field(default_factory=list)
    identifier: int = None
    session_present: bool = None
    topic: str = None
    payload: bytes = None

    def __post_init__(self):
        self._rest = self.body
        {
            CONNACK: self._connack,
            AUTH: self._reason_then_properties,
            DISCONNECT: self._reason_then_properties,
            PUBACK: self._acknowledgement,
            PUBREC: self._acknowledgement,
            PUBREL: self._acknowledgement,
            PUBCOMP: self._acknowledgement,
            SUBACK: self._suback,
            UNSUBACK: self._suback,
            PUBLISH: self._publish,
        }.get(self.kind, lambda: None)()

    @property
    def reason(self):
        return self.reasons[0]

    def find(self, identifier):
        """The value of a property that may stand there once."""
        values = [value for found, value in self.pairs if found == identifier]
        assert len(values) <= 1, f"property {identifier:#x} stands there {len(values)} times"
        return values[0] if values else None

    def user(self, name):
        return next((value for found, (key, value) in ((i, v) for i, v in self.pairs if i == USER) if key == name), None)

    @property
    def reason_string(self):
        return self.find(REASON)

    def _take(self, size):
        taken, self._rest = self._rest[:size], self._rest[size:]
        assert len(taken) == size, f"packet {self.kind} is too short"
        return taken

    def _number(self, size):
        return int.from_bytes(self._take(size), "big")

    def _varint(self):
        value, shift = 0, 0
        while True:
            octet = self._number(1)
            value |= (octet & 0x7F) << shift
            shift += 7
            if octet < 0x80:
                return value

    def _binary(self):
        return self._take(self._number(2))

    def _properties(self):
        if self.level < 5:
            return
        whole, self._rest = self._take(self._varint()), self._rest
        after, self._rest = self._rest, whole
        while self._rest:
            identifier = self._number(1)
            if identifier in _U8:
                value = self._number(1)
            elif identifier in _U16:
                value = self._number(2)
            elif identifier in _U32:
                value = self._number(4)
            elif identifier in _BINARY:
                value = self._binary()
            elif identifier in _TEXT:
                value = self._binary().decode()
            elif identifier == USER:
                value = (self._binary().decode(), self._binary().decode())
            elif identifier == 0x0B:
                value = self._varint()
            else:
                raise AssertionError(f"unknown property {identifier:#x}")
            self.pairs.append((identifier, value))
        self._rest = after

    def _connack(self):
        flags, reason = self._number(1), self._number(1)
        assert flags in (0, 1), f"CONNACK flags {flags:#x}"
        self.session_present, self.reasons = bool(flags), [reason]
        # MQTT 3.1.1 has none, and a client of an unknown version is answered in it.
        if self._rest:
            self._properties()

    def _reason_then_properties(self):
        self.reasons = [self._number(1) if self._rest else SUCCESS]
        if self._rest:
            self._properties()

    def _acknowledgement(self):
        self.identifier = self._number(2)
        self._reason_then_properties()

    def _suback(self):
        self.identifier = self._number(2)
        self._properties()
        self.reasons, self._rest = list(self._rest), b""

    def _publish(self):
        self.topic = self._binary().decode()
        if self.flags & 0x06:
            self.identifier = self._number(2)
        self._properties()
        self.payload, self._rest = self._rest, b""


class Wire:
    """One connection on which packets are sent by hand."""

    def __init__(self, system, version=None, timeout_secs=10.0, channel=None):
        """Over a channel of its own, unless there is one already."""
        self.channel = channel or Channel(system.host, system.port, system.ca, timeout_secs, version)
        # 4 for MQTT 3.1.1, whose packets have no properties.
        self.level = 5

    def send(self, octets):
        """False where the Server has closed already: to find out why, read."""
        try:
            self.channel.sendall(octets)
        except ConnectionError:
            return False
        return True

    def _exactly(self, size):
        octets = b""
        while len(octets) < size:
            more = self.channel.recv(size - len(octets))
            if not more:
                raise EOFError
            octets += more
        return octets

    def read(self, timeout_secs=10.0):
        """The next packet; None where the Server closed the connection. TimeoutError where it says nothing."""
        self.channel.settimeout(timeout_secs)
        try:
            first = self._exactly(1)[0]
            length, shift = 0, 0
            while True:
                octet = self._exactly(1)[0]
                length |= (octet & 0x7F) << shift
                shift += 7
                if octet < 0x80:
                    break
            return Received(first >> 4, first & 0x0F, self._exactly(length), self.level)
        except (EOFError, ConnectionError):
            return None

    def expect(self, kind, reason=None, timeout_secs=10.0):
        """The next packet, which must be of this kind and have this reason code."""
        received = self.read(timeout_secs)
        assert received is not None, f"the Server closed where packet {kind} was expected"
        assert received.kind == kind, f"expected packet {kind}, got {received}"
        if reason is not None:
            assert received.reason == reason, f"expected {reason:#04x}, got {received.reason:#04x} ({received.reason_string})"
        return received

    def expect_closed(self, timeout_secs=10.0):
        received = self.read(timeout_secs)
        assert received is None, f"the Server must close, it sent {received}"

    def expect_silence(self, secs):
        try:
            received = self.read(secs)
        except TimeoutError:
            return
        raise AssertionError(f"nothing was expected, got {received or 'the end of the connection'}")

    def authenticate(self, token, key, proof, client_id="", data=None, **options):
        """CONNECT and, for a challenge, AUTH; what the Server answers at last: CONNACK, DISCONNECT or None."""
        token = token.encode() if isinstance(token, str) else token
        if proof == "exporter":
            data = data or ace.token_and_proof(token, key.prove(self.channel.exporter()))
            self.send(connect_ace(client_id, data, **options))
            return self.read()
        self.send(connect_ace(client_id, data or ace.token_only(token), **options))
        answer = self.read()
        if answer is not None and answer.kind == AUTH:
            nonce = challenge_of(answer)
            self.send(auth(CONTINUE, ace.answer_challenge(key, nonce)))
            answer = self.read()
        return answer

    def close(self):
        self.channel.close()

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self.close()


def challenge_of(received):
    """The RS nonce of the Server's AUTH: exactly 8 bytes, no length (RFC 9431 §2.2.4.2.2)."""
    assert received is not None and received.kind == AUTH and received.reason == CONTINUE, f"expected a challenge, got {received}"
    assert received.find(METHOD) == ace.METHOD, "AUTH must carry the Authentication Method"
    nonce = received.find(DATA)
    assert nonce is not None and len(nonce) == 8, f"the challenge must be 8 bytes, it is {nonce!r}"
    return nonce
