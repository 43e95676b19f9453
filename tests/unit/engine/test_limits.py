"""No table grows without a bound, and timers stay cheap with many bindings."""

from __future__ import annotations

from mip6core.addresses import Prefix
from mip6core.home_agent import HomeAgent, HomePrefix, Limits
from mip6core.registration import Registration
from tests.unit.engine import wire
from tests.unit.engine.shell import COA1, HA, Shell, home_link, no_randomness, only
from tests.unit.engine.wire import A, H, L, address


def home(number: int) -> bytes:
    return address("2001:db8:1:0:1::")[:12] + number.to_bytes(4, "big")


def test_130_when_the_cache_is_full_and_existing_bindings_are_kept() -> None:
    """10.3.1: home registrations are exempt from replacement."""
    shell = Shell(home_link(virtual=True), limits=Limits(max_bindings=3))
    answers = [only(shell.update(COA1, 15, home_address=home(n))).packet.status for n in range(5)]
    assert answers == [0, 0, 0, 130, 130]
    assert len(shell.flows) == len(shell.ha.bindings) == 3
    assert only(shell.update(COA1, 16, home_address=home(0))).packet.status == 0
    shell.clear(home(1))
    assert only(shell.update(COA1, 15, home_address=home(4))).packet.status == 0


def test_a_deregistered_entry_makes_room_oldest_first() -> None:
    """It is kept for courtesy (10.3.2 SHOULD), and must not keep anybody out."""
    shell = Shell(home_link(virtual=True), limits=Limits(max_bindings=3))
    for number in range(3):
        shell.update(COA1, 15, home_address=home(number))
    for number in (1, 0):
        shell.update(COA1, 16, home_address=home(number), lifetime=0)
        shell.advance(1.0)
    assert only(shell.update(COA1, 15, home_address=home(7))).packet.status == 0
    assert shell.ha.bindings.get(home(1)) is None and shell.ha.bindings.get(home(0)) is not None
    # A registration of a de-registered entry itself needs no room.
    assert only(shell.update(COA1, 17, home_address=home(0))).packet.status == 0
    assert only(shell.update(COA1, 15, home_address=home(8))).packet.status == 130


def test_the_oldest_is_the_one_whose_last_deregistration_is_oldest() -> None:
    shell = Shell(home_link(virtual=True), limits=Limits(max_bindings=2))
    for number in range(2):
        shell.update(COA1, 15, home_address=home(number))
        shell.update(COA1, 16, home_address=home(number), lifetime=0)
    shell.update(COA1, 17, home_address=home(0), lifetime=0)
    shell.update(COA1, 15, home_address=home(7))
    assert {entry.home_address for entry in shell.ha.bindings} == {home(0), home(7)}


def test_the_limit_of_a_link_leaves_others_alone() -> None:
    other = home_link(
        name="other",
        address=address("2001:db8:2::2"),
        prefixes=(HomePrefix(Prefix.parse("2001:db8:2::/64")),),
        virtual=True,
    )
    shell = Shell(home_link(virtual=True), other, limits=Limits(max_bindings_per_link=2))
    answers = [only(shell.update(COA1, 15, home_address=home(n))).packet.status for n in range(3)]
    assert answers == [0, 0, 130]
    there = address("2001:db8:2::99")
    assert only(shell.update(COA1, 15, home_address=there, link=other)).packet.status == 0
    shell.update(COA1, 16, home_address=there, link=other, lifetime=0)
    shell.advance(1.0)
    shell.update(COA1, 16, home_address=home(0), lifetime=0)
    assert only(shell.update(COA1, 15, home_address=home(5))).packet.status == 0
    assert shell.ha.bindings.get(home(0)) is None and shell.ha.bindings.get(there) is not None


def test_addresses_under_test_are_bounded() -> None:
    shell = Shell(limits=Limits(max_addresses_in_dad=4))
    for number in range(2):
        shell.update(COA1, 15, home_address=home(number), flags=A | H | L)
    assert only(shell.update(COA1, 15, home_address=home(2))).packet.status == 130
    assert len(shell.watched) == 4
    shell.advance(1.0)
    assert [one.packet.kind for one in shell.update(COA1, 16, home_address=home(2))] == ["NS"]


def test_nothing_is_left_behind_by_many_mobile_nodes() -> None:
    shell = Shell()
    for number in range(200):
        shell.update(COA1, 15, home_address=home(number), flags=A | H | (L if number % 2 else 0), lifetime=2)
    shell.advance(1.0)
    assert len(shell.flows) == 200
    for number in range(0, 200, 4):
        shell.update(COA1, 16, home_address=home(number), lifetime=0)
    shell.advance(60.0)
    registrations = shell.ha._registrations
    assert len(shell.ha.bindings) == len(registrations.dad) == len(registrations.timers) == 0
    assert len(registrations._announcer) == 0
    assert not registrations.bindings._link_local and registrations.bindings.count(shell.link) == 0
    assert shell.ha.next_timer() is None and not registrations.timers._heap


def test_statistics_have_a_bounded_set_of_names() -> None:
    """A stranger chooses what is counted, never under which name."""
    shell = Shell()
    for mh_type in range(256):
        for octets in (2, 10, 34):
            upper = wire.mobility_header(mh_type, bytes([mh_type]) * octets, COA1, HA)
            shell.receive(wire.ipv6(COA1, HA, 135, upper))
    assert len(shell.statistics) < 20


def test_a_hundred_thousand_bindings_and_their_timers() -> None:
    """Every fifth is refreshed again and again: the heap holds the others once, and deadlines come out right."""
    count = 100_000
    ha = HomeAgent([home_link(virtual=True)], Limits(max_bindings=count), no_randomness)
    (link,) = ha.links

    def register(number: int, sequence: int, now: float) -> None:
        request = Registration(link, home(number), COA1, sequence, A | H, 1000, COA1, None)
        ha._registrations.receive(request, now, [])

    for number in range(count):
        register(number, 0, number / 1000)
    for sequence in range(1, 4):
        for number in range(0, count, 5):
            register(number, sequence, sequence * 1000.0)
    assert len(ha.bindings) == count
    assert len(ha._registrations.timers._heap) == count
    ha.tick(4000.0)
    assert ha.next_timer() == 4000.001  # number 0 has been refreshed
    ha.tick(4050.0)
    assert len(ha.bindings) == count - 40_000
    ha.tick(6999.9)
    assert len(ha.bindings) == count // 5
    ha.tick(7000.0)
    assert len(ha.bindings) == 0 and ha.next_timer() is None
