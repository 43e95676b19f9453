"""Floods, modest ones, while mobile nodes register and move: who is where others are registered does not notice."""

from __future__ import annotations

import contextlib
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv6Address

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import HAO, MIP6MH_BU, IPv6, IPv6ExtHdrDestOpt, MIP6MH_HoTI
from scapy.layers.l2 import GRE, Ether
from scapy.packet import Raw

from ryu_apps import log_limit
from ryu_apps.pipeline import STRANGER_BITS, Table
from tests.flows.campus import (
    HOME_ADDRESS,
    HOME_AGENT,
    LOCAL,
    NEIGHBOUR,
    REMOTE,
    REMOTE_GATEWAY_MAC,
    SECOND_HOME_ADDRESS,
    Campus,
    Settings,
)
from tests.flows.neighbor_discovery import is_answer, solicitation
from tests.flows.stations import MobileNode, Station, VisitedLink
from topo import lab
from topo.lab import run

SIGNALLING_RATE = 640  # packets a second; strangers get half as many, and so does each known network
BATCH, PAUSE = 20, 0.002  # frames, seconds: at most 10,000 packets a second
DIFFERENT = 2000  # frames
TRIES = 3

pytestmark = [
    pytest.mark.lab,
    pytest.mark.parametrize(
        "campus",
        [Settings(limits={"punt_rates": {"signalling": SIGNALLING_RATE}})],
        ids=["few punts"],
        indirect=True,
        scope="module",
    ),
]

rng = random.Random(9)


def anywhere() -> str:
    """A global unicast address."""
    return str(IPv6Address(0x2 << 124 | rng.getrandbits(125)))


def one_network() -> str:
    """In a network that shares no meter with the visited ones."""
    return str(IPv6Address(int(IPv6Address("2001:db8:bad0:1000::")) | rng.getrandbits(64)))


def anybody_at_home() -> str:
    return f"2001:db8:1::5:{rng.getrandbits(16):x}"


def from_remote(packet: IPv6) -> bytes:
    return bytes(Ether(src=REMOTE.mac, dst=REMOTE_GATEWAY_MAC) / packet)


def update(source: str) -> bytes:
    """A Binding Update for an address that is nobody's."""
    option = IPv6ExtHdrDestOpt(options=[HAO(hoa=f"2001:db8:77::{rng.getrandbits(16):x}")])
    return from_remote(IPv6(src=source, dst=HOME_AGENT) / option / MIP6MH_BU(seq=1, flags="AH", mhtime=100))


def tunnelled(source: str) -> IPv6:
    return IPv6(src=source, dst=HOME_AGENT), IPv6(src=HOME_ADDRESS, dst=LOCAL.address) / UDP(dport=9)


def in_ipv6(source: str) -> bytes:
    outer, inner = tunnelled(source)
    outer.nh = 41
    return from_remote(outer / inner)


def in_gre(source: str) -> bytes:
    outer, inner = tunnelled(source)
    return from_remote(outer / GRE(proto=0x86DD, key_present=1, key=0) / inner)


FLOODS: dict[str, tuple[Station, Callable[[], bytes]]] = {
    "binding updates, one network": (REMOTE, lambda: update(one_network())),
    "binding updates, random sources": (REMOTE, lambda: update(anywhere())),
    "home test inits": (REMOTE, lambda: from_remote(IPv6(src=anywhere(), dst=HOME_AGENT) / MIP6MH_HoTI())),
    "esp": (REMOTE, lambda: from_remote(IPv6(src=anywhere(), dst=HOME_AGENT, nh=50) / Raw(rng.randbytes(64)))),
    "solicitations, bound": (NEIGHBOUR, lambda: bytes(solicitation(NEIGHBOUR, SECOND_HOME_ADDRESS))),
    "solicitations, any": (NEIGHBOUR, lambda: bytes(solicitation(NEIGHBOUR, anybody_at_home()))),
    "tunnel packets": (REMOTE, lambda: in_ipv6(anywhere())),
    "gre": (REMOTE, lambda: in_gre(anywhere())),
}


@contextlib.contextmanager
def flood(station: Station, make: Callable[[], bytes]) -> Iterator[list[int]]:
    """A flood meanwhile. Gives a list of one number: frames sent."""
    frames, sent, over = [make() for _ in range(DIFFERENT)], [0], threading.Event()

    def send() -> None:
        while not over.is_set():
            for _ in range(BATCH):
                recorder.send(frames[sent[0] % len(frames)])
                sent[0] += 1
            time.sleep(PAUSE)

    with station.recording() as recorder:
        thread = threading.Thread(target=send)
        thread.start()
        try:
            lab.wait_until(
                lambda: sent[0] >= 2 * DIFFERENT, "the flood to begin"
            )  # what meters let through at once is over
            yield sent
        finally:
            over.set()
            thread.join()


def eventually(register: Callable[[], int]) -> int:
    """The status that a mobile node is told, which may have to ask more than once."""
    for _ in range(TRIES - 1):
        with contextlib.suppress(lab.LabError):
            return register()
    return register()


@pytest.mark.parametrize("name", FLOODS)
def test_mobile_nodes_register_and_move_meanwhile(registered: Campus, name: str) -> None:
    campus = registered
    mobile, second = campus.mobile, campus.second
    for link in reversed(mobile.links):  # from all networks somebody has registered
        assert mobile.register(link) == 0
    newcomer = f"2001:db8:1::7:{list(FLOODS).index(name):x}"
    with flood(*FLOODS[name]) as sent:
        before = sent[0]
        for link in mobile.links:
            mobile.visit(link)
            assert eventually(mobile.register) == 0
            assert eventually(second.register) == 0
        assert eventually(lambda: mobile.register(home_address=newcomer)) == 0
        assert sent[0] > before
    with NEIGHBOUR.recording() as neighbour:
        neighbour.send(solicitation(NEIGHBOUR, HOME_ADDRESS))
        neighbour.wait_for(lambda packet: is_answer(packet, HOME_ADDRESS), "an answer")
    assert LOCAL.ping(HOME_ADDRESS) == 3
    assert LOCAL.ping(SECOND_HOME_ADDRESS) == 3
    assert campus.manager.statistics().get("internal_errors", 0) == 0


def test_a_flood_from_one_network_leaves_newcomers_elsewhere_alone(registered: Campus) -> None:
    """Who comes to a network from where nobody is registered shares his meter with few others."""
    bits = int(IPv6Address(STRANGER_BITS))
    link = VisitedLink(REMOTE.device, REMOTE.mac, REMOTE.address, "2001:db8:9::1", REMOTE_GATEWAY_MAC)
    assert int(IPv6Address(one_network())) & bits != int(IPv6Address(link.care_of_address)) & bits
    newcomer = MobileNode(REMOTE.ns, "2001:db8:1::8:1", HOME_AGENT, (link,))
    with flood(*FLOODS["binding updates, one network"]):
        assert eventually(newcomer.register) == 0
    assert registered.manager.statistics().get("internal_errors", 0) == 0


def test_few_decisions_are_cached_for_many_sources(campus: Campus) -> None:
    """Networks are told apart by the bits in which known ones differ, and six more."""
    run("ovs-appctl revalidator/purge")
    with flood(*FLOODS["binding updates, random sources"]):
        cached = len(run("ovs-appctl dpctl/dump-flows").stdout.splitlines())
    assert 64 <= cached < DIFFERENT / 2


def test_tables_and_log_are_bounded(registered: Campus) -> None:
    campus = registered
    began = time.monotonic()
    lines = campus.manager.log().count("binding rejected")
    with flood(*FLOODS["binding updates, random sources"]):
        lab.wait_until(
            lambda: campus.manager.statistics("engine").get("ba_sent_132", 0) > 2 * log_limit.BURST,
            "more rejections than lines are written at once",
            timeout=30,
        )
    written = campus.manager.log().count("binding rejected") - lines
    assert written <= log_limit.BURST + log_limit.RATE * (time.monotonic() - began + 1)
    text = run(["curl", "-s", "http://127.0.0.1:8080/metrics"]).stdout
    entries = dict(re.findall(r'^mip6_table_entries{table="(\w+)"} (\S+)', text, re.MULTILINE))
    limits = dict(re.findall(r'^mip6_table_limit{table="(\w+)"} (\S+)', text, re.MULTILINE))
    assert entries.keys() == limits.keys() and len(entries) >= 10
    assert all(float(entries[table]) <= float(limits[table]) for table in entries)
    assert float(entries["known_networks"]) >= 2
    assert {flow.table for flow in campus.switch.flows() if flow.match.startswith("priority=110,")} >= {Table.PUNT}
    events = campus.manager.get("/v1/events?limit=1000")["events"]
    assert any(event["kind"] != "rejected" for event in events)
    assert campus.mobile.register() == 0
