"""IPsec associations of a mobile node (RFC 3776): in the `security` section, or in a file of their own.

No error in here repeats a value: it may be a key, or a key in the wrong place.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from deploy.config import reading as read
from deploy.config import source
from mip6core.errors import ConfigError

BINDING: Final = "binding"  # Binding Update and Acknowledgement
PREFIX_DISCOVERY: Final = "prefix_discovery"  # Mobile Prefix Solicitation and Advertisement
RETURN_ROUTABILITY: Final = "return_routability"  # Home Test Init and Home Test
KINDS: Final = (BINDING, PREFIX_DISCOVERY, RETURN_ROUTABILITY)

GCM: Final = "aes-gcm"
NO_ENCRYPTION: Final = "null"
# Octets of a key; that of AES-GCM ends with 4 of salt (RFC 4106 section 8.1).
ENCRYPTION_KEYS: Final = {GCM: (36, 28, 20), "aes-cbc": (32, 24, 16), "3des-cbc": (24,), NO_ENCRYPTION: (0,)}
INTEGRITY_KEYS: Final = {"hmac-sha1-96": 20, "hmac-sha256-128": 32, "hmac-sha384-192": 48, "hmac-sha512-256": 64}

MIN_SPI: Final = 256  # those below are reserved (RFC 4303 section 2.1)
_KEY: Final = re.compile(r"(0x)?([0-9a-fA-F]{2})*")
_PUBLIC: Final = stat.S_IRWXG | stat.S_IRWXO


class Key(bytes):
    """A key. It hides itself from logs and error messages."""

    def __repr__(self) -> str:
        return "Key(hidden)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)


NO_KEY: Final = Key()


@read.takes({"type": "string", "pattern": f"^{_KEY.pattern}$"}, lambda value: read.HIDDEN if value else "")
def key(value: Any, path: str) -> Key:
    """Hexadecimal digits. YAML takes some keys for numbers, which have lost digits: those must be in quotes."""
    if not isinstance(value, str) or not _KEY.fullmatch(value):
        raise ConfigError(path, "a key of hexadecimal digits, two for each octet, in quotes")
    return Key(bytes.fromhex(value.removeprefix("0x")))


def _secret_section(cls: type[Any]) -> read.Reader:
    """A section with keys in it: like any other, but what is wrong in it is not shown."""

    @read.takes(lambda: read.section_schema(cls), read.shown)
    def read_section(value: Any, path: str) -> Any:
        if not isinstance(value, Mapping):
            raise ConfigError(path, "a section (keys with values)")
        if not all(isinstance(name, str) and re.fullmatch(r"[a-z_]{1,30}", name) for name in value):
            raise ConfigError(path, f"only known keys: {', '.join(cls.__dataclass_fields__)}")
        try:
            return read.build(cls, value, path)
        except ConfigError as error:
            raise ConfigError(error.path, error.expected.partition(", got ")[0]) from None

    return read_section


def _secret_list(cls: type[Any]) -> read.Reader:
    entry = _secret_section(cls)

    @read.takes(lambda: {"type": "array", "items": entry.schema()}, lambda found: [entry.show(one) for one in found])
    def read_list(value: Any, path: str) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise ConfigError(path, "a list")
        return tuple(entry(given, f"{path}[{index}]") for index, given in enumerate(value))

    return read_list


@dataclass(frozen=True)
class DirectionConfig:
    """One direction of an association: a security association in the words of RFC 4301."""

    spi: Annotated[int, read.integer(MIN_SPI, 0xFFFFFFFF)]
    encryption_key: Annotated[Key, key] = NO_KEY
    integrity_key: Annotated[Key, key] = NO_KEY


@dataclass(frozen=True)
class AssociationConfig:
    """A pair of security associations between a mobile node and its home agent."""

    kind: Annotated[str, read.choice(*KINDS)]
    encryption: Annotated[str, read.choice(*ENCRYPTION_KEYS)]
    inbound: Annotated[DirectionConfig, _secret_section(DirectionConfig)]  # from the mobile node
    outbound: Annotated[DirectionConfig, _secret_section(DirectionConfig)]  # to the mobile node
    integrity: Annotated[str | None, read.optional(read.choice(*INTEGRITY_KEYS))] = None
    # What is protected: the two messages of the kind, or all of their protocol (RFC 4877 section 5).
    selector: Annotated[str, read.choice("message", "protocol")] = "message"
    # The mobile node counts its packets for good, and keeps count of ours (RFC 4303 section 3.3.3).
    anti_replay: Annotated[bool, read.flag] = False


_ASSOCIATIONS: Final = _secret_list(AssociationConfig)


@read.takes(lambda: _ASSOCIATIONS.schema(), lambda found: _ASSOCIATIONS.show(found))
def associations(value: Any, path: str) -> tuple[AssociationConfig, ...]:
    found: tuple[AssociationConfig, ...] = _ASSOCIATIONS(value, path)
    for index, association in enumerate(found):
        _check_association(association, f"{path}[{index}]")
        earlier = [other.kind for other in found[:index]]
        if association.kind in earlier:
            # RFC 6275 section 5.1: one association for a home address, unequivocally
            raise ConfigError(f"{path}[{index}].kind", "one association of each kind")
    return found


@dataclass(frozen=True)
class KeyFile:
    """A file with `associations:` that only its owner can read."""

    path: str
    associations: tuple[AssociationConfig, ...]


@dataclass(frozen=True)
class _KeyFileContent:
    associations: Annotated[tuple[AssociationConfig, ...], associations]


@read.takes({"type": "string", "pattern": "^/"}, lambda found: found.path)
def key_file(value: Any, path: str) -> KeyFile:
    """Reads the file; an error in it has the file's name in its path."""
    if not isinstance(value, str) or not Path(value).is_absolute() or "\0" in value:
        raise read.wrong(path, "an absolute path", value)
    try:
        with open(value, encoding="utf-8") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode) or mode & _PUBLIC:
                raise ConfigError(path, f"a file with mode 0600, readable for its owner only ({value})")
            text = file.read()
    except OSError as error:
        raise ConfigError(path, f"a readable file, {value} is not ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ConfigError(path, f"UTF-8 text in {value}") from None
    try:
        content = _secret_section(_KeyFileContent)(source.read(text, {}), "")
    except ConfigError as error:
        # Without the cause: what YAML says about a wrong line may quote it.
        inside = error.path and f":{error.path}"
        expected = error.expected if error.path else "valid YAML, a section with associations"
        raise ConfigError(f"{path}({value}{inside})", expected) from None
    return KeyFile(value, content.associations)


def check_apart(nodes: Sequence[tuple[AssociationConfig, ...]], path: str) -> None:
    """What must hold between the associations of all mobile nodes. ConfigError."""
    spis: set[int] = set()
    keys: dict[bytes, int] = {}
    for index, node in enumerate(nodes):
        place = f"{path}[{index}]"
        kinds = [association.kind for association in node]
        if len(set(kinds)) != len(kinds):
            raise ConfigError(f"{place}.key_file", "one association of each kind, with those of the entry itself")
        outbound = [association.outbound.spi for association in node]
        if len(set(outbound)) != len(outbound):
            raise ConfigError(place, "another outbound spi for each association of a mobile node")
        for association in node:
            spi = association.inbound.spi
            if spi in spis:
                raise ConfigError(place, f"inbound spis that no other association has, not {spi} again")
            spis.add(spi)
            for one in _keys(association):
                # RFC 6275 section 5.1: random, and unique for different mobile nodes
                if keys.setdefault(one, index) != index:
                    raise ConfigError(place, f"other keys than those of {path}[{keys[one]}]")


def _keys(association: AssociationConfig) -> Iterator[bytes]:
    for direction in (association.inbound, association.outbound):
        yield from (one for one in (direction.encryption_key, direction.integrity_key) if one)


def _check_association(association: AssociationConfig, path: str) -> None:
    encryption, integrity = association.encryption, association.integrity
    if (integrity is None) != (encryption == GCM):
        expected = "no such key: AES-GCM brings its own" if encryption == GCM else " or ".join(INTEGRITY_KEYS)
        raise ConfigError(f"{path}.integrity", expected)  # RFC 6275 section 5.1: never none at all
    if association.kind == RETURN_ROUTABILITY and encryption == NO_ENCRYPTION:
        raise ConfigError(f"{path}.encryption", "a real one for return routability (RFC 4877 section 4.3)")
    integrity_length = INTEGRITY_KEYS[integrity] if integrity else 0
    for name, direction in (("inbound", association.inbound), ("outbound", association.outbound)):
        _check_length(direction.encryption_key, ENCRYPTION_KEYS[encryption], f"{path}.{name}.encryption_key")
        _check_length(direction.integrity_key, (integrity_length,), f"{path}.{name}.integrity_key")
        one, two, three = (direction.encryption_key[i : i + 8] for i in (0, 8, 16))
        if encryption == "3des-cbc" and (one == two or two == three):
            raise ConfigError(f"{path}.{name}.encryption_key", "three different keys: this one is no better than DES")
    if encryption == GCM and association.inbound.encryption_key == association.outbound.encryption_key:
        # Both ends would choose their initialization vectors without knowing of each other (RFC 4106 section 3.1).
        raise ConfigError(f"{path}.outbound.encryption_key", "another key than the inbound one, with AES-GCM")


def _check_length(found: Key, lengths: tuple[int, ...], path: str) -> None:
    if len(found) not in lengths:
        wanted = " or ".join(str(2 * length) for length in sorted(lengths))
        none = lengths == (0,)
        raise ConfigError(path, "no such key with this algorithm" if none else f"{wanted} hexadecimal digits")
