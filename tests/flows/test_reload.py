"""The configuration changes under traffic: what the change does not concern is not touched."""

from __future__ import annotations

import copy
import os
import re
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from scapy.layers.inet6 import ICMPv6MPAdv, ICMPv6NDOptPrefixInfo

from ryu_apps.cookies import Category
from tests.discovery.messages import is_prefix_advertisement
from tests.flows.campus import BRIDGE, HOME_ADDRESS, HOME_PREFIX, LOCAL, REMOTE, SECOND_HOME_ADDRESS, Campus
from tests.flows.switch import Flow
from tests.flows.test_restart import stream
from topo import lab
from topo.lab import run

pytestmark = pytest.mark.lab

OTHER_PREFIX = "2001:db8:11::/64"
OTHER_HOME_ADDRESS = "2001:db8:11::100"
DENIED = 129


@pytest.fixture
def change(registered: Campus) -> Iterator[Callable[[Callable[[Any], object]], Any]]:
    """Changes the file, and has it read again; at the end the campus is as it was."""
    original = yaml.safe_load(registered.config.read_text())

    def change(edit: Callable[[Any], object]) -> Any:
        file = copy.deepcopy(original)
        edit(file)
        registered.config.write_text(yaml.safe_dump(file))
        status, answer = registered.manager.request("/v1/config:reload", "POST")
        assert status == 200, answer
        registered.manager.wait_ready()
        return answer

    yield change
    change(lambda file: None)


def known(campus: Campus) -> dict[tuple[int, str], Flow]:
    """All flows but those of neighbours, which come and go with traffic."""
    flows = campus.switch.flows()
    return {(flow.table, flow.match): flow for flow in flows if flow.category != Category.NEIGHBOUR}


def add_prefix(file: Any) -> None:
    file["home_links"][0]["prefixes"] = [HOME_PREFIX, OTHER_PREFIX]
    file["home_links"][0]["mobile_prefix"] = {"min_interval": 0, "max_interval": 1}


def everything(file: Any) -> None:
    add_prefix(file)
    file["home_links"][0]["router_advertisement"] = {"enabled": True}
    file["home_links"][0]["max_lifetime"] = 40
    file["limits"] = {"max_bindings": 50, "punt_rates": {"tunnel_errors": 77}}
    file["access"] = {"rules": [{"home_addresses": [HOME_PREFIX, OTHER_PREFIX]}]}


def rates(campus: Campus) -> set[int]:
    return set(map(int, re.findall(r"rate=(\d+)", campus.switch.ofctl("dump-meters"))))


def test_no_packet_is_lost_and_no_flow_is_touched_that_does_not_differ(
    registered: Campus, change: Callable[..., Any]
) -> None:
    campus = registered
    before = known(campus)
    assert 77 not in rates(campus)
    with stream(campus, LOCAL) as local, stream(campus, REMOTE) as remote:
        counted = known(campus)
        answer = change(everything)
        after = known(campus)
        change(lambda file: None)
        # What goes, goes when the switch has said that what comes is in.
        lab.wait_until(lambda: known(campus).keys() == before.keys(), "the flows as they were", timeout=5)
        last = known(campus)
        change(everything)
    assert answer["result"] == "applied"
    assert (local.lost, remote.lost) == (0, 0)
    assert min(local.sent, remote.sent) > 15
    for identity, flow in before.items():
        assert after[identity].cookie == last[identity].cookie == flow.cookie
        assert counted[identity].packets <= after[identity].packets <= last[identity].packets, flow
    new = [flow for identity, flow in after.items() if identity not in before]
    assert [flow for flow in new if OTHER_PREFIX in flow.match]
    assert 77 in rates(campus)


def test_a_new_prefix_is_served_and_told_and_taken_away_again(registered: Campus, change: Callable[..., Any]) -> None:
    campus, mobile = registered, registered.mobile
    with mobile.recording() as recorder:
        change(add_prefix)
        # RFC 6275 section 10.6.2: mobile nodes that are away are told of it.
        told = recorder.wait_for(lambda frame: is_prefix_advertisement(frame, 0), "an unsolicited advertisement")
    message = ICMPv6MPAdv(bytes(told)[14 + 64 :])
    prefixes = {str(message.getlayer(ICMPv6NDOptPrefixInfo, number).prefix) for number in (1, 2)}
    assert prefixes == {"2001:db8:1::2", "2001:db8:11::"}
    run(f"ip addr add {OTHER_HOME_ADDRESS}/128 dev lo nodad", mobile.ns)
    run(f"ip -6 rule add pref 21 from {OTHER_HOME_ADDRESS} lookup 200", mobile.ns)
    run(f"ip -6 route add {OTHER_PREFIX} dev {LOCAL.device}", LOCAL.ns)
    assert mobile.register(home_address=OTHER_HOME_ADDRESS) == 0
    assert LOCAL.ping(OTHER_HOME_ADDRESS) == 3
    change(lambda file: None)
    assert campus.manager.binding(OTHER_HOME_ADDRESS) is None
    assert campus.switch.flows_of(OTHER_HOME_ADDRESS) == []
    assert mobile.register(home_address=OTHER_HOME_ADDRESS) == 132  # not home subnet
    run(f"ip addr del {OTHER_HOME_ADDRESS}/128 dev lo", mobile.ns)
    run("ip -6 rule del pref 21", mobile.ns)
    run(f"ip -6 route del {OTHER_PREFIX} dev {LOCAL.device}", LOCAL.ns)
    assert campus.manager.binding(HOME_ADDRESS) is not None


def test_rules_end_the_bindings_that_they_forbid_and_no_other(registered: Campus, change: Callable[..., Any]) -> None:
    campus = registered
    kept = campus.manager.binding(HOME_ADDRESS)
    with stream(campus, LOCAL) as losses:
        change(lambda file: file.update(access={"rules": [{"home_addresses": [HOME_ADDRESS]}]}))
    assert losses.lost == 0
    assert campus.manager.binding(HOME_ADDRESS) == kept
    assert campus.manager.binding(SECOND_HOME_ADDRESS) is None
    assert campus.switch.flows_of(SECOND_HOME_ADDRESS) == []
    assert campus.second.register() == DENIED
    change(lambda file: None)
    assert campus.second.register() == 0


def test_return_routability_is_protected_from_the_reload_on(registered: Campus, change: Callable[..., Any]) -> None:
    campus = registered

    def protect(file: Any) -> None:
        direction = {"encryption_key": "0x" + "11" * 16, "integrity_key": "0x" + "22" * 20}
        association = {
            "kind": "return_routability",
            "encryption": "aes-cbc",
            "integrity": "hmac-sha1-96",
            "inbound": {"spi": 300, **direction},
            "outbound": {"spi": 301, **direction},
        }
        node = {"home_address": HOME_ADDRESS, "associations": [association], "unprotected_signalling": "accept"}
        file["security"]["mobile_nodes"] = [node]

    def punts() -> list[Flow]:
        return [flow for flow in campus.switch.flows() if flow.category == Category.HOME_TEST]

    assert punts() == []
    with stream(campus, LOCAL) as losses:
        change(protect)
        found = punts()
        change(lambda file: None)
    assert losses.lost == 0
    assert len(found) == 2
    assert all(HOME_ADDRESS in flow.match for flow in found)
    assert punts() == []


def test_a_correspondent_link_comes_to_the_bridge_and_goes(registered: Campus, change: Callable[..., Any]) -> None:
    campus = registered
    before = {(flow.table, flow.match, flow.actions) for flow in known(campus).values()}
    link = {"name": "hosts", "bridge": BRIDGE, "prefixes": [HOME_PREFIX]}
    with stream(campus, LOCAL) as losses:
        answer = change(lambda file: file.update(correspondent_links=[link]))
        lab.wait_until(lambda: len({flow.cookie >> 32 & 0xFF for flow in known(campus).values()}) == 1, "the sweep")
        during = {(flow.table, flow.match, flow.actions) for flow in known(campus).values()}
        change(lambda file: None)
        lab.wait_until(lambda: len({flow.cookie >> 32 & 0xFF for flow in known(campus).values()}) == 1, "the sweep")
    assert [entry["setting"] for entry in answer["applied"]] == ["correspondent_links[hosts]"]
    assert losses.lost == 0
    assert before < during
    assert {(flow.table, flow.match, flow.actions) for flow in known(campus).values()} == before
    assert campus.mobile.register() == 0


def test_a_home_link_comes_with_its_bridge_and_goes(registered: Campus, change: Callable[..., Any]) -> None:
    campus = registered
    lab_link = {
        **{"name": "labnet", "bridge": "br-lab", "address": "2001:db8:2::2", "prefixes": ["2001:db8:2::/64"]},
        **{"router": "2001:db8:2::1", "uplinks": ["lab-up"]},
    }
    campus.network.namespace("lab-router")
    campus.network.veth(lab.End("lab-up", switch_port=True), lab.End("lab0", "lab-router"))
    file = yaml.safe_load(campus.config.read_text())
    file["home_links"].append(lab_link)
    campus.config.write_text(yaml.safe_dump(file))
    campus.ctl("ovs", "setup", "--config", str(campus.config))
    lab.wait_until(lambda: "bridge=br-lab" in campus.manager.log(), "the bridge to connect, for no link yet")
    with stream(campus, LOCAL) as losses:
        assert campus.manager.program is not None
        os.kill(campus.manager.program.process.pid, signal.SIGHUP)
        lab.wait_until(lambda: "0x6d36" in flows_of_lab(), "the flows to come")
        lab.wait_until(campus.manager.ready, "the new link", timeout=15)
        change(lambda file: None)
        lab.wait_until(lambda: "0x6d36" not in flows_of_lab(), "the flows to go")
    assert losses.lost == 0
    assert "rate=" not in run("ovs-ofctl -O OpenFlow13 dump-meters br-lab").stdout
    assert campus.manager.get("/v1/bindings?home_link=labnet")["total"] == 0
    other = campus.network.directory / "other.yaml"
    other.write_text(yaml.safe_dump({"home_links": [lab_link], "rest": {"port": 8081}}))
    campus.ctl("ovs", "teardown", "--config", str(other))


def flows_of_lab() -> str:
    return run("ovs-ofctl -O OpenFlow13 dump-flows br-lab").stdout
