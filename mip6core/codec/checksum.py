"""The Internet checksum with the IPv6 pseudo-header (RFC 8200 section 8.1, RFC 6275 section 6.1.1)."""

from __future__ import annotations

from mip6core.addresses import Address


def upper_layer(source: Address, destination: Address, protocol: int, data: bytes) -> int:
    """The checksum of `data`, whose checksum field is zero; 0 of data that has its right checksum inside.

    `protocol` is the pseudo-header's Next Header.
    """
    # One big integer stands for the sum of its 16-bit words: 2**16 is 1 modulo 0xFFFF, so every word has
    # weight 1. For the same reason length and protocol may be added anywhere instead of being laid out as in
    # the RFC. All that counts is word alignment: the addresses have it, and odd data gets a zero octet.
    length = len(data)
    if length & 1:
        data += b"\0"
    return -(int.from_bytes(source + destination + data, "big") + length + protocol) % 0xFFFF
