"""Messages of discovery as scapy makes them."""

from __future__ import annotations

from scapy.layers.inet6 import (
    HAO,
    ICMPv6HAADReply,
    ICMPv6HAADRequest,
    ICMPv6MPSol,
    ICMPv6ND_RA,
    ICMPv6NDOptHAInfo,
    ICMPv6NDOptPrefixInfo,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
    IPv6ExtHdrDestOpt,
    in6_chksum,
)
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from tests.flows.campus import HOME_AGENT
from tests.flows.stations import MobileNode, Recorder, Station

ALL_NODES, ALL_NODES_MAC = "ff02::1", "33:33:00:00:00:01"
MOBILE_PREFIX_ADVERTISEMENT = 147


def address_request(node: MobileNode, destination: str, identifier: int) -> Packet:
    """A Home Agent Address Discovery Request from the node's care-of address, in its frame."""
    frame = Ether(src=node.at.mac, dst=node.at.router_mac)
    return frame / IPv6(src=node.at.care_of_address, dst=destination) / ICMPv6HAADRequest(id=identifier)


def ask(node: MobileNode, destination: str, identifier: int) -> Packet:
    """The IPv6 packet of the reply."""
    with node.recording() as recorder:
        recorder.send(address_request(node, destination, identifier))
        return reply(recorder, identifier)[IPv6]


def reply(recorder: Recorder, identifier: int) -> Packet:
    """The frame of a reply, seen or yet to come."""
    return recorder.wait_for(
        lambda frame: ICMPv6HAADReply in frame and frame[ICMPv6HAADReply].id == identifier,
        f"the reply to request {identifier}",
    )


def prefix_solicitation(
    node: MobileNode, identifier: int, home_address: str | None = None, home_agent: str = HOME_AGENT
) -> Packet:
    """A Mobile Prefix Solicitation in its frame. scapy computes no checksum over a Home Address option here."""
    home = home_address or node.home_address
    message = ICMPv6MPSol(id=identifier, cksum=0)
    message.cksum = in6_chksum(58, IPv6(src=home, dst=home_agent), bytes(message))
    packet = IPv6(src=node.at.care_of_address, dst=home_agent) / IPv6ExtHdrDestOpt(options=[HAO(hoa=home)]) / message
    return Ether(src=node.at.mac, dst=node.at.router_mac) / packet


def is_prefix_advertisement(frame: Packet, identifier: int) -> bool:
    """scapy does not look behind a Type 2 Routing header for it, so the octets tell."""
    octets = bytes(frame[IPv6])
    if octets[6] != 43 or octets[40] != 58 or octets[64] != MOBILE_PREFIX_ADVERTISEMENT:
        return False
    return int.from_bytes(octets[68:70], "big") == identifier


def router_advertisement(
    sender: Station,
    link_local: str,
    address: str,
    *,
    preference: int | None = None,
    lifetime: int = 1800,
    router_lifetime: int = 1800,
    home_agent: int = 1,
) -> Packet:
    """What another home agent on the link sends."""
    frame = Ether(src=sender.mac, dst=ALL_NODES_MAC) / IPv6(src=link_local, dst=ALL_NODES, hlim=255)
    frame /= ICMPv6ND_RA(H=home_agent, routerlifetime=router_lifetime) / ICMPv6NDOptSrcLLAddr(lladdr=sender.mac)
    frame /= ICMPv6NDOptPrefixInfo(
        prefix=address, prefixlen=64, R=1, L=1, A=0, validlifetime=3600, preferredlifetime=3600
    )
    if preference is not None:
        frame /= ICMPv6NDOptHAInfo(pref=preference, lifetime=lifetime)
    return frame
