"""RFC 6455 by hand, over a channel that is there already: requests and frames that no library would send."""

import base64
import hashlib
import os
import struct

BINARY, CONTINUATION, TEXT, CLOSE, PING, PONG = 2, 0, 1, 8, 9, 10
FINAL = 0x80
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def request(host, path="/mqtt", drop=(), **changes):
    """An opening request; `changes` name headers with `_` for `-`. Its text and its key."""
    key = base64.b64encode(os.urandom(16)).decode()
    headers = {
        "Host": host,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": key,
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": "mqtt",
    }
    headers.update({name.replace("_", "-"): value for name, value in changes.items()})
    lines = [f"{name}: {value}" for name, value in headers.items() if name not in drop]
    return "\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""]).encode(), key


def frame(payload, opcode=BINARY, final=True, masked=True):
    head = bytes([opcode | (FINAL if final else 0)])
    mark = 0x80 if masked else 0
    size = len(payload)
    if size < 126:
        head += bytes([mark | size])
    elif size < 1 << 16:
        head += struct.pack("!BH", mark | 126, size)
    else:
        head += struct.pack("!BQ", mark | 127, size)
    if not masked:
        return head + payload
    mask = os.urandom(4)
    return head + mask + bytes(octet ^ mask[place % 4] for place, octet in enumerate(payload))


class WebSocket:
    """Stands where `wire.Wire` expects a channel: what is sent goes out as one binary frame, what comes in is the payload of frames."""

    def __init__(self, channel, host):
        self.channel = channel
        self._payload, self.pongs, self.close_code = b"", [], None
        text, key = request(host)
        channel.sendall(text)
        status, headers, _ = read_answer(channel)
        assert status == 101, status
        accepted = base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()
        assert headers["sec-websocket-accept"] == accepted, headers
        # [MQTT-6.0.0-4]
        assert headers["sec-websocket-protocol"] == "mqtt", headers

    def exporter(self):
        return self.channel.exporter()

    def sendall(self, octets):
        self.channel.sendall(frame(octets))

    def send_raw(self, octets):
        self.channel.sendall(octets)

    def recv(self, size):
        while not self._payload:
            if self.close_code is not None or not self._read_frame():
                return b""
        taken, self._payload = self._payload[:size], self._payload[size:]
        return taken

    def _read_frame(self):
        head = self._exactly(2)
        if head is None:
            return False
        assert head[0] & 0x70 == 0 and head[1] & 0x80 == 0, f"reserved bits or a mask: {head!r}"
        size = head[1]
        if size == 126:
            size = int.from_bytes(self._exactly(2), "big")
        elif size == 127:
            size = int.from_bytes(self._exactly(8), "big")
        payload = self._exactly(size)
        opcode = head[0] & 0x0F
        if opcode == CLOSE:
            self.close_code = int.from_bytes(payload[:2], "big") if payload else 1005
        elif opcode == PONG:
            self.pongs.append(payload)
        else:
            # [MQTT-6.0.0-1]
            assert opcode in (BINARY, CONTINUATION), opcode
            self._payload += payload
        return True

    def _exactly(self, size):
        octets = b""
        while len(octets) < size:
            more = self.channel.recv(size - len(octets))
            if not more:
                return None
            octets += more
        return octets

    def settimeout(self, timeout_secs):
        self.channel.settimeout(timeout_secs)

    def cut(self):
        self.channel.cut()

    def close(self):
        self.channel.close()


def read_answer(channel):
    """Status, headers and body of an HTTP answer. Nothing behind the headers of a 101 is read."""
    octets = b""
    while not octets.endswith(b"\r\n\r\n"):
        more = channel.recv(1)
        assert more, f"the answer ends early: {octets!r}"
        octets += more
    first, *lines = octets.decode().strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}
    body = b""
    while len(body) < int(headers.get("content-length", 0)):
        more = channel.recv(4096)
        assert more, f"the body ends early: {body!r}"
        body += more
    return int(first.split()[1]), headers, body.decode()
