"""Another certificate for localhost by the same CA: `certificate.py CA.pem CA.key OUT.pem OUT.key`. Trusted, yet not what the AS vouches for."""

import datetime
import pathlib
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LIFE = datetime.timedelta(days=1)


def main(ca, ca_key, certificate, key):
    issuer = x509.load_pem_x509_certificate(pathlib.Path(ca).read_bytes())
    signer = serialization.load_pem_private_key(pathlib.Path(ca_key).read_bytes(), None)
    own = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(
        issuer_name=issuer.subject,
        subject_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "another broker")]),
        public_key=own.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - LIFE,
        not_valid_after=now + LIFE,
    ).add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    signed = builder.sign(signer, hashes.SHA256())
    pathlib.Path(certificate).write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    path = pathlib.Path(key)
    path.touch(mode=0o600)
    path.write_bytes(own.private_bytes(encoding, form, serialization.NoEncryption()))


if __name__ == "__main__":
    main(*sys.argv[1:])
