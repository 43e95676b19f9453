"""The mobile node's engine (RFC 6275 section 11); the test moves its clock, scapy writes and reads its packets."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from scapy.layers.inet6 import (
    HAO,
    MIP6MH_BA,
    MIP6MH_BE,
    MIP6MH_BRR,
    MIP6MH_BU,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6ND_RS,
    ICMPv6NDOptAdvInterval,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptPrefixInfo,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrRouting,
    MIP6OptAltCoA,
    MIP6OptBRAdvice,
)
from scapy.packet import Packet

from mip6core import addresses
from mip6core.addresses import Prefix
from mip6core.codec import ipv6
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


@pytest.fixture
def bench() -> Bench:
    return Bench()


# --- registration (11.7.1) ---


def test_a_new_care_of_address_is_registered(bench: Bench) -> None:
    effects = bench.arrive(FIRST_NET, FIRST)
    assert kinds(effects)[-2:] == [Send, OpenTunnel]  # the Binding Update does not wait for the tunnel
    ((_, packet, effect),) = bench.sent(MIP6MH_BU)
    assert (packet.src, packet.dst) == (FIRST, HOME_AGENT)
    assert effect.link_layer_destination is None
    (option,) = [option for option in packet[IPv6ExtHdrDestOpt].options if isinstance(option, HAO)]
    assert option.hoa == HOME_ADDRESS
    update = packet[MIP6MH_BU]
    assert (update.seq, str(update.flags), update.mhtime) == (SEQUENCE + 1, "HA", 15)
    (alternate,) = [option for option in update.options if isinstance(option, MIP6OptAltCoA)]
    assert alternate.acoa == FIRST


def test_a_binding_update_is_what_scapy_makes_of_the_same_contents(bench: Bench) -> None:
    bench.arrive(FIRST_NET, FIRST)
    ((_, _, effect),) = bench.sent(MIP6MH_BU)
    message = MIP6MH_BU(seq=SEQUENCE + 1, flags="HA", mhtime=15, options=[MIP6OptAltCoA(acoa=FIRST)])
    packet = IPv6(src=FIRST, dst=HOME_AGENT, hlim=64) / IPv6ExtHdrDestOpt(options=[HAO(hoa=HOME_ADDRESS)]) / message
    assert effect.packet == bytes(packet)  # also the checksum, which is made with the home address (6.1.1)


def test_the_order_in_which_kernel_and_router_are_heard_does_not_matter(bench: Bench) -> None:
    bench.do(bench.node.link_up(bench.now))
    bench.do(bench.node.address_usable(addresses.parse(FIRST), bench.now))
    assert bench.updates() == []
    bench.advertise(FIRST_NET)
    assert len(bench.updates()) == 1


def test_other_addresses_are_no_care_of_addresses(bench: Bench) -> None:
    bench.do(bench.node.link_up(bench.now))
    bench.advertise(FIRST_NET)
    for address in (LINK_LOCAL, SECOND, HOME_ADDRESS):
        bench.do(bench.node.address_usable(addresses.parse(address), bench.now))
    assert bench.updates() == []


def test_first_registration_is_retransmitted_with_the_long_timeout(bench: Bench) -> None:
    bench.arrive(FIRST_NET, FIRST)
    bench.keep_router(FIRST_NET, 112)
    # InitialBindackTimeoutFirstReg 1.5 s, doubled up to MAX_BINDACK_TIMEOUT 32 s (11.8, 12, 13)
    assert bench.update_times() == [0, 1.5, 4.5, 10.5, 22.5, 46.5, 78.5, 110.5]
    assert [update.seq for update in bench.updates()] == list(range(SEQUENCE + 1, SEQUENCE + 9))


def test_the_first_timeout_can_be_configured() -> None:
    bench = Bench(first_timeout=0.5)
    bench.arrive(FIRST_NET, FIRST)
    bench.keep_router(FIRST_NET, 4)
    assert bench.update_times() == [0, 0.5, 1.5, 3.5]


def test_a_move_with_a_binding_is_retransmitted_with_the_short_timeout() -> None:
    bench = Bench(lifetime=600).bound()
    bench.done.clear()
    bench.arrive(SECOND_NET, SECOND)
    bench.keep_router(SECOND_NET, 96)
    assert bench.update_times() == [0, 1, 3, 7, 15, 31, 63, 95]  # INITIAL_BINDACK_TIMEOUT 1 s


def test_sequence_numbers_wrap() -> None:
    bench = Bench(sequence=0xFFFF)
    bench.arrive(FIRST_NET, FIRST)
    assert bench.updates()[0].seq == 0


def test_no_more_than_three_updates_a_second(bench: Bench) -> None:
    bench.arrive(FIRST_NET, FIRST)
    for _ in range(40):
        bench.acknowledge(status=135, sequence=bench.updates()[-1].seq)
        bench.wait(0.05)
    times = bench.update_times()
    assert len(times) >= 6
    assert all(later - earlier >= 1.0 for earlier, later in zip(times, times[3:], strict=False))


# --- acknowledgements (11.7.3) ---


def test_an_acknowledgement_ends_retransmission_and_opens_the_way_out(bench: Bench) -> None:
    bench.arrive(FIRST_NET, FIRST)
    bench.wait(0.02)
    assert kinds(bench.acknowledge()) == [UseTunnel]
    bench.keep_router(FIRST_NET, 44)
    assert len(bench.updates()) == 1


def test_an_earlier_transmission_may_be_acknowledged(bench: Bench) -> None:
    bench.arrive(FIRST_NET, FIRST)
    bench.wait(1.6)
    assert kinds(bench.acknowledge(sequence=SEQUENCE + 1)) == [UseTunnel]


def test_refresh_counts_from_the_update_and_the_granted_lifetime(bench: Bench) -> None:
    bench.arrive(FIRST_NET, FIRST)
    bench.wait(0.5)
    bench.acknowledge(lifetime=10)  # 40 s
    bench.keep_router(FIRST_NET, 38)
    assert bench.update_times() == [0, 30.0, 31.0, 33.0, 37.0]  # at three quarters; then with the short timeout


def test_a_refresh_keeps_the_tunnel(bench: Bench) -> None:
    bench.bound()
    bench.keep_router(FIRST_NET, 45.5)
    assert bench.update_times() == [0, 45]
    assert kinds(bench.acknowledge()) == []
    bench.keep_router(FIRST_NET, 45)
    assert bench.update_times() == [0, 45, 90]


def test_binding_refresh_advice_is_followed(bench: Bench) -> None:
    bench.bound(options=[MIP6OptBRAdvice(rinter=5)])  # 20 s
    bench.keep_router(FIRST_NET, 20.5)
    assert bench.update_times() == [0, 20.0]


def test_advice_beyond_the_lifetime_is_not(bench: Bench) -> None:
    bench.bound(options=[MIP6OptBRAdvice(rinter=20)])  # 80 s
    bench.keep_router(FIRST_NET, 45.5)
    assert bench.update_times() == [0, 45.0]


@pytest.mark.parametrize(
    "headers",
    [
        away(FIRST, source="2001:db8:1::3"),
        away(FIRST, home_address="2001:db8:1::101"),
        away(SECOND),
        IPv6(src=HOME_AGENT, dst=FIRST),
        IPv6(src=HOME_AGENT, dst=HOME_ADDRESS),
    ],
    ids=["other source", "other home address", "other care-of address", "no routing header", "as if at home"],
)
def test_acknowledgements_from_and_to_others_are_ignored(bench: Bench, headers: Packet) -> None:
    bench.arrive(FIRST_NET, FIRST)
    assert bench.receive(headers / MIP6MH_BA(status=0, seq=SEQUENCE + 1, mhtime=15)) == []
    bench.wait(1.6)
    assert len(bench.updates()) == 2


def test_acknowledgements_with_a_wrong_checksum_or_sequence_are_ignored(bench: Bench) -> None:
    bench.arrive(FIRST_NET, FIRST)
    assert bench.receive(away(FIRST) / MIP6MH_BA(status=0, seq=SEQUENCE + 1, mhtime=15, cksum=1)) == []
    assert bench.acknowledge(sequence=SEQUENCE) == []
    assert bench.acknowledge(sequence=SEQUENCE + 2) == []
    bench.wait(1.6)
    assert len(bench.updates()) == 2


def test_an_acknowledgement_of_the_last_care_of_address_is_ignored_after_a_move(bench: Bench) -> None:
    bench.arrive(FIRST_NET, FIRST)
    bench.arrive(SECOND_NET, SECOND)
    assert bench.acknowledge(sequence=SEQUENCE + 1, care_of_address=SECOND) == []
    assert kinds(bench.acknowledge(sequence=SEQUENCE + 2, care_of_address=SECOND)) == [UseTunnel]


def test_status_135_takes_the_sequence_number_over(bench: Bench) -> None:
    bench.arrive(FIRST_NET, FIRST)
    bench.acknowledge(status=135, sequence=0xFFFF)
    assert [update.seq for update in bench.updates()] == [SEQUENCE + 1, 0]
    assert kinds(bench.acknowledge()) == [UseTunnel]


def test_status_135_without_an_outstanding_update_is_ignored(bench: Bench) -> None:
    bench.bound()
    assert bench.acknowledge(status=135, sequence=7) == []
    assert bench.node.sequence == SEQUENCE + 1


@pytest.mark.parametrize("status", [129, 131, 132, 133, 139, 200])
def test_a_refusal_is_reported_and_not_asked_again_before_the_next_move(bench: Bench, status: int) -> None:
    bench.arrive(FIRST_NET, FIRST)
    bench.acknowledge(status=status)
    assert bench.events()[-1] == "registration_refused"
    bench.keep_router(FIRST_NET, 200)
    assert len(bench.updates()) == 1
    bench.arrive(SECOND_NET, SECOND)
    assert len(bench.updates()) == 2


@pytest.mark.parametrize("status", [128, 130])
def test_what_may_be_a_passing_trouble_is_asked_again_slowly(bench: Bench, status: int) -> None:
    bench.arrive(FIRST_NET, FIRST)
    bench.acknowledge(status=status)
    bench.keep_router(FIRST_NET, 33)
    assert bench.update_times() == [0, 32.0]
    assert [update.seq for update in bench.updates()] == [SEQUENCE + 1, SEQUENCE + 2]


def test_a_home_address_that_somebody_else_has_is_never_registered_again(bench: Bench) -> None:
    bench.arrive(FIRST_NET, FIRST)
    bench.acknowledge(status=134)
    bench.arrive(SECOND_NET, SECOND)
    bench.keep_router(SECOND_NET, 100)
    assert len(bench.updates()) == 1


# --- refresh requests, errors, expiry (11.7.4) ---


def test_a_refresh_request_is_answered_at_once(bench: Bench) -> None:
    bench.bound()
    bench.wait(1.0)
    bench.receive(away(FIRST) / MIP6MH_BRR())
    assert bench.update_times() == [0, 1.0]


def test_a_refresh_request_of_a_stranger_is_not(bench: Bench) -> None:
    bench.bound()
    bench.receive(away(FIRST, source="2001:db8:9::9") / MIP6MH_BRR())
    assert len(bench.updates()) == 1


def test_a_binding_error_is_reported(bench: Bench) -> None:
    bench.bound()
    bench.receive(away(FIRST) / MIP6MH_BE(status=1, ha=HOME_ADDRESS))
    assert bench.events()[-1] == "binding_error"


def test_a_binding_that_runs_out_closes_the_tunnel(bench: Bench) -> None:
    bench.bound()
    bench.keep_router(FIRST_NET, 59)
    assert CloseTunnel not in kinds([effect for _, effect in bench.done])
    bench.keep_router(FIRST_NET, 2)
    assert CloseTunnel in kinds([effect for _, effect in bench.done])
    bench.keep_router(FIRST_NET, 60)
    assert kinds(bench.acknowledge()) == [UseTunnel]


# --- movement (11.5.1) ---


def test_a_lost_link_is_forgotten(bench: Bench) -> None:
    bench.bound()
    assert kinds(bench.do(bench.node.link_down(bench.now))) == [Detach]
    bench.wait(100)
    assert len(bench.updates()) == 1
    assert bench.node.link_down(bench.now) == []


def test_a_move_registers_the_new_care_of_address(bench: Bench) -> None:
    bench.bound()
    effects = bench.arrive(SECOND_NET, SECOND)
    assert kinds(effects) == [Detach, Send, OpenTunnel]
    assert bench.sent(MIP6MH_BU)[-1][1].src == SECOND
    assert bench.acknowledge(care_of_address=SECOND)[-1] == UseTunnel(addresses.parse(SECOND))


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


def test_a_move_without_a_word_from_the_link_layer_is_detected(bench: Bench) -> None:
    bench.bound()
    hear(bench, 5, first=70)
    assert "router_lost" not in bench.events()
    moved = bench.now
    hear(bench, 1, second=70)
    (lost,) = [at for at, effect in bench.done if isinstance(effect, Event) and effect.name == "router_lost"]
    assert lost - moved < 0.6
    assert kinds(bench.do(bench.node.address_usable(addresses.parse(SECOND), bench.now))) == [Send, OpenTunnel]


def test_so_is_a_move_from_home(bench: Bench) -> None:
    bench.do(bench.node.link_up(bench.now))
    hear(bench, 2, home=70)
    assert bench.node.state is State.HOME
    hear(bench, 1, first=70)
    assert Detach in kinds([effect for _, effect in bench.done])
    assert kinds(bench.do(bench.node.address_usable(addresses.parse(FIRST), bench.now))) == [Send, OpenTunnel]


def test_a_second_router_on_the_link_is_no_move(bench: Bench) -> None:
    bench.bound()
    hear(bench, 10, first=70, second=70)
    assert "router_lost" not in bench.events()


def test_a_silent_router_is_not_left_for_nothing(bench: Bench) -> None:
    bench.bound()
    hear(bench, 2, first=70)
    bench.wait(20)
    assert "router_lost" not in bench.events()


def test_a_router_that_advertises_seldom_gets_its_time(bench: Bench) -> None:
    bench.bound()
    hear(bench, 1, first=10_000)
    hear(bench, 28, second=70)
    assert "router_lost" not in bench.events()
    hear(bench, 3, second=70)
    assert "router_lost" in bench.events()


def test_routers_are_solicited_only_when_none_is_heard(bench: Bench) -> None:
    bench.do(bench.node.link_up(bench.now))
    bench.wait(0.05)
    bench.advertise(FIRST_NET)
    bench.wait(1.0)
    assert bench.sent(ICMPv6ND_RS) == []
    bench.do(bench.node.link_down(bench.now))
    bench.do(bench.node.link_up(bench.now))
    bench.wait(1.0)
    ((_, packet, effect),) = bench.sent(ICMPv6ND_RS)
    assert (packet.src, packet.dst, packet.hlim) == ("::", "ff02::2", 255)
    assert ICMPv6NDOptSrcLLAddr not in packet  # RFC 4861 section 4.1
    assert effect.link_layer_destination == bytes.fromhex("333300000002")


def test_a_care_of_address_that_is_a_duplicate_is_given_up(bench: Bench) -> None:
    bench.bound()
    effects = bench.do(bench.node.address_gone(addresses.parse(FIRST), bench.now, duplicate=True))
    assert kinds(effects) == [CloseTunnel]
    bench.keep_router(FIRST_NET, 100)
    assert len(bench.updates()) == 1
    bench.do(bench.node.address_usable(addresses.parse(f"{FIRST_NET}d0"), bench.now))
    assert bench.sent(MIP6MH_BU)[-1][1].src == f"{FIRST_NET}d0"


# --- home (11.5.2, 11.5.5) ---


def home_agent_defends(bench: Bench, target: str = HOME_ADDRESS) -> list[Effect]:
    """The home agent's answer to a probe: to all nodes, not solicited (RFC 4861 section 7.2.4)."""
    packet = IPv6(src=HOME_AGENT, dst="ff02::1", hlim=255) / ICMPv6ND_NA(tgt=target, R=0, S=0, O=0)
    return bench.receive(packet / ICMPv6NDOptDstLLAddr(lladdr=AGENT_MAC))


def come_home(bench: Bench) -> list[Effect]:
    bench.do(bench.node.link_down(bench.now))
    bench.do(bench.node.link_up(bench.now))
    return bench.advertise(HOME_PREFIX)


def test_at_home_without_a_binding_the_address_is_checked_like_any_other(bench: Bench) -> None:
    bench.do(bench.node.link_up(bench.now))
    effects = bench.advertise(HOME_PREFIX)
    assert kinds(effects) == [GoHome]
    assert GoHome((addresses.parse(HOME_ADDRESS),), True) in effects
    bench.wait(100)
    assert [effect for _, effect in bench.done if isinstance(effect, Send)] == []


def test_coming_home_starts_with_a_probe_that_does_not_use_the_home_address(bench: Bench) -> None:
    bench.bound()
    assert kinds(come_home(bench)) == [Send]
    ((_, packet, effect),) = bench.sent(ICMPv6ND_NS)
    assert (packet.src, packet.dst, packet.hlim) == ("::", "ff02::1:ff00:100", 255)
    assert packet[ICMPv6ND_NS].tgt == HOME_ADDRESS
    assert ICMPv6NDOptSrcLLAddr not in packet
    assert effect.link_layer_destination == bytes.fromhex("3333ff000100")


def test_de_registration(bench: Bench) -> None:
    bench.bound()
    come_home(bench)
    effects = home_agent_defends(bench)
    assert kinds(effects) == [SetNeighbor, Send, GoHome]  # the address only after the Binding Update, and without DAD
    assert SetNeighbor(addresses.parse(HOME_AGENT), bytes.fromhex(AGENT_MAC.replace(":", ""))) in effects
    assert effects[-1] == GoHome((addresses.parse(HOME_ADDRESS),), False)
    _, packet, effect = bench.sent(MIP6MH_BU)[-1]
    assert effect.link_layer_destination == bytes.fromhex(AGENT_MAC.replace(":", ""))
    assert (packet.src, packet.dst) == (HOME_ADDRESS, HOME_AGENT)
    assert IPv6ExtHdrDestOpt not in packet
    update = packet[MIP6MH_BU]
    assert (update.seq, str(update.flags), update.mhtime) == (SEQUENCE + 2, "HA", 0)
    (alternate,) = [option for option in update.options if isinstance(option, MIP6OptAltCoA)]
    assert alternate.acoa == HOME_ADDRESS


def acknowledge_at_home(bench: Bench, status: int = 0) -> list[Effect]:
    last = bench.updates()[-1]
    headers = IPv6(src=HOME_AGENT, dst=HOME_ADDRESS)
    return bench.receive(headers / MIP6MH_BA(status=status, seq=last.seq, mhtime=0))


@pytest.mark.parametrize("status", [0, 133], ids=["accepted", "no such binding"])
def test_neighbors_are_told_three_times_once_the_home_agent_has_let_go(bench: Bench, status: int) -> None:
    bench.bound()
    come_home(bench)
    home_agent_defends(bench)
    bench.wait(0.01)
    acknowledge_at_home(bench, status)
    assert bench.node.state is State.HOME
    start = bench.now
    bench.wait(100)
    sent = bench.sent(ICMPv6ND_NA)
    assert [round(at - start, 3) for at, _, _ in sent] == [0, 1, 2]
    for _, packet, effect in sent:
        message = packet[ICMPv6ND_NA]
        assert (packet.src, packet.dst, packet.hlim) == (HOME_ADDRESS, "ff02::1", 255)
        assert (message.tgt, message.R, message.S, message.O) == (HOME_ADDRESS, 0, 0, 1)
        assert packet[ICMPv6NDOptDstLLAddr].lladdr == OWN_MAC
        assert effect.link_layer_destination == bytes.fromhex("333300000001")
    assert len(bench.updates()) == 2


def test_de_registration_is_retransmitted_until_the_home_agent_answers(bench: Bench) -> None:
    bench.bound()
    come_home(bench)
    home_agent_defends(bench)
    bench.done.clear()
    bench.wait(8)
    assert [round(at - bench.sent(MIP6MH_BU)[0][0], 3) for at, _, _ in bench.sent(MIP6MH_BU)] == [0, 2, 6]
    assert bench.sent(ICMPv6ND_NA) == []
    assert acknowledge_at_home(bench) != []


def test_a_home_agent_that_never_answers_has_let_go_when_the_binding_has_run_out(bench: Bench) -> None:
    bench.bound()
    come_home(bench)
    home_agent_defends(bench)
    bench.wait(100)
    assert bench.node.state is State.HOME
    assert len(bench.sent(ICMPv6ND_NA)) == 3
    updates = len(bench.updates())
    bench.wait(100)
    assert len(bench.updates()) == updates


def test_a_binding_that_was_never_acknowledged_is_taken_back_too(bench: Bench) -> None:
    bench.arrive(FIRST_NET, FIRST)  # the home agent may have accepted it: the answer can be lost
    come_home(bench)
    assert bench.node.state is State.LOCATING_HOME_AGENT


def test_a_home_agent_that_does_not_defend_is_asked_for_by_its_own_address(bench: Bench) -> None:
    bench.bound()
    come_home(bench)
    bench.do(bench.node.address_usable(addresses.parse(LINK_LOCAL), bench.now))
    bench.wait(1.5)
    targets = [(packet.src, packet[ICMPv6ND_NS].tgt) for _, packet, _ in bench.sent(ICMPv6ND_NS)]
    assert targets == [("::", HOME_ADDRESS), ("::", HOME_ADDRESS), (LINK_LOCAL, HOME_AGENT)]
    assert kinds(home_agent_defends(bench, HOME_AGENT)) == [SetNeighbor, Send, GoHome]


def test_without_a_home_agent_the_address_is_taken_when_the_binding_has_run_out(bench: Bench) -> None:
    bench.bound()
    come_home(bench)
    bench.wait(59)
    assert GoHome not in kinds([effect for _, effect in bench.done])
    bench.wait(2)
    assert [effect for _, effect in bench.done if isinstance(effect, GoHome)] == [
        GoHome((addresses.parse(HOME_ADDRESS),), True)
    ]


def test_after_a_return_the_next_move_is_a_first_registration(bench: Bench) -> None:
    bench.bound()
    come_home(bench)
    home_agent_defends(bench)
    acknowledge_at_home(bench)
    bench.wait(10)
    bench.done.clear()
    bench.arrive(FIRST_NET, FIRST)
    bench.keep_router(FIRST_NET, 2)
    assert bench.update_times() == [0, 1.5]


def test_leaving_home_stops_the_announcements(bench: Bench) -> None:
    bench.bound()
    come_home(bench)
    home_agent_defends(bench)
    acknowledge_at_home(bench)
    bench.arrive(FIRST_NET, FIRST)
    bench.keep_router(FIRST_NET, 5)
    assert len(bench.sent(ICMPv6ND_NA)) == 1


def test_link_local_compatibility() -> None:
    bench = Bench(link_local_compatibility=True).bound()
    assert str(bench.updates()[0].flags) == "LHA"
    come_home(bench)
    effects = home_agent_defends(bench)
    both = (addresses.parse(HOME_ADDRESS), addresses.parse("fe80::100"))
    assert effects[-1] == GoHome(both, False)
    acknowledge_at_home(bench)
    assert [packet[ICMPv6ND_NA].tgt for _, packet, _ in bench.sent(ICMPv6ND_NA)] == [HOME_ADDRESS, "fe80::100"]
