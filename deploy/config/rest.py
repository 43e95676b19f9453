"""The section `rest`: where the API is served, and who may use it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Annotated, Any, Final

from deploy.config import reading as read
from mip6core.errors import ConfigError

SCOPES: Final = ("read", "admin")  # admin: whatever changes something, too

_SHA256: Final = re.compile(r"[0-9a-fA-F]{64}")


def token_digest(token: str) -> str:
    """Hexadecimal SHA-256: what the configuration holds in place of a token. Those are random, so it needs no salt."""
    return hashlib.sha256(token.encode()).hexdigest()


@read.takes({"type": "string", "pattern": f"^{_SHA256.pattern}$"}, lambda value: read.HIDDEN)
def sha256(value: Any, path: str) -> str:
    """A digest. What stands in its place may be the token itself, so no error repeats it."""
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise ConfigError(path, "64 hexadecimal digits in quotes, as `mip6ctl token generate` prints them")
    return value.lower()


@dataclass(frozen=True)
class Token:
    """A bearer token (RFC 6750), known by its digest only."""

    name: Annotated[str, read.name]
    scope: Annotated[str, read.choice(*SCOPES)]
    sha256: Annotated[str, sha256] = field(repr=False)


@dataclass(frozen=True)
class Tls:
    """HTTPS, and with `client_ca` only for clients that have a certificate of that authority."""

    certificate: Annotated[str, read.file_name]  # PEM, with the chain
    key: Annotated[str, read.file_name]  # PEM
    client_ca: Annotated[str | None, read.optional(read.file_name)] = None


@dataclass(frozen=True)
class Rest:
    """Where the REST API is served. Loopback unless the operator says otherwise, and there for everybody by default."""

    listen: Annotated[str, read.listen] = "127.0.0.1"
    port: Annotated[int, read.integer(1, 65_535)] = 8080
    tokens: Annotated[tuple[Token, ...], read.several(read.section(Token))] = ()
    tls: Annotated[Tls | None, read.optional(read.section(Tls))] = None
    # What may be done without a token. None: everything on loopback where there are no tokens, else nothing.
    anonymous: Annotated[str | None, read.optional(read.choice("none", *SCOPES))] = None

    @property
    def on_loopback(self) -> bool:
        return ip_address(self.listen).is_loopback

    @property
    def anonymous_scope(self) -> str | None:
        """The scope of requests without a token; None: they are refused."""
        if self.anonymous is None:
            return "admin" if self.on_loopback and not self.tokens else None
        return None if self.anonymous == "none" else self.anonymous


DEFAULT: Final = Rest()


def check(rest: Rest) -> None:
    """ConfigError if nobody could use the API, or everybody could change things."""
    names: dict[str, int] = {}
    for index, token in enumerate(rest.tokens):
        for what, value in (("name", token.name), ("sha256", token.sha256)):
            if names.setdefault(value, index) != index:
                raise ConfigError(f"rest.tokens[{index}].{what}", f"another {what} than that of tokens[{names[value]}]")
    if rest.anonymous_scope is None and not rest.tokens:
        raise ConfigError("rest.tokens", "at least one token: without one nobody can use the API")
    mutual = rest.tls is not None and rest.tls.client_ca is not None
    if rest.anonymous_scope == "admin" and not rest.on_loopback and not mutual:
        raise ConfigError("rest.anonymous", "none or read where others than this machine can reach the API")
