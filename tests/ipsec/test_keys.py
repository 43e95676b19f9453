"""What `mip6ctl keys` writes for `ip xfrm`, read by iproute2 and this kernel."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rest.cli.main import main
from topo import lab

pytestmark = pytest.mark.lab


def policies_of(network: lab.Network, directory: Path, form: str, ending: str) -> str:
    """What the script makes in the kernel, which may say of keys that it lacks ESP or the algorithm, and no more."""
    words = ["--home-address", "2001:db8:1::100", "--home-agent", "2001:db8:1::2", "--spi", "273", "--format", form]
    assert main(["keys", "generate", *words, "--directory", str(directory)]) == 0
    (script,) = directory.glob(f"*.{ending}")
    network.namespace("node")
    run = "set -- 2001:db8:f1::100; care_of=$1; "
    added = 0
    for line in script.read_text().splitlines():
        if line.startswith("ip xfrm state add"):
            said = lab.run(["sh", "-c", run + line], "node", check=False).stderr
            assert not said or re.match("Error: Requested .* not found", said), said
            added += 1
        elif line.startswith("ip xfrm policy"):
            lab.run(["sh", "-c", run + line], "node")
    assert added == 6
    return lab.run("ip xfrm policy", "node").stdout


def test_script_for_umip(network: lab.Network, tmp_path: Path) -> None:
    """mip6d makes the policies, all but one."""
    policies = policies_of(network, tmp_path, "umip", "sa.sh")
    assert policies.startswith("src ::/0 dst 2001:db8:1::100/128 proto mobility-header \n\tdir in priority 10000 ")
    assert policies.count("src ::/0") == 1 and "proto esp reqid 6 mode tunnel\n\t\tlevel use" in policies


def test_script_for_the_mobile_node(network: lab.Network, tmp_path: Path) -> None:
    """The policies become what they should."""
    policies = policies_of(network, tmp_path, "ip-xfrm", "xfrm.sh")
    found = re.findall(r"src (\S+) dst (\S+) proto (\S+) (?:type (\d+) )?.*\n\s+dir (\w+)", policies)
    assert sorted(found) == sorted(
        [
            ("2001:db8:1::100/128", "2001:db8:1::2/128", "mobility-header", "5", "out"),
            ("2001:db8:1::2/128", "2001:db8:1::100/128", "mobility-header", "6", "in"),
            ("2001:db8:1::100/128", "2001:db8:1::2/128", "ipv6-icmp", "146", "out"),
            ("2001:db8:1::2/128", "2001:db8:1::100/128", "ipv6-icmp", "147", "in"),
            ("2001:db8:1::100/128", "::/0", "mobility-header", "1", "out"),
            ("::/0", "2001:db8:1::100/128", "mobility-header", "3", "in"),
            ("::/0", "2001:db8:1::100/128", "mobility-header", "", "in"),
        ]
    )
    (last,) = re.findall(r"priority (\d+).*\n.*tmpl src :: dst ::\n.*mode tunnel\n\s+level use", policies)
    assert int(last) == max(int(priority) for priority in re.findall(r"priority (\d+)", policies))
    assert len(re.findall(r"tmpl src 2001:db8:f1::100 dst 2001:db8:1::2\n.*mode tunnel", policies)) == 1
