"""Which handler answers which request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from rest.problem import Problem, not_found
from rest.query import Query
from rest.service import Service


@dataclass(frozen=True)
class Call:
    """A request as a handler sees it."""

    service: Service
    query: Query
    path: Mapping[str, str]  # what stood for the {names} of the route
    cooperate: Callable[[], None]  # to be called now and then in long loops: others get their turn


Handler = Callable[[Call], Any]  # returns what becomes the JSON of the answer; None: no content


class Router:
    """Routes such as /v1/bindings/{home_address}, each with its handlers by method."""

    def __init__(self, routes: Mapping[str, Mapping[str, Handler]]) -> None:
        self._routes = [(pattern.split("/"), dict(handlers)) for pattern, handlers in routes.items()]

    def find(self, method: str, path: str) -> tuple[Handler, dict[str, str]]:
        """The handler for a request and what its path holds. Problem 404 or 405 if there is none."""
        segments = path.split("/")
        for pattern, handlers in self._routes:
            names = _match(pattern, segments)
            if names is not None:
                handler = handlers.get("GET" if method == "HEAD" else method)
                if handler is None:
                    raise _not_allowed(method, handlers)
                return handler, names
        raise not_found("there is nothing at this path")


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
