"""The JSON body of a request, each member with what it must look like; what is wrong or unknown is Problem 400."""

from __future__ import annotations

import difflib
import json
from typing import Any

from mip6core import addresses
from mip6core.addresses import Address
from rest.problem import bad_request


class Body:
    """An object with some members and no others."""

    def __init__(self, octets: bytes, *known: str) -> None:
        try:
            value = json.loads(octets)
        except (ValueError, RecursionError):
            raise bad_request("a JSON object is needed as the body") from None
        if not isinstance(value, dict):
            raise bad_request("a JSON object is needed as the body")
        for name in value:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"
                raise bad_request(f"{name[:40]}: unknown member ({hint})")
        self._value: dict[str, Any] = value

    def flag(self, name: str) -> bool:
        value = self._value.get(name)
        if not isinstance(value, bool):
            raise bad_request(f"{name}: true or false is needed")
        return value

    def text(self, name: str) -> str:
        value = self._value.get(name)
        if not isinstance(value, str):
            raise bad_request(f"{name}: a text is needed")
        return value

    def address(self, name: str) -> Address:
        try:
            return addresses.parse(self.text(name))
        except ValueError:
            raise bad_request(f"{name}: an IPv6 address is needed, such as 2001:db8:f::100") from None

    def number_or_null(self, name: str, low: int, high: int) -> int | None:
        """None where there is none, too."""
        value = self._value.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise bad_request(f"{name}: null, or a whole number from {low} to {high} is needed")
        return value
