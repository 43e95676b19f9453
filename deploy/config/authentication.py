"""The section `authentication` of a mobile node: its security association of RFC 4285.

No error in here repeats a value: it may be the key, or the key in the wrong place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from deploy.config import reading as read
from mip6core.addresses import Address
from mip6core.authentication import DEFAULT_WINDOW, KEY_LENGTH, MIN_SPI, MobilitySecurityAssociation
from mip6core.errors import ConfigError

_MAX_NAI: Final = 254  # octets: the option's length field counts its subtype, too
_MAX_WINDOW: Final = 3600  # seconds
_NAI: Final = re.compile(r"[^@\s]+@[^@\s]+")
_KEY: Final = re.compile(rf"[0-9a-fA-F]{{{2 * KEY_LENGTH}}}")


@read.takes({"type": "string", "pattern": f"^{_KEY.pattern}$"}, lambda value: read.HIDDEN)
def key(value: Any, path: str) -> bytes:
    """The shared secret, never shown."""
    if not isinstance(value, str) or not _KEY.fullmatch(value):
        raise ConfigError(path, f"a key of {2 * KEY_LENGTH} hexadecimal digits in quotes")
    return bytes.fromhex(value)


@read.takes({"type": "string", "pattern": f"^{_NAI.pattern}$", "maxLength": _MAX_NAI}, bytes.decode)
def nai(value: Any, path: str) -> bytes:
    """A Network Access Identifier."""
    if not isinstance(value, str) or not _NAI.fullmatch(value) or len(value.encode()) > _MAX_NAI:
        raise ConfigError(path, f"an identifier such as user@example.org, of at most {_MAX_NAI} octets")
    return value.encode()


@dataclass(frozen=True)
class AuthenticationConfig:
    """What the mobile node has been given, too."""

    spi: Annotated[int, read.integer(MIN_SPI, 2**32 - 1)]
    key: Annotated[bytes, key] = field(repr=False)
    mn_id: Annotated[bytes, nai]
    # `none` leaves replays to the sequence number, which is forgotten with the binding.
    replay: Annotated[str, read.choice("timestamp", "none")] = "timestamp"
    # How far the clocks may be apart; RFC 4285 section 6 wants more than 3 seconds.
    window: Annotated[int, read.integer(4, _MAX_WINDOW, "seconds")] = int(DEFAULT_WINDOW)

    def association(self, home_address: Address) -> MobilitySecurityAssociation:
        """As the home agent wants it."""
        return MobilitySecurityAssociation(
            home_address, self.spi, self.key, self.mn_id, self.replay == "timestamp", float(self.window)
        )


@read.takes(lambda: read.section_schema(AuthenticationConfig), read.shown)
def authentication(value: Any, path: str) -> AuthenticationConfig:
    """The section."""
    if not isinstance(value, Mapping):
        raise ConfigError(path, "a section (keys with values)")
    try:
        return read.build(AuthenticationConfig, value, path)
    except ConfigError as error:
        raise ConfigError(error.path, error.expected.partition(", got ")[0]) from None
