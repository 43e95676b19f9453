"""De-registration from away and at home."""

from __future__ import annotations

import time

from tests.conformance import wire
from tests.conformance.campaign import family
from tests.conformance.tester import MAX_DELETE_BCE_TIMEOUT, Tester
from tests.conformance.wire import Acknowledgement


def flags(tester: Tester) -> str:
    return "AH" if tester.case.parameters["acknowledge"] else "H"


def gone(tester: Tester, found: Acknowledgement, sequence: int) -> None:
    """Check the acknowledgement of a de-registration, and that nothing is left when the entry may be forgotten."""
    tester.check(found.status == 0, f"status {found.status} for a de-registration")
    tester.check(found.lifetime == 0, f"lifetime {found.lifetime} for a de-registration")
    tester.check(found.sequence == sequence, f"sequence number {found.sequence}, not {sequence}")
    advice = [option for option in found.options if option.type == wire.BINDING_REFRESH_ADVICE]
    tester.check(not advice, "refresh advice for a de-registration")
    time.sleep(MAX_DELETE_BCE_TIMEOUT + 0.5)
    tester.site.home.disown(tester.home_address) if not tester.site.kind.virtual else None
    tester.unbound(tester.care_of[0])


@family("dereg-foreign")
def away(tester: Tester) -> None:
    care_of_address = tester.care_of[0]
    tester.reg(care_of_address, 15)
    tester.bound(care_of_address)
    since = tester.mark()
    tester.send_far(tester.binding_update(care_of_address, 16, lifetime=0, flags=flags(tester)))
    gone(tester, tester.acknowledged_away(care_of_address, since), 16)


@family("dereg-home")
def at_home(tester: Tester) -> None:
    tester.reg(tester.care_of[0], 15)
    tester.bound(tester.care_of[0])
    tester.arrive_home()
    since = tester.mark()
    tester.send_home(tester.binding_update(tester.home_address, 16, lifetime=0, flags=flags(tester)))
    gone(tester, tester.acknowledged_at_home(since), 16)


@family("dereg-unknown-foreign")
def unknown_away(tester: Tester) -> None:
    care_of_address = tester.care_of[0]
    since = tester.mark()
    tester.send_far(tester.binding_update(care_of_address, 15, lifetime=0, flags=flags(tester)))
    tester.refused(tester.acknowledged_away(care_of_address, since), 133, 15)
    tester.unbound(care_of_address)


@family("dereg-unknown-home-nohao")
def unknown_at_home(tester: Tester) -> None:
    tester.arrive_home()
    since = tester.mark()
    home = tester.home_address
    update = tester.binding_update(home, 15, lifetime=0, flags=flags(tester), home_address_option=None)
    tester.send_home(update)
    tester.refused(tester.acknowledged_at_home(since), 133, 15)
    tester.unbound(tester.care_of[0])


@family("dereg-badseq")
def stale_at_home(tester: Tester) -> None:
    tester.reg(tester.care_of[0], 15)
    tester.bound(tester.care_of[0])
    tester.arrive_home()
    since = tester.mark()
    tester.send_home(tester.binding_update(tester.home_address, 14, lifetime=0, flags=flags(tester)))
    tester.refused(tester.acknowledged_at_home(since), 135, 15)
    tester.bound(tester.care_of[0])
