"""The long line of the test bed: what goes in comes out unchanged, in order, and not before its time."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from topo import lab

pytestmark = pytest.mark.lab

PROGRAM = Path(__file__).resolve().parents[2] / "topo" / "delay_line.py"
DELAY = 20  # milliseconds


@pytest.fixture
def ends(network: lab.Network) -> tuple[str, str]:
    """Two hosts that only the line joins."""
    for name in ("one", "other", "line"):
        network.namespace(name)
    for name, address in (("one", "2001:db8::1"), ("other", "2001:db8::2")):
        network.veth(lab.End(f"{name}0", name), lab.End(f"line-{name}", "line"))
        lab.sysctl(f"net/ipv6/conf/line-{name}/disable_ipv6", 1, "line")
        lab.run(f"ip -6 address add {address}/64 dev {name}0 nodad", name)
    network.background([sys.executable, str(PROGRAM), "line-one", "line-other", str(DELAY)], "line")
    lab.wait_until(lambda: lab.run("ping -6 -c1 -W1 2001:db8::2", "one", check=False).returncode == 0, "the line")
    return "one", "other"


def test_every_packet_takes_the_delay_each_way(ends: tuple[str, str]) -> None:
    printed = lab.run("ping -6 -n -c 20 -i 0.05 -s 1400 2001:db8::2", ends[0]).stdout
    assert " 0% packet loss" in printed
    times = [float(found) for found in re.findall(r"time=([0-9.]+) ms", printed)]
    assert len(times) == 20
    assert min(times) >= 2 * DELAY
    assert [int(found) for found in re.findall(r"icmp_seq=(\d+)", printed)] == list(range(1, 21))
