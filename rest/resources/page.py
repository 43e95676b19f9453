"""/: the page. Its files are in rest/page; what it shows it asks the API for, with the rights of who looks at it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

from rest.problem import not_found
from rest.router import Call, Text

PARTS: Final = {
    "icon.svg": "image/svg+xml",
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
}

# Nothing from elsewhere, nothing inside the page itself that is a script or a style, and in nobody's frame.
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def show(call: Call) -> Text:
    """The page itself says nothing, so it needs no token; what it asks for does."""
    return Text("text/html; charset=utf-8", _file("index.html"), HEADERS)


def show_part(call: Call) -> Text:
    """Style and script."""
    name = call.path["file"]
    if name not in PARTS:
        raise not_found("there is nothing at this path")
    return Text(PARTS[name], _file(name), HEADERS)


@cache
def _file(name: str) -> bytes:
    return Path(__file__).parents[1].joinpath("page", name).read_bytes()
