"""The cases as data: what the YAML files of this folder hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

_HERE: Final = Path(__file__).resolve().parent
HOME_AGENT, CORRESPONDENT = "home agent", "correspondent node"
ROLES: Final = (HOME_AGENT, CORRESPONDENT)
# By role: the catalogue, and ours.
_FILES: Final = {
    HOME_AGENT: ("cases.yaml", "more_cases.yaml"),
    CORRESPONDENT: ("correspondent_cases.yaml", "more_correspondent_cases.yaml"),
}


@dataclass(frozen=True)
class Case:
    """One case."""

    id: str
    role: str  # of the node under test
    number: int  # its addresses are made of it
    title: str
    family: str
    links: tuple[str, ...]  # kinds of link it is run on
    ipsec: str  # none, carrier (the case is about something else) or essential
    reference: str
    note: str
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def from_catalogue(self) -> bool:
        return not self.id.startswith("MORE_")

    @property
    def protected(self) -> bool:
        """Whether the mobile node and the home agent use ESP. The catalogue's do; ours go in clear, to have both."""
        return self.ipsec == "essential" or (self.ipsec == "carrier" and self.from_catalogue)


def _load() -> dict[str, Case]:
    found: dict[str, Case] = {}
    for role, files in _FILES.items():
        contents = [yaml.safe_load((_HERE / file).read_text(encoding="utf-8")) for file in files]
        families = {name: entry for content in contents for name, entry in content["families"].items()}
        for name, entry in ((name, entry) for content in contents for name, entry in content["cases"].items()):
            family = families[entry["family"]]
            found[name] = Case(
                name,
                role,
                len(found) + 1,
                entry["title"],
                entry["family"],
                tuple(entry["link"].split("+")),
                family.get("ipsec", "none"),
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
