"""How mobile nodes find home agents and prefixes (RFC 6275 sections 7, 10.5 and 10.6): messages to their parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from mip6core import dhaad, neighbor_discovery, registration, replies
from mip6core.actions import Actions, SendDatagram
from mip6core.addresses import Address
from mip6core.advertisement_consistency import Consistency, differences
from mip6core.bcache import BindingCacheEntry
from mip6core.chance import RandomOctets, uniform
from mip6core.codec import icmpv6
from mip6core.codec.icmpv6 import (
    HAAddressDiscoveryRequest,
    MobilePrefixSolicitation,
    NeighborSolicitation,
    RouterAdvertisement,
    RouterSolicitation,
)
from mip6core.codec.ipv6 import Datagram
from mip6core.constants import MAX_ANYCAST_DELAY_TIME
from mip6core.errors import ParseError
from mip6core.events import Event, InconsistentRouterAdvertisement
from mip6core.home_agents_list import HomeAgentsList
from mip6core.home_link import HomeLink, MobilePrefixSettings, RouterAdvertisementSettings
from mip6core.mobile_prefix import Answer, Delivery, LinkSilence, MobilePrefixes
from mip6core.rate_limit import RateLimiter
from mip6core.router_advertiser import RouterAdvertiser
from mip6core.timers import Timed, TimerQueue

ROUTER_DISCOVERY: Final = tuple(bytes([m.icmp_type]) for m in (RouterSolicitation, RouterAdvertisement))
HOME_DISCOVERY: Final = tuple(bytes([m.icmp_type]) for m in (HAAddressDiscoveryRequest, MobilePrefixSolicitation))
MAX_ANYCAST_ANSWERS: Final = 64  # that wait at once
ROUTING_HEADER: Final = 24  # octets of a Type 2 Routing header


class AnycastAnswer(Timed):
    """A Neighbor Advertisement for the anycast address that waits for its turn among those of other home agents."""

    __slots__ = ("packet",)

    def __init__(self, packet: SendDatagram) -> None:
        super().__init__()
        self.packet = packet


class Discovery:
    """Home agent discovery, prefix discovery and Router Advertisements of all home links."""

    def __init__(
        self,
        links: Iterable[HomeLink],
        replies: RateLimiter,
        rng: RandomOctets,
        statistics: dict[str, int],
        notify: Callable[[Event], None] | None,
    ) -> None:
        """`replies` limits what strangers can make the home agent send by address discovery requests."""
        links = tuple(links)
        self.timers = TimerQueue()
        self.mobile_prefixes = MobilePrefixes(links, self._flags, self.timers, rng, statistics)
        self.replies = replies
        self._rng = rng
        self._statistics = statistics
        self._notify = notify
        self._home_agents: dict[str, HomeAgentsList] = {}
        self._advertisers: dict[str, RouterAdvertiser] = {}  # of the links that are advertised on
        self._consistency: dict[str, Consistency] = {}
        self._up: set[str] = set()  # links within reach
        self.anycast_answers = 0  # that wait
        for link in links:
            self._add_link(link)

    def add_link(self, link: HomeLink) -> None:
        """Serve one more link; nobody is registered there yet."""
        self._add_link(link)
        self.mobile_prefixes.set_link(link, (), 0.0)

    def _add_link(self, link: HomeLink) -> None:
        self._home_agents[link.name] = HomeAgentsList(link.address, self._statistics)
        if link.router_advertisement.enabled and not link.virtual:
            self._add_advertiser(link)

    def _add_advertiser(self, link: HomeLink) -> None:
        self._advertisers[link.name] = RouterAdvertiser(link, self.timers, self._rng, self._statistics)
        self._consistency[link.name] = Consistency()

    def remove_link(self, link: HomeLink, now: float, actions: Actions) -> None:
        """Serve a link no more; its hosts are told. Its bindings are gone."""
        self._cease(link, now, actions)
        self.mobile_prefixes.remove_link(link)
        self._up.discard(link.name)
        del self._home_agents[link.name]

    def _cease(self, link: HomeLink, now: float, actions: Actions) -> None:
        advertiser = self._advertisers.pop(link.name, None)
        if advertiser is not None:
            del self._consistency[link.name]
            advertiser.stop(now, actions)

    def set_link(
        self,
        link: HomeLink,
        router_advertisement: RouterAdvertisementSettings,
        mobile_prefix: MobilePrefixSettings,
        bindings: Iterable[BindingCacheEntry],
        now: float,
        actions: Actions,
    ) -> None:
        """Other settings of a link, which has these bindings."""
        flags = self._flags(link, now)
        changed = router_advertisement != link.router_advertisement
        link.router_advertisement = router_advertisement
        link.mobile_prefix = mobile_prefix
        if not router_advertisement.enabled or link.virtual:
            self._cease(link, now, actions)
        elif link.name not in self._advertisers:
            self._add_advertiser(link)
            if link.name in self._up:
                self._advertisers[link.name].start(now)
        elif changed:
            self._advertisers[link.name].changed(now)
        self.mobile_prefixes.set_link(link, bindings, now)
        if self._flags(link, now) != flags:
            self.mobile_prefixes.prefixes_changed(link, now)

    def home_agents(self, link: HomeLink) -> HomeAgentsList:
        """The other home agents on a link."""
        return self._home_agents[link.name]

    def link_up(self, link: HomeLink, now: float) -> None:
        """The link is within reach, and its link-layer address known."""
        self._up.add(link.name)
        advertiser = self._advertisers.get(link.name)
        if advertiser is not None:
            advertiser.start(now)

    def link_down(self, link: HomeLink) -> None:
        """The link is out of reach."""
        self._up.discard(link.name)
        advertiser = self._advertisers.get(link.name)
        if advertiser is not None:
            advertiser.halt()

    def close(self, now: float, actions: Actions) -> None:
        """The home agent ends: its last advertisements say so."""
        for advertiser in self._advertisers.values():
            advertiser.stop(now, actions)

    def prefixes_changed(self, link: HomeLink, now: float) -> None:
        """The prefixes of a link, or their lifetimes, are other ones now."""
        self.mobile_prefixes.prefixes_changed(link, now)
        advertiser = self._advertisers.get(link.name)
        if advertiser is not None:
            advertiser.changed(now)

    def router_discovery(self, link: HomeLink, datagram: Datagram, link_layer_source: bytes, now: float) -> None:
        """Router Solicitations and Advertisements seen on the link."""
        if link.virtual or not link_layer_source:
            self._drop("no_such_link")
            return
        if link_layer_source == link.link_layer_address:
            self._drop("own_frame")
            return
        message = self._parse(datagram)
        if isinstance(message, RouterAdvertisement):
            self._statistics["ra_received"] += 1
            self._home_agents[link.name].learn(datagram.source, message, now)
            self._compare(link, datagram.source, message, now)
        elif isinstance(message, RouterSolicitation):
            self._statistics["rs_received"] += 1
            advertiser = self._advertisers.get(link.name)
            if advertiser is not None:
                advertiser.solicited(now)

    def home_discovery(
        self,
        link: HomeLink,
        datagram: Datagram,
        binding: BindingCacheEntry | None,
        link_layer_source: bytes,
        now: float,
        actions: Actions,
    ) -> None:
        """Address discovery requests and prefix solicitations.

        `binding` is that of the Home Address option, and its care-of address the source; None: no such option.
        """
        message = self._parse(datagram)
        if isinstance(message, HAAddressDiscoveryRequest):
            self._address_request(link, datagram, message, link_layer_source, now, actions)
        elif isinstance(message, MobilePrefixSolicitation):
            self._statistics["mps_received"] += 1
            if binding is None or binding.link is not link or datagram.destination != link.address:
                self._drop("not_registered")  # 11.4.2: the Home Address option must be there
            elif not link.mobile_prefix.enabled:
                self._drop("prefix_discovery_off")
            else:
                mac = registration.on_link(link, datagram.source, link_layer_source)
                self.mobile_prefixes.solicited(binding, message.identifier, mac, now, actions)

    def anycast_solicitation(
        self,
        link: HomeLink,
        solicitation: NeighborSolicitation,
        datagram: Datagram,
        link_layer_source: bytes,
        now: float,
        actions: Actions,
    ) -> None:
        """Answer for the Home-Agents anycast address; several who do wait for a random time (RFC 4861 7.2.7)."""
        answer = neighbor_discovery.answer(link, solicitation, datagram.source, link_layer_source)
        if not self._home_agents[link.name].entries(now):
            self._statistics["nd_answered"] += 1
            actions.append(answer)
        elif self.anycast_answers < MAX_ANYCAST_ANSWERS:
            self.anycast_answers += 1
            delay = uniform(self._rng, 0, MAX_ANYCAST_DELAY_TIME)
            self.timers.schedule(AnycastAnswer(answer), now + delay)
        else:
            self._drop("too_many_anycast_solicitations")

    @property
    def inconsistent_routers(self) -> list[Consistency]:
        """Of each link, the routers that were found to advertise something else."""
        return list(self._consistency.values())

    def tick(self, now: float, actions: Actions) -> None:
        """Carry out what is due."""
        prefixes = self.mobile_prefixes
        while (item := self.timers.pop_due(now)) is not None:
            if isinstance(item, RouterAdvertiser):
                item.timer(now, actions)
            elif isinstance(item, Delivery):
                prefixes.delivery_due(item, now, actions)
            elif isinstance(item, Answer):
                prefixes.answer_due(item, now, actions)
            elif isinstance(item, LinkSilence):
                prefixes.silence_due(item, now)
            else:
                assert isinstance(item, AnycastAnswer)
                self.anycast_answers -= 1
                self._statistics["nd_answered"] += 1
                actions.append(item.packet)

    def _address_request(
        self,
        link: HomeLink,
        datagram: Datagram,
        request: HAAddressDiscoveryRequest,
        link_layer_source: bytes,
        now: float,
        actions: Actions,
    ) -> None:
        """Section 10.5.1: to the source address, from the unicast address of the home agent."""
        self._statistics["dhaad_received"] += 1
        source, home_address = datagram.source, datagram.home_address
        if datagram.destination != link.address and not link.is_home_agents_anycast(datagram.destination):
            self._drop("not_for_home_agent")
            return
        if not registration.is_unicast(source):
            self._drop("source_not_unicast")
            return
        if not self.replies.allow(source, now):
            self._statistics["dhaad_suppressed"] += 1
            return
        self._statistics["dhaad_sent"] += 1
        others = self._home_agents[link.name].entries(now)
        headers = 0 if home_address is None else ROUTING_HEADER
        message = dhaad.reply(link, request.identifier, others, self._rng, headers)
        actions.append(replies.icmpv6_message(link, source, message, link_layer_source, home_address))

    def _compare(self, link: HomeLink, router: Address, message: RouterAdvertisement, now: float) -> None:
        """RFC 4861 section 6.2.7: routers look at each other's advertisements."""
        advertiser = self._advertisers.get(link.name)
        if advertiser is None:
            return
        found = differences(advertiser.advertisement(now), message)
        if not found:
            return
        self._statistics["ra_inconsistent"] += 1
        news = self._consistency[link.name].news(router, found)
        if news and self._notify is not None:
            self._notify(InconsistentRouterAdvertisement(router, link.name, news, now))

    def _flags(self, link: HomeLink, now: float) -> tuple[bool, bool]:
        """M and O as any home agent on the link advertises them (10.6.3), both zero without DHCPv6 (6.8)."""
        if not link.mobile_prefix.dhcpv6:
            return False, False
        others = self._home_agents[link.name].entries(now)
        own = link.router_advertisement
        return own.managed or any(e.managed for e in others), own.other or any(e.other for e in others)

    def _parse(self, datagram: Datagram) -> icmpv6.Message | None:
        try:
            return icmpv6.parse(datagram)
        except ParseError as error:
            self._drop(error.reason)
            return None

    def _drop(self, reason: str) -> None:
        self._statistics["dropped_" + reason] += 1
