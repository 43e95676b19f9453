"""Attaching, attaching again, detaching: what is there afterwards, and that packets flow meanwhile."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.inet6 import HAO, UDP, IPv6, IPv6ExtHdrDestOpt
from scapy.layers.l2 import GRE, Ether
from scapy.packet import Packet, Raw

from deploy.shim import AdapterError, libbpf, userspace
from deploy.shim.userspace import UserspaceAdapter
from tests.shim.uplink import (
    BEST_WAY,
    BRIDGE_MAC,
    DEVICE,
    HOME_AGENT,
    OLD_WAY,
    ROUTER_MAC,
    SHIM,
    TCX,
    Side,
    Uplink,
    another_build,
    correspondents,
    endpoint,
    old_kernel,
)
from topo import lab

pytestmark = pytest.mark.lab

CARE_OF = "2001:db8:f::100"
TC_ACT_OK = 0  # <linux/pkt_cls.h>
XDP_PASS = 2  # <linux/bpf.h>
INNER = IPv6(src="2001:db8:1::100", dst="2001:db8:c::1") / UDP() / Raw(b"payload")
KEY_0 = GRE(proto=0x86DD, key_present=1, key=0)


@pytest.fixture
def wire(network: lab.Network) -> Iterator[Uplink]:
    """The uplink with nothing attached; detached and taken away afterwards."""
    network.namespace("wire")
    cable(network)
    adapter = UserspaceAdapter()
    sides = Side(DEVICE, None), Side("wire0", "wire")
    yield Uplink(adapter, *sides)
    for side in sides:
        side.close()
    adapter.detach(DEVICE)


@pytest.fixture(params=["best way", "old way"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Ingress and egress in the best way that this kernel has, or in the old way."""
    if request.param == "best way":
        return BEST_WAY
    monkeypatch.setattr(libbpf, "link_create", old_kernel)
    return OLD_WAY


def cable(network: lab.Network, device: str = DEVICE) -> None:
    network.veth(
        lab.End(device, switch_port=True), lab.End("wire0", "wire", mac=ROUTER_MAC, switch_port=True), mtu=1508
    )


def tunnel_in(home_agent: str = HOME_AGENT) -> Packet:
    return Ether(src=ROUTER_MAC, dst=BRIDGE_MAC) / IPv6(src=CARE_OF, dst=home_agent) / INNER


def tunnel_out(source: str = HOME_AGENT) -> Packet:
    return Ether(src=BRIDGE_MAC, dst=ROUTER_MAC) / IPv6(src=source, dst=CARE_OF) / INNER


def gre(frame: Packet, bridge_mac: str = BRIDGE_MAC) -> Packet:
    """The same as Open vSwitch has it."""
    ethernet, ip = Ether(bytes(frame)), frame[IPv6]
    if ethernet.src == BRIDGE_MAC:
        ethernet.src = bridge_mac
    header = IPv6(src=ip.src, dst=ip.dst, nh=47)
    return Ether(src=ethernet.src, dst=ethernet.dst) / header / KEY_0 / INNER


def converts(uplink: Uplink) -> bool:
    """Whether both directions work; a frame that is neither converted nor left alone is an error."""
    coming_in, going_out = uplink.coming_in(tunnel_in()), uplink.going_out(gre(tunnel_out()))
    if coming_in == [bytes(gre(tunnel_in()))] and going_out == [bytes(tunnel_out())]:
        return True
    assert coming_in == [bytes(tunnel_in())]
    assert going_out == [bytes(gre(tunnel_out()))]
    return False


def in_kernel() -> str:
    """What bpftool sees attached and pinned in this namespace, without numbers that change each time."""
    networks = lab.run("bpftool net show").stdout
    qdiscs = lab.run("tc qdisc show").stdout
    pins = sorted(str(path) for path in Path("/sys/fs/bpf").rglob("*"))
    return re.sub(r"\bid \d+|\[\d+\]", "", networks) + qdiscs + "\n".join(pins)


# --- attach and detach ---


def test_attach_and_detach(wire: Uplink, way: tuple[str, str]) -> None:
    before = in_kernel()
    assert not converts(wire)
    status = wire.adapter.attach(DEVICE, [endpoint()])
    assert status.attached
    assert (status.ingress, status.egress) == way
    assert status.endpoints == (endpoint(),)
    assert wire.adapter.devices() == [DEVICE]
    assert converts(wire)
    assert wire.adapter.detach(DEVICE)
    assert not converts(wire)
    assert in_kernel() == before
    assert wire.adapter.devices() == []
    assert not wire.adapter.detach(DEVICE)


def test_attach_again_changes_nothing(wire: Uplink, way: tuple[str, str]) -> None:
    first = wire.adapter.attach(DEVICE, [endpoint()])
    assert converts(wire)
    before = in_kernel()
    again = wire.adapter.attach(DEVICE, [endpoint()])
    assert in_kernel() == before
    assert (again.ingress, again.egress, again.endpoints) == (first.ingress, first.egress, first.endpoints)
    assert again.counters["ingress_tunnel"] == again.counters["egress_tunnel"] == 1
    assert converts(wire)


def test_packets_flow_while_attaching_again(wire: Uplink, way: tuple[str, str]) -> None:
    """Every packet is converted, by the program before or the one after: none is lost, none leaves as GRE."""
    wire.adapter.attach(DEVICE, [endpoint()])
    done = threading.Event()

    def attach_again() -> None:
        for _ in range(10):
            wire.adapter.attach(DEVICE, [endpoint()])
        done.set()

    thread = threading.Thread(target=attach_again)
    thread.start()
    sent = 0
    while not done.is_set():
        assert wire.coming_in(tunnel_in()) == [bytes(gre(tunnel_in()))]
        assert wire.going_out(gre(tunnel_out())) == [bytes(tunnel_out())]
        sent += 1
    thread.join()
    assert sent > 10
    counters = wire.adapter.status(DEVICE).counters
    assert counters["ingress_tunnel"] == counters["egress_tunnel"] == sent


def test_addresses_and_macs_change(wire: Uplink, way: tuple[str, str]) -> None:
    """Several home agents on one uplink, on one bridge and on several; then others."""
    other_mac = "02:00:00:00:00:03"
    wire.adapter.attach(DEVICE, [endpoint(), endpoint("2001:db8:2::2"), endpoint("2001:db8:3::2", other_mac)])
    for home_agent in (HOME_AGENT, "2001:db8:2::2", "2001:db8:3::2"):
        assert wire.coming_in(tunnel_in(home_agent)) == [bytes(gre(tunnel_in(home_agent)))]
    # What OVS has chosen stands if it is a home agent of that bridge; else the bridge's first one does.
    sources = {"2001:db8:2::2": "2001:db8:2::2", "fe80::1": HOME_AGENT}
    for source, wanted in sources.items():
        assert wire.going_out(gre(tunnel_out(source))) == [bytes(tunnel_out(wanted))]
    (frame,) = wire.going_out(gre(tunnel_out("fe80::1"), other_mac))
    assert Ether(frame)[IPv6].src == "2001:db8:3::2"
    assert wire.going_out(gre(tunnel_out("2001:db8:2::2"), other_mac)) == []  # of the other bridge

    status = wire.adapter.attach(DEVICE, [endpoint("2001:db8:3::2")])
    assert status.endpoints == (endpoint("2001:db8:3::2"),)
    assert wire.coming_in(tunnel_in()) == [bytes(tunnel_in())]
    assert wire.going_out(gre(tunnel_out("fe80::1"))) == [bytes(tunnel_out("2001:db8:3::2"))]
    frame = bytes(gre(tunnel_out(), other_mac))
    assert wire.going_out(frame) == [frame]


def test_other_addresses_of_the_bridge_are_sources(wire: Uplink) -> None:
    """OVS may send from any address of the bridge's own port; they are read when attaching."""
    lab.run(f"ip link add br-test address {BRIDGE_MAC} type veth peer name port-test")
    lab.run("ip link set port-test up")
    try:
        lab.run("ip addr add 2001:db8:1::77/64 dev br-test nodad")
        lab.run("ip link set br-test up")
        wire.adapter.attach(DEVICE, [endpoint()])
        assert wire.going_out(gre(tunnel_out("2001:db8:1::77"))) == [bytes(tunnel_out())]
        lab.run("ip addr add 2001:db8:1::78/64 dev br-test nodad")
        assert wire.going_out(gre(tunnel_out("2001:db8:1::78"))) == []
        stale = wire.adapter.status(DEVICE)
        assert not stale.attached
        assert stale.problems == ("a bridge has addresses that were not there: attach again",)
        assert wire.adapter.attach(DEVICE, [endpoint()]).attached
        assert wire.going_out(gre(tunnel_out("2001:db8:1::78"))) == [bytes(tunnel_out())]
    finally:
        lab.run("ip link delete br-test")


def test_process_that_attached_may_end(wire: Uplink) -> None:
    """The data path lives in the kernel: the commands are processes that end at once."""
    python = ["python3", "-m", "deploy.shim"]
    lab.run([*python, "attach", "--device", DEVICE, "--home-agent", HOME_AGENT, "--bridge-mac", BRIDGE_MAC])
    assert converts(wire)
    assert converts(wire)
    lab.run([*python, "detach", "--device", DEVICE])
    assert not converts(wire)


# --- other people's things on the device, and trouble ---


def other_program(directory: Path, section: str, verdict: int) -> Path:
    """A program of somebody else's; its verdict lets every packet go, and (tcx) no program after it see any."""
    source, made = directory / "other.c", directory / "other.o"
    source.write_text(f'__attribute__((section("{section}"))) int other(void *context) {{ return {verdict}; }}\n')
    subprocess.run(["clang", "-O2", "-target", "bpf", "-c", source, "-o", made], check=True)
    return made


def test_runs_before_other_programs(wire: Uplink, tmp_path: Path) -> None:
    """Raw GRE must not leave because somebody else's program was first and said the packet is fine."""
    ifindex = socket.if_nametoindex(DEVICE)
    program = other_program(tmp_path, "tc", TC_ACT_OK)
    if TCX:
        with libbpf.Object(program) as loaded:
            loaded.load()
            other = libbpf.link_create(loaded.program_fd("other"), ifindex, libbpf.BPF_TCX_EGRESS, 0)
    else:
        lab.run(f"tc qdisc add dev {DEVICE} clsact")
        lab.run(f"tc filter add dev {DEVICE} egress prio 2 bpf direct-action object-file {program} section tc")
    wire.adapter.attach(DEVICE, [endpoint()])
    assert wire.going_out(gre(tunnel_out())) == [bytes(tunnel_out())]
    wire.adapter.detach(DEVICE)
    if TCX:
        assert libbpf.link_info(other).ifindex == ifindex
        os.close(other)
    else:
        assert "other.o" in lab.run(f"tc filter show dev {DEVICE} egress").stdout


def test_other_filters_stay(wire: Uplink, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(libbpf, "link_create", old_kernel)
    wire.adapter.attach(DEVICE, [endpoint()])
    other = other_program(tmp_path, "tc", TC_ACT_OK)
    lab.run(f"tc filter add dev {DEVICE} egress prio 2 bpf direct-action object-file {other} section tc")
    assert converts(wire)
    wire.adapter.detach(DEVICE)
    left = lab.run(f"tc filter show dev {DEVICE} egress").stdout
    assert "other.o" in left
    assert "mip6" not in left


def test_clsact_qdisc_of_others_stays(wire: Uplink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libbpf, "link_create", old_kernel)
    lab.run(f"tc qdisc add dev {DEVICE} clsact")
    wire.adapter.attach(DEVICE, [endpoint()])
    wire.adapter.attach(DEVICE, [endpoint()])
    wire.adapter.detach(DEVICE)
    assert "clsact" in lab.run(f"tc qdisc show dev {DEVICE}").stdout


@pytest.mark.parametrize("mode", ["xdpdrv", "xdpgeneric"])
def test_other_xdp_program_is_respected(wire: Uplink, tmp_path: Path, mode: str) -> None:
    """The error says so, and what was attached before it came up is taken away again."""
    lab.run(f"ip link set dev {DEVICE} {mode} obj {other_program(tmp_path, 'xdp', XDP_PASS)} sec xdp")
    before = in_kernel()
    with pytest.raises(AdapterError, match=f"^{DEVICE}: another XDP program"):
        wire.adapter.attach(DEVICE, [endpoint()])
    assert in_kernel() == before
    lab.run(f"ip link set dev {DEVICE} {mode} off")


def test_device_made_anew(network: lab.Network) -> None:
    """The pins of a device that is gone neither hinder a new one of that name nor count as attached."""
    network.namespace("wire")
    cable(network)
    adapter = UserspaceAdapter()
    adapter.attach(DEVICE, [endpoint()])
    lab.run(f"ip link delete {DEVICE}")
    gone = adapter.status(DEVICE)
    assert not gone.attached
    assert gone.ifindex is None
    assert gone.problems == ("there is no such device in this network namespace",)
    cable(network)
    stale = adapter.status(DEVICE)
    assert not stale.attached
    assert stale.problems == ("ingress and egress not attached: attach again",)
    assert adapter.attach(DEVICE, [endpoint()]).attached
    lab.run(f"ip link delete {DEVICE}")
    assert adapter.detach(DEVICE)
    assert adapter.devices() == []


def test_device_made_anew_on_an_old_kernel(network: lab.Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libbpf, "link_create", old_kernel)
    test_device_made_anew(network)


def test_same_name_in_two_namespaces(wire: Uplink, network: lab.Network) -> None:
    network.namespace("other")
    network.veth(lab.End("other0", "other", switch_port=True), lab.End("wire1", "wire", switch_port=True))
    lab.run("ip link set other0 down", "other")
    lab.run(f"ip link set other0 name {DEVICE} up", "other")
    adapter = wire.adapter
    adapter.attach(DEVICE, [endpoint()])
    with lab.inside("other"):
        assert adapter.devices() == []
        assert not adapter.status(DEVICE).attached
        assert adapter.attach(DEVICE, [endpoint("2001:db8:2::2")]).endpoints == (endpoint("2001:db8:2::2"),)
    assert adapter.status(DEVICE).endpoints == (endpoint(),)
    with lab.inside("other"):
        assert adapter.detach(DEVICE)
    assert adapter.status(DEVICE).attached
    assert converts(wire)


def test_dot_in_a_device_name(network: lab.Network) -> None:
    network.namespace("wire")
    cable(network, "uplink0.10")
    adapter = UserspaceAdapter()
    assert adapter.attach("uplink0.10", [endpoint()]).attached
    assert adapter.devices() == ["uplink0.10"]
    assert adapter.detach("uplink0.10")


def test_maps_of_another_make(wire: Uplink, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What another version has pinned is replaced if it does not fit, and that version's programs with it."""
    for path in (SHIM / "build", SHIM / "ip6ip6.bpf.c", *SHIM.glob("*.h")):
        shutil.copy(path, tmp_path)
    header = tmp_path / "wire.h"
    header.write_text(header.read_text().replace("max_entries, 64", "max_entries, 32"))
    subprocess.run([tmp_path / "build"], check=True)
    with monkeypatch.context() as patch:
        patch.setattr(userspace, "OBJECT", tmp_path / "ip6ip6.bpf.o")
        wire.adapter.attach(DEVICE, [endpoint()])
    assert converts(wire)
    assert wire.adapter.attach(DEVICE, [endpoint()]).counters["ingress_tunnel"] == 0
    assert converts(wire)
    assert wire.adapter.status(DEVICE).counters["ingress_tunnel"] == 1


def test_another_build_is_told_and_brought_in(
    wire: Uplink, way: tuple[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What is attached stays attached and counts on; the status says that it is not what is on the disk."""
    wire.adapter.attach(DEVICE, [endpoint()], [correspondents()])
    assert converts(wire)
    programs = lab.run("bpftool net show").stdout
    with monkeypatch.context() as patch:
        patch.setattr(userspace, "OBJECT", another_build(tmp_path))
        outdated = wire.adapter.status(DEVICE)
        assert not outdated.attached
        assert outdated.problems == ("another version of the adapter is attached: attach again",)
        assert (outdated.ingress, outdated.egress) == way
        assert converts(wire)
        after = wire.adapter.attach(DEVICE, outdated.endpoints, outdated.correspondents)
        assert after.attached
        assert after.counters["ingress_tunnel"] == 2
        assert lab.run("bpftool net show").stdout != programs
        assert converts(wire)
    assert not wire.adapter.status(DEVICE).attached


def test_pins_of_a_version_without_correspondents(wire: Uplink) -> None:
    """An update from the first version: its maps for what has another name now are taken away, its counters stay."""
    wire.adapter.attach(DEVICE, [endpoint()])
    assert converts(wire)
    (directory,) = Path("/sys/fs/bpf/mip6").glob(f"*/{DEVICE}")
    (directory / "end_points").rename(directory / "home_agents")
    for name in ("correspondents", "build"):
        (directory / name).unlink()
    assert wire.adapter.status(DEVICE).problems == ("another version of the adapter is attached: attach again",)
    status = wire.adapter.attach(DEVICE, [endpoint()])
    assert status.attached
    assert status.counters["ingress_tunnel"] == 1
    assert not (directory / "home_agents").exists()
    assert converts(wire)


def test_correspondents_change(wire: Uplink) -> None:
    """Those of several bridges, one of them a home link's, longer prefixes in shorter ones; then others."""
    hosts = (
        correspondents("2001:db8:1::/64", HOME_AGENT, BRIDGE_MAC),
        correspondents("2001:db8:c::/48"),
        correspondents("2001:db8:c:8000::/52", "2001:db8:c:8000::2", "02:00:00:00:00:0d", esp=True),
    )
    assert wire.adapter.attach(DEVICE, [endpoint()], hosts).correspondents == hosts
    places = {
        "2001:db8:1::99": (HOME_AGENT, BRIDGE_MAC),
        "2001:db8:c:7fff::99": ("2001:db8:c::2", "02:00:00:00:00:0b"),
        "2001:db8:c:8fff::99": ("2001:db8:c:8000::2", "02:00:00:00:00:0d"),
    }
    for host, (end_point, mac) in places.items():
        (frame,) = map(Ether, wire.coming_in(with_home_address(host)))
        assert (frame.dst, frame[IPv6].dst, frame[IPv6].nh) == (mac, end_point, 47)

    status = wire.adapter.attach(DEVICE, [], hosts[1:2])
    assert (status.endpoints, status.correspondents) == ((), hosts[1:2])
    for host in ("2001:db8:1::99", HOME_AGENT):
        frame = bytes(with_home_address(host))
        assert wire.coming_in(frame) == [frame]
    (frame,) = map(Ether, wire.coming_in(with_home_address("2001:db8:c:8fff::99")))
    assert frame[IPv6].dst == "2001:db8:c::2"


def with_home_address(destination: str) -> Packet:
    option = IPv6ExtHdrDestOpt(options=[HAO(hoa="2001:db8:1::100")])
    return Ether(src=ROUTER_MAC, dst=BRIDGE_MAC) / IPv6(src=CARE_OF, dst=destination) / option / UDP()


def test_prefix_of_two_bridges_is_refused(wire: Uplink) -> None:
    other = correspondents(end_point="2001:db8:c::3")
    with pytest.raises(AdapterError, match="prefix 2001:db8:c::/64 is there twice"):
        wire.adapter.attach(DEVICE, [], [correspondents(), other])
    with pytest.raises(AdapterError, match=f"prefix {HOME_AGENT}/128 is there twice"):
        wire.adapter.attach(DEVICE, [endpoint()], [correspondents(f"{HOME_AGENT}/128")])
    assert not wire.adapter.status(DEVICE).attached


def test_trouble_is_told_in_words(wire: Uplink, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = in_kernel()
    with pytest.raises(AdapterError, match="no device uplink9"):
        wire.adapter.attach("uplink9", [endpoint()])
    precious = tmp_path / "precious"
    precious.touch()
    for name in (str(tmp_path), "../bpf", "", "a-name-too-long0"):
        for action in (wire.adapter.detach, wire.adapter.status):
            with pytest.raises(AdapterError, match="not a device name"):
                action(name)
    assert precious.exists()
    with pytest.raises(AdapterError, match="at least one home agent or"):
        wire.adapter.attach(DEVICE, [])
    with monkeypatch.context() as patch:
        patch.setattr(userspace, "OBJECT", tmp_path / "ip6ip6.bpf.o")
        with pytest.raises(AdapterError, match="run deploy/shim/build"):
            wire.adapter.attach(DEVICE, [endpoint()])
        (tmp_path / "ip6ip6.bpf.o").write_bytes(b"not an object")
        with pytest.raises(AdapterError, match="cannot open"):
            wire.adapter.attach(DEVICE, [endpoint()])
    with monkeypatch.context() as patch:
        patch.setattr(userspace, "BPF_FILE_SYSTEM", tmp_path)
        with pytest.raises(AdapterError, match="mount -t bpf bpf"):
            wire.adapter.attach(DEVICE, [endpoint()])
    assert in_kernel() == before


def test_counter_names_are_those_of_the_program() -> None:
    enum = re.search(r"enum counter \{(.*?)\}", (SHIM / "wire.h").read_text(), re.DOTALL)
    assert enum is not None
    assert tuple(name.lower() for name in re.findall(r"\w+", enum[1])) == userspace.COUNTERS
