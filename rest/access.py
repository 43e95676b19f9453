"""Who may use the API: bearer tokens with a scope (RFC 6750), and what may be done without one."""

from __future__ import annotations

import enum
import hashlib
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from webob import Request

from rest.problem import Problem

_BEARER: Final = re.compile(r"Bearer +([A-Za-z0-9._~+/-]+=*)", re.IGNORECASE)


class Scope(enum.IntEnum):
    """What a client may do; each includes those before it."""

    OPEN = 0  # what tells nothing about mobile nodes: health
    READ = 1
    ADMIN = 2


@dataclass
class AccessControl:
    """The rules of one server, which may become others while it serves."""

    tokens: Mapping[str, Scope]  # by hexadecimal SHA-256 of the token
    anonymous: Scope = Scope.OPEN  # of requests without a token

    def admit(self, request: Request, needed: Scope) -> None:
        """Problem 401 or 403 unless the request may have what needs this scope."""
        credentials = request.headers.get("Authorization")
        if credentials is not None:
            granted = self._of_token(credentials)
        else:
            granted = self.anonymous
            if granted > Scope.OPEN:
                _refuse_other_origins(request)
        if granted >= needed:
            return
        if credentials is None:
            raise Problem(HTTPStatus.UNAUTHORIZED, "a bearer token is needed", {"WWW-Authenticate": "Bearer"})
        challenge = f'Bearer error="insufficient_scope", scope="{needed.name.lower()}"'
        detail = f"this token is not for requests of scope {needed.name.lower()}"
        raise Problem(HTTPStatus.FORBIDDEN, detail, {"WWW-Authenticate": challenge})

    def _of_token(self, credentials: str) -> Scope:
        given = _BEARER.fullmatch(credentials.strip())
        # Looked up by digest: how long that takes says nothing about any token.
        digest = hashlib.sha256(given[1].encode()).hexdigest() if given else ""
        scope = self.tokens.get(digest)
        if scope is None:
            challenge = 'Bearer error="invalid_token"'
            raise Problem(HTTPStatus.UNAUTHORIZED, "no such token", {"WWW-Authenticate": challenge})
        return scope


def _refuse_other_origins(request: Request) -> None:
    """Pages of other sites in a browser of this machine reach loopback, too: as themselves, or by a name of their own.

    Without a token such requests are known by their Origin, or by a Host that is neither an address nor this machine.
    """
    host = str(request.headers.get("Host", ""))
    name = re.sub(r":[0-9]*$", "", host).strip("[]")
    origin = request.headers.get("Origin")
    if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
        raise Problem(HTTPStatus.FORBIDDEN, "pages of other sites need a token")
    if name and name != "localhost" and not _is_address(name):
        raise Problem(HTTPStatus.FORBIDDEN, "without a token, use an address or localhost as the name of the server")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
