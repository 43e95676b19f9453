"""The home links' sections about Router Advertisements and prefix discovery."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Any, Final

from deploy.config import reading as read
from mip6core.constants import MAX_MOB_PFX_ADV_INTERVAL, MIN_DELAY_BETWEEN_RAS, MIN_MOB_PFX_ADV_INTERVAL
from mip6core.home_link import MobilePrefixSettings, RouterAdvertisementSettings

NO_ADVERTISEMENTS: Final = RouterAdvertisementSettings()
PREFIX_DISCOVERY: Final = MobilePrefixSettings()


@dataclass(frozen=True)
class RouterAdvertisementConfig:
    """The home agent's own Router Advertisements: times in seconds (RFC 4861 section 6.2.1, RFC 6275 section 7.5)."""

    enabled: Annotated[bool, read.flag] = False
    max_interval: Annotated[float, read.number(0.07, 1800, "seconds")] = 600.0
    # Where the file does not say: a third of max_interval, or three quarters of one below 9 s.
    min_interval: Annotated[float | None, read.optional(read.number(0.03, 1350, "seconds"))] = None
    # Where the file does not say: 3, or min_interval if that is smaller (RFC 6275 section 13).
    min_delay: Annotated[float | None, read.optional(read.number(0.03, 3, "seconds"))] = None
    preference: Annotated[int, read.integer(0, 65_535)] = 0  # a higher one is a better home agent
    # Of the home agent. Where the file does not say: three times max_interval.
    lifetime: Annotated[int | None, read.optional(read.integer(1, 65_535, "seconds"))] = None
    router_lifetime: Annotated[int, read.integer(0, 9000, "seconds")] = 0  # 0: hosts have another default router
    managed: Annotated[bool, read.flag] = False  # M: addresses by DHCPv6
    other: Annotated[bool, read.flag] = False  # O: other things by DHCPv6


def _show(settings: Any) -> dict[str, Any]:
    """Settings are called as in the file."""
    return {key.name: getattr(settings, key.name) for key in fields(settings)}


@read.takes(lambda: read.section_schema(RouterAdvertisementConfig), _show)
def router_advertisement(value: Any, path: str) -> RouterAdvertisementSettings:
    """The section, with the values that depend on each other filled in and checked."""
    given = read.build(RouterAdvertisementConfig, value, path)
    least, most = given.min_interval, given.max_interval
    if least is None:
        least = round(0.33 * most, 3) if most >= 9 else 0.75 * most
    if least > 0.75 * most:
        raise read.wrong(f"{path}.min_interval", "at most three quarters of max_interval", least)
    if given.router_lifetime and given.router_lifetime < most:
        raise read.wrong(f"{path}.router_lifetime", "0, or at least max_interval", given.router_lifetime)
    lifetime = given.lifetime or max(1, round(3 * most))
    if lifetime <= most:  # a home agent that others forget between two advertisements
        raise read.wrong(f"{path}.lifetime", "more than max_interval", lifetime)
    min_delay = given.min_delay or min(float(MIN_DELAY_BETWEEN_RAS), least)
    return RouterAdvertisementSettings(
        given.enabled,
        most,
        least,
        min_delay,
        given.preference,
        lifetime,
        given.router_lifetime,
        given.managed,
        given.other,
    )


@dataclass(frozen=True)
class MobilePrefixConfig:
    """What mobile nodes that are away are told about the home prefixes (RFC 6275 section 10.6)."""

    enabled: Annotated[bool, read.flag] = True  # answer Mobile Prefix Solicitations
    unsolicited: Annotated[bool, read.flag] = True  # and tell of changes without being asked
    max_interval: Annotated[int, read.integer(1, 31_536_000, "seconds")] = MAX_MOB_PFX_ADV_INTERVAL
    min_interval: Annotated[int, read.integer(0, 31_536_000, "seconds")] = MIN_MOB_PFX_ADV_INTERVAL
    dhcpv6: Annotated[bool, read.flag] = False  # mobile nodes reach DHCPv6: tell them M and O of the home link


@read.takes(lambda: read.section_schema(MobilePrefixConfig), _show)
def mobile_prefix(value: Any, path: str) -> MobilePrefixSettings:
    """The section; what no delay could be between is refused."""
    given = read.build(MobilePrefixConfig, value, path)
    if given.min_interval > given.max_interval:
        raise read.wrong(f"{path}.min_interval", "at most max_interval", given.min_interval)
    return MobilePrefixSettings(given.enabled, given.unsolicited, given.max_interval, given.min_interval, given.dhcpv6)
