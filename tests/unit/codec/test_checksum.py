"""The checksum against scapy's."""

from __future__ import annotations

import random

import pytest
from scapy.layers.inet6 import IPv6, in6_chksum

from mip6core import addresses
from mip6core.codec import checksum

SOURCE = addresses.parse("2001:db8:f1::5")
DESTINATION = addresses.parse("2001:db8:100::1")
HEADER = IPv6(src="2001:db8:f1::5", dst="2001:db8:100::1")


@pytest.mark.parametrize("length", [*range(33), 1232, 1233, 9000, 65535])
@pytest.mark.parametrize("protocol", [58, 135])
def test_as_scapy(length: int, protocol: int) -> None:
    data = random.Random(length).randbytes(length)
    expected = in6_chksum(protocol, HEADER, data)
    assert checksum.upper_layer(SOURCE, DESTINATION, protocol, data) == expected


def test_sum_of_all_ones_gives_zero() -> None:
    # The checksum field is the complement of a sum folded into 16 bits, so both of these are 0, never 0xFFFF
    plain = checksum.upper_layer(SOURCE, DESTINATION, 135, bytes(2))
    data = plain.to_bytes(2, "big")
    assert checksum.upper_layer(SOURCE, DESTINATION, 135, data) == 0
    assert in6_chksum(135, HEADER, data) == 0


def test_right_and_wrong_checksums() -> None:
    data = bytearray(random.Random(1).randbytes(40))
    data[4:6] = bytes(2)
    data[4:6] = in6_chksum(135, HEADER, bytes(data)).to_bytes(2, "big")
    assert checksum.upper_layer(SOURCE, DESTINATION, 135, bytes(data)) == 0
    assert checksum.upper_layer(SOURCE, DESTINATION, 58, bytes(data)) != 0
    for index in range(len(data)):
        wrong = bytearray(data)
        wrong[index] ^= 0x10
        assert checksum.upper_layer(SOURCE, DESTINATION, 135, bytes(wrong)) != 0
