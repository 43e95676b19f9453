"""/v1/bindings: the bindings of mobile nodes that are away from home."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from typing import Any, Final

from mip6core import addresses
from mip6core.addresses import Address
from rest import preconditions, serialize
from rest.body import Body
from rest.problem import Problem, bad_request, not_found
from rest.query import address
from rest.resources.pages import in_pieces, page
from rest.router import Call, Json, Text
from rest.service import BindingView

ADDRESS_LENGTH: Final = 16  # octets
ADDRESS_BITS: Final = 8 * ADDRESS_LENGTH
MAX_LIFETIME: Final = 65_535  # seconds of a static binding that has an end: what a flow's timeout can say


def list_bindings(call: Call) -> Text:
    """A page in the order of home addresses."""
    call.query.only("home_address", "care_of_prefix", "home_link", "counters", "limit", "cursor")

    def show(home_address: Address) -> dict[str, Any] | None:
        view = call.service.binding(home_address)
        return None if view is None else serialize.binding(view)

    if call.query.flag("counters"):
        only = call.query.prefix("home_address")
        call.service.count(only.network if only is not None and only.length == ADDRESS_BITS else None)
    return page(call, "bindings", _matching(call), ADDRESS_LENGTH, show)


def _matching(call: Call) -> Iterator[Sequence[Address]]:
    """Home addresses that pass the filters, in pieces."""
    home_prefix = call.query.prefix("home_address")
    if home_prefix is not None and home_prefix.length == ADDRESS_BITS:
        everything: Sequence[Address] = [home_prefix.network]
        if call.service.binding(home_prefix.network) is None:
            return
    else:
        everything = call.service.home_addresses()
    view_filter = _view_filter(call)
    for chunk in in_pieces(call, everything):
        if home_prefix is not None:
            chunk = [home_address for home_address in chunk if home_prefix.contains(home_address)]
        if view_filter is not None:
            views = ((home_address, call.service.binding(home_address)) for home_address in chunk)
            chunk = [home_address for home_address, view in views if view is not None and view_filter(view)]
        yield chunk


def _view_filter(call: Call) -> Callable[[BindingView], bool] | None:
    """The filters that need more than the home address."""
    care_of_prefix, home_link = call.query.prefix("care_of_prefix"), call.query.text("home_link")
    if care_of_prefix is None and home_link is None:
        return None

    def passes(view: BindingView) -> bool:
        if home_link is not None and view.home_link != home_link:
            return False
        return care_of_prefix is None or care_of_prefix.contains(view.care_of_address)

    return passes


def show_binding(call: Call) -> Json:
    call.query.only("counters")
    home_address = address(call.path["home_address"], "home_address")
    if call.query.flag("counters"):
        call.service.count(home_address)
    view = call.service.binding(home_address)
    if view is None:
        raise not_found(f"no binding for {addresses.text(home_address)}")
    return _shown(view)


def put_binding(call: Call) -> Json:
    """A static binding, in place of whatever the home address has: Binding Updates do not change it."""
    call.query.only()
    home_address = address(call.path["home_address"], "home_address")
    body = Body(call.body, "care_of_address", "home_link", "lifetime")
    care_of_address, home_link = body.address("care_of_address"), body.text("home_link")
    lifetime = body.number_or_null("lifetime", 1, MAX_LIFETIME)
    before = call.service.binding(home_address)
    preconditions.check(call.headers, None if before is None else before.version)
    try:
        call.service.put(home_address, care_of_address, home_link, lifetime)
    except ValueError as error:
        raise Problem(HTTPStatus.CONFLICT, str(error)) from None
    after = call.service.binding(home_address)
    if after is None:
        raise Problem(HTTPStatus.CONFLICT, "the switch has refused its flows")
    return _shown(after, HTTPStatus.CREATED if before is None else HTTPStatus.OK)


def clear_binding(call: Call) -> None:
    """The operator's "clear": the mobile node may register again at once."""
    call.query.only()
    home_address = address(call.path["home_address"], "home_address")
    view = call.service.binding(home_address)
    preconditions.check(call.headers, None if view is None else view.version)
    if view is None or not call.service.clear(home_address):
        raise not_found(f"no binding for {addresses.text(home_address)}")


def _shown(view: BindingView, status: HTTPStatus = HTTPStatus.OK) -> Json:
    return Json(serialize.binding(view), {"ETag": preconditions.etag(view.version)}, status)


def clear_bindings(call: Call) -> dict[str, Any]:
    """Clear a whole prefix, which must be named: nobody clears everything by leaving something out."""
    call.query.only("prefix")
    prefix = call.query.prefix("prefix")
    if prefix is None:
        raise bad_request("prefix: needed here; ::/0 for all bindings")
    return {"cleared": call.service.clear_prefix(prefix)}
