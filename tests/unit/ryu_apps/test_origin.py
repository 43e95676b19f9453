"""What the match of a packet-in tells, and a packet put back into the form it had on the wire; scapy is the judge."""

import ipaddress

import pytest
from scapy.layers.inet6 import HAO, ICMPv6EchoRequest, IPv6, IPv6ExtHdrDestOpt

from ryu_apps.of_compat import parser
from ryu_apps.origin import Origin, with_home_address_option

HOME, CARE_OF, OWN = "2001:db8:1::100", "2001:db8:f1::100", "2001:db8:1::2"


def packed(address: str) -> bytes:
    return ipaddress.IPv6Address(address).packed


def fields(**match: object) -> bytes:
    """The fields of a match as Ryu builds it."""
    buffer = bytearray()
    made = parser.OFPMatch(**match)
    made.serialize(buffer, 0)
    return bytes(buffer[4 : made.length])


def test_of_a_packet_out_of_the_tunnel() -> None:
    found = fields(in_port=0xFFFFFFFE, tunnel_id=1, tun_ipv6_dst=OWN, tun_ipv6_src=CARE_OF, reg2=10)
    assert Origin.of(found) == Origin(0xFFFFFFFE, packed(CARE_OF))
    assert Origin.of(fields(in_port=0xFFFFFFFE, reg1=1)) == Origin(0xFFFFFFFE, from_tunnel=True)


def test_of_a_packet_of_a_host() -> None:
    assert Origin.of(fields(in_port=7, reg2=10)) == Origin(7)


@pytest.mark.parametrize("length", range(60))
def test_any_octets(length: int) -> None:
    """A switch is no stranger, but must not be able to crash the controller either."""
    octets = fields(in_port=7, tun_ipv6_src=CARE_OF)
    Origin.of(octets[:length])
    Origin.of(octets[length:])


def test_back_to_the_wire() -> None:
    taken = IPv6(src=HOME, dst=OWN, hlim=61, tc=0x28, fl=0x12345) / ICMPv6EchoRequest(id=5, seq=6, data=b"data")
    wire = IPv6(src=CARE_OF, dst=OWN, hlim=61, tc=0x28, fl=0x12345) / IPv6ExtHdrDestOpt(options=[HAO(hoa=HOME)])
    wire /= ICMPv6EchoRequest(bytes(taken)[40:])
    assert with_home_address_option(bytes(taken), packed(CARE_OF)) == bytes(wire)
