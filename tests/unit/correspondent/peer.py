"""A mobile node as a correspondent sees it, with the cryptography of RFC 6275 sections 5.2.5 and 6.2.7.

It shares no code with the correspondent: packets come from engine/wire.py, hashes from hashlib (HMAC by hand).
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field

from tests.unit.engine import wire
from tests.unit.engine.wire import A, address

CN = address("2001:db8:c::10")
CN2 = address("2001:db8:c::11")
TEP = address("2001:db8:c::2")
ROUTER = address("2001:db8:c::1")
HOA = address("2001:db8:100::99")
HOA2 = address("2001:db8:100::98")
COA1 = address("2001:db8:f1::1")
COA2 = address("2001:db8:f2::1")

PAD6 = b"\x01\x04\0\0\0\0"


def hmac_sha1(key: bytes, data: bytes) -> bytes:
    """RFC 2104."""
    key = key.ljust(64, b"\0")
    inner = hashlib.sha1(bytes(octet ^ 0x36 for octet in key) + data).digest()
    return hashlib.sha1(bytes(octet ^ 0x5C for octet in key) + inner).digest()


def authenticator(key: bytes, care_of_address: bytes, correspondent: bytes, mh_data: bytes) -> bytes:
    """Section 6.2.7; `mh_data` with the checksum as it stands, up to the authenticator."""
    return hmac_sha1(key, care_of_address + correspondent + mh_data[:4] + b"\0\0" + mh_data[6:])[:12]


@dataclass(frozen=True)
class Token:
    """A keygen token with what it was asked for with."""

    index: int
    value: bytes


NO_TOKEN = Token(0, b"")


def init(mh_type: int, source: bytes, destination: bytes, cookie: bytes = b"12345678", **more: object) -> bytes:
    """A Home Test Init (1) or Care-of Test Init (2); `more` is for wire.mobility_header and `home_address` for both."""
    home_address = more.pop("home_address", None)
    assert home_address is None or isinstance(home_address, bytes)
    data = b"\0\0" + cookie
    upper = wire.mobility_header(mh_type, data, home_address or source, destination, **more)  # type: ignore[arg-type]
    return wire.ipv6(source, destination, 135, upper, home_address=home_address)


def update(
    home: Token,
    care_of: Token,
    *,
    sequence: int = 15,
    lifetime: int = 10,
    flags: int = A,
    correspondent: bytes = CN,
    home_address: bytes = HOA,
    care_of_address: bytes = COA1,
    source: bytes | None = None,
    alternate: bytes | None = None,
    home_address_option: bool = True,
    authenticated_address: bytes | None = None,
    key: bytes | None = None,
    nonce_indices: bool = True,
    authorization: bool = True,
    trailing: bytes = b"",
    authenticator_length: int = 12,
    extra: bytes = b"",
    reserved: int = 0,
    mh_reserved: int = 0,
    payload_proto: int = 59,
    header_length: int | None = None,
) -> bytes:
    """A Binding Update as in section 9.5.1; the Kbm is that of a deletion for a lifetime of 0."""
    deletion = lifetime == 0
    source = care_of_address if source is None else source
    if key is None:
        key = hashlib.sha1(home.value + (b"" if deletion else care_of.value)).digest()
    if authenticated_address is None:
        authenticated_address = home_address if deletion else care_of_address
    data = struct.pack("!HHH", sequence, flags | reserved, lifetime)  # 12 octets of the header now
    if alternate is not None:
        data += b"\x01\0\x03\x10" + alternate  # 32
    if nonce_indices:
        data += struct.pack("!BBHH", 4, 4, home.index, care_of.index)
    data += extra
    if authorization:
        while (6 + len(data)) % 8 != 2:
            data += b"\0"
        data += bytes([5, authenticator_length])
    length = 6 + len(data) + (authenticator_length if authorization else 0) + len(trailing)
    if not authorization:
        data += b"\0" * (-length % 8)
        length += -length % 8
    octet = length // 8 - 1 if header_length is None else header_length
    message = struct.pack("!BBBBH", payload_proto, octet, 5, mh_reserved, 0) + data
    if authorization:
        message += authenticator(key, authenticated_address, correspondent, message)[:authenticator_length].ljust(
            authenticator_length, b"\0"
        )
    message += trailing
    value = wire.checksum(home_address if home_address_option else source, correspondent, 135, message)
    message = message[:4] + struct.pack("!H", value) + message[6:]
    return wire.ipv6(source, correspondent, 135, message, home_address=home_address if home_address_option else None)


@dataclass
class Answer:
    """A packet of a correspondent, read here."""

    kind: str  # HOT, COT, BA, BE, BRR, PP
    source: bytes
    destination: bytes
    routing: bytes | None
    after_flows: bool = False
    index: int = -1
    cookie: bytes = b""
    token: bytes = b""
    status: int = -1
    flags: int = -1
    sequence: int = -1
    lifetime: int = -1
    options: list[int] = field(default_factory=list)
    authenticator: bytes | None = None
    covered: bytes = field(default=b"", repr=False)
    home_address: bytes = b""
    code: int = -1
    pointer: int = -1
    invoking: bytes = field(default=b"", repr=False)
    raw: bytes = field(default=b"", repr=False)

    def is_authentic(self, key: bytes, care_of_address: bytes) -> bool:
        """Whether a Binding Acknowledgement has the right authenticator."""
        return self.authenticator == authenticator(key, care_of_address, self.source, self.covered)


def read(packet: bytes, after_flows: bool = False) -> Answer:
    """Read a packet and check lengths and checksum."""
    word, length, protocol, hop_limit = struct.unpack_from("!IHBB", packet)
    assert word >> 28 == 6 and length == len(packet) - 40 and hop_limit == 64
    source, destination, upper = packet[8:24], packet[24:40], packet[40:]
    routing = None
    if protocol == 43:
        assert upper[1:8] == bytes([2, 2, 1, 0, 0, 0, 0])
        protocol, routing, upper = upper[0], upper[8:24], upper[24:]
    assert wire.checksum(source, routing or destination, protocol, upper) == 0
    answer = Answer("", source, destination, routing, after_flows, raw=packet)
    if protocol == 58:
        assert upper[0] == 4
        answer.kind, answer.code, answer.invoking = "PP", upper[1], upper[8:]
        (answer.pointer,) = struct.unpack_from("!I", upper, 4)
        return answer
    assert protocol == 135 and upper[0] == 59 and len(upper) == upper[1] * 8 + 8 and upper[3] == 0
    answer.kind = {0: "BRR", 3: "HOT", 4: "COT", 6: "BA", 7: "BE"}[upper[2]]
    assert routing is None or answer.kind == "BA"  # section 6.1
    if answer.kind == "BRR":
        assert upper[6:] == b"\0\0"
    elif answer.kind == "BE":
        answer.status, reserved, answer.home_address = struct.unpack("!BB16s", upper[6:])
        assert reserved == 0
    elif answer.kind == "BA":
        _read_acknowledgement(answer, upper)
    else:
        answer.index, answer.cookie, answer.token = struct.unpack("!H8s8s", upper[6:])
    return answer


def _read_acknowledgement(answer: Answer, upper: bytes) -> None:
    answer.status, answer.flags, answer.sequence, answer.lifetime = struct.unpack_from("!BBHH", upper, 6)
    assert answer.flags == 0  # section 6.1.8: K is 0
    offset = 12
    while offset < len(upper):
        if upper[offset] == 0:
            offset += 1
            continue
        if upper[offset] != 1:
            answer.options.append(upper[offset])
        following = offset + 2 + upper[offset + 1]
        if upper[offset] == 5:  # sections 6.2.7 and 9.5.1: last, without padding
            assert following == len(upper) and upper[offset + 1] == 12
            answer.authenticator, answer.covered = upper[offset + 2 :], upper[: offset + 2]
        offset = following
    assert offset == len(upper)
