"""Whether other routers on a link advertise what the home agent advertises there (RFC 4861 section 6.2.7)."""

from __future__ import annotations

from typing import Final

from mip6core.addresses import Address
from mip6core.codec.icmpv6 import PrefixInformation, RouterAdvertisement

MAX_ROUTERS: Final = 64  # that are told about; any node on the link can advertise
_SKEW: Final = 10  # seconds by which the ends of lifetimes may differ


def differences(own: RouterAdvertisement, other: RouterAdvertisement) -> list[str]:
    """The fields that hosts would switch to and fro with each advertisement, in the words of RFC 4861 section 6.2.1.

    What one of the two does not specify is no difference, and each may have prefixes that the other has not.
    """
    found = []
    if own.managed != other.managed:
        found.append("AdvManagedFlag")
    if own.other != other.other:
        found.append("AdvOtherConfigFlag")
    for name, ours, theirs in (
        ("AdvCurHopLimit", own.hop_limit, other.hop_limit),
        ("AdvReachableTime", own.reachable_time, other.reachable_time),
        ("AdvRetransTimer", own.retrans_timer, other.retrans_timer),
        ("AdvLinkMTU", own.mtu, other.mtu),
    ):
        if ours and theirs and ours != theirs:
            found.append(name)
    prefixes = {_prefix(option): option for option in own.prefixes}
    valid = preferred = False
    for option in other.prefixes:
        ours_of_it = prefixes.get(_prefix(option))
        if ours_of_it is not None:
            valid |= abs(ours_of_it.valid_lifetime - option.valid_lifetime) > _SKEW
            preferred |= abs(ours_of_it.preferred_lifetime - option.preferred_lifetime) > _SKEW
    return found + ["AdvValidLifetime"] * valid + ["AdvPreferredLifetime"] * preferred


def _prefix(option: PrefixInformation) -> tuple[int, int]:
    return int.from_bytes(option.address, "big") >> (128 - option.length), option.length


class Consistency:
    """What was found on one link, so that everything is announced once."""

    __slots__ = ("_announced", "left_out")

    def __init__(self) -> None:
        self.left_out = 0  # findings about routers that there is no room for
        self._announced: dict[Address, set[str]] = {}

    def __len__(self) -> int:
        """How many routers were told about."""
        return len(self._announced)

    def news(self, router: Address, found: list[str]) -> tuple[str, ...]:
        """Those of the differences that were not announced before. They are from now on."""
        known = self._announced.get(router)
        if known is None:
            if len(self._announced) >= MAX_ROUTERS:
                self.left_out += 1
                return ()
            known = self._announced[router] = set()
        news = tuple(name for name in found if name not in known)
        known.update(news)
        return news
