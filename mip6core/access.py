"""Which home addresses may register from where: the operator's rules, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mip6core.addresses import Address, Prefix
from mip6core.status import BindingAcknowledgementStatus

ALLOWED: Final = 0  # in place of a status to refuse with


@dataclass(frozen=True, slots=True)
class AccessRule:
    """Fits a registration whose home address and care-of address are both among those listed."""

    home_addresses: frozenset[Address] = frozenset()
    home_prefixes: tuple[Prefix, ...] = ()  # together with `home_addresses`; neither: every home address
    care_of_prefixes: tuple[Prefix, ...] = ()  # none: every care-of address
    status: int = ALLOWED  # of the acknowledgement that refuses, 128 or more
    max_lifetime: int | None = None  # seconds, at least 4

    def fits(self, home_address: Address, care_of_address: Address) -> bool:
        """Whether the rule is about this registration."""
        if (self.home_addresses or self.home_prefixes) and not (
            home_address in self.home_addresses or _within(home_address, self.home_prefixes)
        ):
            return False
        return not self.care_of_prefixes or _within(care_of_address, self.care_of_prefixes)


@dataclass(frozen=True, slots=True)
class AccessList:
    """The first rule that fits decides."""

    rules: tuple[AccessRule, ...]
    default: AccessRule = AccessRule(status=int(BindingAcknowledgementStatus.ADMINISTRATIVELY_PROHIBITED))

    def find(self, home_address: Address, care_of_address: Address) -> AccessRule:
        """The rule that decides."""
        for rule in self.rules:
            if rule.fits(home_address, care_of_address):
                return rule
        return self.default


def _within(address: Address, prefixes: tuple[Prefix, ...]) -> bool:
    for prefix in prefixes:  # noqa: SIM110 - every handover comes here
        if prefix.contains(address):
            return True
    return False
