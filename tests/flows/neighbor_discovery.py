"""Neighbor Discovery as scapy makes and reads it."""

from __future__ import annotations

import socket

from scapy.layers.inet6 import (
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
    in6_getnsma,
    in6_getnsmac,
)
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from tests.flows.campus import HOME_AGENT
from tests.flows.stations import Recorder, Station

ALL_NODES = "ff02::1"
ALL_NODES_MAC = "33:33:00:00:00:01"


def solicitation(
    asker: Station,
    target: str,
    *,
    source: str | None = None,
    unicast_to: str | None = None,
    with_option: bool = True,
    hop_limit: int = 255,
    code: int = 0,
) -> Packet:
    """A Neighbor Solicitation in its frame: multicast, or unicast to a MAC address."""
    octets = socket.inet_pton(socket.AF_INET6, target)
    group, group_mac = in6_getnsma(octets), in6_getnsmac(in6_getnsma(octets))
    packet = IPv6(
        src=source or asker.address,
        dst=target if unicast_to else socket.inet_ntop(socket.AF_INET6, group),
        hlim=hop_limit,
    )
    packet /= ICMPv6ND_NS(tgt=target, code=code)
    if with_option:
        packet /= ICMPv6NDOptSrcLLAddr(lladdr=asker.mac)
    return Ether(src=asker.mac, dst=unicast_to or group_mac) / packet


def advertisement(recorder: Recorder, target: str) -> Packet:
    """The frame of the first advertisement for a target, seen or yet to come."""
    return recorder.wait_for(lambda frame: is_advertisement(frame, target), f"an advertisement for {target}")


def is_advertisement(packet: Packet, target: str) -> bool:
    return ICMPv6ND_NA in packet and packet[ICMPv6ND_NA].tgt == target


def is_answer(packet: Packet, target: str) -> bool:
    """An advertisement that somebody has asked for; announcements of a home agent go to all nodes, unasked."""
    return is_advertisement(packet, target) and packet[ICMPv6ND_NA].S == 1


def assert_proxied(
    frame: Packet,
    mac: str,
    to: str,
    to_mac: str,
    *,
    solicited: bool = True,
    override: bool = False,
) -> None:
    """An advertisement as a home agent sends it for a mobile node (10.4.1, RFC 4861 sections 4.4, 7.1.2, 7.2.8)."""
    packet, message = frame[IPv6], frame[ICMPv6ND_NA]
    assert (frame.src, frame.dst) == (mac, to_mac)
    assert (packet.src, packet.dst, packet.hlim, message.code) == (HOME_AGENT, to, 255, 0)
    assert (message.R, message.S, message.O, message.res) == (0, int(solicited), int(override), 0)
    assert message[ICMPv6NDOptDstLLAddr].lladdr == mac
    assert packet.plen == 32  # the message with this one option
    again = packet.copy()
    del again[ICMPv6ND_NA].cksum
    assert bytes(again)[:72] == bytes(packet)[:72]  # scapy makes the same checksum
