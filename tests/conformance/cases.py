"""The cases as data: what `cases.yaml` and `known_failures.yaml` hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

_HERE: Final = Path(__file__).resolve().parent
_FILES: Final = ("cases.yaml", "more_cases.yaml")  # the catalogue, and ours


@dataclass(frozen=True)
class Case:
    """One case."""

    id: str
    number: int  # its addresses are made of it
    title: str
    family: str
    links: tuple[str, ...]  # kinds of home link it is run on
    ipsec: str  # none, carrier (the case is about something else) or essential
    reference: str
    note: str
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def from_catalogue(self) -> bool:
        return self.id.startswith("HA_")

    @property
    def protected(self) -> bool:
        """Whether the mobile node and the home agent use ESP. The catalogue's do; ours go in clear, to have both."""
        return self.ipsec == "essential" or (self.ipsec == "carrier" and self.from_catalogue)


def _load() -> dict[str, Case]:
    contents = [yaml.safe_load((_HERE / file).read_text(encoding="utf-8")) for file in _FILES]
    families = {**contents[0]["families"], **contents[1]["families"]}
    cases = {**contents[0]["cases"], **contents[1]["cases"]}
    found: dict[str, Case] = {}
    for number, (name, entry) in enumerate(cases.items(), start=1):
        family = families[entry["family"]]
        found[name] = Case(
            name,
            number,
            entry["title"],
            entry["family"],
            tuple(entry["link"].split("+")),
            family["ipsec"],
            family["reference"],
            family.get("note", ""),
            entry.get("with", {}),
        )
    return found


CASES: Final = _load()


@dataclass(frozen=True)
class KnownFailure:
    """Why a case does not pass yet, and the deviations that come of it."""

    because: str
    problem: str  # a regular expression


def _known_failures() -> dict[str, KnownFailure]:
    content = yaml.safe_load((_HERE / "known_failures.yaml").read_text(encoding="utf-8"))
    reasons = {key: KnownFailure(**reason) for key, reason in (content["reasons"] or {}).items()}
    return {name: reasons[key] for name, key in (content["cases"] or {}).items()}


KNOWN_FAILURES: Final = _known_failures()
