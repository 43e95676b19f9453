"""A shell without a switch: it carries out what the engine asks for, and checks that it makes sense."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from mip6core.access import AccessList
from mip6core.actions import (
    Action,
    InstallBinding,
    RefreshBinding,
    ReleaseBinding,
    SendDatagram,
    UnwatchAddress,
    WatchAddress,
)
from mip6core.addresses import Prefix
from mip6core.authentication import MobilitySecurityAssociation
from mip6core.codec import ipv6
from mip6core.events import Event
from mip6core.fsm import State
from mip6core.home_agent import HomeAgent, HomeLink, HomePrefix, Limits
from tests.unit.engine import wire
from tests.unit.engine.wire import Packet, address

HA = address("2001:db8:1::2")
HA_MAC = bytes.fromhex("020000000002")
ROUTER_MAC = bytes.fromhex("020000000001")  # what every packet from elsewhere comes with
HOST_MAC = bytes.fromhex("0200000000aa")
HOST = address("2001:db8:1::aa")  # a correspondent on the home link
HOA = address("2001:db8:1::99")
HOA_LINK_LOCAL = address("fe80::99")
MN_MAC = bytes.fromhex("020000000099")
COA1 = address("2001:db8:f1::1")
COA2 = address("2001:db8:f2::1")
COA3 = address("2001:db8:f3::1")


def home_link(**changes: object) -> HomeLink:
    """The home link of most tests."""
    values: dict[str, object] = {
        "name": "homenet",
        "address": HA,
        "prefixes": (HomePrefix(Prefix.parse("2001:db8:1::/64")),),
        "link_layer_address": HA_MAC,
    }
    return HomeLink(**(values | changes))  # type: ignore[arg-type]


@dataclass
class Sent:
    """A packet that left, with what the shell was told about it."""

    packet: Packet
    mac: bytes | None
    after_flows: bool
    at: float
    raw: bytes = field(repr=False, default=b"")


def no_randomness(length: int) -> bytes:
    raise AssertionError("the engine drew random octets")


class Shell:
    """Runs a home agent with a clock that the test moves."""

    def __init__(
        self,
        *links: HomeLink,
        limits: Limits | None = None,
        now: float = 1000.0,
        rng: Callable[[int], bytes] = no_randomness,
        access: AccessList | None = None,
        associations: Iterable[MobilitySecurityAssociation] = (),
        wall_clock_ahead: float = 0.0,
    ) -> None:
        self.now = now
        self.wall_clock_ahead = wall_clock_ahead  # of `now`, seconds
        self.events: list[Event] = []
        self.links = links or (home_link(),)
        self.ha = HomeAgent(
            self.links,
            limits or Limits(),
            rng,
            self.events.append,
            access=access,
            associations=associations,
            wall_clock=lambda: self.now + self.wall_clock_ahead,
        )
        self.sent: list[Sent] = []
        self.actions: list[Action] = []  # of the last call
        self.flows: dict[bytes, tuple[bytes, bool]] = {}  # home address: care-of address, link-local too
        self.watched: set[tuple[str, bytes]] = set()

    @property
    def link(self) -> HomeLink:
        return self.links[0]

    @property
    def statistics(self) -> dict[str, int]:
        return self.ha.statistics

    # What happens

    def receive(self, packet: bytes, mac: bytes = ROUTER_MAC, link: HomeLink | None = None) -> list[Sent]:
        """Hand a packet up; returns what is sent at once."""
        link = link or self.link
        actions = self.ha.receive_usual(link, packet, mac, self.now)
        if actions is None:
            actions = self.ha.receive(link, ipv6.parse(packet), mac, self.now)
        return self.carry_out(actions)

    def update(
        self,
        care_of_address: bytes = COA1,
        sequence: int = 15,
        *,
        home_address: bytes = HOA,
        mac: bytes = ROUTER_MAC,
        link: HomeLink | None = None,
        **more: object,
    ) -> list[Sent]:
        """Hand a Binding Update up."""
        link = link or self.link
        packet = wire.binding_update(link.address, home_address, care_of_address, sequence, **more)  # type: ignore[arg-type]
        return self.receive(packet, mac, link)

    def bind(self, care_of_address: bytes = COA1, sequence: int = 15, **more: object) -> Packet:
        """Register and wait for Duplicate Address Detection; returns the Binding Acknowledgement."""
        sent = self.update(care_of_address, sequence, **more)  # type: ignore[arg-type]
        sent += self.advance(1.0)
        (acknowledgement,) = of_kind(sent, "BA")
        return acknowledgement.packet

    def advance(self, seconds: float) -> list[Sent]:
        """Let time pass, with a tick whenever the engine wants one; returns what is sent meanwhile."""
        end = self.now + seconds
        sent: list[Sent] = []
        while (due := self.ha.next_timer()) is not None and due <= end:
            assert due >= self.now
            self.now = due
            sent += self.carry_out(self.ha.tick(due))
        self.now = end
        return sent

    def jump(self, seconds: float) -> list[Sent]:
        """Let time pass without a tick until the end, as if the program had been stopped."""
        self.now += seconds
        return self.carry_out(self.ha.tick(self.now))

    def clear(self, home_address: bytes = HOA) -> list[Sent]:
        return self.carry_out(self.ha.clear(home_address, self.now))

    def fail_installation(self, home_address: bytes = HOA) -> list[Sent]:
        return self.carry_out(self.ha.installation_failed(home_address, self.now))

    def set_prefixes(self, *prefixes: HomePrefix) -> list[Sent]:
        return self.carry_out(self.ha.set_prefixes(self.link, prefixes, self.now))

    # What the engine asks for

    def carry_out(self, actions: list[Action]) -> list[Sent]:
        self.actions = actions
        sent: list[Sent] = []
        for action in actions:
            self._carry_out(action, sent)
        self.sent += sent
        self.check()
        return sent

    def _carry_out(self, action: Action, sent: list[Sent]) -> None:
        if isinstance(action, SendDatagram):
            raw = action.packet
            mac = action.link_layer_destination
            sent.append(Sent(wire.read(raw), mac, action.after_flows, self.now, raw))
        elif isinstance(action, InstallBinding):
            binding = action.binding
            assert action.link is binding.link
            installed = None if action.previous is None else (action.previous, action.previous_link_local)
            assert self.flows.get(binding.home_address) == installed
            wanted = (binding.care_of_address, binding.link_local)
            assert wanted != installed or binding.state is State.STATIC
            self.flows[binding.home_address] = wanted
        elif isinstance(action, RefreshBinding):
            assert self.flows[action.binding.home_address][0] == action.binding.care_of_address
        elif isinstance(action, ReleaseBinding):
            binding = action.binding
            assert self.flows.pop(binding.home_address) == (binding.care_of_address, binding.link_local)
        else:
            assert isinstance(action, WatchAddress | UnwatchAddress)
            key = (action.link.name, action.address)
            assert (key in self.watched) == isinstance(action, UnwatchAddress)
            self.watched ^= {key}

    def check(self) -> None:
        """What must be true between any two calls."""
        entries = list(self.ha.bindings)
        assert len({entry.home_address for entry in entries}) == len(entries) == len(self.ha.bindings)
        bound = {entry.home_address: entry for entry in entries if entry.bound}
        assert {home: flow[0] for home, flow in self.flows.items()} == {
            home: entry.care_of_address for home, entry in bound.items()
        }
        for entry in bound.values():
            assert self.flows[entry.home_address][1] == entry.link_local
            assert entry.expires_at > self.now
            assert (entry.lifetime > 0 and entry.lifetime % 4 == 0) or entry.state is State.STATIC
            assert entry.registered_at <= entry.updated_at <= self.now
        self._check_tests()
        for link in self.links:  # exactly one of the bindings that ask for a link-local address has its flows
            wanting: dict[bytes, list[bool]] = {}
            for entry in bound.values():
                if entry.link is link and entry.flags & wire.L and not link.virtual:
                    wanting.setdefault(entry.home_address[8:], []).append(entry.link_local)
            assert all(sum(flags) == 1 for flags in wanting.values())

    def _check_tests(self) -> None:
        under_test: set[tuple[str, bytes]] = set()
        for entry in self.ha.bindings:
            assert (entry.pending is not None) == (entry.state in (State.DAD, State.BOUND_DAD))
            assert bool(entry.probes) <= (entry.pending is not None)
            under_test |= {(probe.link.name, probe.address) for probe in entry.probes}
            assert entry.link_local is False or not entry.link.virtual
        assert self.watched == under_test


def of_kind(sent: list[Sent], kind: str) -> list[Sent]:
    return [one for one in sent if one.packet.kind == kind]


def only(sent: list[Sent]) -> Sent:
    """The one packet that was sent."""
    (one,) = sent
    return one
