"""Binding Updates to a correspondent: authorisation, sequence numbers, nonces, de-registration."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from tests.conformance import wire
from tests.conformance.campaign import family
from tests.conformance.correspondent_tester import A, Change, CorrespondentTester, H, unchanged
from tests.conformance.families.return_routability import MULTICAST_SOURCE, parameter_problem, put
from tests.conformance.tokens import AUTHENTICATOR, Tokens

LINK_LOCAL_SOURCE: Final = "fe80::6275"


@family("creg-basic")
def registration(tester: CorrespondentTester) -> None:
    care_of_address = tester.care_of[0]
    tokens = tester.return_routability(care_of_address)
    found = tester.register(care_of_address, 100, tokens)
    tester.check(found.lifetime == 10, f"lifetime {found.lifetime}, 10 requested")


@family("ro-traffic")
def traffic(tester: CorrespondentTester) -> None:
    tester.creg(tester.care_of[0])
    tester.optimised(tester.care_of[0])
    tester.bound(tester.care_of[0])


@family("cdereg-foreign-altcoa")
def deregistration_away(tester: CorrespondentTester) -> None:
    care_of_address = tester.care_of[0]
    tester.creg(care_of_address)
    tester.bound(care_of_address)
    tokens, since = Tokens(tester.home_test()), tester.mark()
    alternate = care_of_address if tester.case.parameters.get("alternate") == "source" else tester.home_address
    tester.send(tester.binding_update(care_of_address, 101, tokens, lifetime=0, alternate=alternate))
    tester.deleted(care_of_address, 101, tokens, since)
    tester.unbound(care_of_address)


@family("cdereg-home")
def deregistration_at_home(tester: CorrespondentTester) -> None:
    """From the home link; a Home Address option with the source as its value is as good as none."""
    home_address = tester.home_address
    parameters = tester.case.parameters
    tester.creg(tester.care_of[0])
    tester.bound(tester.care_of[0])
    tokens, since = Tokens(tester.home_test()), tester.mark()
    option = home_address if parameters["option"] else None
    alternate = home_address if parameters["alternate"] else None
    update = tester.binding_update(home_address, 101, tokens, lifetime=0, home_address=option, alternate=alternate)
    tester.send(update)
    tester.deleted(home_address, 101, tokens, since, at_home=True)
    tester.plain()


@family("chandover")
def handover(tester: CorrespondentTester) -> None:
    first, second = tester.care_of
    tester.creg(first, 100)
    tester.bound(first)
    tester.creg(second, 101)
    tester.optimised(second)
    tester.bound(second)


@family("cmulti")
def several(tester: CorrespondentTester) -> None:
    other = tester.another()
    tester.creg(tester.care_of[0])
    other.creg(other.care_of[1])
    tester.bound(tester.care_of[0])
    other.bound(other.care_of[1])


@family("cbu-field")
def wrong_field(tester: CorrespondentTester) -> None:
    """Payload Proto or Header Len; the pointer is behind the 24 octets of destination options (9.2)."""
    care_of_address, at = tester.care_of[0], tester.case.parameters["at"]
    tokens = tester.return_routability(care_of_address)
    since = tester.mark()
    change = put(at, tester.case.parameters["value"])
    tester.send(tester.binding_update(care_of_address, 100, tokens, before=change))
    parameter_problem(tester, care_of_address, 64 + at, since)
    tester.unbound(care_of_address)


UNKNOWN_OPTION: Final = (200, b"unknown")

IGNORED: Final[dict[str, Change]] = {
    "reserved octet": put(3, 0xFF),
    "reserved bits": lambda header: put(9, 0xFF)(put(8, header[8] | 0x0F)(header)),
    "K": lambda header: put(8, header[8] | 0x10)(header),
    "unknown option": unchanged,  # see below
    "L": lambda header: put(8, header[8] | 0x20)(header),
}


@family("cbu-ignored")
def ignored_part(tester: CorrespondentTester) -> None:
    care_of_address = tester.care_of[0]
    tokens = tester.return_routability(care_of_address)
    since = tester.mark()
    part = tester.case.parameters["part"]
    more = [UNKNOWN_OPTION] if part == "unknown option" else []
    tester.send(tester.binding_update(care_of_address, 100, tokens, before=IGNORED[part], more=more))
    tester.registered(care_of_address, 100, tokens, since)
    tester.bound(care_of_address)


def longer(units: int) -> Change:
    return lambda header: put(1, header[1] + units)(header)


def damaged(header: bytes) -> bytes:
    return header[:-1] + bytes((header[-1] ^ 1,))


def shortened(header: bytes) -> bytes:
    """An authenticator of 4 octets, right as far as it goes."""
    return header[: -AUTHENTICATOR - 1] + b"\x04" + header[-AUTHENTICATOR : -AUTHENTICATOR + 4]


# What is done before the authenticator is computed, and after it.
FAULTS: Final[dict[str, tuple[Change, Change]]] = {
    "padding behind": (longer(1), lambda header: header + bytes((wire.PADN, 6)) + bytes(6)),
    "an option behind": (longer(1), lambda header: header + bytes((200, 6)) + bytes(6)),
    "wrong": (unchanged, damaged),
    "short": (longer(-1), shortened),
}


@family("cbu-auth")
def authorization(tester: CorrespondentTester) -> None:
    """Binding Authorization Data that is not as it must be: silence, and no binding (9.5.1)."""
    care_of_address = tester.care_of[0]
    tokens = tester.return_routability(care_of_address)
    for sequence, fault in enumerate(tester.case.parameters["faults"], start=100):
        since = tester.mark()
        if fault == "missing":
            indices = [(wire.NONCE_INDICES, tokens.nonce_indices)]
            tester.send(tester.binding_update(care_of_address, sequence, None, more=indices))
        else:
            before, after = FAULTS[fault]
            tester.send(tester.binding_update(care_of_address, sequence, tokens, before=before, after=after))
        tester.silent(f"for an authorisation that is {fault}", since)
    tester.unbound(care_of_address)


@family("cbu-no-nonce")
def no_nonce_indices(tester: CorrespondentTester) -> None:
    care_of_address = tester.care_of[0]
    tokens = tester.return_routability(care_of_address)
    since = tester.mark()
    tester.send(tester.binding_update(care_of_address, 100, tokens, nonce_indices=False))
    tester.silent("without Nonce Indices", since)
    tester.unbound(care_of_address)


@family("cbu-h-with-nonce")
def home_registration_with_nonce_indices(tester: CorrespondentTester) -> None:
    care_of_address = tester.care_of[0]
    tokens = tester.return_routability(care_of_address)
    since = tester.mark()
    tester.send(tester.binding_update(care_of_address, 100, tokens, flags=A | H))
    tester.silent("for a home registration with Nonce Indices", since)
    tester.unbound(care_of_address)


@family("cbu-src-invalid")
def unusable_source(tester: CorrespondentTester) -> None:
    care_of_address = tester.care_of[0]
    tokens = tester.return_routability(care_of_address)
    for source in (MULTICAST_SOURCE, LINK_LOCAL_SOURCE):
        since = tester.mark()
        tester.send(tester.binding_update(source, 100, tokens))
        tester.silent(f"for a Binding Update from {source}", since, source, tester.home_address, care_of_address)
    tester.unbound(care_of_address)


@family("cdereg-src-invalid")
def deregistration_from_unusable_source(tester: CorrespondentTester) -> None:
    care_of_address = tester.care_of[0]
    tester.creg(care_of_address)
    tester.bound(care_of_address)
    tokens = Tokens(tester.home_test())
    for source in (MULTICAST_SOURCE, LINK_LOCAL_SOURCE):
        since = tester.mark()
        update = tester.binding_update(
            source, 101, tokens, lifetime=0, home_address=None, care_of_address=tester.home_address
        )
        tester.send(update)
        tester.silent(f"for a de-registration from {source}", since, source, tester.home_address, care_of_address)
    tester.optimised(care_of_address)


@family("cbu-altcoa-same")
def alternate_is_source(tester: CorrespondentTester) -> None:
    care_of_address = tester.care_of[0]
    tokens = tester.return_routability(care_of_address)
    since = tester.mark()
    tester.send(tester.binding_update(care_of_address, 100, tokens, alternate=care_of_address))
    tester.registered(care_of_address, 100, tokens, since)
    tester.bound(care_of_address)


def aged(tester: CorrespondentTester, care_of_address: str) -> Tokens:
    """Tokens of which those named by the case have become old."""
    old, wait = tester.case.parameters["old"], tester.case.parameters["wait"]
    home = tester.home_test() if "home" in old else None
    care_of = tester.care_of_test(care_of_address) if "care-of" in old else None
    tester.wait(wait)
    return Tokens(home or tester.home_test(), care_of or tester.care_of_test(care_of_address))


@family("nonce", "cba-a0-nonce")
def nonce(tester: CorrespondentTester) -> None:
    """Nonces are good for MAX_NONCE_LIFETIME at most (5.2.7); what is too old is said, without authorisation."""
    parameters = tester.case.parameters
    care_of_address, away = tester.care_of[0], parameters.get("deregistration")
    if away:
        tester.creg(care_of_address, lifetime=105)
        tester.bound(care_of_address)
    tokens = aged(tester, care_of_address)
    source = tester.home_address if away == "home" else care_of_address
    option = None if away == "home" else tester.home_address
    flags = 0 if tester.case.family == "cba-a0-nonce" else A
    lifetime = 0 if away else 10
    authorization = replace(tokens, deletion=away is not None)
    since = tester.mark()
    update = tester.binding_update(
        source, 101, authorization, lifetime=lifetime, flags=flags, home_address=option,
        alternate=source if away == "foreign" else None,
    )  # fmt: skip
    tester.send(update)
    status = parameters["status"]
    accepted, at_home = status == 0, away == "home"
    registered = tester.home_address if away else care_of_address
    found = tester.acknowledged(
        source, since, authorization if accepted else None, at_home=at_home, care_of_address=registered
    )
    tester.refused(found, status, 101)
    if accepted == (away is None):
        tester.bound(care_of_address)
        tester.optimised(care_of_address)
    else:
        tester.unbound(care_of_address)


@family("cseq-valid")
def newer_sequence(tester: CorrespondentTester) -> None:
    parameters = tester.case.parameters
    tokens = tester.creg(tester.care_of[0], parameters["first"])
    tester.register(tester.care_of[0], parameters["second"], tokens)


@family("cseq-invalid")
def older_sequence(tester: CorrespondentTester) -> None:
    """Status 135 tells the last number, with authorisation (9.5.1, 9.5.4)."""
    parameters = tester.case.parameters
    care_of_address = tester.care_of[0]
    tokens = tester.creg(care_of_address, parameters["first"])
    since = tester.mark()
    flags = A if parameters.get("acknowledge", True) else 0
    tester.send(tester.binding_update(care_of_address, parameters["second"], tokens, flags=flags))
    tester.refused(tester.acknowledged(care_of_address, since, tokens), 135, parameters["first"])
    tester.bound(care_of_address)


@family("cseq-first")
def first_sequence(tester: CorrespondentTester) -> None:
    tester.creg(tester.care_of[0], tester.case.parameters["first"])


@family("cba-a0-ok")
def no_acknowledgement(tester: CorrespondentTester) -> None:
    care_of_address = tester.care_of[0]
    tokens = tester.return_routability(care_of_address)
    since = tester.mark()
    tester.send(tester.binding_update(care_of_address, 100, tokens, flags=0))
    tester.silent("for a Binding Update without A", since)
    tester.bound(care_of_address)


@family("type-change")
def type_change(tester: CorrespondentTester) -> None:
    care_of_address = tester.care_of[0]
    tester.creg(care_of_address)
    tester.bound(care_of_address)
    since = tester.mark()
    tester.send(tester.binding_update(care_of_address, 101, None, flags=A | H, lifetime=1))
    seen = tester.answer(care_of_address, since)
    tester.routed(seen, "the acknowledgement")
    status = wire.Acknowledgement.of(seen).status
    tester.check(status == 139, f"status {status}, not 139")
    tester.wait(4.5)
    tester.bound(care_of_address)
