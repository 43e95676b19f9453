"""A mobile node's engine on a bench: the test moves its clock, scapy writes and reads its packets."""

from __future__ import annotations

import random
from collections.abc import Sequence

from scapy.layers.inet6 import (
    MIP6MH_BA,
    MIP6MH_BU,
    ICMPv6ND_NA,
    ICMPv6ND_RA,
    ICMPv6NDOptAdvInterval,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptPrefixInfo,
    IPv6,
    IPv6ExtHdrRouting,
)
from scapy.packet import Packet

from mip6core import addresses
from mip6core.addresses import Prefix
from mip6core.codec import ipv6
from topo.mobile_node_effects import (
    Effect,
    Event,
    Send,
)
from topo.mobile_node_engine import MobileNode, Settings, State

HOME_ADDRESS = "2001:db8:1::100"
HOME_AGENT = "2001:db8:1::2"
HOME_PREFIX = "2001:db8:1::"
FIRST_NET, FIRST = "2001:db8:a::", "2001:db8:a::c0a"
SECOND_NET, SECOND = "2001:db8:b::", "2001:db8:b::c0a"
LINK_LOCAL = "fe80::c0a"
OWN_MAC = "02:00:00:00:01:00"
AGENT_MAC = "02:00:00:00:27:02"
SEQUENCE = 41  # the last one used before the test


class Bench:
    """A mobile node, its clock, and what it has done."""

    def __init__(self, sequence: int = SEQUENCE, lifetime: int = 60, **settings: object) -> None:
        self.now = 1000.0
        self.chance = random.Random(6275)
        self.node = MobileNode(
            Settings(
                home_address=addresses.parse(HOME_ADDRESS),
                home_prefix=Prefix.parse(f"{HOME_PREFIX}/64"),
                home_agent=addresses.parse(HOME_AGENT),
                link_layer_address=bytes.fromhex(OWN_MAC.replace(":", "")),
                lifetime=lifetime,
                **settings,  # type: ignore[arg-type]
            ),
            sequence,
            random=self.chance.randbytes,
        )
        self.done: list[tuple[float, Effect]] = []

    def do(self, effects: Sequence[Effect]) -> list[Effect]:
        self.done += [(self.now, effect) for effect in effects]
        return list(effects)

    def receive(self, packet: Packet) -> list[Effect]:
        return self.do(self.node.receive(ipv6.parse(bytes(packet)), self.now))

    def wait(self, seconds: float) -> None:
        """Let time pass, with a tick whenever the node has asked for one."""
        end = self.now + seconds
        while (timer := self.node.next_timer()) is not None and timer <= end:
            self.now = max(self.now, timer)
            self.do(self.node.tick(self.now))
        self.now = end

    def advertise(self, prefix: str, interval: int = 70, router: str = "fe80::1") -> list[Effect]:
        """A Router Advertisement; `interval` in milliseconds."""
        packet = IPv6(src=router, dst="ff02::1", hlim=255) / ICMPv6ND_RA(routerlifetime=10)
        packet /= ICMPv6NDOptAdvInterval(advint=interval)
        return self.receive(packet / ICMPv6NDOptPrefixInfo(prefix=prefix, prefixlen=64, validlifetime=600))

    def arrive(self, prefix: str, address: str, link_change: bool = True) -> list[Effect]:
        """Plug in at a link and get an address there."""
        effects = []
        if link_change:
            effects += self.do(self.node.link_down(self.now)) + self.do(self.node.link_up(self.now))
        effects += self.advertise(prefix)
        return effects + self.do(self.node.address_usable(addresses.parse(address), self.now))

    def keep_router(self, prefix: str, seconds: float) -> None:
        """Let time pass while the router goes on advertising."""
        end = self.now + seconds
        while self.now < end:
            self.wait(min(1.0, end - self.now))
            self.advertise(prefix)

    def sent(self, layer: type[Packet], since: float = 0.0) -> list[tuple[float, Packet, Send]]:
        """Packets that the node has sent and that have a layer: when, as scapy reads it, the effect."""
        found = []
        for at, effect in self.done:
            if isinstance(effect, Send) and at >= since:
                packet = IPv6(effect.packet)
                if layer in packet:
                    found.append((at, packet, effect))
        return found

    def updates(self) -> list[Packet]:
        return [packet[MIP6MH_BU] for _, packet, _ in self.sent(MIP6MH_BU)]

    def update_times(self) -> list[float]:
        return [round(at - self.sent(MIP6MH_BU)[0][0], 3) for at, _, _ in self.sent(MIP6MH_BU)]

    def acknowledge(
        self,
        status: int = 0,
        sequence: int | None = None,
        lifetime: int | None = None,
        care_of_address: str = FIRST,
        options: Sequence[Packet] = (),
    ) -> list[Effect]:
        """The home agent's answer to the last Binding Update; lifetime in units of 4 s."""
        last = self.updates()[-1]
        message = MIP6MH_BA(
            status=status,
            seq=last.seq if sequence is None else sequence,
            mhtime=last.mhtime if lifetime is None else lifetime,
            options=list(options),
        )
        return self.receive(away(care_of_address) / message)

    def bound(self, **settings: object) -> Bench:
        """Register at the first visited network."""
        self.arrive(FIRST_NET, FIRST)
        self.acknowledge(**settings)  # type: ignore[arg-type]
        assert self.node.state is State.REGISTERED
        return self

    def events(self) -> list[str]:
        return [effect.name for _, effect in self.done if isinstance(effect, Event)]


def away(care_of_address: str, home_address: str = HOME_ADDRESS, source: str = HOME_AGENT) -> Packet:
    """The headers of what the home agent sends to a mobile node that is away (6.1.8, 6.4)."""
    return IPv6(src=source, dst=care_of_address) / IPv6ExtHdrRouting(type=2, segleft=1, addresses=[home_address])


def kinds(effects: Sequence[Effect]) -> list[type[Effect]]:
    return [type(effect) for effect in effects if not isinstance(effect, Event)]


def hear(bench: Bench, seconds: float, **intervals: int) -> None:
    """Advertisements of `first`, `second` and `home`, at these intervals in milliseconds."""
    routers = {"first": (FIRST_NET, "fe80::1"), "second": (SECOND_NET, "fe80::2"), "home": (HOME_PREFIX, "fe80::3")}
    next_at = dict.fromkeys(intervals, bench.now)
    end = bench.now + seconds
    while bench.now < end:
        bench.wait(max(0.0, min(next_at.values()) - bench.now))
        for name, interval in intervals.items():
            if next_at[name] <= bench.now:
                prefix, router = routers[name]
                bench.advertise(prefix, interval, router)
                next_at[name] += interval / 1000


def home_agent_defends(bench: Bench, target: str = HOME_ADDRESS) -> list[Effect]:
    """The home agent's answer to a probe: to all nodes, not solicited (RFC 4861 section 7.2.4)."""
    packet = IPv6(src=HOME_AGENT, dst="ff02::1", hlim=255) / ICMPv6ND_NA(tgt=target, R=0, S=0, O=0)
    return bench.receive(packet / ICMPv6NDOptDstLLAddr(lladdr=AGENT_MAC))


def come_home(bench: Bench) -> list[Effect]:
    bench.do(bench.node.link_down(bench.now))
    bench.do(bench.node.link_up(bench.now))
    return bench.advertise(HOME_PREFIX)


def acknowledge_at_home(bench: Bench, status: int = 0) -> list[Effect]:
    last = bench.updates()[-1]
    headers = IPv6(src=HOME_AGENT, dst=HOME_ADDRESS)
    return bench.receive(headers / MIP6MH_BA(status=status, seq=last.seq, mhtime=0))
