"""/v1/debug: logging by topic. /v1/capture: signalling as pcapng."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from rest.body import Body
from rest.problem import Problem, not_found
from rest.router import Call, Stream

PCAPNG: Final = "application/x-pcapng"
DEFAULT_SECONDS: Final = 60
MAX_SECONDS: Final = 3600


def show_topics(call: Call) -> dict[str, Any]:
    call.query.only()
    return {"topics": call.service.debug_topics()}


def switch_topic(call: Call) -> dict[str, Any]:
    call.query.only()
    topics = call.service.debug_topics()
    topic = call.path["topic"]
    if topic not in topics:
        raise not_found(f"{topic[:40]}: no such topic; there are: {', '.join(topics)}")
    call.service.debug(topic, Body(call.body, "on").flag("on"))
    return show_topics(call)


def capture(call: Call) -> Stream:
    """Goes on until its time is over or the client has enough."""
    call.query.only("home_address", "seconds")
    seconds = call.query.number("seconds", DEFAULT_SECONDS, MAX_SECONDS)
    found = call.service.capture(call.query.prefix("home_address"), seconds)
    if found is None:
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "too many captures", {"Retry-After": "10"})
    return Stream(PCAPNG, found)
