"""A shell without a switch around the correspondents' engine: it carries out what is asked for, and checks it."""

from __future__ import annotations

import random

from mip6core.actions import CorrespondentActions, InstallRoute, RefreshRoute, ReleaseRoute, SendDatagram
from mip6core.addresses import Prefix
from mip6core.codec import ipv6
from mip6core.correspondent import Correspondent, CorrespondentLimits, CorrespondentLink
from mip6core.correspondent_cache import CorrespondentBinding
from mip6core.events import CorrespondentEvent
from tests.unit.correspondent import peer
from tests.unit.correspondent.peer import CN, COA1, HOA, ROUTER, TEP, Answer, Token


def correspondent_link(**changes: object) -> CorrespondentLink:
    """The link of most tests."""
    values: dict[str, object] = {
        "name": "office",
        "address": TEP,
        "prefixes": (Prefix.parse("2001:db8:c::/64"),),
        "link_layer_address": bytes.fromhex("0200000000c2"),
        "reserved": frozenset((ROUTER,)),
    }
    return CorrespondentLink(**(values | changes))  # type: ignore[arg-type]


class Shell:
    """Runs the engine with a clock that the test moves."""

    def __init__(
        self,
        *links: CorrespondentLink,
        limits: CorrespondentLimits | None = None,
        now: float = 1000.0,
        seed: int | str = 0,
    ) -> None:
        self.now = now
        self.events: list[CorrespondentEvent] = []
        self.links = links or (correspondent_link(),)
        rng = random.Random(seed).randbytes
        self.cn = Correspondent(self.links, limits or CorrespondentLimits(), rng, self.events.append)
        self.actions: CorrespondentActions = []  # of the last call
        self.routes: dict[tuple[bytes, bytes], bytes] = {}  # correspondent, home address: care-of address
        self.sent: list[Answer] = []

    @property
    def link(self) -> CorrespondentLink:
        return self.links[0]

    @property
    def statistics(self) -> dict[str, int]:
        return self.cn.statistics

    # What happens

    def receive(self, packet: bytes, *, optimizable: bool = True) -> list[Answer]:
        """Hand a packet up that must be for the correspondent; returns what is sent."""
        datagram = ipv6.parse(packet)
        actions = self.cn.receive(self.link, datagram, self.now, optimizable=optimizable)
        assert actions is not None
        return self.carry_out(actions)

    def goes_on(self, packet: bytes) -> bool:
        """Whether a packet is left alone."""
        return self.cn.receive(self.link, ipv6.parse(packet), self.now) is None

    def home_test(self, home_address: bytes = HOA, correspondent: bytes = CN) -> Token:
        answer = only(self.receive(peer.init(1, home_address, correspondent)))
        assert (answer.kind, answer.source, answer.destination) == ("HOT", correspondent, home_address)
        return Token(answer.index, answer.token)

    def care_of_test(self, care_of_address: bytes = COA1, correspondent: bytes = CN) -> Token:
        answer = only(self.receive(peer.init(2, care_of_address, correspondent)))
        assert (answer.kind, answer.source, answer.destination) == ("COT", correspondent, care_of_address)
        return Token(answer.index, answer.token)

    def update(self, home: Token, care_of: Token, *, optimizable: bool = True, **more: object) -> list[Answer]:
        return self.receive(peer.update(home, care_of, **more), optimizable=optimizable)  # type: ignore[arg-type]

    def bind(self, **more: object) -> Answer:
        """Both tests and a Binding Update; returns the Binding Acknowledgement."""
        correspondent = more.get("correspondent", CN)
        home = self.home_test(more.get("home_address", HOA), correspondent)  # type: ignore[arg-type]
        care_of = self.care_of_test(more.get("care_of_address", COA1), correspondent)  # type: ignore[arg-type]
        return only(self.update(home, care_of, **more))  # type: ignore[arg-type]

    def advance(self, seconds: float) -> list[Answer]:
        """Let time pass, with a tick whenever the engine wants one; returns what is sent meanwhile."""
        end = self.now + seconds
        sent: list[Answer] = []
        while (due := self.cn.next_timer()) is not None and due <= end:
            assert due >= self.now
            self.now = due
            sent += self.carry_out(self.cn.tick(due))
        self.now = end
        return sent

    def jump(self, seconds: float) -> list[Answer]:
        """Let time pass without a tick until the end, as if the program had been stopped."""
        self.now += seconds
        return self.carry_out(self.cn.tick(self.now))

    def in_use(self, correspondent: bytes = CN, home_address: bytes = HOA) -> list[Answer]:
        return self.carry_out(self.cn.in_use(correspondent, home_address, self.now))

    def unknown_binding(self, source: bytes, home_address: bytes, correspondent: bytes = CN) -> list[Answer]:
        return self.carry_out(self.cn.unknown_binding(self.link, source, home_address, correspondent, self.now))

    def binding(self, correspondent: bytes = CN, home_address: bytes = HOA) -> CorrespondentBinding:
        binding = self.cn.bindings.get(correspondent, home_address)
        assert binding is not None
        return binding

    # What the engine asks for

    def carry_out(self, actions: CorrespondentActions) -> list[Answer]:
        self.actions = actions
        sent: list[Answer] = []
        for action in actions:
            if isinstance(action, SendDatagram):
                assert action.link_layer_destination is None
                sent.append(peer.read(action.packet, action.after_flows))
                continue
            binding = action.binding
            assert action.link is binding.link
            key = binding.correspondent, binding.home_address
            if isinstance(action, InstallRoute):
                assert self.routes.get(key) == action.previous != binding.care_of_address
                self.routes[key] = binding.care_of_address
            elif isinstance(action, RefreshRoute):
                assert self.routes[key] == binding.care_of_address
            else:
                assert isinstance(action, ReleaseRoute)
                assert self.routes.pop(key) == binding.care_of_address
        self.sent += sent
        self.check()
        return sent

    def check(self) -> None:
        """What must be true between any two calls."""
        bindings = list(self.cn.bindings)
        assert len(bindings) == len(self.cn.bindings)
        assert {(b.correspondent, b.home_address): b.care_of_address for b in bindings} == self.routes
        for binding in bindings:
            assert binding.bound and binding.expires_at > self.now
            assert 0 < binding.lifetime <= 420 and binding.lifetime % 4 == 0
            assert binding.registered_at <= binding.updated_at <= self.now
            assert self.cn.bindings.get(binding.correspondent, binding.home_address) is binding


def only(sent: list[Answer]) -> Answer:
    """The one packet that was sent."""
    (one,) = sent
    return one
