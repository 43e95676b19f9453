"""Looking at a running home agent: captures, debug topics, flows, statistics; the judge of captures is tshark."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet6 import IPv6, MIP6MH_HoTI

from ryu_apps.cookies import Category
from tests.flows.campus import HOME_ADDRESS, LOCAL, REST, SECOND_HOME_ADDRESS, Campus
from topo import lab
from topo.lab import run

pytestmark = pytest.mark.lab


class Reading:
    """mip6ctl capture in the background."""

    def __init__(self, campus: Campus, file: Path, *words: str) -> None:
        self.file = file
        self._thread = threading.Thread(target=campus.ctl, args=("capture", str(file), *words))
        self._thread.start()
        lab.wait_until(lambda: file.exists() and file.stat().st_size > 0, "the capture to begin")

    def packets(self) -> list[dict[str, Any]]:
        self._thread.join(20)
        assert not self._thread.is_alive()
        words = ["tshark", "-r", str(self.file), "-T", "json", "-o", "ipv6.defragment:false"]
        return [entry["_source"]["layers"] for entry in json.loads(run(words).stdout)]


def mobility_headers(packets: list[dict[str, Any]], home_address: str) -> set[tuple[str, str]]:
    """Type of each Mobility Header about a home address, and the comment at its packet."""
    return {
        (packet["ipv6"]["mipv6"]["mip6.mhtype"], packet["pkt_comment"]["frame.comment"])
        for packet in packets
        if "mipv6" in packet["ipv6"] and home_address in json.dumps(packet)
    }


def test_capture(registered: Campus, tmp_path: Path) -> None:
    campus = registered
    whole = Reading(campus, tmp_path / "all.pcapng", "--seconds", "3")
    one = Reading(campus, tmp_path / "one.pcapng", "--seconds", "3", "--home-address", HOME_ADDRESS)
    assert campus.mobile.register() == campus.second.register() == 0
    packets = whole.packets()
    both = {("5", "punted: signalling"), ("6", "sent")}  # Binding Update, Binding Acknowledgement
    assert mobility_headers(packets, HOME_ADDRESS) == mobility_headers(packets, SECOND_HOME_ADDRESS) == both
    mine = one.packets()
    assert mobility_headers(mine, HOME_ADDRESS) == both
    assert all(HOME_ADDRESS in json.dumps(packet) for packet in mine)
    # Nobody looks any more: nothing is left behind.
    lab.wait_until(lambda: capture_status() == 200, "room for a capture")


def capture_status() -> int:
    with urllib.request.urlopen(f"{REST}/v1/capture?seconds=1", timeout=10) as answer:
        answer.read()
        return int(answer.status)


def test_a_client_that_goes_away_ends_its_capture(registered: Campus) -> None:
    campus = registered
    open_ones = [urllib.request.urlopen(f"{REST}/v1/capture?seconds=600", timeout=10) for _ in range(4)]
    assert campus.manager.request("/v1/capture?seconds=1")[0] == 503
    for one in open_ones:
        one.close()
    for _ in range(3):
        campus.mobile.register()
        time.sleep(0.1)
    lab.wait_until(lambda: capture_status() == 200, "room for a capture", timeout=15)


def test_debug_topics(registered: Campus) -> None:
    campus = registered

    def lines(topic: str) -> list[str]:
        return [line for line in campus.manager.log().splitlines() if f"topic={topic} " in line and "DEBUG" in line]

    campus.mobile.register()
    assert lines("signalling") == []
    campus.ctl("debug", "signalling", "on")
    campus.ctl("debug", "flows", "on")
    campus.mobile.visit(campus.mobile.links[1])
    assert campus.mobile.register() == 0
    campus.mobile.visit(campus.mobile.links[0])
    assert campus.mobile.register() == 0
    for state in ("signalling", "flows"):
        campus.ctl("debug", state, "off")
    received, *_, sent = lines("signalling")
    assert "received punt=signalling" in received
    assert f"hoa={HOME_ADDRESS} message=BINDING_UPDATE" in received
    assert " sent " in sent and "message=BINDING_ACKNOWLEDGEMENT" in sent
    assert any("category=tunnel" in line and "table=bindings" in line for line in lines("flows"))
    known = len(lines("signalling"))
    campus.mobile.register()
    assert len(lines("signalling")) == known


def test_show_flows(registered: Campus) -> None:
    campus = registered
    flows = json.loads(campus.ctl("show", "flows", "--home-address", HOME_ADDRESS, "-o", "json"))["flows"]
    assert sorted(flow["category"] for flow in flows) == ["proxy_nd", "reverse_tunnel", "tunnel"]
    binding = campus.manager.binding(HOME_ADDRESS)
    assert binding is not None
    assert max(flow["sequence"] for flow in flows) <= binding["sequence"]  # a refresh leaves the flows
    assert "into its tunnel" in campus.ctl("show", "flows")


def test_the_server_tells_of_flows_what_open_vswitch_tells(registered: Campus) -> None:
    """The one reads OpenFlow, the other what ovs-ofctl prints."""
    campus = registered

    def told(*words: str) -> dict[tuple[str, int, frozenset[str]], tuple[str, str, str]]:
        flows = json.loads(campus.ctl("show", "flows", *words, "-o", "json"))["flows"]
        return {
            (flow["table"], flow["priority"], frozenset(flow["match"].split(","))): (
                *(flow["category"], flow["meaning"]),
                flow["actions"] if flow["category"] in ("tunnel", "reverse_tunnel", "punt") else "",
            )
            for flow in flows
        }

    here = told("--bridge", campus.switch.bridge)
    assert len(here) == len(campus.switch.flows()) > 300
    assert told() == here
    for words in (["--table", "bindings"], ["--category", "punt"], ["--home-address", HOME_ADDRESS]):
        assert told(*words) == told("--bridge", campus.switch.bridge, *words)
    listed = campus.manager.get("/v1/flows?limit=100")
    assert (len(listed["flows"]), listed["total"]) == (100, len(here))


def test_what_a_binding_has_carried(registered: Campus) -> None:
    """What ovs-ofctl counts for its two flows, from when the mobile node has come to where it is."""
    campus = registered
    campus.mobile.visit(campus.mobile.links[1])
    assert campus.mobile.register() == 0
    assert carried(campus) == (0, 0)
    assert LOCAL.ping(HOME_ADDRESS, count=4) == 4
    lab.wait_until(lambda: carried(campus) == (4, 4), "the counters")
    shown = json.loads(campus.ctl("show", "bindings", "-o", "json"))["bindings"]
    counted = {binding["home_address"]: binding["packets_in"] for binding in shown}
    assert counted[HOME_ADDRESS] >= 4
    assert campus.mobile.register() == 0  # it stays where it is
    assert min(carried(campus)) >= 4
    campus.mobile.visit(campus.mobile.links[0])
    assert campus.mobile.register() == 0
    without_asking = campus.manager.get(f"/v1/bindings/{HOME_ADDRESS}")
    assert (without_asking["packets_out"], without_asking["counted_at"]) == (None, None)
    assert carried(campus) == (0, 0)


def carried(campus: Campus) -> tuple[int, int]:
    """Packets to and from the mobile node, as REST tells, and Open vSwitch before and after that."""
    before = counted_by_flows(campus)
    binding = campus.manager.get(f"/v1/bindings/{HOME_ADDRESS}?counters=true")
    told = binding["packets_out"], binding["packets_in"]
    assert all(low <= count <= high for low, count, high in zip(before, told, counted_by_flows(campus), strict=True))
    return told


def counted_by_flows(campus: Campus) -> tuple[int, int]:
    run("ovs-appctl revalidator/wait")
    by_category = {flow.category: flow.packets for flow in campus.switch.flows_of(HOME_ADDRESS)}
    return by_category[Category.TUNNEL], by_category[Category.REVERSE_TUNNEL]


def test_statistics_begin_anew(registered: Campus) -> None:
    campus = registered
    assert campus.manager.statistics("engine")["bu_received"] > 0
    campus.ctl("clear", "statistics")
    assert campus.manager.statistics("engine")["bu_received"] == 0
    campus.mobile.register()
    assert campus.manager.statistics("engine")["bu_received"] == 1


def test_tokens_are_no_part_of_a_capture() -> None:
    from ryu_apps.capture import without_token

    token = b"\xaa" * 8
    test = bytes(IPv6(src=LOCAL.address, dst=HOME_ADDRESS, nh=135) / (b"\x3b\x02\x03\0\0\0\0\x05" + b"c" * 8 + token))
    frame = bytes(12) + b"\x86\xdd" + test
    hidden, had_one = without_token(frame)
    assert had_one and len(hidden) == len(frame) and token not in hidden and b"c" * 8 in hidden
    init = bytes(12) + b"\x86\xdd" + bytes(IPv6(src=LOCAL.address, dst=HOME_ADDRESS) / MIP6MH_HoTI(cookie=token))
    assert without_token(init) == (init, False)
    assert without_token(frame[:60]) == (frame[:60], False)
