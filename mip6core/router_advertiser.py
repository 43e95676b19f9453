"""The home agent's own Router Advertisements on a home link (RFC 4861 section 6.2, RFC 6275 section 7)."""

from __future__ import annotations

from typing import Final

from mip6core.actions import Actions, SendDatagram
from mip6core.addresses import ALL_NODES, multicast_mac
from mip6core.chance import RandomOctets, uniform
from mip6core.codec import icmpv6, ipv6
from mip6core.codec.icmpv6 import HomeAgentInformation, RouterAdvertisement
from mip6core.constants import (
    ICMPV6,
    MAX_INITIAL_RTR_ADVERT_INTERVAL,
    MAX_INITIAL_RTR_ADVERTISEMENTS,
    MAX_RA_DELAY_TIME,
    ND_HOP_LIMIT,
)
from mip6core.home_link import HomeLink, eui64_link_local
from mip6core.prefix_options import prefix_options
from mip6core.timers import Timed, TimerQueue

# 7.5: an interval below 200 ms is told 20 ms longer, for the sake of slow schedulers
_SHORT_INTERVAL: Final = 200
_SCHEDULING: Final = 20


class RouterAdvertiser(Timed):
    """The advertising interface of one link; it has a deadline while it advertises."""

    __slots__ = ("_initial", "_last_sent", "_rng", "_statistics", "_timers", "link")

    def __init__(self, link: HomeLink, timers: TimerQueue, rng: RandomOctets, statistics: dict[str, int]) -> None:
        super().__init__()
        self.link = link
        self._timers = timers
        self._rng = rng
        self._statistics = statistics
        self._initial = 0  # how many of the first, more frequent advertisements are left
        self._last_sent = float("-inf")  # monotonic seconds

    def start(self, now: float) -> None:
        """The link is up, or what is advertised has changed (RFC 4861 section 6.2.4)."""
        self._initial = MAX_INITIAL_RTR_ADVERTISEMENTS
        self._timers.schedule(self, self._soon(now))

    def stop(self, now: float, actions: Actions) -> None:
        """Cease to advertise, and say so once (RFC 4861 section 6.2.5): no router and no home agent any more."""
        if self.due is None:
            return
        self.halt()
        self._send(RouterAdvertisement(0, source_link_layer_address=self.link.link_layer_address), now, actions)

    def halt(self) -> None:
        """Cease to advertise without a word: the link is out of reach."""
        self._timers.cancel(self)

    def changed(self, now: float) -> None:
        """The prefixes have changed: like a start, if it advertises."""
        if self.due is not None:
            self.start(now)

    def solicited(self, now: float) -> None:
        """A valid Router Solicitation: answered to all nodes soon, and once for several (RFC 4861 section 6.2.6)."""
        if self.due is not None:
            soon = self._soon(now)
            if soon < self.due:
                self._timers.schedule(self, soon)

    def timer(self, now: float, actions: Actions) -> None:
        """Advertise, and wait for the next time (RFC 4861 section 6.2.4)."""
        settings = self.link.router_advertisement
        self._send(self.advertisement(now), now, actions)
        interval = uniform(self._rng, settings.min_interval, settings.max_interval)
        if self._initial:
            self._initial -= 1
            interval = min(interval, MAX_INITIAL_RTR_ADVERT_INTERVAL)
        self._timers.schedule(self, now + interval)

    def advertisement(self, now: float) -> RouterAdvertisement:
        """What is advertised at a time."""
        link, settings = self.link, self.link.router_advertisement
        interval = round(settings.max_interval * 1000)
        if interval < _SHORT_INTERVAL:
            interval += _SCHEDULING
        information = None
        if settings.preference or settings.lifetime != settings.router_lifetime:  # 7.4: defaults are not sent
            information = HomeAgentInformation(settings.preference, settings.lifetime)
        return RouterAdvertisement(
            settings.router_lifetime,
            prefix_options(link, now),
            link.link_layer_address,  # 7.5: in all advertisements of a home agent
            managed=settings.managed,
            other=settings.other,
            home_agent=True,
            advertisement_interval=interval,
            home_agent_information=information,
        )

    def _soon(self, now: float) -> float:
        """A random time from now on that keeps MinDelayBetweenRAs from the last advertisement."""
        delay = uniform(self._rng, 0, MAX_RA_DELAY_TIME)
        earliest = self._last_sent + self.link.router_advertisement.min_delay
        return max(now, earliest) + delay

    def _send(self, message: RouterAdvertisement, now: float, actions: Actions) -> None:
        self._last_sent = now
        self._statistics["ra_sent"] += 1
        source = eui64_link_local(self.link.link_layer_address)
        upper = icmpv6.build(message, source, ALL_NODES)
        packet = ipv6.build(source, ALL_NODES, ICMPV6, upper, hop_limit=ND_HOP_LIMIT)
        actions.append(SendDatagram(self.link, packet, multicast_mac(ALL_NODES)))
