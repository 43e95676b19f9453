"""Binding Updates to a correspondent, beyond the catalogue."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from tests.conformance import wire
from tests.conformance.campaign import family
from tests.conformance.correspondent_tester import A, CorrespondentTester
from tests.conformance.tokens import Token, Tokens

NEVER_ISSUED: Final = 1000  # nonces ahead of the present one
PATIENCE: Final = 45.0  # seconds: longer than a nonce is given out (5.2.7)


@family("cbu-key")
def wrong_key(tester: CorrespondentTester) -> None:
    """A registration needs both tokens, a deletion the home token alone (5.2.5); else the authenticator is wrong."""
    care_of_address = tester.care_of[0]
    tokens = tester.return_routability(care_of_address)
    since = tester.mark()
    tester.send(tester.binding_update(care_of_address, 100, replace(tokens, deletion=True)))
    tester.silent("for a registration with the home token alone", since)
    tester.unbound(care_of_address)
    tester.register(care_of_address, 101, tokens)
    since = tester.mark()
    tester.send(tester.binding_update(care_of_address, 102, tokens, lifetime=0))
    tester.silent("for a deletion with both tokens", since)
    tester.bound(care_of_address)


@family("cbu-stolen")
def tokens_of_others(tester: CorrespondentTester) -> None:
    """Tokens count for their home address, care-of address and correspondent alone (5.2.5, 6.2.7)."""
    care_of_address, elsewhere = tester.care_of
    other = tester.another()
    mine, theirs = tester.return_routability(care_of_address), other.return_routability(other.care_of[0])
    at_another = tester.towards(tester.site.hosts[1]).return_routability(care_of_address)
    stolen = {
        "another's tokens": theirs,
        "another's home token": Tokens(theirs.home, mine.care_of),
        "another's care-of token": Tokens(mine.home, theirs.care_of),
        "home and care-of token exchanged": Tokens(mine.care_of or mine.home, mine.home),
        "tokens of another correspondent": at_another,
    }
    for what, tokens in stolen.items():
        since = tester.mark()
        tester.send(tester.binding_update(care_of_address, 100, tokens))
        tester.silent(f"for {what}", since)
    since = tester.mark()
    tester.send(tester.binding_update(elsewhere, 100, mine))
    tester.silent("for tokens of another care-of address", since)
    tester.unbound(care_of_address)
    tester.unbound(elsewhere)


@family("cbu-alternate")
def alternate_care_of_address(tester: CorrespondentTester) -> None:
    """An Alternate Care-of Address is the care-of address; the acknowledgement goes to the source (9.5.1, 9.5.4)."""
    source, alternate = tester.care_of
    tokens = tester.return_routability(alternate)
    since = tester.mark()
    tester.send(tester.binding_update(source, 100, tokens, alternate=alternate))
    tester.registered(alternate, 100, tokens, since, source=source)
    tester.bound(alternate)
    tester.optimised(alternate)
    tester.unbound(source)


@family("cbu-alternate-untested")
def alternate_without_test(tester: CorrespondentTester) -> None:
    """The Care-of Test must have been for the alternate address (5.2.6): or anybody could be flooded."""
    source, victim = tester.care_of
    tokens = tester.return_routability(source)
    since = tester.mark()
    tester.send(tester.binding_update(source, 100, tokens, alternate=victim))
    tester.silent("for an alternate care-of address without a test", since)
    tester.send(tester.binding_update(source, 101, tokens, alternate=victim, care_of_address=source))
    tester.silent("for an alternate care-of address without a test", since)
    tester.plain()
    tester.unbound(source)


@family("cbu-bad-home-address")
def unusable_home_address(tester: CorrespondentTester) -> None:
    """A home address must be unicast routable (9.3.1, 9.5.1)."""
    care_of_address = tester.care_of[0]
    tokens = tester.return_routability(care_of_address)
    for home_address in tester.case.parameters["addresses"]:
        since = tester.mark()
        tester.send(tester.binding_update(care_of_address, 100, tokens, home_address=home_address))
        tester.silent(f"for the home address {home_address}", since, care_of_address, home_address)


@family("cbu-bad-alternate")
def unusable_alternate(tester: CorrespondentTester) -> None:
    """A care-of address must be unicast routable (6.1.7)."""
    care_of_address = tester.care_of[0]
    tokens = tester.return_routability(care_of_address)
    for alternate in tester.case.parameters["addresses"]:
        since = tester.mark()
        tester.send(tester.binding_update(care_of_address, 100, tokens, alternate=alternate))
        tester.silent(f"for the care-of address {alternate}", since, care_of_address, alternate)
    tester.unbound(care_of_address)


@family("nonce-unknown")
def unknown_nonce(tester: CorrespondentTester) -> None:
    """Indices of nonces that were never given out are no better than old ones (9.5.1)."""
    care_of_address, unknown = tester.care_of[0], tester.case.parameters["unknown"]
    tokens = tester.return_routability(care_of_address)
    assert tokens.care_of is not None

    def stale(token: Token, kind: str) -> Token:
        return replace(token, index=(token.index + NEVER_ISSUED) % 65536) if kind in unknown else token

    wrong = Tokens(stale(tokens.home, "home"), stale(tokens.care_of, "care-of"))
    since = tester.mark()
    tester.send(tester.binding_update(care_of_address, 100, wrong))
    found = tester.acknowledged(care_of_address, since, None)
    tester.refused(found, tester.case.parameters["status"], 100)
    tester.unbound(care_of_address)
    tester.register(care_of_address, 101, tokens)


@family("cdereg-nonce-ignored")
def care_of_nonce_of_a_deletion(tester: CorrespondentTester) -> None:
    """The care-of nonce index of a deletion is ignored (9.5.1)."""
    care_of_address = tester.care_of[0]
    tester.creg(care_of_address)
    tokens = Tokens(tester.home_test(), Token(0xFFFF, bytes(8)), deletion=True)
    since = tester.mark()
    tester.send(tester.binding_update(care_of_address, 101, tokens, lifetime=0))
    tester.deleted(care_of_address, 101, tokens, since)
    tester.unbound(care_of_address)


@family("cdereg-plain")
def deregistration(tester: CorrespondentTester) -> None:
    """De-registration from away without more ado; without A it is not acknowledged."""
    care_of_address = tester.care_of[0]
    acknowledge = tester.case.parameters["acknowledge"]
    tester.creg(care_of_address)
    tester.bound(care_of_address)
    since = tester.mark()
    tester.deregister(care_of_address, 101, flags=A if acknowledge else 0)
    if not acknowledge:
        tester.quiet(lambda seen: seen.is_mobility(wire.BA), "for a de-registration without A", since)
    tester.unbound(care_of_address)
    tester.plain()


@family("cdereg-unknown")
def deregistration_without_binding(tester: CorrespondentTester) -> None:
    """Accepted, and nothing comes of it (9.5.3)."""
    tester.deregister(tester.care_of[0], 100)
    tester.unbound(tester.care_of[0])
    tester.plain()


@family("cdereg-badseq")
def stale_deregistration(tester: CorrespondentTester) -> None:
    care_of_address = tester.care_of[0]
    tester.creg(care_of_address, 100)
    tokens, since = Tokens(tester.home_test()), tester.mark()
    tester.send(tester.binding_update(care_of_address, 99, tokens, lifetime=0))
    found = tester.acknowledged(care_of_address, since, tokens, care_of_address=tester.home_address)
    tester.refused(found, 135, 100)
    tester.bound(care_of_address)


@family("cdereg-badseq-home")
def stale_deregistration_at_home(tester: CorrespondentTester) -> None:
    """The refusal goes to the home address without a routing header, past the binding (9.5.4)."""
    home_address = tester.home_address
    tester.creg(tester.care_of[0], 100)
    tokens, since = Tokens(tester.home_test()), tester.mark()
    tester.send(tester.binding_update(home_address, 99, tokens, lifetime=0, home_address=None))
    found = tester.acknowledged(home_address, since, tokens, at_home=True)
    tester.refused(found, 135, 100)
    tester.bound(tester.care_of[0])


@family("replay")
def replay(tester: CorrespondentTester) -> None:
    """A Binding Update that somebody has kept does not bring its binding back (5.2.8, 9.5.3)."""
    first, second = tester.care_of
    after = tester.case.parameters["after"]
    tokens = tester.return_routability(first)
    update = tester.binding_update(first, 100, tokens, lifetime=1 if after == "expiry" else 10)
    since = tester.mark()
    tester.send(update)
    tester.registered(first, 100, tokens, since)
    if after == "deletion":
        tester.deregister(first, 101)
    elif after == "handover":
        tester.creg(second, 101)
    else:
        tester.wait(5)
    tester.unbound(first)
    tester.send(update)
    tester.unbound(first)
    if after == "handover":
        tester.bound(second)
    else:
        tester.plain()


@family("cdereg-again")
def registration_after_deregistration(tester: CorrespondentTester) -> None:
    """A mobile node that comes back is served again: elsewhere at once, at the same place when new nonces are out."""
    first, second = tester.care_of
    tester.creg(first, 100)
    tester.deregister(first, 101)
    tester.creg(second, 102)
    tester.bound(second)
    tester.deregister(second, 103)
    deadline, sequence = tester.mark() + PATIENCE, 103
    while True:
        sequence += 1
        tokens, since = tester.return_routability(first), tester.mark()
        tester.send(tester.binding_update(first, sequence, tokens))
        answer = tester.inbox.find(lambda seen, since=since: seen.is_mobility(wire.BA), since, 1.0)
        if answer is not None and wire.Acknowledgement.of(answer).status == 0:
            tester.bound(first)
            return
        if tester.mark() > deadline:
            tester.check(False, f"{answer or 'no answer'} to a registration some time after a de-registration")
            return
        tester.wait(5)


@family("cseq-repeated")
def repeated(tester: CorrespondentTester) -> None:
    """The same Binding Update once more, octet by octet, is told the number that it has (9.5.1)."""
    care_of_address = tester.care_of[0]
    tokens = tester.return_routability(care_of_address)
    update = tester.binding_update(care_of_address, 7, tokens)
    since = tester.mark()
    tester.send(update)
    tester.registered(care_of_address, 7, tokens, since)
    since = tester.mark()
    tester.send(update)
    tester.refused(tester.acknowledged(care_of_address, since, tokens), 135, 7)
    tester.bound(care_of_address)


@family("cseq-forgotten")
def any_sequence_again(tester: CorrespondentTester) -> None:
    """Where there is no binding any sequence number is good (9.5.1), once the nonces are other ones (5.2.8)."""
    care_of_address = tester.care_of[0]
    if tester.case.parameters["after"] == "expiry":
        tester.creg(care_of_address, 1000, lifetime=1)
    else:
        tester.creg(care_of_address, 1000)
        tester.deregister(care_of_address, 1001)
    tester.wait(PATIENCE)
    tester.creg(care_of_address, 5)
    tester.bound(care_of_address)
