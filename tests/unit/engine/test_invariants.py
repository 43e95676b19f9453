"""Any sequence of events keeps the invariants that shell.py checks after each of them, and answers are true."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mip6core.addresses import Prefix
from mip6core.home_agent import HomePrefix, Limits
from tests.unit.discovery.link import Link
from tests.unit.engine import wire
from tests.unit.engine.shell import HA, HA_MAC, HOST, HOST_MAC, MN_MAC, ROUTER_MAC, Sent, home_link
from tests.unit.engine.wire import A, H, K, L, address

PREFIXES = tuple(HomePrefix(Prefix.parse(text)) for text in ("2001:db8:1::/64", "2001:db8:1:1::/64"))
OTHER = HomePrefix(Prefix.parse("2001:db8:2::/64"))
HOMES = [
    address(text)
    for text in (
        "2001:db8:1::10",
        "2001:db8:1:1::10",  # the same interface identifier
        "2001:db8:1::20",
        "2001:db8:2::10",  # another link's
        "2001:db8:1::2",  # the home agent's own
        "2001:db8:1::",  # anycast
        "2001:db8:7::1",  # nobody's
    )
]
PLACES = [address(f"2001:db8:f{link}::1") for link in range(3)]
STRANGE = [HOMES[0], HOMES[2], HOMES[3], HA, address("fe80::1"), address("ff02::1"), address("::")]
LINK_LOCALS = [address("fe80::10"), address("fe80::20")]

homes = st.sampled_from(HOMES)
flags = st.sampled_from([A | H, H, A | H | L, A | H | L, A | H | K, A])
lifetimes = st.sampled_from([0, 1, 2, 3, 10, 105, 65535])


class Registrations(RuleBasedStateMachine):
    """One real and one virtual home link, few addresses, so that everything meets everything."""

    def __init__(self) -> None:
        super().__init__()
        other = home_link(name="other", address=address("2001:db8:2::2"), prefixes=(OTHER,), virtual=True)
        limits = Limits(max_bindings=3, max_addresses_in_dad=3, error_rate=5.0, error_burst=5.0)
        self.shell = Link(home_link(prefixes=PREFIXES), other, limits=limits)  # it knows prefix discovery too
        self.sequence = dict.fromkeys(HOMES, 0)
        self.accepted: dict[bytes, int] = {}  # sequence number of the last acceptance of what is bound now

    @rule(
        home=homes,
        place=st.sampled_from(PLACES + STRANGE),
        source=st.sampled_from([*PLACES, HOST]),
        step=st.sampled_from([1, 1, 1, 1, 0, -1, 2, 32767, 32768]),
        flags=flags,
        lifetime=lifetimes,
        link=st.sampled_from([0, 0, 0, 1]),
        option=st.sampled_from([True, True, True, False]),
    )
    def update(
        self,
        home: bytes,
        place: bytes,
        source: bytes,
        step: int,
        flags: int,
        lifetime: int,
        link: int,
        option: bool,
    ) -> None:
        self.sequence[home] = (self.sequence[home] + step) % 65536
        if not option:
            source = home
        packet = wire.binding_update(
            self.shell.links[link].address,
            home,
            place,
            self.sequence[home],
            flags=flags,
            lifetime=lifetime,
            source=source,
            home_address_option=option,
        )
        self.judge(self.shell.receive(packet, ROUTER_MAC, self.shell.links[link]))

    @rule(home=homes, step=st.sampled_from([1, 1, 0]), flags=flags)
    def deregister_at_home(self, home: bytes, step: int, flags: int) -> None:
        self.sequence[home] = (self.sequence[home] + step) % 65536
        for one in self.shell.update(
            home, self.sequence[home], home_address=home, lifetime=0, flags=flags, mac=MN_MAC, home_address_option=False
        ):
            self.judge([one])
            if one.packet.kind == "BA":
                on_link = self.shell.link.find_prefix(home) is not None
                assert one.packet.routing is None and one.mac == (MN_MAC if on_link else None)

    @rule(
        about=st.sampled_from(HOMES + LINK_LOCALS),
        probe=st.booleans(),
        solicitation=st.booleans(),
        mac=st.sampled_from([HOST_MAC, HOST_MAC, HA_MAC]),
    )
    def neighbor_discovery(self, about: bytes, probe: bool, solicitation: bool, mac: bytes) -> None:
        defended = self.defended()
        if solicitation:
            packet = wire.neighbor_solicitation(wire.UNSPECIFIED if probe else HOST, about)
        else:
            packet = wire.neighbor_advertisement(HOST, about)
        sent = self.shell.receive(packet, mac)
        answers = [one for one in sent if one.packet.kind == "NA"]
        assert len(answers) == (solicitation and mac != HA_MAC and about in defended)
        self.judge(sent)

    @rule(seconds=st.sampled_from([0.1, 0.5, 1.0, 3.0, 9.5, 400.0]))
    def wait(self, seconds: float) -> None:
        self.judge(self.shell.advance(seconds))

    @rule(seconds=st.sampled_from([0.7, 5.0, 1000.0]))
    def stop_and_go_on(self, seconds: float) -> None:
        sent = self.shell.jump(seconds)
        self.judge(sent)

    @rule(seconds=st.sampled_from([0.7, 5.0, 1000.0]))
    def wait_without_a_tick(self, seconds: float) -> None:
        """What is overdue happens when the next packet comes in."""
        self.shell.now += seconds
        self.judge(self.shell.receive(wire.neighbor_solicitation(HOST, HOST), HOST_MAC))

    @rule(home=homes)
    def clear(self, home: bytes) -> None:
        assert self.shell.clear(home) == []
        self.judge([])

    @rule(home=homes)
    def fail(self, home: bytes) -> None:
        bound = home in self.shell.flows
        sent = self.shell.fail_installation(home)
        assert [one.packet.status for one in sent] == [130] * bound
        self.judge(sent)

    @rule(prefixes=st.sampled_from([PREFIXES, PREFIXES[:1], PREFIXES]))
    def renumber(self, prefixes: tuple[HomePrefix, ...]) -> None:
        self.judge(self.shell.set_prefixes(*prefixes))

    def defended(self) -> set[bytes]:
        link = self.shell.link
        bound = [entry for entry in self.shell.ha.bindings if entry.bound and entry.link is link]
        with_l = {address("fe80::")[:8] + entry.home_address[8:] for entry in bound if entry.flags & L}
        return {entry.home_address for entry in bound} | with_l

    def judge(self, sent: list[Sent]) -> None:
        """An acceptance is of a newer number, and promises what is held; a de-registration leaves no flows."""
        for one in sent:
            ba = one.packet
            if ba.kind != "BA":
                continue
            home = ba.routing or ba.destination
            if ba.status < 128 and ba.lifetime:
                last = self.accepted.get(home)
                assert last is None or 0 < (ba.sequence - last) % 65536 < 32768
                self.accepted[home] = ba.sequence
                entry = self.shell.ha.bindings.get_bound(home)
                if entry is not None and entry.sequence == ba.sequence:
                    assert entry.lifetime == ba.lifetime * 4
            elif ba.status < 128:
                assert home not in self.shell.flows
        self.accepted = {home: number for home, number in self.accepted.items() if home in self.shell.flows}

    @invariant()
    def only_what_may_be_bound_is(self) -> None:
        for entry in self.shell.ha.bindings:
            assert entry.home_address in HOMES[:4]
            assert entry.link is self.shell.links[entry.home_address == HOMES[3]]

    @invariant()
    def no_packet_goes_round_in_circles(self) -> None:
        """15.1."""
        for home in self.shell.flows:
            passed = set()
            while home in self.shell.flows:
                assert home not in passed
                passed.add(home)
                home, _ = self.shell.flows[home]
            assert home not in [HA, *STRANGE[4:]]

    @invariant()
    def tables_are_bounded(self) -> None:
        assert len(self.shell.ha.bindings) <= 3
        assert len(self.shell.watched) <= 5  # room for one more was there, and each needs two

    def teardown(self) -> None:
        """With time all ends by itself, whatever happened."""
        self.shell.advance(65535 * 4.0 + 20.0)
        assert self.shell.flows == {} and len(self.shell.ha.bindings) == 0
        assert self.shell.ha.next_timer() is None


TestInvariants = Registrations.TestCase
TestInvariants.settings = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
