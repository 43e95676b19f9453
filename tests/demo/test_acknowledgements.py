"""What the mobile node does with acknowledgements, refresh requests and errors (RFC 6275 11.7.3, 11.7.4)."""

from __future__ import annotations

import pytest
from scapy.layers.inet6 import (
    MIP6MH_BA,
    MIP6MH_BE,
    MIP6MH_BRR,
    IPv6,
    MIP6OptBRAdvice,
)
from scapy.packet import Packet

from tests.demo.bench import (
    FIRST,
    FIRST_NET,
    HOME_ADDRESS,
    HOME_AGENT,
    SECOND,
    SECOND_NET,
    SEQUENCE,
    Bench,
    away,
    kinds,
)
from topo.mobile_node_effects import (
    CloseTunnel,
    UseTunnel,
)


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
