"""Inputs from inputs: steps are added, left out and changed, and what is changed is often made right again further out.

Without right lengths and checksums nearly everything would end at the first look.
"""

from __future__ import annotations

import hashlib
import hmac
import random
from collections.abc import Sequence
from typing import Final

from mip6core import addresses
from mip6core.codec import checksum, ipv6
from mip6core.constants import ESP, ICMPV6, MOBILITY_HEADER
from mip6core.errors import ParseError
from tests.fuzz import site
from tests.fuzz.steps import DELAYS, KINDS, MAX_STEPS, Op, Step

ETHERNET: Final = 14
INTERESTING: Final = (0, 1, 2, 7, 8, 16, 40, 41, 43, 44, 50, 58, 59, 60, 64, 127, 128, 135, 255)
ADDRESSES: Final = tuple(
    addresses.parse(text)
    for text in (
        *(site.HOME_AGENT, site.HOME_ADDRESS, site.PROTECTED, site.SIGNED, site.CARE_OF, site.OTHER_CARE_OF),
        *(
            site.CORRESPONDENT,
            site.ROUTER,
            site.ANYCAST,
            site.VIRTUAL_HOME,
            site.VIRTUAL_AGENT,
            "::",
            "ff02::1",
            "fe80::1",
        ),
    )
)
REPAIRED: Final = 0.8  # of all changed frames
CHECKSUM_AT: Final = {MOBILITY_HEADER: 4, ICMPV6: 2}


def mutated(steps: Sequence[Step], others: Sequence[Sequence[Step]], chance: random.Random) -> list[Step]:
    """One to four changes."""
    found = list(steps)
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 4))):
        _change(found, others, chance)
    return found[:MAX_STEPS]


def _change(steps: list[Step], others: Sequence[Sequence[Step]], chance: random.Random) -> None:
    what = chance.random()
    place = chance.randrange(len(steps) + 1)
    if what < 0.08 or not steps:
        steps.insert(place, (Op.WAIT, chance.randrange(len(DELAYS)), b""))
    elif what < 0.18:
        other = chance.choice(others)
        if other:
            start = chance.randrange(len(other))
            steps[place:place] = other[start : start + chance.randint(1, 4)]
    elif what < 0.24:
        del steps[chance.randrange(len(steps))]
    elif what < 0.30:
        steps.insert(place, chance.choice(steps))
    elif what < 0.33:
        steps.insert(place, (chance.choice((Op.CLEAR, Op.RECONNECT, Op.REFUSE)), chance.randrange(2), b""))
    else:
        index = chance.randrange(len(steps))
        op, number, data = steps[index]
        if op in (Op.HOME_PUNT, Op.VIRTUAL_PUNT) and what < 0.40:
            number = chance.randrange(3 * len(KINDS))
        elif op != Op.WAIT:
            data = changed(data, others, chance)
        steps[index] = (op, number, data)


def changed(data: bytes, others: Sequence[Sequence[Step]], chance: random.Random) -> bytes:
    """Some octets of a frame, or of another message."""
    octets = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        place = chance.randrange(len(octets) + 1)
        what = chance.randrange(9)
        if what == 0:
            octets[place:place] = chance.randbytes(chance.choice((1, 2, 4, 8, 16, 32)))
        elif what == 1:
            del octets[place : place + chance.choice((1, 2, 4, 8, 16, 64))]
        elif what == 2:
            address = chance.choice(ADDRESSES)
            octets[place : place + 16] = address
        elif what == 3:
            other = chance.choice(chance.choice(others) or [(Op.WAIT, 0, b"")])[2]
            start = chance.randrange(len(other) + 1)
            octets[place:] = other[start:]
        elif what == 4:
            # Offsets of real fields: in the header, at the start of what follows, in an option
            place = ETHERNET + chance.choice((4, 6, 7, 8, 24, 40, 41, 42, 43, 44, 46, 48, 64, 65, 66, 70, 72, 76))
            if place < len(octets):
                octets[place] = chance.choice(INTERESTING)
        elif place < len(octets):
            flipped = octets[place] ^ 1 << chance.randrange(8)
            octets[place] = chance.choice((chance.randrange(256), chance.choice(INTERESTING), flipped))
    octets = octets[:1600]
    return repaired(bytes(octets)) if chance.random() < REPAIRED else bytes(octets)


def repaired(frame: bytes) -> bytes:
    """With right lengths of the packet and, as far as that can be told, of its Mobility Header; checksums, ICV."""
    if len(frame) < ETHERNET + 40:
        return frame
    packet = bytearray(frame[ETHERNET:])
    packet[0] = packet[0] & 0x0F | 0x60
    packet[4:6] = (len(packet) - 40 & 0xFFFF).to_bytes(2, "big")
    try:
        datagram = ipv6.parse(bytes(packet))
    except ParseError:
        return frame[:ETHERNET] + bytes(packet)
    upper, protocol = bytearray(datagram.upper), datagram.upper_protocol
    if protocol == ESP and len(upper) > site.ICV:
        upper[-site.ICV :] = hmac.digest(site.INTEGRITY_KEY, bytes(upper[: -site.ICV]), hashlib.sha1)[: site.ICV]
    elif protocol in CHECKSUM_AT and len(upper) >= 8:
        if protocol == MOBILITY_HEADER:
            upper[1] = len(upper) // 8 - 1 & 0xFF
        at = CHECKSUM_AT[protocol]
        upper[at : at + 2] = b"\0\0"
        ends = datagram.checksum_source, datagram.checksum_destination
        upper[at : at + 2] = checksum.upper_layer(*ends, protocol, bytes(upper)).to_bytes(2, "big")
    return frame[:ETHERNET] + bytes(packet[: datagram.upper_offset]) + bytes(upper)
