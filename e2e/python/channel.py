"""A TLS connection by pyOpenSSL that can stand where a socket is expected, and that gives out the exporter value."""

import ipaddress
import select
import socket
import time

from cryptography import x509
from OpenSSL import SSL

from ace import EXPORTER_LABEL

TLS12, TLS13 = SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION


def _wrong_name(certificate, host):
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    try:
        return ipaddress.ip_address(host) not in names.get_values_for_type(x509.IPAddress)
    except ValueError:
        return host not in names.get_values_for_type(x509.DNSName)


class Channel:
    """Connected and checked once made; `timeout_secs` bounds each wait, `setblocking(False)` makes it fit for an event loop."""

    def __init__(self, host, port, ca_path, timeout_secs=10.0, version=None, alpn=b"mqtt"):
        context = SSL.Context(SSL.TLS_METHOD)
        context.load_verify_locations(ca_path)
        context.set_verify(SSL.VERIFY_PEER, lambda _connection, _certificate, _error, _depth, ok: bool(ok))
        if version is not None:
            context.set_min_proto_version(version)
            context.set_max_proto_version(version)
        context.set_alpn_protos([alpn])
        self._timeout_secs = timeout_secs
        self._tcp = socket.create_connection((host, port), timeout=timeout_secs)
        self._tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._tcp.setblocking(False)
        self._tls = SSL.Connection(context, self._tcp)
        if not host.replace(".", "").isdigit():
            self._tls.set_tlsext_host_name(host.encode())
        self._tls.set_connect_state()
        self._blocking(self._tls.do_handshake)
        if _wrong_name(self._tls.get_peer_certificate(as_cryptography=True), host):
            self.close()
            raise ConnectionError(f"the certificate is not for {host}")

    def exporter(self):
        # A context that is there but empty: TLS 1.2 tells that from an absent one (RFC 5705 §4).
        return self._tls.export_keying_material(EXPORTER_LABEL, 32, b"")

    def alpn(self):
        return self._tls.get_alpn_proto_negotiated()

    def version(self):
        return self._tls.get_protocol_version_name()

    def certificate(self):
        return self._tls.get_peer_certificate(as_cryptography=True)

    def _blocking(self, operation, *arguments):
        """Runs an operation, waiting as it asks; raises BlockingIOError at once where the channel is not blocking."""
        deadline = time.monotonic() + (self._timeout_secs or 0)
        while True:
            try:
                return operation(*arguments)
            except SSL.WantReadError:
                wanted = ([self._tcp], [], [])
            except SSL.WantWriteError:
                wanted = ([], [self._tcp], [])
            if self._timeout_secs == 0:
                raise BlockingIOError
            if not any(select.select(*wanted, max(0.0, deadline - time.monotonic()))):
                raise TimeoutError("the peer said nothing in time")

    def recv(self, size):
        try:
            return self._blocking(self._tls.recv, size)
        except SSL.ZeroReturnError:
            return b""
        except SSL.SysCallError as error:
            raise ConnectionResetError(*error.args) from error
        except SSL.Error as error:
            raise ConnectionResetError(f"TLS: {error}") from error

    def send(self, octets):
        try:
            return self._blocking(self._tls.send, bytes(octets))
        except (SSL.ZeroReturnError, SSL.SysCallError, SSL.Error) as error:
            raise ConnectionResetError(f"TLS: {error}") from error

    def sendall(self, octets):
        while octets:
            octets = octets[self.send(octets) :]

    def pending(self):
        return self._tls.pending()

    def fileno(self):
        return self._tcp.fileno()

    def setblocking(self, blocking):
        self._timeout_secs = 10.0 if blocking else 0

    def settimeout(self, timeout_secs):
        self._timeout_secs = timeout_secs

    def cut(self):
        """Ends the TCP connection without a word of TLS or MQTT."""
        self._tcp.close()

    def close(self):
        try:
            self._tls.shutdown()
        except SSL.Error:
            # The peer may be gone already; then there is nobody to say goodbye to.
            pass
        self._tcp.close()
