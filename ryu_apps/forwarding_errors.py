"""The ICMPv6 errors that the home agent owes as a router and tunnel entry point (RFC 4443, RFC 2473 section 7)."""

from __future__ import annotations

from mip6core.addresses import Address
from mip6core.codec import icmpv6, ipv6
from mip6core.codec.icmpv6 import DestinationUnreachable, PacketTooBig, TimeExceeded
from mip6core.constants import ICMPV6, MINIMUM_MTU
from mip6core.icmpv6_errors import may_be_answered

HOP_LIMIT_OFFSET = 7


def for_tunnel(packet: bytes, own: Address, tunnel_mtu: int) -> bytes | None:
    """The error for a packet that may not enter the tunnel, or None where RFC 4443 section 2.4 (e) forbids one.

    The punt may have cut the packet to what an error quotes.
    """
    if len(packet) < 40:
        return None
    if packet[HOP_LIMIT_OFFSET] <= 1:
        return _build(packet, own, TimeExceeded(0, packet))
    return too_big(packet, own, tunnel_mtu)


def too_big(packet: bytes, own: Address, mtu: int) -> bytes | None:
    """The error for a packet that is longer than `mtu`; it may be cut."""
    if len(packet) < 40:
        return None
    return _build(packet, own, PacketTooBig(max(mtu, MINIMUM_MTU), packet))


def address_unreachable(packet: bytes, own: Address) -> bytes | None:
    """The error for a packet to a neighbour that does not answer (RFC 4861 section 7.2.2); None for our own packets."""
    if len(packet) < 40 or packet[8:24] == own:
        return None
    return _build(packet, own, DestinationUnreachable(icmpv6.ADDRESS_UNREACHABLE, packet))


def forwarded(packet: bytes) -> bytes | None:
    """The packet with its hop limit decremented, or None if it is too short to be one."""
    if len(packet) < 40:
        return None
    return packet[:HOP_LIMIT_OFFSET] + bytes((packet[HOP_LIMIT_OFFSET] - 1,)) + packet[HOP_LIMIT_OFFSET + 1 :]


def _build(packet: bytes, own: Address, error: icmpv6.Message) -> bytes | None:
    if not may_be_answered(packet, to_group=isinstance(error, PacketTooBig)):
        return None
    source = packet[8:24]
    return ipv6.build(own, source, ICMPV6, icmpv6.build(error, own, source))
