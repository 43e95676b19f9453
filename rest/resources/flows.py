"""/v1/flows: the application's flows in the switches, and what each is for."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from rest import serialize
from rest.problem import Problem, bad_request
from rest.resources.pages import in_pieces, page
from rest.router import Call, Text
from rest.service import Busy

KEY_LENGTH: Final = 19  # octets
_FLOWS_SHOWN: Final = 10  # between two chances for others to run: to put one into words takes its time


def list_flows(call: Call) -> Text:
    """A page in the order of switches, tables and priorities."""
    call.query.only("link", "table", "category", "home_address", "limit", "cursor")
    home_address = call.query.prefix("home_address")
    if home_address is not None and home_address.length != 128:
        raise bad_request("home_address: one address is needed here")
    filters = (call.query.text("link"), call.query.text("table"), call.query.text("category"))
    try:
        flows = call.service.flows(*filters, None if home_address is None else home_address.network)
    except ValueError as error:
        raise bad_request(str(error)) from None
    except Busy as error:
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), {"Retry-After": "5"}) from None
    shown = 0

    def show(key: bytes) -> dict[str, Any]:
        nonlocal shown
        shown += 1
        if shown % _FLOWS_SHOWN == 0:
            call.cooperate()
        return serialize.flow(flows.view(key))

    return page(call, "flows", in_pieces(call, flows.keys()), KEY_LENGTH, show)
