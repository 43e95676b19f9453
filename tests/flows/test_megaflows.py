"""What Open vSwitch's cache of decisions (megaflows) gets from traffic that is none of our business."""

from __future__ import annotations

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.sendrecv import sendp

from tests.flows.campus import HOME_ADDRESS, LOCAL, REMOTE, ROUTER, Campus
from tests.flows.stations import Station
from topo import lab
from topo.lab import run

pytestmark = pytest.mark.lab

COUNT = 200
FEW = 20  # Neighbor Discovery of the campus itself has some, too


def megaflows() -> int:
    return len(run("ovs-appctl dpctl/dump-flows -m").stdout.splitlines())


def send(source: Station, destination_mac: str, *packets: IPv6) -> None:
    with lab.inside(source.ns):
        sendp([Ether(src=source.mac, dst=destination_mac) / packet for packet in packets], source.device, verbose=False)


def test_a_scan_of_the_home_prefix(registered: Campus) -> None:
    """Neighbours are asked for by the router, not here: the frames are for a host that is there."""
    run("ovs-appctl revalidator/purge")
    send(ROUTER, LOCAL.mac, *(IPv6(src=REMOTE.address, dst=f"2001:db8:1::5:{n:x}") / UDP() for n in range(COUNT)))
    assert 1 <= megaflows() <= FEW


def test_many_destinations_off_the_link(registered: Campus) -> None:
    run("ovs-appctl revalidator/purge")
    send(LOCAL, ROUTER.mac, *(IPv6(src=LOCAL.address, dst=f"2001:db8:5::{n:x}") / UDP() for n in range(COUNT)))
    assert 1 <= megaflows() <= FEW


def test_many_correspondents_of_a_mobile_node(registered: Campus) -> None:
    run("ovs-appctl revalidator/purge")
    send(
        ROUTER, registered.bridge_mac, *(IPv6(src=f"2001:db8:9::{n:x}", dst=HOME_ADDRESS) / UDP() for n in range(COUNT))
    )
    assert 1 <= megaflows() <= FEW


def test_many_hop_limits(registered: Campus) -> None:
    """Only Neighbor Discovery is asked for its hop limit."""
    run("ovs-appctl revalidator/purge")
    packets = (IPv6(src=REMOTE.address, dst=LOCAL.address, hlim=n) / UDP() for n in range(2, COUNT))
    send(ROUTER, LOCAL.mac, *packets)
    assert 1 <= megaflows() <= FEW
