"""ICMPv6 errors from inside a tunnel, relayed to the sender of the packet in it (RFC 2473 section 8).

Whoever reports the error is a router on the way to the care-of address, of which nothing is known. So all that can be
checked is whether the packet in error may be one of ours: a tunnel packet to the care-of address of a binding, with a
packet for its home address in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from mip6core.addresses import Address
from mip6core.bcache import BindingCache, BindingCacheEntry
from mip6core.codec import icmpv6, ipv6
from mip6core.codec.icmpv6 import DestinationUnreachable, PacketTooBig, ParameterProblem, TimeExceeded
from mip6core.codec.ipv6 import Datagram
from mip6core.constants import DESTINATION_OPTIONS, ICMPV6, IPV6, MINIMUM_MTU
from mip6core.errors import ParseError
from mip6core.home_link import HomeLink
from mip6core.icmpv6_errors import may_be_answered
from mip6core.rate_limit import RateLimiter
from mip6core.registration import Discarded

_Error: TypeAlias = DestinationUnreachable | PacketTooBig | TimeExceeded | ParameterProblem

_HOP_LIMIT_EXCEEDED: Final = 0  # code of Time Exceeded
_LIMIT_OPTION: Final = b"\x04\x01"  # Tunnel Encapsulation Limit, section 4.1.1: type and length
_MAX_LIMIT: Final = 1  # section 8.2 speaks of a limit of zero, section 8.1 of one


@dataclass(frozen=True, slots=True)
class Report:
    """What follows from an error inside a tunnel."""

    packet: bytes | None = None  # for the original sender
    narrow: BindingCacheEntry | None = None  # its tunnel does not carry packets of the minimum MTU in one piece


_NOTHING: Final = Report()


class TunnelErrors:
    """Reads what comes from inside the tunnels of all home links."""

    __slots__ = ("_bindings", "_statistics", "errors")

    def __init__(self, bindings: BindingCache, errors: RateLimiter, statistics: dict[str, int]) -> None:
        """`errors` limits what a stranger can make the home agent send."""
        self._bindings = bindings
        self.errors = errors
        self._statistics = statistics

    def relay(self, link: HomeLink, datagram: Datagram, now: float) -> Report:
        """What an ICMPv6 error to the home agent of `link` leads to.

        The packet takes the way of any packet to its destination, which may be a mobile node itself.
        """
        try:
            return self._relay(link, datagram, now)
        except (Discarded, ParseError) as error:
            self._statistics["dropped_" + error.reason] += 1
            return _NOTHING

    def _relay(self, link: HomeLink, datagram: Datagram, now: float) -> Report:
        if datagram.more_fragments or datagram.fragment_offset:
            raise Discarded("fragment")
        if datagram.destination != link.address or datagram.type2_home_address is not None:
            raise Discarded("not_for_home_agent")
        if datagram.unrecognized_option is not None:
            raise Discarded("unrecognized_option")
        error = icmpv6.parse(datagram)
        if not isinstance(error, _Error):
            raise Discarded("not_an_error")
        quote = error.invoking
        headers = _tunnel_headers(quote)
        if headers is None:  # about something that the home agent's host has sent
            self._statistics["ignored_icmpv6_error"] += 1
            return _NOTHING
        original = quote[headers:]
        binding = self._binding(link, quote, original)
        if binding is None:
            raise Discarded("tunnel_error_not_ours")
        narrow = binding if _is_narrow(error, headers) else None
        message = _for_original_sender(error, headers)
        if message is None or not may_be_answered(original):
            if narrow is None:
                raise Discarded("tunnel_error_not_relayed")
            return Report(narrow=narrow)
        sender = original[8:24]
        if not self.errors.allow(sender, now):
            self._statistics["icmpv6_suppressed"] += 1
            return Report(narrow=narrow)
        self._statistics["tunnel_errors_relayed"] += 1
        return Report(_packet(link.address, sender, message), narrow)

    def _binding(self, link: HomeLink, quote: bytes, original: bytes) -> BindingCacheEntry | None:
        """The one for which the home agent may have sent the tunnel packet."""
        if len(original) < 40 or original[0] >> 4 != 6 or quote[8:24] != link.address:
            return None
        binding = self._bindings.get_bound(original[24:40])
        if binding is None or binding.link is not link or binding.care_of_address != quote[24:40]:
            return None
        return binding


def _tunnel_headers(quote: bytes) -> int | None:
    """How many octets of headers are before the packet in a tunnel packet; None: it is no tunnel packet."""
    upper = ipv6.upper_layer(quote)
    return upper[1] if upper is not None and upper[0] == IPV6 else None


def _is_too_big(error: PacketTooBig, headers: int) -> bool:
    """Whether the tunnel packet was longer than what the router says it can carry (RFC 8201 section 4)."""
    return error.mtu < headers + 40 + int.from_bytes(error.invoking[headers + 4 : headers + 6], "big")


def _is_narrow(error: _Error, headers: int) -> bool:
    """Section 7.1 (b): whether packets of the minimum MTU have to be fragmented in the tunnel."""
    return isinstance(error, PacketTooBig) and error.mtu < MINIMUM_MTU + 40 and _is_too_big(error, headers)


def _for_original_sender(error: _Error, headers: int) -> DestinationUnreachable | PacketTooBig | None:
    """Section 8.2; None where it tells nothing to the original sender."""
    if isinstance(error, PacketTooBig):
        original = error.invoking[headers:]
        # Section 7.1: a packet of the minimum MTU or less has to get through, and its sender can do nothing about it.
        if 40 + int.from_bytes(original[4:6], "big") <= MINIMUM_MTU or not _is_too_big(error, headers):
            return None
        return PacketTooBig(max(error.mtu - headers, MINIMUM_MTU), original)
    if isinstance(error, TimeExceeded) and error.code != _HOP_LIMIT_EXCEEDED:
        return None
    if isinstance(error, ParameterProblem) and not _is_encapsulation_limit(error, headers):
        return None
    return DestinationUnreachable(icmpv6.ADDRESS_UNREACHABLE, error.invoking[headers:])


def _is_encapsulation_limit(error: ParameterProblem, headers: int) -> bool:
    """Whether it says that the tunnel packet could not enter another tunnel (sections 4.1.1 and 8.1)."""
    quote, pointer = error.invoking, error.pointer
    return (
        error.code == icmpv6.ERRONEOUS_HEADER_FIELD
        and quote[6] == DESTINATION_OPTIONS
        and 44 <= pointer < headers
        and quote[pointer - 2 : pointer] == _LIMIT_OPTION
        and quote[pointer] <= _MAX_LIMIT
    )


def _packet(source: Address, destination: Address, message: icmpv6.Message) -> bytes:
    return ipv6.build(source, destination, ICMPV6, icmpv6.build(message, source, destination))
