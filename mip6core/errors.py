"""Errors of the core: whose fault it is decides the class. Anything else that is raised is our bug."""

from __future__ import annotations


class ParseError(Exception):
    """The bytes a peer sent are wrong; the packet is dropped and `reason` counted.

    `reason` is one of a small fixed set of snake_case words. Where the RFCs ask for an ICMPv6 Parameter
    Problem (RFC 6275 section 9.2, RFC 8200 section 4), `pointer` is the offset of the octet at fault and
    `code` the ICMPv6 code; elsewhere `pointer` is None and the packet is dropped in silence. The offset
    counts from the start of what was parsed: the IPv6 header in `codec.ipv6`, the Mobility Header in
    `codec.mh`.
    """

    def __init__(self, reason: str, pointer: int | None = None, code: int = 0) -> None:
        super().__init__(reason if pointer is None else f"{reason} at octet {pointer}")
        self.reason = reason
        self.pointer = pointer
        self.code = code


class ConfigError(Exception):
    """The configuration is wrong at `path` (such as home_links[0].address), where `expected` should stand."""

    def __init__(self, path: str, expected: str) -> None:
        super().__init__(f"{path}: expected {expected}")
        self.path = path
        self.expected = expected
