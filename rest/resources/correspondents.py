"""/v1/correspondents: the bindings that correspondents have, by which routes are optimised."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from mip6core import addresses
from mip6core.addresses import Address
from rest import preconditions, serialize
from rest.problem import Problem, not_found
from rest.query import address
from rest.resources.pages import in_pieces, page
from rest.router import Call, Json, Text

ADDRESS_LENGTH: Final = 16  # octets
KEY_LENGTH: Final = 2 * ADDRESS_LENGTH  # the correspondent's address, then the home address


def list_correspondents(call: Call) -> Text:
    """A page in the order of correspondents, then home addresses."""
    call.query.only("home_address", "correspondent", "care_of_prefix", "correspondent_link", "limit", "cursor")

    def show(key: bytes) -> dict[str, Any] | None:
        view = call.service.correspondent(key[:ADDRESS_LENGTH], key[ADDRESS_LENGTH:])
        return None if view is None else serialize.correspondent(view)

    return page(call, "correspondents", _matching(call), KEY_LENGTH, show)


def _matching(call: Call) -> Iterator[Sequence[bytes]]:
    """What passes the filters, in pieces."""
    home_prefix, correspondent_prefix = call.query.prefix("home_address"), call.query.prefix("correspondent")
    care_of_prefix, link = call.query.prefix("care_of_prefix"), call.query.text("correspondent_link")
    for chunk in in_pieces(call, call.service.correspondents()):
        found = []
        for correspondent, home_address in chunk:
            if correspondent_prefix is not None and not correspondent_prefix.contains(correspondent):
                continue
            if home_prefix is not None and not home_prefix.contains(home_address):
                continue
            if care_of_prefix is not None or link is not None:
                view = call.service.correspondent(correspondent, home_address)
                if view is None or (link is not None and view.correspondent_link != link):
                    continue
                if care_of_prefix is not None and not care_of_prefix.contains(view.care_of_address):
                    continue
            found.append(correspondent + home_address)
        yield found


def show_correspondent(call: Call) -> Json:
    call.query.only()
    key = _named(call)
    view = call.service.correspondent(*key)
    if view is None:
        raise _no_binding(*key)
    return Json(serialize.correspondent(view), {"ETag": preconditions.etag(view.version)})


def clear_correspondent(call: Call) -> None:
    """The operator's "clear": packets take the way by the home agent, until the mobile node registers again."""
    call.query.only()
    key = _named(call)
    view = call.service.correspondent(*key)
    preconditions.check(call.headers, None if view is None else view.version)
    if not call.service.clear_correspondent(*key):
        raise _no_binding(*key)


def _named(call: Call) -> tuple[Address, Address]:
    return address(call.path["correspondent"], "correspondent"), address(call.path["home_address"], "home_address")


def _no_binding(correspondent: Address, home_address: Address) -> Problem:
    return not_found(f"no binding for {addresses.text(home_address)} at {addresses.text(correspondent)}")
