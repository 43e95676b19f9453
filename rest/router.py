"""Which handler answers which request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from rest.access import Scope
from rest.problem import Problem, not_found
from rest.query import Query
from rest.service import Service


@dataclass(frozen=True)
class Call:
    """A request as a handler sees it."""

    service: Service
    query: Query
    headers: Mapping[str, str]  # of the request, whatever case their names are in
    path: Mapping[str, str]  # what stood for the {names} of the route
    body: bytes
    cooperate: Callable[[], None]  # to be called often in long loops, each half a millisecond: others get their turn


@dataclass(frozen=True)
class Stream:
    """An answer that goes on for as long as its client wants."""

    content_type: str
    parts: Iterable[bytes]  # closed at the end if it has a close()


@dataclass(frozen=True)
class Json:
    """An answer with more to it than JSON."""

    value: Any
    headers: Mapping[str, str]
    status: HTTPStatus = HTTPStatus.OK


@dataclass(frozen=True)
class Text:
    """An answer that is no JSON."""

    content_type: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Call], Any]  # returns what becomes the JSON of the answer, a Json, Text or Stream; None: no content


@dataclass(frozen=True)
class Route:
    """What is at a path. Reading needs the scope `read_scope`, everything else that of an administrator."""

    handlers: Mapping[str, Handler]  # by method
    read_scope: Scope = Scope.READ

    def needs(self, method: str) -> Scope:
        return self.read_scope if method in ("GET", "HEAD") else Scope.ADMIN


class Router:
    """Routes by path, such as /v1/bindings/{home_address}."""

    def __init__(self, routes: Mapping[str, Route]) -> None:
        self._routes = [(pattern.split("/"), route) for pattern, route in routes.items()]

    def find(self, path: str) -> tuple[Route, dict[str, str]]:
        """What is at a path, and what stands in it for the {names} of the route. Problem 404 if nothing is."""
        segments = path.split("/")
        for pattern, route in self._routes:
            names = _match(pattern, segments)
            if names is not None:
                return route, names
        raise not_found("there is nothing at this path")


def handler(route: Route, method: str) -> Handler:
    """What answers a method. Problem 405 if nothing does."""
    found = route.handlers.get("GET" if method == "HEAD" else method)
    if found is None:
        raise _not_allowed(method, route.handlers)
    return found


def _match(pattern: list[str], segments: list[str]) -> dict[str, str] | None:
    if len(pattern) != len(segments):
        return None
    names = {}
    for expected, given in zip(pattern, segments, strict=True):
        if expected.startswith("{") and given:
            names[expected[1:-1]] = given
        elif expected != given:
            return None
    return names


def _not_allowed(method: str, handlers: Mapping[str, Handler]) -> Problem:
    allowed = [*handlers, *(["HEAD"] if "GET" in handlers else [])]
    return Problem(
        HTTPStatus.METHOD_NOT_ALLOWED,
        f"{method[:20]} is not possible here",
        {"Allow": ", ".join(sorted(allowed))},
    )
