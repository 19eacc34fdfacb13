"""TLS by programs of others: plaintext goes through their standard input and output, so that MQTT is spoken over keys that Python's TLS lacks."""

import os
import pathlib
import select
import subprocess
import tempfile
import time

MQTT_ALPN = "mqtt"
# How long a program may take to end once its connection has.
END_SECS = 10


class Program:
    """A program that is a TLS channel. Stands where `channel.Channel` does."""

    def __init__(self, words):
        self._said = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, bufsize=0
        )
        self._timeout_secs = 10.0

    def settimeout(self, timeout_secs):
        self._timeout_secs = timeout_secs

    def sendall(self, octets):
        # A pipe that nobody reads any more is a connection that is closed.
        while octets:
            octets = octets[self._process.stdin.write(octets) :]

    def recv(self, size):
        out = self._process.stdout
        if not select.select([out], [], [], self._timeout_secs)[0]:
            raise TimeoutError(f"the peer said nothing in time\n{self.said()}")
        return os.read(out.fileno(), size)

    def said(self):
        """What it complained about."""
        self._said.seek(0)
        return self._said.read().decode(errors="replace")

    def cut(self):
        """Ends the connection without a word of TLS or MQTT."""
        self._process.kill()
        self._process.wait(END_SECS)

    def close(self):
        self.cut()
        self._process.stdin.close()
        self._process.stdout.close()
        self._said.close()


def openssl_psk(system, identity, key, *more):
    """`openssl s_client` with a pre-shared key."""
    words = ["openssl", "s_client", "-connect", f"{system.host}:{system.port}", "-quiet", "-nocommands", "-alpn", MQTT_ALPN]
    return Program([*words, "-psk_identity", identity, "-psk", key.hex(), *more])


def _gnutls(system, priority, *more):
    """Its own messages go to a file: what it prints is what the broker says."""
    words = ["gnutls-cli", "--port", str(system.port), "--priority", priority, "--alpn", MQTT_ALPN, "--logfile", os.devnull]
    return Program([*words, *more, system.host])


def gnutls_psk(system, identity, key):
    """`gnutls-cli` with a pre-shared key, on TLS 1.3: on 1.2 it crashes after the handshake. Any bytes but 0 can be in its identity."""
    priority = "NORMAL:-VERS-ALL:+VERS-TLS1.3:-KX-ALL:+ECDHE-PSK:+DHE-PSK"
    return _gnutls(system, priority, "--pskusername", identity, "--pskkey", key.hex())


def gnutls_raw_key(system, key, version, more=""):
    """`gnutls-cli` that shows a raw public key and checks the broker's certificate."""
    priority = f"NORMAL:-VERS-ALL:+{version}:-CTYPE-ALL:+CTYPE-CLI-RAWPK:+CTYPE-SRV-X509{more}"
    private, public = key
    return _gnutls(system, priority, "--x509cafile", system.ca, "--rawpkkeyfile", private, "--rawpkfile", public)


def raw_key_files(folder, algorithm):
    """A new key pair as two PEM files, made by the program openssl: GnuTLS does not read every PKCS #8."""
    private, public = (str(pathlib.Path(folder) / name) for name in ("private.pem", "public.pem"))
    options = {"EdDSA": ["ED25519"], "ES256": ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"]}[algorithm]
    for words in (["genpkey", "-out", private, "-algorithm", *options], ["pkey", "-in", private, "-pubout", "-out", public]):
        subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=60)
    return private, public


def mosquitto(verb, system, *words):
    """`mosquitto_pub` or `mosquitto_sub`, started."""
    command = [f"mosquitto_{verb}", "-h", system.host, "-p", str(system.port), *words]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process, secs=30):
    """What it printed, complained about, and its exit code."""
    deadline = time.monotonic() + secs
    out, err = process.communicate(timeout=max(0.1, deadline - time.monotonic()))
    return out, err, process.returncode
