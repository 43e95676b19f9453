"""Mutated real messages at the packet-in entry: no exception, no lost switch, nothing left over, bounded tables.

A long run:  deploy/test tests/fuzz --fuzz-seconds 600
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from typing import Any

import pytest
from scapy.layers.inet6 import IPv6, MIP6MH_HoTI

from mip6core.reassembly import Reassembler
from mip6core.timers import TimerQueue
from ryu_apps.home_bridge import HomeBridge
from ryu_apps.pipeline import Punt
from tests.fuzz import site
from tests.fuzz.run import for_executions, for_seconds, search
from tests.fuzz.steps import Op, Step, pack, readable, unpack
from tests.fuzz.target import Failure, Target

SEED = 6275
EXECUTIONS = 300


@pytest.fixture
def target() -> Iterator[Target]:
    target = Target()
    yield target
    target.close()


@pytest.mark.timeout(0)
def test_mutated_messages(request: pytest.FixtureRequest) -> None:
    seconds = request.config.getoption("--fuzz-seconds")
    if seconds is None:
        result = search(SEED, for_executions(EXECUTIONS))
    else:
        seed = int(time.time())
        result = search(seed, for_seconds(seconds))
        print(f"seed {seed}: {result.executions} executions, {result.kept} kept, {len(result.seen)} things seen")
    assert {what: readable(octets) for what, octets in result.failures.items()} == {}


def test_seeds_get_somewhere(target: Target) -> None:
    """What the fuzzer changes is real: bindings are made, moved and ended, and every kind of punt is answered."""
    found = set().union(*(target.run(pack(steps)) for steps in site.seeds()))
    assert {"ba_sent_0", "dad_started", "dad_failed", "esp_received", "reassembled", "mps_received"} <= found
    assert {"dhaad_sent", "tunnel_errors_relayed", "ra_inconsistent", "be_sent_2", "flows_refused"} <= found
    assert "icmpv6_sent_parameter_problem" in found
    handled = set(target.switches[0].receiver.bridge._punts) | set(
        target.switches[0].receiver.bridge._punts_with_origin
    )
    assert {f"punted_{kind.name.lower()}" for kind in Punt if kind in handled} <= found
    assert any(name.startswith("packet-out 50") for name in found)  # what is protected leaves protected


def test_steps_survive() -> None:
    steps: list[Step] = [(int(op), 7, bytes(range(number))) for number, op in enumerate(Op)]
    assert list(unpack(pack(steps))) == steps
    assert list(unpack(pack(steps)[:-3])) == [*steps[:-1], (steps[-1][0], 7, steps[-1][2][:-3])]


# That the invariants find what they are for


REGISTER = pack([site.punt(Punt.SIGNALLING, site.update(1)), site.wait(1.0)])


def test_an_exception_is_found(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: Any) -> None:
        raise struct.error("short")

    monkeypatch.setattr(target.app.engine, "receive", breaks)
    with pytest.raises(Failure, match="short"):
        target.run(REGISTER)


def test_a_flow_that_stays_is_found(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target.switches[0], "_flow_mod", _without_deletes(target.switches[0]._flow_mod))
    with pytest.raises(Failure, match="flows of 1"):
        target.run(pack([site.punt(Punt.SIGNALLING, site.update(1, mhtime=0x4000)), site.wait(1.0)]))


def _without_deletes(carry_out: Any) -> Any:
    return lambda message: carry_out(message) if message[25] == 0 else None


def test_a_binding_that_stays_is_found(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TimerQueue, "pop_due", lambda *_: None)
    monkeypatch.setattr(target.app.engine, "next_timer", lambda: None)
    with pytest.raises(Failure, match="bindings"):
        target.run(REGISTER)


def test_fragments_that_stay_are_found(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reassembler, "tick", lambda *_: [])
    first = site.fragments(IPv6(src=site.CARE_OF, dst=site.HOME_AGENT) / MIP6MH_HoTI(), 135, 8, 1)[0]
    with pytest.raises(Failure, match="fragments of 1"):
        target.run(pack([site.punt(Punt.UPLINK_FRAGMENT, first)]))


def test_a_lost_switch_is_found(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HomeBridge, "neighbor_discovery", lambda *_: setattr(target.switches[0], "receiver", None))
    with pytest.raises(Failure, match="lost"):
        target.run(pack(site.seeds()[3]))
