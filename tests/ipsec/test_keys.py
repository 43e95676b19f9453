"""What `mip6ctl keys` writes for `ip xfrm`, read by iproute2 and this kernel."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rest.cli.main import main
from topo import lab

pytestmark = pytest.mark.lab


def test_script_for_the_mobile_node(network: lab.Network, tmp_path: Path) -> None:
    """The policies become what they should; of the keys the kernel says at most that it lacks ESP or the algorithm."""
    words = ["--home-address", "2001:db8:1::100", "--home-agent", "2001:db8:1::2", "--spi", "273"]
    assert main(["keys", "generate", *words, "--directory", str(tmp_path)]) == 0
    (script,) = tmp_path.glob("*.xfrm.sh")
    network.namespace("node")
    run = "set -- 2001:db8:f1::100; care_of=$1; "
    for line in script.read_text().splitlines():
        if line.startswith("ip xfrm state add"):
            said = lab.run(["sh", "-c", run + line], "node", check=False).stderr
            assert not said or re.match("Error: Requested .* not found", said), said
        elif line.startswith("ip xfrm policy"):
            lab.run(["sh", "-c", run + line], "node")
    policies = lab.run("ip xfrm policy", "node").stdout
    found = re.findall(r"src (\S+) dst (\S+) proto (\S+) (?:type (\d+) )?.*\n\s+dir (\w+)", policies)
    assert sorted(found) == sorted(
        [
            ("2001:db8:1::100/128", "2001:db8:1::2/128", "mobility-header", "5", "out"),
            ("2001:db8:1::2/128", "2001:db8:1::100/128", "mobility-header", "6", "in"),
            ("2001:db8:1::100/128", "2001:db8:1::2/128", "ipv6-icmp", "146", "out"),
            ("2001:db8:1::2/128", "2001:db8:1::100/128", "ipv6-icmp", "147", "in"),
            ("2001:db8:1::100/128", "::/0", "mobility-header", "1", "out"),
            ("::/0", "2001:db8:1::100/128", "mobility-header", "3", "in"),
        ]
    )
    assert len(re.findall(r"tmpl src 2001:db8:f1::100 dst 2001:db8:1::2\n.*mode tunnel", policies)) == 1
