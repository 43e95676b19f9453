"""Proxy Neighbor Discovery (10.4.1): what the switch answers by itself, what it asks for, and what it leaves alone."""

from __future__ import annotations

from typing import Any

import pytest
from scapy.layers.inet6 import (
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    ICMPv6NDOptUnknown,
    IPv6,
)

from ryu_apps.pipeline import Table
from tests.flows.campus import HOME_ADDRESS, HOME_AGENT, LOCAL, NEIGHBOUR, SECOND_HOME_ADDRESS, Campus
from tests.flows.neighbor_discovery import (
    ALL_NODES,
    ALL_NODES_MAC,
    advertisement,
    assert_proxied,
    is_advertisement,
    is_answer,
    solicitation,
)

pytestmark = pytest.mark.lab

LINK_LOCAL_HOME_ADDRESS = "fe80::300"  # the one with the same interface identifier
THIRD_HOME_ADDRESS = "2001:db8:1::300"


def punted(campus: Campus) -> int:
    return campus.manager.punted().get("neighbor_discovery", 0)


@pytest.mark.parametrize("source", [NEIGHBOUR.address, "fe80::ff:fe00:10e"], ids=["global", "link-local"])
@pytest.mark.parametrize("unicast", [False, True], ids=["multicast", "unicast"])
def test_answered_by_the_switch(registered: Campus, source: str, unicast: bool) -> None:
    """A solicitation with its sender's link-layer address never comes to the controller."""
    campus = registered
    before, counted = punted(campus), campus.switch.counted()
    question = solicitation(NEIGHBOUR, HOME_ADDRESS, source=source, unicast_to=campus.bridge_mac if unicast else None)
    with NEIGHBOUR.recording() as recorder:
        recorder.send(question)
        answer = advertisement(recorder, HOME_ADDRESS)
    assert_proxied(answer, campus.bridge_mac, source, NEIGHBOUR.mac)
    counted.wait_for(
        {
            (Table.NEIGHBOR_DISCOVERY, f"icmp_type=135,icmp_code=0,nd_target={HOME_ADDRESS}"): 1,
            (Table.PROXY_REPLY, "priority=0"): 1,
            (Table.PROXY_SEND, "priority=0"): 1,
        }
    )
    assert punted(campus) == before


def test_other_options_do_not_matter(registered: Campus) -> None:
    """RFC 4861 section 4.3: options that a receiver does not know are ignored, wherever they stand."""
    campus = registered
    nonce = ICMPv6NDOptUnknown(type=14, len=1, data=b"nonce!")
    for first, second in ((nonce, ICMPv6NDOptSrcLLAddr(lladdr=NEIGHBOUR.mac)), (None, nonce)):
        question = solicitation(NEIGHBOUR, HOME_ADDRESS, with_option=first is None)
        question = question / first / second if first else question / second
        with NEIGHBOUR.recording() as recorder:
            recorder.send(question)
            answer = advertisement(recorder, HOME_ADDRESS)
        assert answer[ICMPv6NDOptDstLLAddr].lladdr == campus.bridge_mac
        again = answer[IPv6].copy()
        del again[ICMPv6NDOptDstLLAddr].underlayer.cksum
        assert bytes(again) == bytes(answer[IPv6])


@pytest.mark.parametrize("unicast", [False, True], ids=["multicast", "unicast"])
def test_without_the_senders_link_layer_address(registered: Campus, unicast: bool) -> None:
    """The switch has no option to write its own address into: the controller answers, the same way."""
    campus = registered
    before, counted = punted(campus), campus.switch.counted()
    question = solicitation(
        NEIGHBOUR, HOME_ADDRESS, with_option=False, unicast_to=campus.bridge_mac if unicast else None
    )
    with NEIGHBOUR.recording() as recorder:
        recorder.send(question)
        answer = advertisement(recorder, HOME_ADDRESS)
    assert_proxied(answer, campus.bridge_mac, NEIGHBOUR.address, NEIGHBOUR.mac)
    counted.wait_for({(Table.PROXY_REPLY, "nd_sll=00:00:00:00:00:00"): 1, (Table.PROXY_SEND, "priority=0"): 0})
    assert punted(campus) == before + 1


@pytest.mark.parametrize("spoilt", [False, True], ids=["probe", "wrong checksum"])
def test_defended_against_duplicate_address_detection(registered: Campus, spoilt: bool) -> None:
    """RFC 4862 section 5.4.3, RFC 4861 section 7.2.4: who probes the address hears from all-nodes that it is taken.

    Some mobile nodes come home by the answer, and their probe's checksum is wrong.
    """
    campus = registered
    before = punted(campus)
    probe = solicitation(NEIGHBOUR, HOME_ADDRESS, source="::", with_option=False)
    if spoilt:
        probe[ICMPv6ND_NS].cksum = 0x233B
    with NEIGHBOUR.recording() as prober, LOCAL.recording() as local:
        prober.send(probe)
        for recorder in (prober, local):
            answer = advertisement(recorder, HOME_ADDRESS)
            assert_proxied(answer, campus.bridge_mac, ALL_NODES, ALL_NODES_MAC, solicited=False)
    assert punted(campus) == before + 1


def test_other_nodes_answer_for_themselves(registered: Campus) -> None:
    """Solicitations for a host, and for the home agent's own address, take their usual way."""
    campus = registered
    before, counted = punted(campus), campus.switch.counted()
    with NEIGHBOUR.recording() as recorder:
        for address, mac in ((LOCAL.address, LOCAL.mac), (HOME_AGENT, campus.bridge_mac)):
            recorder.send(solicitation(NEIGHBOUR, address))
            answer = advertisement(recorder, address)
            assert (answer.src, answer[IPv6].src) == (mac, address)
            assert answer[ICMPv6NDOptDstLLAddr].lladdr == mac
    counted.wait_for({(Table.PROXY_REPLY, ""): 0, (Table.PROXY_SEND, ""): 0})
    assert punted(campus) == before


@pytest.mark.parametrize(
    "invalid",
    [{"hop_limit": 254}, {"code": 1}, {"hop_limit": 254, "with_option": False}, {"hop_limit": 254, "source": "::"}],
    ids=["hop limit", "code", "hop limit without option", "hop limit of a probe"],
)
def test_invalid_solicitations_are_ignored(registered: Campus, invalid: dict[str, Any]) -> None:
    """RFC 4861 section 7.1.1: a hop limit below 255 means that it came through a router."""
    campus = registered
    before, counted = punted(campus), campus.switch.counted()
    with NEIGHBOUR.recording() as recorder:
        recorder.send(solicitation(NEIGHBOUR, HOME_ADDRESS, **invalid))
        # What is asked later is answered: by the switch, and by the controller.
        for with_option in (True, False):
            recorder.send(solicitation(NEIGHBOUR, SECOND_HOME_ADDRESS, with_option=with_option))
        counted.wait_for({(Table.PROXY_REPLY, ""): 2})
        advertisement(recorder, SECOND_HOME_ADDRESS)
        assert not [packet for packet in recorder.packets() if is_answer(packet, HOME_ADDRESS)]
    assert punted(campus) == before + 1


def test_probe_with_an_option_is_ignored(registered: Campus) -> None:
    """RFC 4861 section 7.1.1: without a source address there is no link-layer address to tell either."""
    campus = registered
    before, counted = punted(campus), campus.switch.counted()
    with NEIGHBOUR.recording() as recorder:
        recorder.send(solicitation(NEIGHBOUR, HOME_ADDRESS, source="::"))
        recorder.send(solicitation(NEIGHBOUR, SECOND_HOME_ADDRESS, source="::", with_option=False))
        recorder.wait_for(
            lambda frame: is_advertisement(frame, SECOND_HOME_ADDRESS) and not frame[ICMPv6ND_NA].O, "an answer"
        )
        answers = [packet for packet in recorder.packets() if is_advertisement(packet, HOME_ADDRESS)]
    assert not [answer for answer in answers if not answer[ICMPv6ND_NA].O]  # others are announcements
    counted.wait_for({(Table.PROXY_SEND, ""): 0})
    assert punted(campus) == before + 2


def test_link_local_address_with_the_l_bit(campus: Campus) -> None:
    """10.3.1, 10.4.1: with L the link-local address is tested and defended too, without L no longer."""
    mobile = campus.mobile
    before = punted(campus)
    with LOCAL.recording() as recorder:
        assert mobile.register(flags="AHL", home_address=THIRD_HOME_ADDRESS) == 0
        for target in (THIRD_HOME_ADDRESS, LINK_LOCAL_HOME_ADDRESS):
            probe = recorder.wait_for(lambda f, t=target: ICMPv6ND_NS in f and f[ICMPv6ND_NS].tgt == t, "a probe")
            assert probe[IPv6].src == "::"
            announced = advertisement(recorder, target)
            assert_proxied(announced, campus.bridge_mac, ALL_NODES, ALL_NODES_MAC, solicited=False, override=True)
    with NEIGHBOUR.recording() as recorder:
        recorder.send(solicitation(NEIGHBOUR, LINK_LOCAL_HOME_ADDRESS))
        answer = recorder.wait_for(lambda frame: is_answer(frame, LINK_LOCAL_HOME_ADDRESS), "an answer")
    assert_proxied(answer, campus.bridge_mac, NEIGHBOUR.address, NEIGHBOUR.mac)
    assert punted(campus) == before

    assert mobile.register(flags="AH", home_address=THIRD_HOME_ADDRESS) == 0
    with NEIGHBOUR.recording() as recorder:
        for target in (LINK_LOCAL_HOME_ADDRESS, THIRD_HOME_ADDRESS):
            recorder.send(solicitation(NEIGHBOUR, target))
        recorder.wait_for(lambda frame: is_answer(frame, THIRD_HOME_ADDRESS), "an answer")
        assert not [packet for packet in recorder.packets() if is_answer(packet, LINK_LOCAL_HOME_ADDRESS)]
