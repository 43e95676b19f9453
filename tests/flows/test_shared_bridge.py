"""A bridge that another application has tables on: what is not ours goes to its table, and its flows stay."""

from __future__ import annotations

import pytest

from tests.flows.campus import (
    HOME_ADDRESS,
    HOME_AGENT,
    LOCAL,
    NEIGHBOUR,
    REMOTE,
    SECOND_HOME_ADDRESS,
    Campus,
    Settings,
)
from tests.flows.stations import ping
from topo import lab

OPERATORS_TABLE = 100
OPERATORS_COOKIE = "0xfa0ce7"

SETTINGS = Settings(
    link={"next_table": OPERATORS_TABLE},
    operators_flows=(
        f"cookie={OPERATORS_COOKIE},table={OPERATORS_TABLE},priority=0,actions=NORMAL",
        f"cookie={OPERATORS_COOKIE},table={OPERATORS_TABLE},priority=10,udp6,tp_dst=666,actions=drop",
    ),
)

pytestmark = [
    pytest.mark.lab,
    pytest.mark.parametrize("campus", [SETTINGS], ids=["operator's table"], indirect=True, scope="module"),
]


def operators_packets(campus: Campus) -> int:
    """Packets that the operator's table has forwarded."""
    printed = campus.switch.ofctl("dump-flows", f"table={OPERATORS_TABLE},cookie={OPERATORS_COOKIE}/-1")
    (line,) = [line for line in printed.splitlines() if "priority=0 " in line]
    return int(line.split("n_packets=")[1].split(",")[0])


def test_traffic_passes_the_operators_table(registered: Campus) -> None:
    """Between hosts, to and from the home agent, and what comes out of the reverse tunnel for hosts."""
    campus = registered
    for action in (
        lambda: LOCAL.ping(NEIGHBOUR.address, count=20),
        lambda: ping(None, LOCAL.address, count=20),
        lambda: campus.mobile.ping(NEIGHBOUR.address, count=20),
        lambda: campus.mobile.ping(REMOTE.address, count=20),
    ):
        campus.switch.counted()
        before = operators_packets(campus)
        assert action() == 20
        lab.wait_until(lambda before=before: operators_packets(campus) >= before + 20, "the operator's counter")


def test_the_tunnel_works(registered: Campus) -> None:
    """Interception and proxy Neighbor Discovery come first."""
    campus = registered
    assert LOCAL.ping(HOME_ADDRESS) == REMOTE.ping(HOME_ADDRESS) == 3
    assert campus.mobile.ping(SECOND_HOME_ADDRESS) == campus.mobile.ping_optimized(HOME_AGENT) == 3


def test_a_restart_leaves_the_operators_flows(registered: Campus) -> None:
    """Only flows with our tag are swept."""
    campus = registered

    def operators_flows() -> list[str]:
        printed = campus.switch.ofctl("dump-flows", f"table={OPERATORS_TABLE}")
        return sorted(line.split("priority=")[1] for line in printed.splitlines() if "cookie=" in line)

    before = operators_flows()
    assert len(before) == 2
    campus.manager.stop()
    campus.manager.start()
    campus.manager.wait_ready()
    assert operators_flows() == before
    assert LOCAL.ping(NEIGHBOUR.address) == LOCAL.ping(HOME_ADDRESS) == 3
