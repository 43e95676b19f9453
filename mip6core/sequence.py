"""Comparison of Binding Update sequence numbers (RFC 6275 section 9.5.1)."""

from __future__ import annotations


def is_newer(received: int, last: int) -> bool:
    """Whether `received` comes after `last`, both 16 bits wide and compared modulo 2**16.

    The last number and the 32,768 values before it count as old: after 15 these are 0 to 15 and 32783 to
    65535.
    """
    return 0 < (received - last) & 0xFFFF < 0x8000
