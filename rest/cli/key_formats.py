"""Security associations in the words of the mobile node's system: `ip xfrm`, setkey, UMIP.

Each format is a list of files: what their names end with, and their text. In all of them `inbound` is towards the home
agent, as in its own configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from deploy.config.associations import BINDING, GCM, PREFIX_DISCOVERY, RETURN_ROUTABILITY, AssociationConfig

_MH: Final = 135
_ICMPV6: Final = 58
# Protocol, type to the home agent, type to the mobile node
_MESSAGES: Final = {BINDING: (_MH, 5, 6), PREFIX_DISCOVERY: (_ICMPV6, 146, 147), RETURN_ROUTABILITY: (_MH, 1, 3)}
_UMIP_POLICY: Final = {
    BINDING: "HomeRegBinding",
    PREFIX_DISCOVERY: "MobPfxDisc",
    RETURN_ROUTABILITY: "TunnelHomeTesting",
}
_LAST: Final = 10000  # priority of a policy behind all that the script or UMIP makes
_KERNEL_CIPHER: Final = {"aes-cbc": "cbc(aes)", "3des-cbc": "cbc(des3_ede)", "null": "ecb(cipher_null)"}


@dataclass(frozen=True)
class Agreement:
    """What both ends are told. Addresses are text."""

    home_address: str
    home_agent: str
    associations: tuple[AssociationConfig, ...]


@dataclass(frozen=True)
class _One:
    """One direction of an association."""

    association: AssociationConfig
    outbound: bool  # from the home agent
    request: int  # the number that ties it to a policy

    @property
    def tunnel(self) -> bool:
        return self.association.kind == RETURN_ROUTABILITY

    @property
    def mode(self) -> str:
        return "tunnel" if self.tunnel else "transport"

    def ends(self, mobile_node: str, home_agent: str) -> tuple[str, str]:
        return (home_agent, mobile_node) if self.outbound else (mobile_node, home_agent)


def _directions(agreement: Agreement) -> Iterator[_One]:
    for index, association in enumerate(agreement.associations):
        yield _One(association, False, 2 * index + 1)
        yield _One(association, True, 2 * index + 2)


def _hex(key: bytes) -> str:
    return "0x" + key.hex()


def ip_xfrm(agreement: Agreement) -> list[tuple[str, str]]:
    """A script for iproute2 on Linux. Its argument is the care-of address of now, the tunnel's end."""
    lines = ["#!/bin/sh -e", "# Run at the mobile node, as root, with the care-of address; again after each move.", ""]
    lines += ["care_of=${1:?usage: $0 CARE_OF_ADDRESS}", ""]
    for one in _directions(agreement):
        association = one.association
        ends = one.ends('"$care_of"' if one.tunnel else agreement.home_address, agreement.home_agent)
        lines += _ip_xfrm_state(one, ends)
        protocol, request, reply = _MESSAGES[association.kind]
        far = "::/0" if one.tunnel else f"{agreement.home_agent}/128"
        source, destination = one.ends(f"{agreement.home_address}/128", far)
        message = "" if association.selector == "protocol" else f" type {reply if one.outbound else request}"
        selector = f"src {source} dst {destination} proto {protocol}{message} dir {'in' if one.outbound else 'out'}"
        template = f"src {ends[0]} dst {ends[1]} proto esp reqid {one.request} mode {one.mode} level required"
        lines.append(f"ip xfrm policy update {selector} tmpl {template}")
        lines += [*_any_mobility_header(agreement, one), ""]
    return [("xfrm.sh", "\n".join(lines))]


def _ip_xfrm_state(one: _One, ends: tuple[str, str]) -> Iterator[str]:
    """Commands that put one direction into the kernel, in place of an older one with its number."""
    association = one.association
    direction = association.outbound if one.outbound else association.inbound
    if association.encryption == GCM:
        algorithms = f"aead 'rfc4106(gcm(aes))' {_hex(direction.encryption_key)} 128"
    else:
        hash_name, bits = _hash(association)
        key = _hex(direction.encryption_key) if direction.encryption_key else "''"
        algorithms = f"auth-trunc 'hmac({hash_name})' {_hex(direction.integrity_key)} {bits}"
        algorithms += f" enc '{_KERNEL_CIPHER[association.encryption]}' {key}"
    state = f"src {ends[0]} dst {ends[1]} proto esp spi {direction.spi:#x}"
    yield f"ip xfrm state delete {state} 2>/dev/null || true"
    yield f"ip xfrm state add {state} reqid {one.request} mode {one.mode} {algorithms}"


def _any_mobility_header(agreement: Agreement, one: _One) -> Iterator[str]:
    """A second policy for Home Tests that arrive.

    Linux (up to 6.7; later versions do not look at all) finds the type of a Mobility Header that arrives only behind
    another extension header. A Home Test has none, matches no policy that names its type, and what came by a tunnel
    and matches no policy is dropped. This one matches everything of the protocol and, as acknowledgements of
    correspondents are among it, takes the tunnel without asking for it.
    """
    if one.tunnel and one.outbound:
        selector = f"src ::/0 dst {agreement.home_address}/128 proto {_MH} dir in priority {_LAST}"
        yield f"ip xfrm policy update {selector} tmpl src :: dst :: proto esp reqid {one.request} mode tunnel level use"


def setkey(agreement: Agreement) -> list[tuple[str, str]]:
    """A file for `setkey -f`. It cannot select Mobility Headers by their type."""
    lines = [
        "# Load at the mobile node with setkey -f. CARE_OF_ADDRESS is where it is now; load again after each move."
    ]
    for one in _directions(agreement):
        lines.append(_setkey_add(agreement, one))
        protocol, request, reply = _MESSAGES[one.association.kind]
        source, destination = one.ends(agreement.home_address, "::/0" if one.tunnel else agreement.home_agent)
        upper = str(protocol) if protocol == _MH else f"icmp6 {reply if one.outbound else request},0"
        way = "in" if one.outbound else "out"
        end_points = "-".join(one.ends("CARE_OF_ADDRESS", agreement.home_agent)) if one.tunnel else ""
        rule = f"esp/{one.mode}/{end_points}/unique:{one.request}"
        lines += [f"spdadd {source} {destination} {upper} -P {way} ipsec {rule};", ""]
    return [("setkey.conf", "\n".join(lines))]


def umip(agreement: Agreement) -> list[tuple[str, str]]:
    """For UMIP: policies for mip6d.conf, and a script for the keys (iproute2). mip6d moves the tunnel's end."""
    policies = ["UseMnHaIPsec enabled;", "IPsecPolicySet {"]
    policies += [f"    HomeAgentAddress {agreement.home_agent};", f"    HomeAddress {agreement.home_address}/64;"]
    for index, association in enumerate(agreement.associations):
        requests = f"{2 * index + 1} {2 * index + 2}"
        policies.append(f"    IPsecPolicy {_UMIP_POLICY[association.kind]} UseESP {requests};")
    keys = ["#!/bin/sh -e", "# Run at the mobile node, as root, before mip6d starts.", ""]
    for one in _directions(agreement):
        keys += _ip_xfrm_state(one, one.ends(agreement.home_address, agreement.home_agent))
        keys += _any_mobility_header(agreement, one)
    return [("mip6d.conf", "\n".join([*policies, "}", ""])), ("sa.sh", "\n".join([*keys, ""]))]


def _setkey_add(agreement: Agreement, one: _One) -> str:
    association = one.association
    direction = association.outbound if one.outbound else association.inbound
    ends = one.ends("CARE_OF_ADDRESS" if one.tunnel else agreement.home_address, agreement.home_agent)
    cipher = f"-E {association.encryption} {_hex(direction.encryption_key)}" if direction.encryption_key else "-E null"
    integrity = f"-A hmac-{_hash(association)[0]} {_hex(direction.integrity_key)}"
    head = f"add {ends[0]} {ends[1]} esp {direction.spi:#x} -u {one.request} -m {one.mode}"
    return f"{head} {cipher} {integrity};"


def _hash(association: AssociationConfig) -> tuple[str, str]:
    """Hash and bits of the Integrity Check Value: hmac-sha256-128."""
    assert association.integrity is not None
    _, name, bits = association.integrity.split("-")
    return name, bits


FORMATS: Final[dict[str, Callable[[Agreement], list[tuple[str, str]]]]] = {
    "ip-xfrm": ip_xfrm,
    "setkey": setkey,
    "umip": umip,
}
BY_PROTOCOL: Final = ("setkey",)  # formats that cannot select Mobility Headers by their type
WITHOUT_GCM: Final = ("setkey",)
# What setkey puts into Linux as hmac-sha256 has 96 bits of Integrity Check Value, and not the 128 of RFC 4868.
CUT_SHORT: Final = {"setkey": ("hmac-sha256-128",)}
DEFAULT_INTEGRITY: Final = {"ip-xfrm": "hmac-sha256-128", "setkey": "hmac-sha512-256", "umip": "hmac-sha256-128"}
