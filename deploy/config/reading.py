"""Reading values of the configuration file: a reader takes a value and its path, and returns what it means.

A field of a section names its reader in the annotation: ``port: Annotated[int, integer(1, 65535)] = 6653``.
"""

from __future__ import annotations

import difflib
import math
import re
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from functools import cache
from ipaddress import ip_address
from typing import Any, Final, TypeVar, get_type_hints

from mip6core import addresses
from mip6core.addresses import Address, Prefix
from mip6core.errors import ConfigError

T = TypeVar("T")
Read = Callable[[Any, str], Any]  # (value from the file, its path there) -> checked value

MAX_DEVICE_NAME: Final = 15  # the kernel's IFNAMSIZ less the final zero, and the longest OpenFlow port name
_INFINITY_ON_THE_WIRE: Final = 0xFFFFFFFF  # RFC 4861 section 4.6.2


def wrong(path: str, expected: str, value: object) -> ConfigError:
    """The error for a value that is not what is expected. What is inside a section may be secret."""
    if value is None:
        shown = "nothing"
    elif isinstance(value, Mapping):
        shown = "a section"
    else:
        shown = "a list" if isinstance(value, list) else reprlib.repr(value)
    return ConfigError(path, f"{expected}, got {shown}")


def build(cls: type[T], value: Any, path: str) -> T:
    """Read a section of the file into its dataclass. ConfigError for unknown, missing and wrong keys."""
    if not isinstance(value, Mapping):
        raise wrong(path, "a section (keys with values)", value)
    known = {f.name: f for f in fields(cls)}  # type: ignore[arg-type]
    prefix = f"{path}." if path else ""
    for key in value:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known) or 'none yet'}"
            raise ConfigError(f"{prefix}{key}", f"a known key ({hint})")
    for name, key_field in known.items():
        if name not in value and key_field.default is MISSING:
            raise ConfigError(f"{prefix}{name}", "a value: this key is required")
    readers = _readers(cls)  # type: ignore[arg-type]
    return cls(**{name: readers[name](value[name], prefix + name) for name in known if name in value})


@cache
def _readers(cls: type[Any]) -> dict[str, Read]:
    """The reader of each field. Python evaluates the annotations anew each time it is asked for them."""
    hints = get_type_hints(cls, include_extras=True)
    return {key_field.name: hints[key_field.name].__metadata__[0] for key_field in fields(cls)}


def section(cls: type[Any]) -> Read:
    return lambda value, path: build(cls, value, path)


def optional(read: Read) -> Read:
    return lambda value, path: None if value is None else read(value, path)


def several(read: Read, least: int = 0) -> Read:
    """A list of different entries."""

    def read_all(value: Any, path: str) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) < least:
            raise wrong(path, "a list with at least one entry" if least else "a list", value)
        entries: dict[Any, int] = {}  # a list may be of thousands of mobile nodes, so no search in it
        for index, given in enumerate(value):
            entry = read(given, f"{path}[{index}]")
            if entries.setdefault(entry, index) != index:
                raise wrong(f"{path}[{index}]", f"another entry than {path}[{entries[entry]}]", given)
        return tuple(entries)

    return read_all


def flag(value: Any, path: str) -> bool:
    if not isinstance(value, bool):
        raise wrong(path, "true or false", value)
    return value


def integer(low: int, high: int, unit: str = "") -> Read:
    """A whole number; `unit` is for the error."""

    def read(value: Any, path: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise wrong(path, f"a whole number{unit and ' of ' + unit} from {low} to {high}", value)
        return value

    return read


def number(low: float, high: float, unit: str = "") -> Read:
    """A number, whole or not; `unit` is for the error. One with a point is a text in the file as it is read."""

    def read(value: Any, path: str) -> float:
        if isinstance(value, str) and re.fullmatch(r"[0-9]*\.[0-9]+", value, re.ASCII):
            value = float(value)
        # Written so that NaN, which is not less than anything, is refused.
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise wrong(path, f"a number{unit and ' of ' + unit} from {low:g} to {high:g}", value)
        return float(value)

    return read


def choice(*choices: str) -> Read:
    def read(value: Any, path: str) -> str:
        if value not in choices:
            raise wrong(path, " or ".join(choices), value)
        return str(value)

    return read


def name(value: Any, path: str) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", value):
        raise wrong(path, "a name of 1 to 64 letters, digits, dots, dashes and underscores", value)
    return value


def device(value: Any, path: str) -> str:
    """A name of a network device that needs no quoting anywhere; the kernel itself would take more."""
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]*", value):
        raise wrong(path, "a device name of letters, digits and . _ - + @", value)
    if len(value) > MAX_DEVICE_NAME:
        raise wrong(path, f"a device name of at most {MAX_DEVICE_NAME} characters", value)
    return value


def prefix_lifetime(value: Any, path: str) -> float:
    """Seconds; what is all ones on the wire is the word infinity in the file."""
    if value == "infinity":
        return math.inf
    return float(integer(0, _INFINITY_ON_THE_WIRE - 1, "seconds (or infinity)")(value, path))


def listen(value: Any, path: str) -> str:
    """An address to listen at."""
    try:
        if not isinstance(value, str):
            raise ValueError
        return str(ip_address(value))
    except ValueError:
        raise wrong(path, "an IPv4 or IPv6 address", value) from None


def address(value: Any, path: str) -> Address:
    """A unicast address that is good beyond its link."""
    parsed = _parse(value, path)
    if not addresses.is_unicast_routable(parsed):
        raise wrong(path, "a routable unicast address", value)
    return parsed


def next_hop(value: Any, path: str) -> Address:
    parsed = _parse(value, path)
    return parsed if addresses.is_link_local(parsed) else address(value, path)


def _parse(value: Any, path: str) -> Address:
    try:
        if not isinstance(value, str):  # the standard library takes numbers for addresses, too
            raise ValueError
        return addresses.parse(value)
    except ValueError:
        raise wrong(path, "an IPv6 address", value) from None


def prefix(value: Any, path: str) -> Prefix:
    try:
        if not isinstance(value, str):
            raise ValueError
        parsed = Prefix.parse(value)
    except ValueError:
        raise wrong(path, "an IPv6 prefix such as 2001:db8:1::/64, no bits set behind it", value) from None
    if not 1 <= parsed.length <= 127 or not addresses.is_unicast_routable(parsed.network[:15] + b"\x01"):
        raise wrong(path, "a prefix of routable unicast addresses, with a length from 1 to 127", value)
    return parsed


def address_or_prefix(value: Any, path: str) -> Prefix:
    """An address stands for itself alone."""
    if isinstance(value, str) and "/" in value:
        return prefix(value, path)
    return Prefix(address(value, path), 128)


def datapath_id(value: Any, path: str) -> int:
    """16 hexadecimal digits, or a number. Digits alone that could be either are not guessed at."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**15:
        return value
    if isinstance(value, str) and re.fullmatch(r"[0-9a-fA-F]{16}", value) and int(value, 16):
        return int(value, 16)
    raise wrong(path, 'a datapath id of 16 hexadecimal digits in quotes, as in "00000000000000a1"', value)
