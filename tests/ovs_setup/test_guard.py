"""Strangers' tunnel packets on an operator's uplink bridge: the flows against it come, are repaired, and go again."""

from __future__ import annotations

import pytest

from tests.ovs_setup.site import HOME, Site, vsctl
from topo.lab import run

pytestmark = pytest.mark.lab

CHECKED = [
    f"priority=60001,ipv6,in_port=uplink0,ipv6_dst=2001:db8:1::2,nw_proto={protocol} actions=NORMAL"
    for protocol in (41, 47)
]
DROPPED = [f"priority=60000,ipv6,ipv6_dst=2001:db8:1::2,nw_proto={protocol} actions=drop" for protocol in (41, 47)]


def guards() -> list[str]:
    """The flows of the uplink bridge that are not the operator's, without cookies."""
    dump = run("ovs-ofctl --names --no-stats dump-flows br-up").stdout
    return sorted(line.split(", ", 1)[1] for line in dump.splitlines() if "cookie=0x6d36" in line)


@pytest.fixture
def joined(site: Site) -> Site:
    """Set up in the two-bridge layout; the uplink bridge was there before."""
    vsctl("add-br", "br-up", "--", "set", "Bridge", "br-up", "datapath_type=netdev")
    site.configure({**HOME, "uplink_bridge": "br-up"})
    site.setup()
    return site


def test_only_an_uplinks_tunnel_packets_reach_the_home_agent(joined: Site) -> None:
    """In GRE, and where the adapter leaves them as they are: in fragments."""
    assert guards() == [*DROPPED, *CHECKED]
    assert joined.setup() == ["nothing to do"]


def test_a_lost_flow_comes_back(joined: Site) -> None:
    run(["ovs-ofctl", "--strict", "del-flows", "br-up", "priority=60000,ipv6,ipv6_dst=2001:db8:1::2,nw_proto=47"])
    assert len(joined.setup()) == 1
    assert guards() == [*DROPPED, *CHECKED]


def test_another_address_of_the_home_agent(joined: Site) -> None:
    joined.configure({**HOME, "uplink_bridge": "br-up", "address": "2001:db8:1::3"})
    joined.setup()
    assert guards() == [flow.replace("::2", "::3") for flow in (*DROPPED, *CHECKED)]


def test_teardown_leaves_only_the_operators_flows(joined: Site) -> None:
    run(["ovs-ofctl", "add-flow", "br-up", "cookie=0x77,priority=5,ip,actions=drop"])
    joined.ctl("teardown")
    assert guards() == []
    assert "cookie=0x77" in run("ovs-ofctl dump-flows br-up").stdout
