"""IPv6 addresses as 16 octets of bytes: hashable, comparable, and never converted on the packet path."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

Address = bytes  # 16 octets

UNSPECIFIED: Address = bytes(16)  # ::
LOOPBACK: Address = bytes(15) + b"\x01"  # ::1
ALL_NODES: Address = b"\xff\x02" + bytes(13) + b"\x01"  # ff02::1, RFC 4291 section 2.7.1
ALL_ROUTERS: Address = b"\xff\x02" + bytes(13) + b"\x02"  # ff02::2

_LINK_LOCAL_PREFIX = b"\xfe\x80" + bytes(6)
_SOLICITED_NODE_PREFIX = b"\xff\x02" + bytes(9) + b"\x01\xff"
_IPV4_MAPPED_PREFIX = bytes(10) + b"\xff\xff"
_NO_ADDRESS_PREFIX = bytes(8)  # ::/64 holds ::, ::1 and the IPv4-mapped and IPv4-compatible addresses


def parse(text: str) -> Address:
    """The address that `text` names. Raises ValueError, also for a zone such as %eth0."""
    address = ipaddress.IPv6Address(text)
    if address.scope_id is not None:
        raise ValueError(f"{text!r}: an address without a zone is needed")
    return address.packed


def text(address: Address) -> str:
    """The text of `address` in the form of RFC 5952."""
    if address[:12] == _IPV4_MAPPED_PREFIX:  # RFC 5952 section 5: mixed notation
        return "::ffff:" + ".".join(map(str, address[12:]))
    return str(ipaddress.IPv6Address(address))


def solicited_node(address: Address) -> Address:
    """The solicited-node multicast group of `address` (RFC 4291 section 2.7.1)."""
    return _SOLICITED_NODE_PREFIX + address[13:]


def multicast_mac(address: Address) -> bytes:
    """The Ethernet address of the multicast group `address` (RFC 2464 section 7)."""
    return b"\x33\x33" + address[12:]


def link_local(address: Address) -> Address:
    """The link-local address with the interface identifier of `address` (L bit, RFC 6275 section 6.1.7)."""
    return _LINK_LOCAL_PREFIX + address[8:]


def is_multicast(address: Address) -> bool:
    """ff00::/8."""
    return address[0] == 0xFF


def is_link_local(address: Address) -> bool:
    """fe80::/10."""
    return address[0] == 0xFE and address[1] & 0xC0 == 0x80


def is_unspecified(address: Address) -> bool:
    """::."""
    return address == UNSPECIFIED


def is_loopback(address: Address) -> bool:
    """::1."""
    return address == LOOPBACK


def is_unicast_routable(address: Address) -> bool:
    """Whether `address` can be a home or care-of address (RFC 6275 sections 6.1.7, 6.3 and 6.4).

    False for multicast, ::, ::1, IPv4-mapped and IPv4-compatible, link-local, and site-local (fec0::/10,
    deprecated by RFC 3879) addresses. Unique local addresses (fc00::/7) are routable within a site and pass.
    """
    first = address[0]
    if first < 0xFE:
        return first != 0 or address[:8] != _NO_ADDRESS_PREFIX
    return first == 0xFE and address[1] < 0x80


@dataclass(frozen=True, slots=True)
class Prefix:
    """An IPv6 prefix; bits of `network` behind `length` must be zero."""

    network: Address
    length: int  # bits, 0 to 128
    last: Address = field(init=False, repr=False, compare=False)  # the highest address; `network` is the lowest

    def __post_init__(self) -> None:
        if not 0 <= self.length <= 128 or len(self.network) != 16:
            raise ValueError(f"not a prefix: {self.network!r}, {self.length} bits")
        value = int.from_bytes(self.network, "big")
        behind = (1 << 128 - self.length) - 1
        if value & behind:
            raise ValueError(f"{text(self.network)}/{self.length} has bits set behind the prefix")
        object.__setattr__(self, "last", (value | behind).to_bytes(16, "big"))

    @classmethod
    def parse(cls, text: str) -> Prefix:
        """The prefix that `text` names, such as 2001:db8::/64; the length is needed. Raises ValueError."""
        address, slash, length = text.partition("/")
        if not (slash and length.isascii() and length.isdecimal()):
            raise ValueError(f"{text!r}: a prefix such as 2001:db8::/64 is needed")
        return cls(parse(address), int(length))

    def contains(self, address: Address) -> bool:
        """Whether the leading bits of `address` are this prefix."""
        return self.network <= address <= self.last

    def __str__(self) -> str:
        return f"{text(self.network)}/{self.length}"


def home_agents_anycast(prefix: Prefix) -> Address | None:
    """The Mobile IPv6 Home-Agents anycast address of a subnet (RFC 2526); None if the prefix leaves no room for it.

    All bits behind the prefix are one but the last, since the anycast identifier is 126, and but for the
    universal/local bit where the interface identifier has the form of EUI-64.
    """
    host_bits = 128 - prefix.length
    if host_bits < 8:
        return None
    interface_id = (1 << host_bits) - 2
    if host_bits == 64:
        interface_id &= ~(1 << 57)
    return (int.from_bytes(prefix.network, "big") | interface_id).to_bytes(16, "big")
