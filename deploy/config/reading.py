"""Reading values of the configuration file: a reader takes a value and its path, and returns what it means.

A field of a section names its reader in the annotation: ``port: Annotated[int, integer(1, 65535)] = 6653``. A reader
also knows the JSON Schema of what it takes, and how to show what it has read.
"""

from __future__ import annotations

import difflib
import inspect
import math
import re
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache
from ipaddress import ip_address
from typing import Any, Final, TypeVar, get_type_hints

from mip6core import addresses
from mip6core.addresses import Address, Prefix
from mip6core.errors import ConfigError

T = TypeVar("T")
Read = Callable[[Any, str], Any]  # (value from the file, its path there) -> checked value
Schema = dict[str, Any]  # JSON Schema, draft 2020-12

HIDDEN: Final = "(hidden)"  # what is shown of a secret

MAX_DEVICE_NAME: Final = 15  # the kernel's IFNAMSIZ less the final zero, and the longest OpenFlow port name
_NAME: Final = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
_DEVICE: Final = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.@+-]*$")
ADDRESS: Final[Schema] = {"type": "string", "format": "ipv6"}
PREFIX: Final[Schema] = {"type": "string", "pattern": r"^[0-9A-Fa-f:.]+/[0-9]{1,3}$"}
_INFINITY_ON_THE_WIRE: Final = 0xFFFFFFFF  # RFC 4861 section 4.6.2


@dataclass(frozen=True, eq=False)
class Reader:
    """Reads a value; ConfigError if it is not what is expected."""

    read: Read
    schema: Callable[[], Schema]  # of the values that it takes; what JSON Schema cannot say is left out
    show: Callable[[Any], Any]  # what has been read as plain values, as the file could have them; secrets hidden

    def __call__(self, value: Any, path: str) -> Any:
        return self.read(value, path)


def takes(
    schema: Schema | Callable[[], Schema], show: Callable[[Any], Any] = lambda value: value
) -> Callable[[Read], Reader]:
    """Makes a function a reader."""
    make = schema if callable(schema) else lambda: dict(schema)
    return lambda read: Reader(read, make, show)


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
    readers = readers_of(cls)
    return cls(**{name: readers[name](value[name], prefix + name) for name in known if name in value})


def readers_of(cls: type[Any]) -> dict[str, Reader]:
    """The reader of each field of a section."""
    return _readers_of(cls)  # type: ignore[arg-type]


@cache
def _readers_of(cls: type[Any]) -> dict[str, Reader]:
    # Python evaluates the annotations anew each time it is asked for them.
    hints = get_type_hints(cls, include_extras=True)
    return {key_field.name: hints[key_field.name].__metadata__[0] for key_field in fields(cls)}


def shown(value: Any) -> dict[str, Any]:
    """A section as it could be in the file, with all its values."""
    return {key: reader.show(getattr(value, key)) for key, reader in readers_of(type(value)).items()}


def section_schema(cls: type[Any]) -> Schema:
    """JSON Schema of a section; what a key is for is said by the comment at its field."""
    comments = _comments(cls)
    properties = {}
    for key_field in fields(cls):
        reader = readers_of(cls)[key_field.name]
        schema = reader.schema()
        about = [comments.get(key_field.name, ""), schema.get("description", "")]
        if description := "; ".join(filter(None, about)):
            schema["description"] = description
        default = None if key_field.default is MISSING else reader.show(key_field.default)
        if isinstance(default, bool | int | float | str) and default != "":
            schema["default"] = default
        properties[key_field.name] = schema
    return {
        "type": "object",
        "description": inspect.cleandoc(cls.__doc__ or "").partition("\n\n")[0].replace("\n", " "),
        "properties": properties,
        "required": [key_field.name for key_field in fields(cls) if key_field.default is MISSING],
        "additionalProperties": False,
    }


def _comments(cls: type[Any]) -> dict[str, str]:
    """The comments behind and above the fields of a section and of those it inherits from."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__[:-1]):
        above: list[str] = []
        for line in inspect.getsource(base).splitlines():
            code, _, comment = line.partition("# ")
            if line.strip().startswith("# "):
                above.append(comment)
                continue
            if match := re.match(r"    (\w+): ", code):
                found[match[1]] = " ".join([*above, *([comment] if comment else [])])
            above = []
    return found


def section(cls: type[Any]) -> Reader:
    return Reader(lambda value, path: build(cls, value, path), lambda: section_schema(cls), shown)


def optional(reader: Reader) -> Reader:
    """A value that may be left out, or be nothing."""

    def schema() -> Schema:
        inner = reader.schema()
        if "enum" in inner:
            return {**inner, "enum": [*inner["enum"], None]}
        if isinstance(inner.get("type"), str):
            return {**inner, "type": [inner["type"], "null"]}
        return {"anyOf": [inner, {"type": "null"}]}

    return Reader(
        lambda value, path: None if value is None else reader(value, path),
        schema,
        lambda value: None if value is None else reader.show(value),
    )


def several(reader: Reader, least: int = 0, most: int | None = None) -> Reader:
    """A list of different entries."""

    def schema() -> Schema:
        highest = {} if most is None else {"maxItems": most}
        return {"type": "array", "items": reader.schema(), "minItems": least, **highest, "uniqueItems": True}

    @takes(schema, lambda entries: [reader.show(entry) for entry in entries])
    def read_all(value: Any, path: str) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) < least:
            raise wrong(path, "a list with at least one entry" if least else "a list", value)
        if most is not None and len(value) > most:
            raise ConfigError(path, f"at most {most} entries, got {len(value)}")
        entries: dict[Any, int] = {}  # a list may be of thousands of mobile nodes, so no search in it
        for index, given in enumerate(value):
            entry = reader(given, f"{path}[{index}]")
            if entries.setdefault(entry, index) != index:
                raise wrong(f"{path}[{index}]", f"another entry than {path}[{entries[entry]}]", given)
        return tuple(entries)

    return read_all


@takes({"type": "boolean"})
def flag(value: Any, path: str) -> bool:
    if not isinstance(value, bool):
        raise wrong(path, "true or false", value)
    return value


def integer(low: int, high: int, unit: str = "") -> Reader:
    """A whole number; `unit` is for people to read."""

    @takes({"type": "integer", "minimum": low, "maximum": high, **_about(unit)})
    def read(value: Any, path: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise wrong(path, f"a whole number{unit and ' of ' + unit} from {low} to {high}", value)
        return value

    return read


def number(low: float, high: float, unit: str = "") -> Reader:
    """A number, whole or not; `unit` is for people to read. One with a point is a text in the file as it is read."""

    @takes({"type": "number", "minimum": low, "maximum": high, **_about(unit)})
    def read(value: Any, path: str) -> float:
        if isinstance(value, str) and re.fullmatch(r"[0-9]*\.[0-9]+", value, re.ASCII):
            value = float(value)
        # Written so that NaN, which is not less than anything, is refused.
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise wrong(path, f"a number{unit and ' of ' + unit} from {low:g} to {high:g}", value)
        return float(value)

    return read


def _about(unit: str) -> Schema:
    return {"description": unit} if unit else {}


def choice(*choices: str) -> Reader:
    @takes({"enum": list(choices)})
    def read(value: Any, path: str) -> str:
        if value not in choices:
            raise wrong(path, " or ".join(choices), value)
        return str(value)

    return read


@takes({"type": "string", "pattern": _NAME.pattern})
def name(value: Any, path: str) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise wrong(path, "a name of 1 to 64 letters, digits, dots, dashes and underscores", value)
    return value


@takes({"type": "string", "minLength": 1})
def file_name(value: Any, path: str) -> str:
    """The name of a file, there or not."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise wrong(path, "the name of a file", value)
    return value


@takes({"type": "string", "pattern": _DEVICE.pattern, "maxLength": MAX_DEVICE_NAME})
def device(value: Any, path: str) -> str:
    """A name of a network device that needs no quoting anywhere; the kernel itself would take more."""
    if not isinstance(value, str) or not _DEVICE.fullmatch(value):
        raise wrong(path, "a device name of letters, digits and . _ - + @", value)
    if len(value) > MAX_DEVICE_NAME:
        raise wrong(path, f"a device name of at most {MAX_DEVICE_NAME} characters", value)
    return value


_FINITE: Final = integer(0, _INFINITY_ON_THE_WIRE - 1, "seconds (or infinity)")


@takes(
    lambda: {"anyOf": [_FINITE.schema(), {"const": "infinity"}]},
    lambda value: "infinity" if value == math.inf else int(value),
)
def prefix_lifetime(value: Any, path: str) -> float:
    """Seconds; what is all ones on the wire is the word infinity in the file."""
    return math.inf if value == "infinity" else float(_FINITE(value, path))


@takes({"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]})
def listen(value: Any, path: str) -> str:
    """An address to listen at."""
    try:
        if not isinstance(value, str):
            raise ValueError
        return str(ip_address(value))
    except ValueError:
        raise wrong(path, "an IPv4 or IPv6 address", value) from None


@takes(ADDRESS, addresses.text)
def address(value: Any, path: str) -> Address:
    """A unicast address that is good beyond its link."""
    parsed = _parse(value, path)
    if not addresses.is_unicast_routable(parsed):
        raise wrong(path, "a routable unicast address", value)
    return parsed


@takes(ADDRESS, addresses.text)
def next_hop(value: Any, path: str) -> Address:
    parsed = _parse(value, path)
    if not addresses.is_unicast_routable(parsed) and not addresses.is_link_local(parsed):
        raise wrong(path, "a routable unicast address", value)
    return parsed


def _parse(value: Any, path: str) -> Address:
    try:
        if not isinstance(value, str):  # the standard library takes numbers for addresses, too
            raise ValueError
        return addresses.parse(value)
    except ValueError:
        raise wrong(path, "an IPv6 address", value) from None


@takes(PREFIX, str)
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


@takes(
    {"anyOf": [ADDRESS, PREFIX]},
    lambda value: addresses.text(value.network) if value.length == 128 else str(value),
)
def address_or_prefix(value: Any, path: str) -> Prefix:
    """An address stands for itself alone."""
    if isinstance(value, str) and "/" in value:
        found: Prefix = prefix(value, path)
        return found
    return Prefix(address(value, path), 128)


@takes(
    {"anyOf": [{"type": "integer", "exclusiveMinimum": 0}, {"type": "string", "pattern": "^[0-9a-fA-F]{16}$"}]},
    lambda value: f"{value:016x}",
)
def datapath_id(value: Any, path: str) -> int:
    """16 hexadecimal digits, or a number. Digits alone that could be either are not guessed at."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**15:
        return value
    if isinstance(value, str) and re.fullmatch(r"[0-9a-fA-F]{16}", value) and int(value, 16):
        return int(value, 16)
    raise wrong(path, 'a datapath id of 16 hexadecimal digits in quotes, as in "00000000000000a1"', value)
