"""Prefix tries: setup asks Open vSwitch for them, and they keep strangers' addresses out of its cache."""

from __future__ import annotations

import re

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.sendrecv import sendp

from deploy.config.links import FIRST_FREE_TABLE
from deploy.ovs import prefixes
from ryu_apps.pipeline import Table
from tests.ovs_setup.site import HOME, Site, device, get, vsctl
from tests.ovs_setup.test_setup import operators_bridge
from tests.ovs_setup.test_teardown import restored
from topo import lab
from topo.lab import run

pytestmark = pytest.mark.lab

WANTED = {"ipv6_dst", "ipv6_src"}
STRANGERS = 400


def tries(bridge: str) -> dict[int, set[str]]:
    """The fields that have tries, by table."""
    rows = re.findall(r"(\d+)=([0-9a-f-]{36})", get("Bridge", bridge, "flow_tables"))
    return {int(number): set(get("Flow_Table", row, "prefixes").strip("[]").split(", ")) for number, row in rows}


def test_the_tables_are_those_that_ask_for_addresses() -> None:
    inwards = (Table.CLASSIFY, Table.REVERSE_TUNNEL, Table.HOME_ADDRESS_OPTION, Table.ROUTE_OPTIMIZATION)
    onwards = (Table.BINDINGS, Table.ENCAPSULATE, Table.FORWARD, Table.DELIVER)
    assert set(prefixes.TABLES) == {*inwards, *onwards, Table.PUNT}
    assert max(Table) < FIRST_FREE_TABLE


def operators_table(number: int, *settings: str) -> str:
    """A row that the operator has made."""
    words = ["--id=@t", "create", "Flow_Table", "name=mine", *settings]
    return vsctl("--", *words, "--", "set", "Bridge", "br-home", f"flow_tables:{number}=@t")


def test_setup_makes_them_and_repairs_them(site: Site) -> None:
    site.configure(HOME)
    site.setup()
    assert tries("br-home") == {number: WANTED for number in prefixes.TABLES}
    assert len(vsctl("--bare", "--columns=_uuid", "list", "Flow_Table").split()) == 1
    vsctl("remove", "Bridge", "br-home", "flow_tables", "20")
    assert len(site.setup()) == 1
    vsctl("clear", "Flow_Table", vsctl("--bare", "--columns=_uuid", "list", "Flow_Table"), "prefixes")
    assert len(site.setup()) == 1
    assert tries("br-home") == {number: WANTED for number in prefixes.TABLES}
    assert site.setup() == ["nothing to do"]


def test_an_operators_choice_stays(site: Site) -> None:
    operators_bridge(site)
    mine = operators_table(20, "prefixes=ip_dst")
    other = operators_table(7, "flow_limit=5")
    vsctl("add-port", "br-home", "uplink0")
    site.configure(HOME)
    before = restored(site)
    site.setup()
    assert get("Flow_Table", mine, "prefixes") == "[ip_dst]"
    assert get("Flow_Table", other, "prefixes") == "[]"
    assert {number for number, fields in tries("br-home").items() if fields == WANTED} == {*prefixes.TABLES} - {20}
    assert site.setup() == ["nothing to do"]
    site.ctl("teardown")
    assert restored(site) == before


def test_an_operators_table_without_a_choice_gets_them_and_is_put_back(site: Site) -> None:
    operators_bridge(site)
    row = operators_table(0, "flow_limit=100000")
    site.configure(HOME)
    before = restored(site)
    site.setup()
    assert tries("br-home")[0] == WANTED
    assert get("Flow_Table", row, "flow_limit") == "100000"
    assert site.setup() == ["nothing to do"]
    site.ctl("teardown")
    assert restored(site) == before


def megaflows_of_a_scan(site: Site) -> int:
    """How many entries packets for many addresses of the home prefix make, beside flows for a few."""
    flows = ["priority=100,ipv6,ipv6_dst=2001:db8:1::/64,actions=goto_table:20", "priority=0,actions=drop"]
    flows += [f"table=20,priority=100,ipv6,ipv6_dst=2001:db8:1::ffff:{n:x},actions=drop" for n in range(1, 9)]
    run(["ovs-ofctl", "-O", "OpenFlow13", "del-flows", "br-home"])
    for flow in [*flows, "table=20,priority=0,actions=IN_PORT"]:
        run(["ovs-ofctl", "-O", "OpenFlow13", "add-flow", "br-home", flow])
    ether = Ether(src="02:00:00:00:00:fe", dst=device("br-home")["address"])
    packets = [ether / IPv6(src="2001:db8:f::1", dst=f"2001:db8:1::{n:x}") / UDP() for n in range(1, STRANGERS + 1)]
    with lab.inside("router0"):
        sendp(packets, iface="wire", verbose=False)
    lab.wait_until(lambda: int(re.findall(r"table=20, n_packets=(\d+).* priority=0", dump())[0]) > 0, "the packets")
    return sum("2001:db8:1::" in line for line in run("ovs-appctl dpctl/dump-flows -m").stdout.splitlines())


def dump() -> str:
    return run(["ovs-ofctl", "-O", "OpenFlow13", "dump-flows", "br-home", "table=20"]).stdout


def test_a_scan_does_not_fill_the_cache(site: Site) -> None:
    site.configure(HOME)
    site.setup()
    with_tries = megaflows_of_a_scan(site)
    vsctl("clear", "Bridge", "br-home", "flow_tables")
    run(["ovs-appctl", "revalidator/purge"])
    without = megaflows_of_a_scan(site)
    assert (with_tries < 20, without > STRANGERS / 2) == (True, True), (with_tries, without)
