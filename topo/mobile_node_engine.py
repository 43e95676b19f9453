"""A mobile node's side of RFC 6275 (section 11), without any I/O: what it hears in, what it wants done out.

The kernel does what any IPv6 host does: router discovery, address configuration, Duplicate Address Detection.
This engine only adds Mobile IPv6: it tells home from away, registers care-of addresses with the home agent, and
says when the home address is to be on the link, behind the tunnel, or silent. Correspondents are the business of
`topo.return_routability`, which hears from here what happens to the care-of address. The numbers of the RFC stand here
once more and are not taken from the home agent's code: the two sides check each other.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from mip6core import addresses
from mip6core.addresses import Address, Prefix
from mip6core.codec import icmpv6, ipv6, mh
from mip6core.codec.options import AlternateCareOfAddress, BindingRefreshAdvice
from mip6core.constants import ICMPV6, IPV6, MOBILITY_HEADER
from mip6core.errors import ParseError
from topo.correspondent_registration import MAX_RR_BINDING_LIFETIME
from topo.mobile_node_effects import (
    CloseTunnel,
    Detach,
    Effect,
    Event,
    GoHome,
    OpenTunnel,
    Send,
    SetNeighbor,
    UseTunnel,
)
from topo.retransmission import INITIAL_BINDACK_TIMEOUT, MAX_BINDACK_TIMEOUT, MAX_UPDATE_RATE
from topo.return_routability import RouteOptimization

HOP_LIMIT_ON_LINK: Final = 255  # of Neighbor Discovery messages

INITIAL_BINDACK_TIMEOUT_FIRST_REG: Final = 1.5  # section 13; seconds
LIFETIME_UNIT: Final = 4
# RFC 4861 section 10
RETRANS_TIMER: Final = 1.0
MAX_NEIGHBOR_ADVERTISEMENT: Final = 3

# Routers that serve mobile nodes advertise every 0.07 s or more often (7.5). A Router Solicitation makes such a router
# wait up to 0.5 s before the next one (RFC 4861 section 6.2.6), so it comes only when nothing has been heard; seconds
SOLICITATION_DELAY: Final = 0.1
REFRESH_AT: Final = 0.75  # of the lifetime granted: "well before the expiration" (section 11.7.1)
# Where another router is heard, the one in use is gone after so many of its intervals without an advertisement
# (11.5.1), but not because a busy machine is late
ROUTER_SILENCE: Final = 3
MIN_ROUTER_SILENCE: Final = 0.5  # seconds

# Section 6.1.8
STATUS_REJECTED: Final = 128  # and above
STATUS_UNSPECIFIED: Final = 128
STATUS_INSUFFICIENT_RESOURCES: Final = 130
STATUS_NOT_HOME_AGENT: Final = 133
STATUS_DUPLICATE_ADDRESS: Final = 134
STATUS_SEQUENCE: Final = 135


@dataclass(frozen=True, slots=True)
class Settings:
    """What a mobile node is configured with."""

    home_address: Address
    home_prefix: Prefix
    home_agent: Address
    link_layer_address: bytes  # of the device that roams
    lifetime: int = 60  # seconds asked for in registrations; a multiple of 4
    link_local_compatibility: bool = False  # L: the home agent also defends the derived link-local address
    first_timeout: float = INITIAL_BINDACK_TIMEOUT_FIRST_REG  # section 13: to be configurable
    correspondents: tuple[Address, ...] = ()  # to optimise the routes to and from
    correspondent_lifetime: int = MAX_RR_BINDING_LIFETIME  # seconds asked for in registrations with them
    correspondent_patience: float = 0.0  # seconds from the first home registration to the first of those


class State(Enum):
    """Where the mobile node is, as far as it knows."""

    DETACHED = "detached"  # no link
    ATTACHED = "attached"  # a link, but not known which, or without a care-of address yet
    REGISTERING = "registering"  # away, the home agent has not accepted the care-of address yet
    REGISTERED = "registered"  # away, and bound
    REFUSED = "refused"  # away, and the home agent does not want to bind
    LOCATING_HOME_AGENT = "locating_home_agent"  # on the home link, its binding still defended
    DEREGISTERING = "deregistering"  # on the home link, Binding Update sent
    HOME = "home"


_ON_HOME_LINK: Final = (State.LOCATING_HOME_AGENT, State.DEREGISTERING, State.HOME)
_EXPECTING: Final = (State.REGISTERING, State.REGISTERED, State.DEREGISTERING)


@dataclass(frozen=True, slots=True)
class _Heard:
    at: float
    deadline: float  # when silence will have been too long


class MobileNode:
    """One mobile node with one home address and one home agent. `now` is monotonic seconds everywhere."""

    def __init__(self, settings: Settings, sequence: int, random: Callable[[int], bytes]) -> None:
        """`sequence` is the last number used, or any if that is not known (11.7.1).

        `random` gives so many octets that nobody can guess.
        """
        self.settings = settings
        self.state = State.DETACHED
        self.sequence = sequence & 0xFFFF
        self.care_of_address: Address | None = None  # the primary one, as last sent to the home agent
        self.registered_until = -math.inf  # by the last acknowledgement
        self._defended_until = -math.inf  # the home agent may have a binding until then, acknowledged or not
        self._outstanding: dict[int, tuple[float, int]] = {}  # sequence: sent at, lifetime in units
        self._sent: deque[float] = deque(maxlen=MAX_UPDATE_RATE)
        self._timeout = 0.0
        self._timer = math.inf  # next transmission, whatever it is in the state at hand
        self._transmissions = 0  # of probes or advertisements
        self._tunnel_in_use: Address | None = None
        self._usable: dict[Address, None] = {}  # addresses of the device, the first to become usable first
        self._prefixes: dict[Prefix, _Heard] = {}  # advertised on this link
        self._home_agent_mac: bytes | None = None
        self._home_address_taken = False  # another node has it: never to be registered again (11.7.1)
        self._route_optimization = RouteOptimization(
            settings.home_address,
            settings.home_agent,
            settings.correspondents,
            settings.correspondent_lifetime,
            random,
            settings.correspondent_patience,
        )

    # --- from the kernel ---

    def link_up(self, now: float) -> list[Effect]:
        """The device has a carrier."""
        if self.state is not State.DETACHED:
            return []
        self._attach(now)
        return [Event("link_up", now)]

    def link_down(self, now: float) -> list[Effect]:
        """The device has lost its carrier."""
        if self.state is State.DETACHED:
            return []
        self._forget_link()
        self.state = State.DETACHED
        return [Event("link_down", now), Detach()]

    def address_usable(self, address: Address, now: float) -> list[Effect]:
        """The kernel may use an address of the device, if only optimistically (RFC 4429)."""
        if self.state is State.DETACHED or address in self._usable:
            return []
        self._usable[address] = None
        return self._settle(now)

    def address_gone(self, address: Address, now: float, duplicate: bool = False) -> list[Effect]:
        """The kernel has given up an address, because somebody else has it if `duplicate`."""
        self._usable.pop(address, None)
        effects: list[Effect] = []
        if duplicate:
            effects.append(Event("duplicate_address", now, {"address": addresses.text(address)}))
        if address == self.care_of_address and self.state in (State.REGISTERING, State.REGISTERED):
            self.state = State.ATTACHED
            self._timer = math.inf
            self._tunnel_in_use = None
            self._route_optimization.detached()
            effects += [CloseTunnel(), *self._settle(now)]
        return effects

    def receive(self, datagram: ipv6.Datagram, now: float) -> list[Effect]:
        """A packet for this node. Anything that is not for this engine, or wrong, is ignored."""
        if self.state is State.DETACHED:
            return []
        try:
            if datagram.upper_protocol == ICMPV6:
                message = icmpv6.parse(datagram)
                if isinstance(message, icmpv6.RouterAdvertisement):
                    return self._router_advertisement(message, now)
                if isinstance(message, icmpv6.NeighborAdvertisement):
                    return self._neighbor_advertisement(message, now)
                if isinstance(message, icmpv6.ParameterProblem):
                    return self._route_optimization.parameter_problem(datagram.source, message, now)
            elif datagram.upper_protocol == MOBILITY_HEADER:
                if datagram.source != self.settings.home_agent:
                    return self._route_optimization.mobility_header(datagram, False, now)
                return self._mobility_header(datagram, now)
            elif datagram.upper_protocol == IPV6:
                return self._tunnelled(datagram, now)
        except ParseError:
            pass
        return []

    def next_timer(self) -> float | None:
        """When `tick` wants to be called, if no input comes before."""
        expiry = self.registered_until if self._tunnel_in_use is not None else math.inf
        timer = min(self._timer, self._router_deadline(), expiry, self._route_optimization.next_timer())
        return None if timer == math.inf else timer

    def tick(self, now: float) -> list[Effect]:
        """Do what time asks for."""
        effects: list[Effect] = []
        if self._tunnel_in_use is not None and now >= self.registered_until:
            self._tunnel_in_use = None
            self._route_optimization.detached()
            effects += [Event("binding_expired", now), CloseTunnel()]
        if now >= self._router_deadline():
            self._forget_link()
            self._attach(now)
            return [*effects, Event("router_lost", now), Detach()]
        if now >= self._timer:
            effects += self._transmit(now)
        return effects + self._route_optimization.tick(now)

    # --- movement (11.5) ---

    def _attach(self, now: float) -> None:
        self.state = State.ATTACHED
        self._timer = now + SOLICITATION_DELAY

    def _forget_link(self) -> None:
        self._usable.clear()
        self._prefixes.clear()
        self._timer = math.inf
        self._tunnel_in_use = None
        self._home_agent_mac = None
        self._route_optimization.detached()

    def _router_advertisement(self, message: icmpv6.RouterAdvertisement, now: float) -> list[Effect]:
        """11.5.1 and 11.5.2."""
        effects: list[Effect] = []
        heard = _Heard(now, math.inf)
        if message.advertisement_interval is not None:
            silence = message.advertisement_interval / 1000 * ROUTER_SILENCE
            heard = _Heard(now, now + max(silence, MIN_ROUTER_SILENCE))
        for option in message.prefixes:
            if option.valid_lifetime and option.on_link and not addresses.is_link_local(option.address):
                prefix = prefix_of(option.address, option.length)
                if prefix not in self._prefixes:
                    effects.append(Event("router_advertisement", now, {"prefix": str(prefix)}))
                self._prefixes[prefix] = heard
        return effects + self._settle(now)

    def _router_deadline(self) -> float:
        """When the router in use is gone, if it stays silent while another one is heard."""
        in_use = self.settings.home_address if self.state in _ON_HOME_LINK else self.care_of_address
        if in_use is None or self.state in (State.DETACHED, State.ATTACHED):
            return math.inf
        heard = next((heard for prefix, heard in self._prefixes.items() if prefix.contains(in_use)), None)
        if heard is None or all(other.at <= heard.at for other in self._prefixes.values()):
            return math.inf
        return heard.deadline

    def _settle(self, now: float) -> list[Effect]:
        """Act on what is known of the link: come home, or register a care-of address."""
        if self.settings.home_prefix in self._prefixes:
            return [] if self.state in _ON_HOME_LINK else self._come_home(now)
        chosen = next((address for address in self._usable if self._fits(address)), None)
        if chosen is None or (chosen == self.care_of_address and self.state is not State.ATTACHED):
            return []
        if self._home_address_taken:
            return []
        return self._register(chosen, now)

    def _fits(self, address: Address) -> bool:
        """Whether an address can be a care-of address on this link (11.5.4)."""
        return addresses.is_unicast_routable(address) and any(p.contains(address) for p in self._prefixes)

    # --- registration (11.7.1) ---

    def _register(self, care_of_address: Address, now: float) -> list[Effect]:
        self.care_of_address = care_of_address
        self.state = State.REGISTERING
        found = Event("care_of_address", now, {"address": addresses.text(care_of_address)})
        # The Binding Update first: the tunnel is opened while it travels
        sent = [*self._begin_update(now), *self._route_optimization.moved(care_of_address, now)]
        return [found, *sent, OpenTunnel(care_of_address)]

    def _begin_update(self, now: float) -> list[Effect]:
        """Start the back-off anew (11.8) and send."""
        self._outstanding.clear()
        bound = now < self.registered_until
        self._timeout = INITIAL_BINDACK_TIMEOUT if bound else self.settings.first_timeout
        return self._send_update(now)

    def _send_update(self, now: float) -> list[Effect]:
        """Send a Binding Update, or wait if that would be too many a second (11.8)."""
        if len(self._sent) == MAX_UPDATE_RATE and now < self._sent[0] + 1.0:
            self._timer = self._sent[0] + 1.0
            return []
        own, agent = self.settings.home_address, self.settings.home_agent
        at_home = self.state is State.DEREGISTERING
        units = 0 if at_home else self.settings.lifetime // LIFETIME_UNIT
        care_of_address = own if at_home or self.care_of_address is None else self.care_of_address
        self.sequence = (self.sequence + 1) & 0xFFFF
        flags = mh.BU_ACKNOWLEDGE | mh.BU_HOME_REGISTRATION
        if self.settings.link_local_compatibility:
            flags |= mh.BU_LINK_LOCAL
        update = mh.BindingUpdate(self.sequence, flags, units, (AlternateCareOfAddress(care_of_address),))
        upper = mh.build(update, own, agent)
        # 11.5.5: at home the home address is the source, so there is no Home Address option
        option = None if at_home else own
        packet = ipv6.build(care_of_address, agent, MOBILITY_HEADER, upper, home_address=option)
        first = not self._outstanding
        self._outstanding[self.sequence] = (now, units)
        self._sent.append(now)
        self._defended_until = max(self._defended_until, now + units * LIFETIME_UNIT)
        self._timer = now + self._timeout
        self._timeout = min(self._timeout * 2, MAX_BINDACK_TIMEOUT)
        details: dict[str, object] = {
            "sequence": self.sequence,
            "care_of_address": addresses.text(care_of_address),
            "lifetime": units * LIFETIME_UNIT,
        }
        effects: list[Effect] = [Send(packet, self._home_agent_mac if at_home else None)]
        effects.append(Event("binding_update", now, details))
        if at_home and first:
            # Solicitations for it are to be answered from now on; the home agent may still defend it: no DAD
            self._tunnel_in_use = None
            effects.append(GoHome(self._home_addresses(), False))
        return effects

    def _transmit(self, now: float) -> list[Effect]:
        """The timer of the state at hand has run out."""
        self._timer = math.inf
        if self.state is State.ATTACHED:
            # From the unspecified address: the link-local one may still be tentative (RFC 4861 section 4.1)
            solicitation = self._on_link(icmpv6.RouterSolicitation(), addresses.UNSPECIFIED, addresses.ALL_ROUTERS)
            return [] if self._prefixes else [solicitation]
        if self.state is State.LOCATING_HOME_AGENT:
            return self._locate_home_agent(now)
        if self.state is State.HOME:
            return self._advertise_home_address(now)
        if self.state is State.DEREGISTERING and now >= self._defended_until:
            return self._arrive_home(now)  # the home agent is silent, but the binding has run out
        if self.state is State.REFUSED:
            self.state = State.REGISTERING
        return self._send_update(now) if self._outstanding else self._begin_update(now)

    # --- messages of the home agent (11.7.3, 11.7.4) ---

    def _mobility_header(self, datagram: ipv6.Datagram, now: float) -> list[Effect]:
        if not self._addressed_to_me(datagram):
            return []
        message = mh.parse(datagram.upper, datagram.checksum_source, datagram.checksum_destination)
        if isinstance(message, mh.BindingAcknowledgement):
            return self._acknowledgement(message, now)
        if isinstance(message, mh.BindingRefreshRequest) and self.state is State.REGISTERED:
            asked = Event("binding_refresh_request", now)
            return [asked] if self._outstanding else [asked, *self._begin_update(now)]
        if isinstance(message, mh.BindingError):
            return [Event("binding_error", now, {"status": message.status})]
        return []

    def _tunnelled(self, datagram: ipv6.Datagram, now: float) -> list[Effect]:
        """What the home agent tunnels is the kernel's business, but for signalling of correspondents."""
        if datagram.source != self.settings.home_agent or datagram.destination != self.care_of_address:
            return []
        inner = ipv6.parse(datagram.upper)
        if inner.upper_protocol == MOBILITY_HEADER:
            return self._route_optimization.mobility_header(inner, True, now)
        if inner.upper_protocol == ICMPV6 and inner.destination == self.settings.home_address:
            message = icmpv6.parse(inner)
            if isinstance(message, icmpv6.ParameterProblem):
                return self._route_optimization.parameter_problem(inner.source, message, now)
        return []

    def _addressed_to_me(self, datagram: ipv6.Datagram) -> bool:
        """Away: to the care-of address, the home address in a Type 2 Routing header (6.4). Home: plainly."""
        own = self.settings.home_address
        if self.state in _ON_HOME_LINK:
            return datagram.destination == own and datagram.type2_home_address is None
        return datagram.destination == self.care_of_address and datagram.type2_home_address == own

    def _acknowledgement(self, message: mh.BindingAcknowledgement, now: float) -> list[Effect]:
        if self.state not in _EXPECTING or not self._outstanding:
            return []
        details: dict[str, object] = {
            "status": message.status,
            "sequence": message.sequence,
            "lifetime": message.lifetime * LIFETIME_UNIT,
        }
        received = Event("binding_acknowledgement", now, details)
        if message.status == STATUS_SEQUENCE:
            self.sequence = message.sequence
            return [received, *self._begin_update(now)]
        if message.sequence not in self._outstanding:
            return []
        sent_at, units = self._outstanding[message.sequence]
        self._outstanding.clear()
        self._timer = math.inf
        if self.state is State.DEREGISTERING:
            # 133: it has no binding, and so defends nothing any more
            if message.status < STATUS_REJECTED or message.status == STATUS_NOT_HOME_AGENT:
                return [received, *self._arrive_home(now)]
            self._timer = now + MAX_BINDACK_TIMEOUT
            return [received]
        granted = min(message.lifetime, units)
        if message.status >= STATUS_REJECTED or granted == 0:
            return [received, *self._refused(message.status, now)]
        return [received, *self._accepted(message, sent_at, granted * LIFETIME_UNIT, now)]

    def _accepted(self, message: mh.BindingAcknowledgement, sent_at: float, lifetime: int, now: float) -> list[Effect]:
        self.state = State.REGISTERED
        self.registered_until = self._defended_until = sent_at + lifetime  # counted from the Binding Update
        refresh = lifetime * REFRESH_AT
        for option in message.options:
            if isinstance(option, BindingRefreshAdvice) and 0 < option.interval * LIFETIME_UNIT < lifetime:
                refresh = option.interval * LIFETIME_UNIT
        self._timer = sent_at + refresh
        if self.care_of_address is None:
            return []
        begun = self._route_optimization.registered(self.care_of_address, self.registered_until, now)
        if self._tunnel_in_use == self.care_of_address:
            return begun
        self._tunnel_in_use = self.care_of_address
        return [UseTunnel(self.care_of_address), *begun]

    def _refused(self, status: int, now: float) -> list[Effect]:
        """What will not change while we stay here is not asked again (11.7.3)."""
        self.state = State.REFUSED
        self._home_address_taken = status == STATUS_DUPLICATE_ADDRESS
        if status in (STATUS_UNSPECIFIED, STATUS_INSUFFICIENT_RESOURCES) or status < STATUS_REJECTED:
            self._timer = now + MAX_BINDACK_TIMEOUT
        return [Event("registration_refused", now, {"status": status})]

    # --- coming home (11.5.5) ---

    def _come_home(self, now: float) -> list[Effect]:
        self._timer = math.inf
        self._route_optimization.detached()
        if now >= self._defended_until:  # no binding: an address like any other, with DAD
            self.state = State.HOME
            effects: list[Effect] = [Event("home_link", now), GoHome(self._home_addresses(), True)]
            return [*effects, Event("at_home", now), *self._route_optimization.at_home(now)]
        self.state = State.LOCATING_HOME_AGENT
        self._transmissions = 0
        return [Event("home_link", now), *self._locate_home_agent(now)]

    def _locate_home_agent(self, now: float) -> list[Effect]:
        """Ask for the home address from the unspecified address: the home agent defends it and answers."""
        if now >= self._defended_until:
            return self._come_home(now)
        target = self.settings.home_address
        group = addresses.solicited_node(target)
        effects: list[Effect] = [self._on_link(icmpv6.NeighborSolicitation(target), addresses.UNSPECIFIED, group)]
        own = next((address for address in self._usable if addresses.is_link_local(address)), None)
        if self._transmissions and own is not None:
            # Not defended any more, it seems. Ask for the home agent itself, but not from the home address
            agent = self.settings.home_agent
            solicitation = icmpv6.NeighborSolicitation(agent, self.settings.link_layer_address)
            effects.append(self._on_link(solicitation, own, addresses.solicited_node(agent)))
        self._transmissions += 1
        self._timer = now + RETRANS_TIMER
        return effects

    def _neighbor_advertisement(self, message: icmpv6.NeighborAdvertisement, now: float) -> list[Effect]:
        if self.state is not State.LOCATING_HOME_AGENT or message.link_layer_address is None:
            return []
        if message.target not in (self.settings.home_address, self.settings.home_agent):
            return []
        self._home_agent_mac = message.link_layer_address
        self.state = State.DEREGISTERING
        details: dict[str, object] = {"link_layer_address": message.link_layer_address.hex(":")}
        return [
            Event("home_agent_found", now, details),
            SetNeighbor(self.settings.home_agent, message.link_layer_address),
            *self._begin_update(now),
        ]

    def _arrive_home(self, now: float) -> list[Effect]:
        """The home agent has let go of the home address."""
        self.state = State.HOME
        self.registered_until = self._defended_until = -math.inf
        self._transmissions = 0
        announced = [*self._advertise_home_address(now), Event("at_home", now)]
        return announced + self._route_optimization.at_home(now)

    def _advertise_home_address(self, now: float) -> list[Effect]:
        """Unsolicited, with the Override flag: neighbors still have the home agent's link-layer address."""
        self._transmissions += 1
        if self._transmissions < MAX_NEIGHBOR_ADVERTISEMENT:
            self._timer = now + RETRANS_TIMER
        mac = self.settings.link_layer_address
        return [
            self._on_link(
                icmpv6.NeighborAdvertisement(address, override=True, link_layer_address=mac),
                address,
                addresses.ALL_NODES,
            )
            for address in self._home_addresses()
        ]

    def _home_addresses(self) -> tuple[Address, ...]:
        own = self.settings.home_address
        return (own, addresses.link_local(own)) if self.settings.link_local_compatibility else (own,)

    def _on_link(self, message: icmpv6.Message, source: Address, group: Address) -> Send:
        upper = icmpv6.build(message, source, group)
        packet = ipv6.build(source, group, ICMPV6, upper, hop_limit=HOP_LIMIT_ON_LINK)
        return Send(packet, addresses.multicast_mac(group))


def prefix_of(address: Address, length: int) -> Prefix:
    """The prefix that an address is in. An option may carry the router's whole address (R bit, section 7.2)."""
    shift = 128 - length
    value = int.from_bytes(address, "big") >> shift << shift
    return Prefix(value.to_bytes(16, "big"), length)
