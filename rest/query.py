"""Parameters of a request, each with what it must look like; what is wrong or unknown is Problem 400."""

from __future__ import annotations

import base64
import binascii
import difflib
from collections.abc import Iterable

from mip6core import addresses
from mip6core.addresses import Address, Prefix
from rest.problem import bad_request


class Query:
    """The parameters behind the question mark."""

    def __init__(self, parameters: Iterable[tuple[str, str]]) -> None:
        self._values: dict[str, str] = {}
        for name, value in parameters:
            if name in self._values:
                raise bad_request(f"{name[:40]}: given more than once")
            self._values[name] = value

    def only(self, *known: str) -> None:
        """Refuse all other parameters: a filter with a wrong name must not show or clear everything."""
        for name in self._values:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known) or 'none'}"
                raise bad_request(f"{name[:40]}: unknown parameter ({hint})")

    def text(self, name: str) -> str | None:
        return self._values.get(name)

    def prefix(self, name: str) -> Prefix | None:
        """A prefix; a single address is one of 128 bits."""
        value = self._values.get(name)
        if value is None:
            return None
        try:
            return Prefix.parse(value) if "/" in value else Prefix(addresses.parse(value), 128)
        except ValueError:
            raise bad_request(f"{name}: an IPv6 address or prefix is needed, such as 2001:db8:1::/64") from None

    def number(self, name: str, default: int, highest: int) -> int:
        value = self._values.get(name)
        if value is None:
            return default
        if not (value.isascii() and value.isdecimal() and len(value) < 10 and 1 <= int(value) <= highest):
            raise bad_request(f"{name}: a whole number from 1 to {highest} is needed")
        return int(value)

    def flag(self, name: str) -> bool:
        value = self._values.get(name)
        if value not in (None, "true", "false"):
            raise bad_request(f"{name}: true or false is needed")
        return value == "true"

    def cursor(self, name: str, length: int) -> bytes | None:
        """Where the page before ended: a key of `length` octets."""
        value = self._values.get(name)
        if value is None:
            return None
        try:
            position = base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            position = b""
        if len(position) != length:
            raise bad_request(f"{name}: not a next_cursor of this API")
        return position


def address(value: str, name: str) -> Address:
    """An address in the path."""
    try:
        return addresses.parse(value)
    except ValueError:
        raise bad_request(f"{name}: an IPv6 address is needed, such as 2001:db8:1::100") from None


def make_cursor(position: bytes) -> str:
    return base64.urlsafe_b64encode(position).decode().rstrip("=")
