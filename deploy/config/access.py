"""The section `access`: which home addresses may register, from where and for how long."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Final

from deploy.config import reading as read
from mip6core.access import ALLOWED, AccessList, AccessRule
from mip6core.addresses import Prefix
from mip6core.constants import LIFETIME_UNIT
from mip6core.errors import ConfigError
from mip6core.status import BindingAcknowledgementStatus as Status

MAX_LIFETIME: Final = 0xFFFF * LIFETIME_UNIT  # seconds that the Lifetime field can say (RFC 6275 section 6.1.7)
STATUSES: Final = (Status.REASON_UNSPECIFIED, Status.INSUFFICIENT_RESOURCES)  # 128 to 130
ALL: Final = AccessRule()  # fits every registration, and allows it


@dataclass(frozen=True)
class AccessRuleConfig:
    """A rule fits where both addresses do; a key that is not given fits always. The first rule that fits decides."""

    home_addresses: Annotated[tuple[Prefix, ...], read.several(read.address_or_prefix, least=1)] = ()
    care_of_prefixes: Annotated[tuple[Prefix, ...], read.several(read.address_or_prefix, least=1)] = ()
    action: Annotated[str, read.choice("allow", "deny")] = "allow"
    max_lifetime: Annotated[int | None, read.optional(read.integer(LIFETIME_UNIT, MAX_LIFETIME, "seconds"))] = None
    # What a registration that is denied is answered with. Where the file does not say: 129.
    status: Annotated[int | None, read.optional(read.integer(*STATUSES))] = None


def _show_rule(rule: AccessRule) -> dict[str, Any]:
    allowed = rule.status == ALLOWED
    exact = [Prefix(address, 128) for address in sorted(rule.home_addresses)]
    given = AccessRuleConfig(
        (*exact, *rule.home_prefixes),
        rule.care_of_prefixes,
        "allow" if allowed else "deny",
        rule.max_lifetime,
        None if allowed else int(rule.status),
    )
    return {key: value for key, value in read.shown(given).items() if value not in ([], None)}


@read.takes(lambda: read.section_schema(AccessRuleConfig), _show_rule)
def rule(value: Any, path: str) -> AccessRule:
    """A rule, whose keys go together."""
    given = read.build(AccessRuleConfig, value, path)
    allowed = given.action == "allow"
    if allowed and given.status is not None:
        raise read.wrong(f"{path}.status", "no such key, or action: deny", given.status)
    if not allowed and given.max_lifetime is not None:
        raise read.wrong(f"{path}.max_lifetime", "no such key, or action: allow", given.max_lifetime)
    return AccessRule(
        frozenset(prefix.network for prefix in given.home_addresses if prefix.length == 128),
        tuple(prefix for prefix in given.home_addresses if prefix.length < 128),
        given.care_of_prefixes,
        ALLOWED if allowed else given.status or Status.ADMINISTRATIVELY_PROHIBITED,
        given.max_lifetime,
    )


@dataclass(frozen=True)
class AccessConfig:
    """The whole section."""

    rules: Annotated[tuple[AccessRule, ...], read.several(rule)] = ()
    # Where no rule fits. Where the file does not say: deny, unless there is no rule at all.
    default: Annotated[str | None, read.optional(read.choice("allow", "deny"))] = None


def _show(access_list: AccessList | None) -> dict[str, Any]:
    if access_list is None:
        return {"default": "allow"}
    default = "allow" if access_list.default.status == ALLOWED else "deny"
    return read.shown(AccessConfig(access_list.rules, default))


@read.takes(lambda: read.section_schema(AccessConfig), _show)
def access(value: Any, path: str) -> AccessList | None:
    """The section; None if it leaves everything open."""
    given = read.build(AccessConfig, value, path)
    default = given.default or ("deny" if given.rules else "allow")
    if default == "allow":
        return AccessList(given.rules, ALL) if given.rules else None
    return AccessList(given.rules)


def check_served(access_list: AccessList | None, served: Iterable[Prefix]) -> None:
    """A rule for home addresses that no home link has would never fit. ConfigError says which one."""
    prefixes = tuple(served)
    for index, given in enumerate(() if access_list is None else access_list.rules):
        exact = tuple(Prefix(address, 128) for address in given.home_addresses)
        for named in (*exact, *given.home_prefixes):
            if not any(prefix.contains(named.network) or named.contains(prefix.network) for prefix in prefixes):
                place = f"access.rules[{index}].home_addresses"
                raise ConfigError(place, f"home addresses of a home link, which {named} is not")
