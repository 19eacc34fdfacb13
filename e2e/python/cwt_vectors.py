"""CBOR Web Tokens between Symbolon and two implementations that share no code with it, pycose and cwt.

`cwt_vectors.py make` prints tokens as JSON, which ace-proto's tests read (`ace-proto/tests/ace/cwt_theirs.json`).
`cwt_vectors.py check FILE` verifies those that Symbolon made (`ace-proto/tests/ace/cwt_ours.json`).

`cases/cwts.py` has the same two against a running broker.
"""

import json
import sys

import cbor2
from cwt import COSE, COSEKey
from cwt import decode as cwt_decode
from cwt import encode as cwt_encode
from pycose.algorithms import A256GCM, EdDSA, Es256, HMAC256
from pycose.headers import IV, KID, Algorithm
from pycose.keys import CoseKey
from pycose.keys.symmetric import SymmetricKey
from pycose.messages import CoseMessage, Enc0Message, Mac0Message, Sign1Message

# RFC 8037 Appendix A.1; RFC 7515 Appendix A.3; the bytes 00 to 1f; 20 to 3f.
ED25519 = {1: 1, 3: -8, -1: 6, -2: "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
           -4: "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"}
P256 = {1: 2, 3: -7, -1: 1, -2: "7fcdce2770f6c45d4183cbee6fdb4b7b580733357be9ef13bacf6e3c7bd15445",
        -3: "c7f144cd1bbd9b7e872cdfedb9eeb9f4b3695d6ea90b24ad8a4623288588e5ad",
        -4: "8e9b109e719098bf980487df1f5d77e9cb29606ebed2263b5f57c213df84f4b2"}
MAC = {1: 4, 3: 5, -1: bytes(range(0x00, 0x20)).hex()}
CONTENT = {1: 4, 3: 3, -1: bytes(range(0x20, 0x40)).hex()}

SCOPE = [["topic1", ["pub", "sub"]], ["topic2/#", ["pub"]], ["+/topic3", ["sub"]]]
HOLDER = {1: 1, -1: 6, -2: bytes.fromhex(ED25519[-2])}


def key(members, kid=None):
    """The COSE_Key with its bytes as bytes."""
    made = {k: bytes.fromhex(v) if isinstance(v, str) else v for k, v in members.items()}
    if kid:
        made[2] = kid
    return made


def claims(cnf):
    """In the order of no encoder but this one: readers must not mind."""
    return {1: "https://as.example.com", 3: ["mqtts://other.example.com", "mqtts://broker.example.com"], 4: 4102444800,
            6: 1700000000.25, 5: 1700000000, 2: "c1", 9: cbor2.dumps(SCOPE), 8: cnf, 7: b"\x01\xff", "client_id": "c1",
            -70000: {"a": [1, None]}}


def with_pycose(kind, algorithm, signer, kid, payload):
    message = kind(phdr={Algorithm: algorithm, KID: kid}, uhdr={}, payload=payload)
    message.key = CoseKey.from_dict(key(signer))
    return message.encode()


def encrypted_by_pycose():
    """A symmetric key as RFC 8747 §3.3 has it: the IV unprotected."""
    inner = cbor2.dumps({1: 4, 3: 5, -1: bytes(range(0x40, 0x60))})
    message = Enc0Message(phdr={Algorithm: A256GCM, KID: b"rs1"}, uhdr={IV: bytes(12)}, payload=inner)
    message.key = SymmetricKey.from_dict(key(CONTENT))
    return message.encode(tag=False)


def make():
    plain = cbor2.dumps(claims({1: HOLDER}))
    encrypted = cbor2.dumps(claims({2: cbor2.loads(encrypted_by_pycose())}))
    tagged = lambda token: bytes.fromhex("d83d") + token
    by_cwt = lambda members, kid: COSE.new().encode(
        plain, COSEKey.new(key(members, kid)), protected={1: members[3], 4: kid}, unprotected={})
    accepted = {
        "pycose EdDSA": tagged(with_pycose(Sign1Message, EdDSA, ED25519, b"ed", plain)),
        "pycose EdDSA, tag 61 absent": with_pycose(Sign1Message, EdDSA, ED25519, b"ed", plain),
        "pycose ES256": tagged(with_pycose(Sign1Message, Es256, P256, b"ec", plain)),
        "pycose HMAC 256/256": tagged(with_pycose(Mac0Message, HMAC256, MAC, b"mac", plain)),
        "cwt EdDSA": tagged(by_cwt(ED25519, b"ed")),
        "cwt ES256": tagged(by_cwt(P256, b"ec")),
        "cwt HMAC 256/256": tagged(by_cwt(MAC, b"mac")),
    }
    # What cwt's own encode does unless told otherwise: kid in the unprotected header.
    unprotected = cwt_encode(claims({1: HOLDER}), COSEKey.new(key(ED25519, b"ed")), tagged=True)
    print(json.dumps({
        "about": "Made by e2e/python/cwt_vectors.py with pycose 1.1.0, cwt 3.3.0, cbor2 5.9.0.",
        "accepted": {name: token.hex() for name, token in accepted.items()},
        "encrypted_key": tagged(with_pycose(Sign1Message, EdDSA, ED25519, b"ed", encrypted)).hex(),
        "kid_unprotected": unprotected.hex(),
    }, indent=1))


def check(path):
    with open(path, encoding="utf-8") as file:
        ours = {name: bytes.fromhex(token) for name, token in json.load(file).items()}
    for name, members, kid in [("eddsa", ED25519, b"ed"), ("es256", P256, b"ec"), ("mac", MAC, b"mac"),
                               ("encrypted_key", ED25519, b"ed")]:
        token = ours[name]
        assert token[:2] == bytes.fromhex("d83d"), name
        message = CoseMessage.decode(token[2:])
        assert message.uhdr == {} and message.phdr[KID] == kid, name
        message.key = CoseKey.from_dict(key(members))
        valid = message.verify_tag() if name == "mac" else message.verify_signature()
        assert valid, name
        read = cbor2.loads(message.payload)
        assert cbor2.dumps(read, canonical=True) == message.payload, name
        verified = cwt_decode(token, COSEKey.new(key(members, kid)))
        assert verified == read, name
        assert read[1] == "https://as.example.com" and read[3] == "mqtts://broker.example.com", name
        assert cbor2.loads(read[9]) == SCOPE, name
        if name != "encrypted_key":
            assert read[8] == {1: HOLDER}, name
            continue
        inner = CoseMessage.decode(cbor2.dumps(cbor2.CBORTag(16, read[8][2])))
        inner.key = SymmetricKey.from_dict(key(CONTENT))
        assert cbor2.loads(inner.decrypt()) == {1: 4, 3: 5, -1: bytes(range(0x40, 0x60))}
    print("all verified, by pycose and by cwt")


if __name__ == "__main__":
    if sys.argv[1:] == ["make"]:
        make()
    else:
        _, what, file_name = sys.argv
        assert what == "check", __doc__
        check(file_name)
