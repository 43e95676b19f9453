"""The table of a run, as `docs/conformance.md` has it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.conformance.campaign import Outcome
from tests.conformance.cases import CASES, ROLES, Case

TABLE: Final = Path(__file__).resolve().parents[2] / "docs" / "conformance.md"


def verdict(outcomes: Mapping[str, Outcome]) -> tuple[str, str]:
    """pass or fail, and the reason why not passed."""
    failed = {kind: outcome for kind, outcome in outcomes.items() if not outcome.passed}
    if not failed:
        return "pass", ""
    reasons = [f"{kind}: {outcome.reason}" if len(outcomes) > 1 else outcome.reason for kind, outcome in failed.items()]
    return "fail", "; ".join(reasons)


def table(found: Mapping[str, Mapping[str, Outcome]], seconds: float) -> str:
    """The document."""
    verdicts = {name: verdict(outcomes) for name, outcomes in found.items()}
    lines = [HEAD.format(seconds=seconds)]
    sections = [(role, from_catalogue) for role in ROLES for from_catalogue in (True, False)]
    for role, from_catalogue in sections:
        cases = [CASES[name] for name in found]
        names = [case.id for case in cases if (case.role, case.from_catalogue) == (role, from_catalogue)]
        heading = f"{role.capitalize()}: {'the catalogue' if from_catalogue else 'more of the same families'}"
        passed = sum(verdicts[name][0] == "pass" for name in names)
        lines += ["", f"## {heading}", "", f"{len(names)} cases: {passed} passed, {len(names) - passed} failed.", ""]
        lines.append("| case | link | title | reference | verdict | reason | seconds | note |")
        lines.append("|---|---|---|---|---|---|---|---|")
        lines += [_row(CASES[name], found[name], *verdicts[name]) for name in names]
    return "\n".join(lines) + "\n"


def _row(case: Case, outcomes: Mapping[str, Outcome], word: str, reason: str) -> str:
    took = max(outcome.seconds for outcome in outcomes.values())
    links = " and ".join(case.links)
    cells = (case.id, links, case.title, case.reference, word, reason, f"{took:.1f}", case.note)
    return "| " + " | ".join(" ".join(cell.replace("|", "/").split()) for cell in cells) + " |"


HEAD: Final = """\
# Conformance

A tester of raw sockets and scapy plays mobile nodes, correspondents, routers and home agents against a running
`mip6-manager` and Open vSwitch, and judges what is on the wire. The correspondent node under test is a plain Linux host
behind an edge bridge. The tester and its cases are in `tests/conformance/`.
This file is written by a run: `sudo deploy/test --labs 1 tests/conformance --conformance-table`.

The run took {seconds:.0f} seconds. The cases are those of a catalogue that follows the IPv6 Ready Logo tests for home
agents and correspondent nodes, which are about RFC 3775. Where RFC 6275 differs, it counts:

- The probe for "no binding" is an Echo Request in clear: under ESP, RFC 6275 section 9.3.1 lets it pass.
- After a de-registration that probe waits until the entry may be forgotten (section 10.3.2).
- Binding Refresh Advice must be lower than the lifetime, not at most equal (section 6.2.4).
- What makes a Binding Update a de-registration is its lifetime of 0. The care-of address may be the home address too,
  which by itself says the same to this home agent, as it did in RFC 3775.
- The unknown Mobility Header type is 255.

Signalling between mobile node and home agent travels in ESP (AES-CBC, HMAC-SHA-256, static keys) in the catalogue's
cases, and in clear in the others.
"""


_ROWS: Final = ("| HA_", "| CN-", "| MORE_")


def read_verdicts(document: str) -> dict[str, str]:
    """The verdicts of a table, by case."""
    rows = [line.split(" | ") for line in document.splitlines() if line.startswith(_ROWS)]
    return {row[0].removeprefix("| "): row[4] for row in rows}
