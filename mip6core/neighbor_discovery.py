"""Neighbor Discovery on behalf of mobile nodes that are away (RFC 6275 section 10.4.1, RFC 4861 section 7.2).

Solicitations with a source link-layer address are answered by flows in the switch. What is here is the rest:
claiming an address when service begins, and the solicitations that the flows cannot answer.
"""

from __future__ import annotations

from mip6core.actions import Actions, SendDatagram
from mip6core.addresses import ALL_NODES, UNSPECIFIED, Address, multicast_mac, solicited_node
from mip6core.codec import icmpv6, ipv6
from mip6core.codec.icmpv6 import NeighborAdvertisement, NeighborSolicitation
from mip6core.constants import ICMPV6, MAX_NEIGHBOR_ADVERTISEMENT, ND_HOP_LIMIT, RETRANS_TIMER
from mip6core.home_link import HomeLink
from mip6core.timers import Timed, TimerQueue


def dad_solicitation(link: HomeLink, target: Address) -> SendDatagram:
    """The probe of Duplicate Address Detection: from ::, without an option (RFC 4862 section 5.4.2)."""
    group = solicited_node(target)
    packet = _packet(UNSPECIFIED, group, NeighborSolicitation(target))
    return SendDatagram(link, packet, multicast_mac(group))


def answer(
    link: HomeLink, solicitation: NeighborSolicitation, source: Address, link_layer_source: bytes
) -> SendDatagram:
    """The advertisement for a solicited address that is defended; a proxy's never overrides (RFC 4861 7.2.8).

    Who tests the address for duplicates has no address yet and is told through all-nodes (7.2.4).
    """
    if source == UNSPECIFIED:
        return _advertisement(link, solicitation.target, ALL_NODES, multicast_mac(ALL_NODES))
    mac = solicitation.source_link_layer_address or link_layer_source
    return _advertisement(link, solicitation.target, source, mac, solicited=True)


class Announcement(Timed):
    """An address that is claimed on its link, and how often it still will be."""

    __slots__ = ("address", "link", "remaining")

    def __init__(self, link: HomeLink, address: Address) -> None:
        super().__init__()
        self.link = link
        self.address = address
        self.remaining = MAX_NEIGHBOR_ADVERTISEMENT


class Announcer:
    """Unsolicited Neighbor Advertisements for the addresses whose defence has begun."""

    __slots__ = ("_announcements", "_timers")

    def __init__(self, timers: TimerQueue) -> None:
        self._timers = timers
        self._announcements: dict[tuple[str, Address], Announcement] = {}

    def __len__(self) -> int:
        return len(self._announcements)

    def start(self, link: HomeLink, address: Address, now: float, actions: Actions) -> None:
        """Claim `address` as soon as the flows are in, and again after each RetransTimer."""
        self.stop(link, address)
        announcement = self._announcements[(link.name, address)] = Announcement(link, address)
        self.timer(announcement, now, actions)

    def stop(self, link: HomeLink, address: Address) -> None:
        """The address is defended no longer."""
        announcement = self._announcements.pop((link.name, address), None)
        if announcement is not None:
            self._timers.cancel(announcement)

    def timer(self, announcement: Announcement, now: float, actions: Actions) -> None:
        """Send the advertisement, and wait for the next time if there is one."""
        link = announcement.link
        mac = multicast_mac(ALL_NODES)
        actions.append(_advertisement(link, announcement.address, ALL_NODES, mac, override=True, after_flows=True))
        announcement.remaining -= 1
        if announcement.remaining:
            self._timers.schedule(announcement, now + RETRANS_TIMER)
        else:
            del self._announcements[(link.name, announcement.address)]


def _advertisement(
    link: HomeLink,
    target: Address,
    destination: Address,
    link_layer_destination: bytes,
    *,
    solicited: bool = False,
    override: bool = False,
    after_flows: bool = False,
) -> SendDatagram:
    """A proxy Neighbor Advertisement: the home agent's address on the link, its link-layer address, R=0."""
    message = NeighborAdvertisement(
        target, solicited=solicited, override=override, link_layer_address=link.link_layer_address
    )
    packet = _packet(link.address, destination, message)
    return SendDatagram(link, packet, link_layer_destination, after_flows)


def _packet(source: Address, destination: Address, message: icmpv6.Message) -> bytes:
    upper = icmpv6.build(message, source, destination)
    return ipv6.build(source, destination, ICMPV6, upper, hop_limit=ND_HOP_LIMIT)
