"""Registrations that UMIP's mobile node and correspondent agreed on: the same authenticators come out here."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from mip6core.addresses import Prefix
from mip6core.codec import ipv6, mh
from mip6core.codec.mh import BindingAcknowledgement, BindingUpdate
from mip6core.correspondent_link import CorrespondentLink
from mip6core.correspondent_replies import binding_acknowledgement
from mip6core.correspondent_update import CorrespondentUpdate, read
from mip6core.return_routability import is_authentic
from tests.unit.engine.wire import address

VECTORS = json.loads((Path(__file__).resolve().parents[2] / "vectors" / "return_routability.json").read_text())
LINK = CorrespondentLink("office", address("2001:db8:cc::ff"), (Prefix.parse("2001:db8:cc::/64"),))


def key(vector: dict[str, str | None]) -> bytes:
    """Kbm of the tokens: they end the Home Test and the Care-of Test."""
    tests = [vector["home_test"], vector["care_of_test"]]
    return hashlib.sha1(b"".join(bytes.fromhex(test)[-8:] for test in tests if test)).digest()


def updated(vector: dict[str, str | None]) -> CorrespondentUpdate:
    datagram = ipv6.parse(bytes.fromhex(vector["binding_update"] or ""))
    message = mh.parse(datagram.upper, datagram.checksum_source, datagram.checksum_destination)
    assert isinstance(message, BindingUpdate)
    return read(LINK, datagram, message)


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_the_binding_update_is_authentic(vector: dict[str, str | None]) -> None:
    update = updated(vector)
    assert update.deletion == (vector["care_of_test"] is None)
    arguments = update.care_of_address, update.correspondent, update.covered
    assert is_authentic(update.authenticator, key(vector), *arguments)
    assert not is_authentic(update.authenticator, key(vector)[::-1], *arguments)


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_the_same_acknowledgement_is_built(vector: dict[str, str | None]) -> None:
    update = updated(vector)
    theirs = ipv6.parse(bytes.fromhex(vector["binding_acknowledgement"] or ""))
    units = int.from_bytes(theirs.upper[10:12], "big")
    action = binding_acknowledgement(
        LINK,
        update.correspondent,
        update.home_address,
        update.reply_to,
        BindingAcknowledgement(0, 0, update.sequence, units),
        (key(vector), update.care_of_address),
        after_flows=False,
    )
    ours = ipv6.parse(action.packet)
    assert ours.upper.hex() == theirs.upper.hex()
    assert (ours.destination, ours.type2_home_address) == (theirs.destination, theirs.type2_home_address)
