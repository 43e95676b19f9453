"""The private lab: it is private, it works, and nothing of it survives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.inet6 import UDP, IPv6
from scapy.utils import rdpcap

from topo import lab

pytestmark = pytest.mark.lab

ROOT = Path(__file__).resolve().parent.parent.parent
LAB = [sys.executable, "-m", "topo.lab"]


def in_new_lab(script: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*LAB, *options, "--", "sh", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=30
    )


# --- the lab itself ---


def test_a_lab_has_its_own_network_processes_switch_and_pins(network: lab.Network) -> None:
    network.namespace("outer")
    network.veth(lab.End("outer0"), lab.End("outer1"))
    network.bridge("br-outer")
    lab.run("mkdir /sys/fs/bpf/outer")
    try:
        result = in_new_lab("ls /sys/class/net /sys/fs/bpf; ip netns; ovs-vsctl list-br; echo $$; ip -br l")
    finally:
        lab.run("rmdir /sys/fs/bpf/outer")
    words = result.stdout.split()
    assert result.stderr == ""
    assert not [word for word in words if "outer" in word]
    assert "lo" in words
    assert int(next(word for word in words if word.isdecimal())) < 50  # a process number of a new namespace
    assert "lo UNKNOWN" in " ".join(words)


def test_a_lab_can_be_had_without_a_switch() -> None:
    result = in_new_lab("ls /run/openvswitch; cat /proc/[0-9]*/comm", "--no-ovs")
    assert result.returncode == 0
    assert "ovs" not in result.stdout


@pytest.mark.parametrize(("script", "status"), [("exit 0", 0), ("exit 3", 3), ("kill -KILL $$", 137)])
def test_the_commands_exit_status_is_the_labs(script: str, status: int) -> None:
    assert in_new_lab(script, "--no-ovs").returncode == status


def test_a_command_that_does_not_exist_is_said_in_one_line() -> None:
    result = subprocess.run([*LAB, "--no-ovs", "no-such-command"], cwd=ROOT, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (127, "lab: no-such-command: No such file or directory\n")


def test_without_root_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert lab.main(["true"]) == 1
    assert capsys.readouterr().err == "lab: must run as root\n"


def test_a_daemon_ends_with_its_lab() -> None:
    # The daemon holds the standard output, so run() comes back only when it has ended.
    result = in_new_lab("setsid sleep 1000 & echo started", "--no-ovs")
    assert result.stdout == "started\n"


@pytest.fixture
def waiting_lab() -> Iterator[subprocess.Popen[str]]:
    script = "trap 'echo got it; exit 5' TERM INT; setsid sleep 999 & echo ready; while :; do sleep 0.1; done"
    with subprocess.Popen(
        [*LAB, "--no-ovs", "sh", "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_reaches_the_command(waiting_lab: subprocess.Popen[str], number: signal.Signals) -> None:
    waiting_lab.send_signal(number)
    assert waiting_lab.communicate(timeout=10)[0] == "got it\n"
    assert waiting_lab.returncode == 5


def test_a_killed_lab_leaves_nothing_running(waiting_lab: subprocess.Popen[str]) -> None:
    waiting_lab.kill()
    assert waiting_lab.communicate(timeout=10)[0] == ""  # its end: nobody has the pipe any more


def test_labs_run_side_by_side() -> None:
    script = "ovs-vsctl add-br br0 -- set bridge br0 datapath_type=netdev; ip netns add a; sleep 1; ip netns"
    command = [*LAB, "sh", "-ec", script]
    labs = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate(timeout=30)[0] for process in labs] == ["a\n", "a\n"]
    assert [process.returncode for process in labs] == [0, 0]


def test_a_restarted_switch_has_its_bridges_again(network: lab.Network) -> None:
    network.bridge("br0")
    lab.run("ovs-ofctl -O OpenFlow15 add-flow br0 actions=normal")
    lab.stop_vswitchd()
    assert lab.run("ovs-ofctl -O OpenFlow15 show br0", check=False).returncode != 0
    lab.start_vswitchd()
    assert "flow_count=0" in lab.run("ovs-ofctl -O OpenFlow15 dump-aggregate br0").stdout


def test_tests_marked_lab_fail_outside_of_one(tmp_path: Path) -> None:
    hide = 'mount -t tmpfs none /run && exec "$@"'
    pytest_here = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", __file__]
    result = subprocess.run(
        ["unshare", "--mount", "sh", "-c", hide, "sh", *pytest_here],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == pytest.ExitCode.USAGE_ERROR
    assert "need the private lab: sudo deploy/test" in result.stderr


# --- what tests build in it ---


@pytest.fixture
def two_hosts(network: lab.Network) -> lab.Network:
    """Hosts a (2001:db8::a) and b (2001:db8::b) on bridge br0, which switches normally."""
    for name in ("a", "b"):
        network.namespace(name)
        host = lab.End("eth0", name, mac=f"02:00:00:00:00:0{name}")
        network.veth(host, lab.End(f"{name}0", switch_port=True))
        lab.run(f"ip addr add 2001:db8::{name}/64 dev eth0", name)
    network.bridge("br0", "a0", "b0")
    lab.run("ovs-ofctl -O OpenFlow15 add-flow br0 actions=normal")
    return network


def test_hosts_talk_over_a_bridge_with_real_checksums(two_hosts: lab.Network) -> None:
    lab.run("ping -c 1 -W 2 2001:db8::b", "a")
    pcap = two_hosts.directory / "b0.pcap"
    capture = two_hosts.capture(pcap, "b0", expression="udp")
    send = "import socket; socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).sendto(b'x', ('2001:db8::b', 9))"
    lab.run([sys.executable, "-c", send], "a")
    lab.wait_until(lambda: pcap.stat().st_size > 24, "a packet in the capture")
    assert capture.stop() == 0
    (packet,) = rdpcap(str(pcap))
    assert packet.src == "02:00:00:00:00:0a"
    checksum = packet[UDP].chksum
    del packet[UDP].chksum
    assert IPv6(bytes(packet[IPv6]))[UDP].chksum == checksum
    assert lab.run("ovs-vsctl get interface a0 ofport").stdout == "1\n"


def test_a_switch_port_has_no_ipv6_and_other_ends_have(two_hosts: lab.Network) -> None:
    assert lab.run("ip -6 addr show dev a0").stdout == ""
    assert "fe80::ff:fe00:a/64" in lab.run("ip -6 addr show dev eth0", "a").stdout


def test_duplicate_address_detection_runs_if_asked_for(network: lab.Network) -> None:
    network.namespace("dad", dad=True)
    network.namespace("plain")
    network.veth(lab.End("eth0", "dad"), lab.End("eth0", "plain"))
    for name, tentative in (("dad", True), ("plain", False)):
        lab.run(f"ip addr add 2001:db8::{len(name)}/64 dev eth0", name)
        assert ("tentative" in lab.run("ip addr show dev eth0 to 2001:db8::/64", name).stdout) == tentative
    lab.wait_for_addresses("dad")
    assert "tentative" not in lab.run("ip addr", "dad").stdout


def test_forwarding_is_on_for_routers_only(network: lab.Network) -> None:
    for name, forwarding in (("router", True), ("host", False)):
        network.namespace(name, forwarding=forwarding)
        assert lab.run("cat /proc/sys/net/ipv6/conf/all/forwarding", name).stdout == f"{forwarding:d}\n"


def test_close_takes_everything_away() -> None:
    with lab.Network() as network:
        network.namespace("a")
        network.veth(lab.End("a0"), lab.End("a1"))
        network.veth(lab.End("b0", "a"), lab.End("b1"))
        network.bridge("br0", "a0", "b1")
        program = network.background("sleep 1000")
        stubborn = network.background("sh -c 'trap : TERM; echo; while :; do sleep 1; done'")
        lab.wait_until(stubborn.output, "the trap")
        assert stubborn.stop(timeout=0.2) == -signal.SIGKILL
        ended = network.background("sh -c 'echo done; exit 4'", "a")
        assert ended.process.wait(5) == 4
        assert ended.output() == "done\n"
    assert program.process.returncode == -signal.SIGTERM
    assert not network.directory.exists()
    assert lab.run("ip netns").stdout == ""
    assert lab.run("ovs-vsctl list-br").stdout == ""
    assert [name for name in os.listdir("/sys/class/net") if name in ("a0", "a1", "b1", "br0")] == []


def test_a_failing_command_tells_what_it_said() -> None:
    with pytest.raises(lab.LabError, match=r"(?s)sh -c .*exit status 3\nout\nerr"):
        lab.run("sh -c 'echo out; echo err >&2; exit 3'")
    assert lab.run("sh -c 'exit 3'", check=False).returncode == 3
    with pytest.raises(lab.LabError, match=r"no end after 0\.1 s"):
        lab.run("sleep 10", timeout=0.1)
    with pytest.raises(lab.LabError, match="no-such-command: command not found"):
        lab.run("no-such-command")


def test_waiting_in_vain_says_for_what() -> None:
    with pytest.raises(lab.LabError, match=r"waited 0\.1 s in vain for a miracle$"):
        lab.wait_until(lambda: False, "a miracle", timeout=0.1)
    with pytest.raises(lab.LabError, match=r"in vain for a listener at ::1 port 9 \(.*refused\)"):
        lab.wait_for_port("::1", 9, timeout=0.1)


def test_a_port_is_awaited_in_its_namespace(network: lab.Network) -> None:
    network.namespace("a")
    server = "socket.create_server(('::1', 99), family=socket.AF_INET6).accept()"
    network.background([sys.executable, "-c", f"import socket, time; time.sleep(0.2); {server}"], "a")
    lab.wait_for_port("::1", 99, "a")
    with pytest.raises(lab.LabError):
        lab.wait_for_port("::1", 99, timeout=0.1)


def test_inside_a_namespace_for_one_block(network: lab.Network) -> None:
    network.namespace("a")
    here = os.readlink("/proc/thread-self/ns/net")
    with lab.inside("a"):
        assert os.readlink("/proc/thread-self/ns/net") != here
    assert os.readlink("/proc/thread-self/ns/net") == here
