"""The home prefixes of a link as Prefix Information options (RFC 6275 sections 7.2 and 10.6.1)."""

from __future__ import annotations

import math

from mip6core.codec.icmpv6 import PrefixInformation
from mip6core.codec.nd_options import INFINITE_LIFETIME
from mip6core.home_link import HomeLink, HomePrefix


def prefix_options(link: HomeLink, now: float) -> tuple[PrefixInformation, ...]:
    """All of them, with what is left of their lifetimes.

    The prefix that the home agent's address is in carries the whole address and the R bit; on a virtual link
    there may be none such.
    """
    return tuple(_option(link, home_prefix, now) for home_prefix in link.prefixes)


def _option(link: HomeLink, home_prefix: HomePrefix, now: float) -> PrefixInformation:
    prefix = home_prefix.prefix
    own = prefix.contains(link.address)
    valid = home_prefix.remaining(home_prefix.valid_lifetime, now)
    preferred = home_prefix.remaining(home_prefix.preferred_lifetime, now)
    return PrefixInformation(
        link.address if own else prefix.network,
        prefix.length,
        _on_the_wire(valid),
        _on_the_wire(min(preferred, valid)),  # RFC 4861 section 4.6.2
        router_address=own,
    )


def _on_the_wire(seconds: float) -> int:
    return INFINITE_LIFETIME if seconds == math.inf else min(max(0, int(seconds)), INFINITE_LIFETIME - 1)
