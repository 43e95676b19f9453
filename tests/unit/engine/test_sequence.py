"""Sequence numbers modulo 2**16 (RFC 6275 section 9.5.1)."""

from __future__ import annotations

import pytest

from mip6core.sequence import is_newer


@pytest.mark.parametrize("received", [*range(16), 32783, 32784, 40000, 65535])
def test_the_example_of_the_rfc_is_old(received: int) -> None:
    assert not is_newer(received, 15)


@pytest.mark.parametrize("received", [16, 17, 1000, 32781, 32782])
def test_all_others_are_newer(received: int) -> None:
    assert is_newer(received, 15)


def test_every_number_against_every_corner() -> None:
    """Exactly the 32,767 numbers after the last one are newer, wherever the counter wraps."""
    for last in (0, 1, 15, 32767, 32768, 32783, 65534, 65535):
        newer = {(last + step) % 65536 for step in range(1, 32768)}
        assert {received for received in range(65536) if is_newer(received, last)} == newer
