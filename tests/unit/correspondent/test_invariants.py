"""Mobile nodes and somebody who records and forges, over a clock that jumps: whatever they do, no binding without both
tests, and no Binding Update that counts twice.

What may be accepted is judged here, from what the tests gave to whom; the shell checks its invariants after each call.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mip6core.correspondent import CorrespondentLimits
from tests.unit.correspondent import peer
from tests.unit.correspondent.peer import CN, CN2, COA1, COA2, HOA, HOA2, NO_TOKEN, Answer, Token
from tests.unit.correspondent.shell import Shell
from tests.unit.engine.wire import A, address

CORRESPONDENTS = [CN, CN2]
HOMES = [HOA, HOA2, address("2001:db8:100::97")]
PLACES = [COA1, COA2]
LIMIT = 2


@dataclass(frozen=True)
class Given:
    """A token that a mobile node was sent."""

    token: Token
    at: float


@dataclass
class Recorded:
    """A Binding Update as it was on the wire, and whether it has been accepted."""

    packet: bytes
    key: tuple[bytes, bytes]
    care_of_address: bytes
    sequence: int
    deletion: bool
    accepted: bool = False


class ReturnRoutability(RuleBasedStateMachine):
    """Few addresses, so that everything meets everything."""

    def __init__(self) -> None:
        super().__init__()
        limits = CorrespondentLimits(max_bindings=LIMIT, error_rate_per_peer=1e9, error_burst_per_peer=1e9)
        self.shell = Shell(limits=limits, seed=5)
        self.home_tokens: dict[tuple[bytes, bytes], list[Given]] = {}
        self.care_of_tokens: dict[tuple[bytes, bytes], list[Given]] = {}
        self.sequence = {(cn, home): 0 for cn in CORRESPONDENTS for home in HOMES}
        self.recorded: list[Recorded] = []

    @rule(cn=st.sampled_from(CORRESPONDENTS), home=st.sampled_from(HOMES))
    def home_test(self, cn: bytes, home: bytes) -> None:
        token = self.shell.home_test(home, cn)
        self.home_tokens.setdefault((cn, home), []).append(Given(token, self.shell.now))

    @rule(cn=st.sampled_from(CORRESPONDENTS), place=st.sampled_from(PLACES))
    def care_of_test(self, cn: bytes, place: bytes) -> None:
        token = self.shell.care_of_test(place, cn)
        self.care_of_tokens.setdefault((cn, place), []).append(Given(token, self.shell.now))

    @rule(
        cn=st.sampled_from(CORRESPONDENTS),
        home=st.sampled_from(HOMES),
        place=st.sampled_from(PLACES),
        which=st.tuples(st.integers(0, 3), st.integers(0, 3)),
        step=st.sampled_from([1, 1, 1, 1, 2, 0, -1, -5, 20000, 32767, 32768]),
        lifetime=st.sampled_from([0, 0, 1, 10, 105, 65535]),
        flags=st.sampled_from([A, A, 0]),
        optimizable=st.sampled_from([True, True, True, False]),
        deliver=st.sampled_from([True, True, True, False]),
    )
    def update(
        self,
        cn: bytes,
        home: bytes,
        place: bytes,
        which: tuple[int, int],
        step: int,
        lifetime: int,
        flags: int,
        optimizable: bool,
        deliver: bool,
    ) -> None:
        """What a mobile node with its tokens sends; it may be held back by whoever records it."""
        homes = self.home_tokens.get((cn, home), [])
        places = self.care_of_tokens.get((cn, place), [])
        if not homes or (lifetime and not places):
            return
        home_token = homes[-1 - which[0] % len(homes)].token
        care_of_token = places[-1 - which[1] % len(places)].token if lifetime else NO_TOKEN
        sequence = self.sequence[cn, home] = (self.sequence[cn, home] + step) % 65536
        packet = peer.update(
            home_token,
            care_of_token,
            sequence=sequence,
            lifetime=lifetime,
            flags=flags,
            correspondent=cn,
            home_address=home,
            care_of_address=place,
        )
        for one in self.recorded:  # the same octets again: a mobile node may use the numbers that it likes
            if one.packet == packet:
                break
        else:
            one = Recorded(packet, (cn, home), place, sequence, not lifetime)
            self.recorded.append(one)
        if deliver:
            self.play(one, optimizable)

    @precondition(lambda self: self.recorded)
    @rule(back=st.integers(0, 30), deliver=st.integers(1, 3))
    def replay(self, back: int, deliver: int) -> None:
        one = self.recorded[-1 - back % len(self.recorded)]
        for _ in range(deliver):
            self.play(one, True)

    @precondition(lambda self: self.recorded)
    @rule()
    def replay_everything(self) -> None:
        for one in self.recorded:
            if one.accepted:
                self.play(one, True)

    @rule(
        cn=st.sampled_from(CORRESPONDENTS),
        home=st.sampled_from(HOMES),
        place=st.sampled_from(PLACES),
        lacking=st.sampled_from(["home", "care of", "other home", "other place", "swapped", "other correspondent"]),
        lifetime=st.sampled_from([0, 10]),
        step=st.sampled_from([1, 100]),
    )
    def forge(self, cn: bytes, home: bytes, place: bytes, lacking: str, lifetime: int, step: int) -> None:
        """Somebody who gets the packets for all addresses but one."""
        home_test, care_of_test = self.shell.home_test, self.shell.care_of_test
        home_token, care_of_token = home_test(home, cn), care_of_test(place, cn)
        if lacking == "home":
            home_token = Token(home_token.index, bytes(8))
        elif lacking == "care of":
            care_of_token = Token(care_of_token.index, bytes(8))
        elif lacking == "other home":
            home_token = home_test(address("2001:db8:bad::1"), cn)
        elif lacking == "other place":
            care_of_token = care_of_test(address("2001:db8:bad::1"), cn)
        elif lacking == "swapped":
            home_token, care_of_token = care_of_test(home, cn), home_test(place, cn)
        else:
            other = CORRESPONDENTS[cn == CN]
            home_token, care_of_token = home_test(home, other), care_of_test(place, other)
        if lifetime == 0 and lacking in ("care of", "other place"):
            return  # that one is not needed
        before = dict(self.shell.routes)
        sequence = (self.sequence[cn, home] + step) % 65536
        for _ in range(2):
            packet = peer.update(
                home_token,
                care_of_token,
                sequence=sequence,
                lifetime=lifetime,
                correspondent=cn,
                home_address=home,
                care_of_address=place,
            )
            assert self.shell.receive(packet) == []
            assert set(self.shell.routes.items()) <= set(before.items())
            key = hashlib.sha1(home_token.value).digest()
            packet = peer.update(
                home_token,
                care_of_token,
                sequence=sequence,
                lifetime=10,
                key=key,
                correspondent=cn,
                home_address=home,
                care_of_address=place,
            )
            assert self.shell.receive(packet) == []
        assert set(self.shell.routes.items()) <= set(before.items())

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0, 31.0, 100.0, 209.0, 241.0]))
    def wait(self, seconds: float) -> None:
        self.shell.advance(seconds)

    @rule(seconds=st.sampled_from([5.0, 50.0, 500.0]))
    def stop_and_go_on(self, seconds: float) -> None:
        self.shell.jump(seconds)

    @rule(cn=st.sampled_from([*CORRESPONDENTS, None]), home=st.sampled_from(HOMES))
    def clear(self, cn: bytes | None, home: bytes) -> None:
        assert self.shell.carry_out(self.shell.cn.clear(cn, home, self.shell.now)) == []

    @rule(cn=st.sampled_from(CORRESPONDENTS), home=st.sampled_from(HOMES))
    def fail(self, cn: bytes, home: bytes) -> None:
        for answer in self.shell.carry_out(self.shell.cn.installation_failed(cn, home, self.shell.now)):
            assert answer.status == 130

    @rule(cn=st.sampled_from(CORRESPONDENTS), home=st.sampled_from(HOMES))
    def use(self, cn: bytes, home: bytes) -> None:
        for answer in self.shell.in_use(cn, home):
            assert answer.kind == "BRR" and (cn, answer.destination) in self.shell.routes

    def play(self, one: Recorded, optimizable: bool) -> None:
        """Deliver a recorded Binding Update; it may take effect once."""
        self.shell.carry_out(self.shell.cn.tick(self.shell.now))
        before = dict(self.shell.routes)
        updated = self.updates()
        sent = self.shell.receive(one.packet, optimizable=optimizable)
        statuses = [answer.status for answer in sent if answer.kind == "BA"]
        assert len(statuses) <= 1
        took_effect = self.shell.routes != before or self.updates() != updated
        accepted = 0 in statuses or took_effect
        if one.accepted:
            assert not accepted
            assert statuses in ([135], [136], [137], [138])
        if one.deletion:
            assert self.shell.routes.items() <= before.items()
            if accepted and took_effect:  # nothing is remembered of a deletion of nothing, and need not be
                one.accepted = True
        elif accepted:
            if 0 in statuses or one.key in self.shell.routes:
                assert self.shell.routes[one.key] == one.care_of_address
            one.accepted = True
        self.judge(one, sent)

    def updates(self) -> set[tuple[bytes, bytes, int]]:
        return {(b.correspondent, b.home_address, b.sequence) for b in self.shell.cn.bindings}

    def judge(self, one: Recorded, sent: list[Answer]) -> None:
        for answer in sent:
            assert (answer.authenticator is None) == (answer.status in (136, 137, 138))
            assert answer.source == one.key[0] and answer.routing == one.key[1]
            if answer.status < 128 and answer.lifetime:
                assert self.shell.binding(*one.key).lifetime == answer.lifetime * 4

    @invariant()
    def each_binding_has_had_both_tests(self) -> None:
        """At most 240 seconds before it was registered."""
        for binding in self.shell.cn.bindings:
            homes = self.home_tokens[binding.correspondent, binding.home_address]
            places = self.care_of_tokens[binding.correspondent, binding.care_of_address]
            for tokens in (homes, places):
                assert any(binding.updated_at - 240.0 <= one.at <= binding.updated_at for one in tokens)

    @invariant()
    def tables_are_bounded(self) -> None:
        assert len(self.shell.cn.bindings) <= LIMIT and self.shell.cn.bindings.remembered <= LIMIT

    def teardown(self) -> None:
        """With time all ends by itself, whatever happened."""
        self.shell.advance(421.0 + 240.0)
        assert self.shell.routes == {} and self.shell.cn.bindings.remembered == 0
        assert self.shell.cn.next_timer() is None


TestReturnRoutability = ReturnRoutability.TestCase
TestReturnRoutability.settings = settings(
    max_examples=200,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
