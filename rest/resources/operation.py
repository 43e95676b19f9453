"""How the application itself is: /v1/switches, home-agents, prefixes, config and statistics;
/metrics, /healthz, /readyz."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from mip6core.errors import ConfigError
from rest import preconditions, serialize
from rest.problem import Problem
from rest.router import Call, Json, Text


def list_switches(call: Call) -> dict[str, Any]:
    call.query.only()
    return {"switches": [serialize.switch(view) for view in call.service.switches()]}


def list_home_agents(call: Call) -> dict[str, Any]:
    """All that a home agent discovery request would be told of, with what else is known."""
    wanted = _home_link(call)
    views = [view for view in call.service.home_agents() if wanted in (None, view.home_link)]
    return {"home_agents": [serialize.home_agent(view) for view in views]}


def list_prefixes(call: Call) -> dict[str, Any]:
    wanted = _home_link(call)
    views = [view for view in call.service.prefixes() if wanted in (None, view.home_link)]
    return {"prefixes": [serialize.prefix(view) for view in views]}


def _home_link(call: Call) -> str | None:
    call.query.only("home_link")
    return call.query.text("home_link")


def show_configuration(call: Call) -> Json:
    call.query.only()
    configuration = call.service.configuration()
    return Json(configuration, {"ETag": preconditions.etag(_version(configuration))})


def reload_configuration(call: Call) -> dict[str, Any]:
    """Apply the file anew. A bad one changes nothing; nor does any, if If-Match names another running one."""
    call.query.only()
    preconditions.check(call.headers, _version(call.service.configuration()))
    try:
        return call.service.reload()
    except ConfigError as error:
        raise Problem(
            HTTPStatus.CONFLICT, f"the configuration file is not good, the running one stays: {error}"
        ) from None


def _version(configuration: dict[str, Any]) -> str:
    return json.dumps(configuration, sort_keys=True)


def show_statistics(call: Call) -> dict[str, Any]:
    call.query.only()
    return call.service.statistics()


def clear_statistics(call: Call) -> None:
    """What Prometheus reads goes on counting."""
    call.query.only()
    call.service.clear_statistics()


def list_nonces(call: Call) -> dict[str, Any]:
    call.query.only()
    return {"nonces": [serialize.nonce(view) for view in call.service.nonces()]}


def show_metrics(call: Call) -> Text:
    """For Prometheus."""
    call.query.only()
    return Text(*call.service.metrics())


def health(call: Call) -> dict[str, Any]:
    """For whoever restarts the process if it is broken."""
    call.query.only()
    return _checked(*call.service.health(), problem="not healthy")


def readiness(call: Call) -> dict[str, Any]:
    """For whoever sends traffic here, or waits until that makes sense."""
    call.query.only()
    return _checked(*call.service.ready(), problem="not ready")


def _checked(good: bool, checks: dict[str, Any], problem: str) -> dict[str, Any]:
    if not good:
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, problem, checks=checks)
    return {"status": "ok", "checks": checks}
