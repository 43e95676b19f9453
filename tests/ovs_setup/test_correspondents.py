"""mip6ctl ovs for correspondent links: on a bridge of their own, and on a home link's."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import HAO, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrRouting
from scapy.layers.l2 import Ether
from scapy.packet import Packet
from scapy.sendrecv import sendp
from scapy.utils import rdpcap

from deploy import config
from deploy.ovs.adapters import wanted_adapters
from deploy.ovs.state import Bridge, Interface, Port, State
from deploy.shim import Correspondents, adapter_for
from mip6core import addresses
from tests.ovs_setup.site import HOME, LOCALS, OFFICE, Site, device, get, global_addresses, ipv6_setting, vsctl
from tests.ovs_setup.test_setup import operators_bridge
from tests.ovs_setup.test_teardown import restored
from tests.ovs_setup.test_tunnel import CARE_OF, check_tunnel
from topo.lab import inside, run, wait_until

lab = pytest.mark.lab

HOST = "2001:db8:c::10"  # a correspondent
HOME_ADDRESS = "2001:db8:1::100"


def openflow(words: list[str]) -> str:
    return run(["ovs-ofctl", "-O", "OpenFlow13", *words]).stdout


def send(site: Site, bridge: str, packet: IPv6) -> Packet:
    """Let a bridge route optimise a packet until it is on the office's wire; the first ones find no neighbour yet."""
    frame = bytes(Ether(src="02:00:00:00:00:0c", dst="02:00:00:00:00:0d") / packet).hex()
    actions = f"set_field:1->tun_id,set_field:{CARE_OF}->tun_ipv6_dst,output:mip6-{bridge}"
    pcap = site.network.directory / "office.pcap"
    capture = site.network.capture(pcap, "wire", "router1", f"ip6 and dst host {CARE_OF}")

    def on_the_wire() -> list[Packet]:
        openflow(["packet-out", bridge, f"in_port=controller packet={frame} actions={actions}"])
        return list(rdpcap(str(pcap)))

    found = wait_until(on_the_wire, "a packet with a routing header", interval=0.3)[0]
    capture.stop()
    return found


def point_of(hosts: Correspondents) -> tuple[str, str, str]:
    return str(hosts.prefix), addresses.text(hosts.tunnel_end_point), hosts.bridge_mac.hex(":")


def served(device: str) -> list[tuple[str, str, str]]:
    """Correspondents behind an uplink, as the adapter tells."""
    status = adapter_for("netdev").status(device)
    assert status.attached
    return [point_of(hosts) for hosts in status.correspondents]


@pytest.fixture
def office(site: Site) -> Site:
    """A machine whose second uplink leads to the office's router."""
    site.uplink(1, "2001:db8:c::1")
    return site


@lab
def test_a_bridge_of_its_own_from_nothing(office: Site) -> None:
    office.configure(correspondent_links=[OFFICE])
    assert len(office.setup()) > 5
    assert get("Bridge", "br-office", "fail_mode") == "secure"
    assert set(vsctl("list-ports", "br-office").split()) == {"uplink1", "mip6-br-office"}
    assert get("Interface", "mip6-br-office", "options") == (
        "{key=flow, local_ip=2001:db8:c::2, packet_type=legacy_l3, remote_ip=flow, tos=inherit}"
    )
    assert vsctl("get-controller", "br-office") == "tcp:127.0.0.1:6653"
    assert global_addresses("br-office") == ["2001:db8:c::2/64"]
    assert run("ip -6 route show default").stdout.startswith("default via 2001:db8:c::1 dev br-office")
    # GRE over IPv6 adds 48 octets to what a host sends, a type 2 routing header 24.
    assert (device("uplink1")["mtu"], device("br-office")["mtu"]) == (1500 + 48 - 24, 1500)
    assert ipv6_setting("br-office", "accept_ra") == "0"
    assert served("uplink1") == [("2001:db8:c::/64", "2001:db8:c::2", device("br-office")["address"])]
    before = office.snapshot()
    assert office.setup() == ["nothing to do"]
    assert office.snapshot() == before


@lab
@pytest.mark.parametrize("layout", [{}, {"uplink_bridge": "br-up"}], ids=["one-armed", "two-bridge"])
def test_packets_are_route_optimised_beside_a_home_link(office: Site, layout: dict[str, str]) -> None:
    """RFC 6275 section 9.3: on the wire a type 2 routing header one way, a Home Address option the other way."""
    office.configure(HOME, correspondent_links=[{**OFFICE, **layout}])
    office.setup()
    check_tunnel(office, HOME, "router0")

    openflow(["add-flow", "br-office", "priority=0 actions=NORMAL"])
    out = send(office, "br-office", IPv6(src=HOST, dst=HOME_ADDRESS) / UDP())
    assert (out[IPv6].src, out[IPv6].dst) == (HOST, CARE_OF)
    routing = out[IPv6ExtHdrRouting]
    assert (routing.type, routing.addresses, routing.payload.sport) == (2, [HOME_ADDRESS], 53)

    openflow(
        [
            "add-flow",
            "br-office",
            f"priority=9,ipv6,tun_id=1,tun_ipv6_src={CARE_OF},ipv6_src={HOME_ADDRESS},actions=drop",
        ]
    )
    option = IPv6ExtHdrDestOpt(options=[HAO(hoa=HOME_ADDRESS)])
    with inside("router1"):
        wire = Ether(dst="02:00:00:00:00:99") / IPv6(src=CARE_OF, dst=HOST) / option / UDP()  # to the host itself
        sendp(wire, iface="wire", verbose=False)
    wait_until(lambda: "n_packets=1," in openflow(["dump-flows", "br-office", "tun_id=1"]), "the packet from the node")


@lab
@pytest.mark.parametrize("layout", [{}, {"uplink_bridge": "br-up"}], ids=["one-armed", "two-bridge"])
def test_nothing_is_left_after_teardown(office: Site, layout: dict[str, str]) -> None:
    office.configure(HOME, correspondent_links=[{**OFFICE, **layout}, LOCALS])
    before = restored(office)
    office.setup()
    office.ctl("teardown")
    assert restored(office) == before
    assert office.ctl("teardown") == ["nothing to do"]


@lab
def test_an_operators_bridge_is_as_before(site: Site) -> None:
    operators_bridge(site)
    site.configure(correspondent_links=[{**OFFICE, "bridge": "br-home", "uplinks": ["uplink0"]}])
    before = restored(site)
    site.setup()
    assert restored(site) != before
    site.ctl("teardown")
    assert restored(site) == before


@lab
def test_strangers_gre_does_not_get_to_the_end_point(office: Site) -> None:
    office.configure(correspondent_links=[{**OFFICE, "uplink_bridge": "br-up"}])
    office.setup()
    dump = run("ovs-ofctl --names --no-stats dump-flows br-up").stdout
    assert "priority=60001,ipv6,in_port=uplink1,ipv6_dst=2001:db8:c::2,nw_proto=47 actions=NORMAL" in dump
    assert "priority=60000,ipv6,ipv6_dst=2001:db8:c::2,nw_proto=47 actions=drop" in dump


@lab
def test_another_mtu(office: Site) -> None:
    office.configure(correspondent_links=[{**OFFICE, "mtu": 1400}])
    office.setup()
    assert (device("uplink1")["mtu"], device("br-office")["mtu"]) == (1500, 1400)  # large enough as it is
    office.ctl("teardown")
    office.configure(correspondent_links=[{**OFFICE, "mtu": 1600}])
    assert "mtu 1576" in next(line for line in office.ctl("setup", "--dry-run") if line.startswith("ip link set"))


@lab
def test_on_a_home_links_bridge_it_shares_what_is_there(site: Site) -> None:
    site.configure(HOME)
    site.setup()
    site.configure(HOME, correspondent_links=[LOCALS])
    (line,) = site.setup()
    assert line.startswith(f"{sys.executable} -m deploy.shim attach --device uplink0 ")
    assert served("uplink0") == [("2001:db8:1::/64", "2001:db8:1::2", device("br-home")["address"])]
    assert set(vsctl("list-ports", "br-home").split()) == {"uplink0", "mip6-br-home"}
    assert site.setup() == ["nothing to do"]


@lab
def test_a_longer_mtu_of_correspondents_counts_for_the_shared_uplinks(site: Site) -> None:
    site.configure(HOME, correspondent_links=[{**LOCALS, "mtu": 2000}])
    (line,) = [line for line in site.ctl("setup", "--dry-run") if line.startswith("ip link set dev uplink0 mtu")]
    assert line.startswith("ip link set dev uplink0 mtu 2024")
    assert "tunnel_mtu 1936, mtu 1976" in line
    site.setup()
    assert device("uplink0")["mtu"] == 2024


@lab
def test_other_correspondents_are_told_to_the_adapter(office: Site) -> None:
    office.configure(correspondent_links=[OFFICE])
    office.setup()
    office.configure(correspondent_links=[{**OFFICE, "prefixes": ["2001:db8:c::/64", "2001:db8:cc::/64"]}])
    assert len(office.setup()) == 1
    assert [prefix for prefix, _, _ in served("uplink1")] == ["2001:db8:c::/64", "2001:db8:cc::/64"]


@lab
def test_what_dry_run_prints_can_be_run(office: Site) -> None:
    office.configure(HOME, correspondent_links=[OFFICE, LOCALS])
    for line in office.ctl("setup", "--dry-run"):
        subprocess.run(line, shell=True, check=True, cwd="/", stdout=subprocess.DEVNULL)
    assert office.setup() == ["nothing to do"]


@lab
def test_status(office: Site) -> None:
    office.configure(HOME, correspondent_links=[OFFICE, LOCALS])
    found = json.loads("\n".join(office.ctl("status", "-o", "json", status=1)))
    (home,), (own, shared) = found["home_links"], found["correspondent_links"]
    assert (home["home_link"], own["correspondent_link"], shared["correspondent_link"]) == (
        "homenet",
        "office",
        "locals",
    )
    assert (own["home_link"], shared["home_link"]) == (None, "homenet")
    assert [row["provisioned"] for row in (home, own, shared)] == [False, False, False]
    lines = office.ctl("status", status=1)
    assert lines.count("homenet: there is no bridge br-home") == 1
    assert lines.count("office: there is no bridge br-office") == 1

    office.setup()
    found = json.loads("\n".join(office.ctl("status", "-o", "json")))
    (own, shared) = found["correspondent_links"]
    assert (own["bridge"], own["datapath_id"]) == ("br-office", get("Bridge", "br-office", "datapath_id"))
    assert (shared["bridge"], shared["provisioned"]) == ("br-home", True)
    assert [adapter["device"] for adapter in own["adapters"]] == ["uplink1"]
    assert len(office.ctl("status")) == 4


@lab
def test_what_is_in_the_way_of_a_correspondent_link(site: Site) -> None:
    site.configure(correspondent_links=[OFFICE])
    before = site.snapshot()
    assert site.ctl("setup", status=1) == ["mip6ctl: uplink uplink1: there is no such device"]
    assert site.snapshot() == before


def test_who_is_served_behind_which_uplink() -> None:
    parsed = config.parse({"home_links": [HOME], "correspondent_links": [OFFICE, LOCALS]})
    macs = {"br-home": "02:00:00:00:00:0a", "br-office": "02:00:00:00:00:0b"}
    bridges = {name: Bridge(name, ports={name: Port(name, Interface(name, mac=mac))}) for name, mac in macs.items()}
    wanted = wanted_adapters(parsed, State(bridges=bridges))
    served = {uplink: [point_of(hosts) for hosts in found.correspondents] for uplink, found in wanted.items()}
    assert served == {
        "uplink0": [("2001:db8:1::/64", "2001:db8:1::2", macs["br-home"])],
        "uplink1": [("2001:db8:c::/64", "2001:db8:c::2", macs["br-office"])],
    }
    home_agents = {uplink: [addresses.text(p.home_agent) for p in found.endpoints] for uplink, found in wanted.items()}
    assert home_agents == {"uplink0": ["2001:db8:1::2"], "uplink1": []}
