"""The controller or the switch goes away and comes back: bindings, flows and traffic."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ryu_apps import cookies
from ryu_apps.cookies import Category
from ryu_apps.pipeline import PRIORITY_KNOWN_NETWORK, Table
from tests.flows.campus import (
    BRIDGE,
    HOME_ADDRESS,
    HOME_AGENT,
    LOCAL,
    REMOTE,
    SECOND_HOME_ADDRESS,
    UPLINK,
    Campus,
)
from tests.flows.neighbor_discovery import advertisement, is_answer, solicitation
from tests.flows.stations import Station
from topo import lab
from topo.lab import run

pytestmark = pytest.mark.lab

# Home addresses of mobile nodes that do not refresh their bindings
LONELY = "2001:db8:1::a1"
SHORT = "2001:db8:1::a2"
WITH_LINK_LOCAL = "2001:db8:1::a3"  # its link-local address is defended too


class Losses:
    """How many of the packets of a stream have been sent, and lost."""

    sent = lost = 0


@contextmanager
def stream(campus: Campus, station: Station) -> Iterator[Losses]:
    """50 echo requests a second to the mobile node, during the block."""
    program = campus.network.background(["ping", "-n", "-i", "0.02", HOME_ADDRESS], station.ns)

    def answered() -> list[int]:
        return [int(number) for number in re.findall(r"icmp_seq=(\d+) ttl", program.output())]

    lab.wait_until(lambda: len(answered()) > 5, "the stream")
    losses = Losses()
    yield losses
    reached = max(answered())
    lab.wait_until(lambda: max(answered()) > reached + 5, "the stream to go on")
    program.stop()
    # The last requests may not have had the time to be answered.
    losses.sent = max(answered())
    losses.lost = len(set(range(1, losses.sent + 1)) - set(answered()))


def bound(campus: Campus) -> dict[str, tuple[str, int]]:
    """Home address: care-of address, sequence number."""
    found = campus.manager.get("/v1/bindings")["bindings"]
    return {entry["home_address"]: (entry["care_of_address"], entry["sequence"]) for entry in found}


def generations(campus: Campus) -> set[int]:
    return {cookies.generation(flow.cookie) for flow in campus.switch.flows()}


def lasting_flows(campus: Campus) -> set[tuple[int, str, str]]:
    """All flows but those that come and go with traffic: of neighbours, and of networks with mobile nodes in them."""
    passing = f"priority={PRIORITY_KNOWN_NETWORK},"
    flows = [flow for flow in campus.switch.flows() if flow.category != Category.NEIGHBOUR]
    lasting = [flow for flow in flows if flow.table != Table.PUNT or not flow.match.startswith(passing)]
    return {(flow.table, flow.match, flow.actions) for flow in lasting}


def wait_for_sweep(campus: Campus, before: set[int]) -> None:
    """Wait until no flow of an earlier controller is left, and those of a new one are there."""
    campus.manager.wait_ready()
    lab.wait_until(
        lambda: len(now := generations(campus)) == 1 and not now & before, "the sweep of the older flows", interval=0.1
    )


def test_controller_restarts(registered: Campus) -> None:
    """It asks the switch what it knew, adds its flows under a new generation, and then takes the older ones away."""
    campus, mobile = registered, registered.mobile
    assert mobile.register(home_address=WITH_LINK_LOCAL, flags="AHL") == 0
    mobile.visit(mobile.links[1])
    assert mobile.register() == 0
    before, old = bound(campus), generations(campus)
    assert len(old) == 1
    flows = lasting_flows(campus)
    assert [flow for _, flow, _ in flows if "nd_target=fe80::a3" in flow]
    with stream(campus, LOCAL) as local, stream(campus, REMOTE) as remote:
        assert campus.manager.stop() == 0
        campus.manager.start()
        wait_for_sweep(campus, old)
    assert (local.lost, remote.lost) == (0, 0)
    assert min(local.sent, remote.sent) > 50
    assert bound(campus) == before
    assert lasting_flows(campus) == flows
    # It goes on where the other one stopped, sequence numbers included.
    assert mobile.register(sequence=mobile.sequence) == 135
    assert mobile.register() == 0
    mobile.visit(mobile.links[0])
    assert mobile.register() == 0
    assert campus.switch.flows_of(HOME_ADDRESS, mobile.links[1].care_of_address) == []
    assert mobile.ping(REMOTE.address) == 3
    assert campus.second.ping(LOCAL.address) == 3


def test_connection_breaks(registered: Campus) -> None:
    """The controller brings the switch up to date again; nothing is missing at any time."""
    campus = registered
    before, old, flows = bound(campus), generations(campus), lasting_flows(campus)
    with stream(campus, LOCAL) as losses:
        run(f"ovs-appctl bridge/reconnect {BRIDGE}")
        wait_for_sweep(campus, old)
    assert losses.lost == 0
    assert bound(campus) == before
    assert lasting_flows(campus) == flows


def test_uplink_comes_back_with_another_number(registered: Campus) -> None:
    """A port is known by its name. While it is away, the home link is not served."""
    campus = registered
    campus.manager.excused.append(f"ports missing link=homenet bridge={BRIDGE} ports={UPLINK}")
    before, old = bound(campus), generations(campus)
    number = campus.switch.number(UPLINK)
    run(f"ovs-vsctl del-port {UPLINK}")
    lab.wait_until(lambda: not campus.manager.ready(), "the manager to notice")
    run(f"ovs-vsctl add-port {BRIDGE} {UPLINK} -- set interface {UPLINK} ofport_request=77")
    wait_for_sweep(campus, old)
    assert campus.switch.number(UPLINK) == 77 != number
    lab.wait_until(lambda: REMOTE.ping(HOME_ADDRESS) == 3, "the tunnel")
    assert campus.mobile.ping_optimized(HOME_AGENT) == LOCAL.ping(HOME_ADDRESS) == 3
    assert bound(campus) == before


def test_restarts_do_not_prolong_bindings(registered: Campus) -> None:
    """The flows of a mobile node that is never heard of again end when they would have without any restart."""
    campus = registered
    assert campus.mobile.register(home_address=LONELY, lifetime=100) == 0
    (ends,) = {flow.hard_timeout for flow in campus.switch.flows_of(LONELY)}
    assert 100 < ends <= 200
    for _ in range(2):
        old = generations(campus)
        campus.manager.kill()
        campus.manager.start()
        wait_for_sweep(campus, old)
    assert max(flow.hard_timeout for flow in campus.switch.flows_of(LONELY)) <= ends


def test_controller_dies(registered: Campus) -> None:
    """Without a controller the switch goes on, and forgets by itself who is not heard of."""
    campus, mobile = registered, registered.mobile
    assert mobile.register(home_address=SHORT, lifetime=4) == 0
    since = time.monotonic()
    assert len(campus.switch.flows_of(SHORT)) == 3
    kept = bound(campus).keys() - {SHORT}
    old = generations(campus)
    with stream(campus, LOCAL) as losses:
        campus.manager.kill()
        lab.wait_until(lambda: not campus.switch.flows_of(SHORT), "the flows' own end", timeout=12, interval=0.2)
        assert 5 < time.monotonic() - since < 10.5
        with LOCAL.recording() as recorder:
            for target in (SHORT, SECOND_HOME_ADDRESS):
                recorder.send(solicitation(LOCAL, target))
            advertisement(recorder, SECOND_HOME_ADDRESS)  # from a flow
            assert not [packet for packet in recorder.packets() if is_answer(packet, SHORT)]
        campus.manager.start()
        wait_for_sweep(campus, old)
    assert losses.lost == 0
    assert bound(campus).keys() == kept


def test_switch_restarts(registered: Campus) -> None:
    """Its flows are gone, and with its device the home agent's address: controller and setup bring both back."""
    campus, mobile = registered, registered.mobile
    before = bound(campus)
    lab.stop_vswitchd()
    lab.start_vswitchd()
    campus.ctl("ovs", "setup", "--config", str(campus.config))
    campus.manager.wait_ready()
    lab.wait_until(lambda: len(campus.switch.flows_of(HOME_ADDRESS)) == 3, "the flows")
    assert bound(campus) == before
    lab.wait_until(lambda: LOCAL.ping(HOME_ADDRESS) == 3, "the tunnel")
    assert REMOTE.ping(HOME_ADDRESS) == mobile.ping_optimized(HOME_AGENT) == 3
    assert mobile.register() == 0
