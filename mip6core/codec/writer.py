"""Bytes under construction, with the padding that options of IPv6 and of the Mobility Header share."""

from __future__ import annotations

# What fills a gap of n octets: nothing, Pad1, PadN (RFC 8200 section 4.2; RFC 6275 sections 6.2.2 and 6.2.3)
PADDING = (b"", b"\0", *(bytes((1, count - 2)) + bytes(count - 2) for count in range(2, 8)))


class Writer:
    """Appends to a growing packet part; offsets count from its first octet."""

    __slots__ = ("data",)

    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray(data)

    def write(self, data: bytes) -> None:
        """Append `data`."""
        self.data += data

    def align(self, modulus: int, remainder: int) -> None:
        """Pad until the length is `modulus` * n + `remainder`; `modulus` is 1, 2, 4 or 8."""
        self.data += PADDING[(remainder - len(self.data)) & (modulus - 1)]
