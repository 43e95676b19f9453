"""The WSGI application of the API. Any WSGI server can run it; the launcher's is eventlet's."""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, Final

from webob import Request, Response

from rest import serialize
from rest.access import AccessControl, Scope
from rest.problem import Problem, bad_request
from rest.query import Query
from rest.resources import bindings, correspondents, debugging, document, events, flows, operation, page
from rest.router import Call, Json, Route, Router, Stream, Text, handler
from rest.service import Service

LOG = logging.getLogger(__name__)

MAX_BODY: Final = 65_536  # octets

WsgiApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

ROUTES: Final = {
    "/": Route({"GET": page.show}, Scope.OPEN),
    "/page/{file}": Route({"GET": page.show_part}, Scope.OPEN),
    "/v1/bindings": Route({"GET": bindings.list_bindings, "DELETE": bindings.clear_bindings}),
    "/v1/bindings/{home_address}": Route(
        {"GET": bindings.show_binding, "PUT": bindings.put_binding, "DELETE": bindings.clear_binding}
    ),
    "/v1/correspondents": Route({"GET": correspondents.list_correspondents}),
    "/v1/correspondents/{correspondent}/{home_address}": Route(
        {"GET": correspondents.show_correspondent, "DELETE": correspondents.clear_correspondent}
    ),
    "/v1/switches": Route({"GET": operation.list_switches}),
    "/v1/flows": Route({"GET": flows.list_flows}),
    "/v1/home-agents": Route({"GET": operation.list_home_agents}),
    "/v1/prefixes": Route({"GET": operation.list_prefixes}),
    "/v1/events": Route({"GET": events.list_events}),
    "/v1/watch": Route({"GET": events.watch}),
    "/v1/config": Route({"GET": operation.show_configuration}),
    "/v1/config:reload": Route({"POST": operation.reload_configuration}),
    "/v1/statistics": Route({"GET": operation.show_statistics, "DELETE": operation.clear_statistics}),
    "/v1/nonces": Route({"GET": operation.list_nonces}),
    "/v1/debug": Route({"GET": debugging.show_topics}),
    "/v1/debug/{topic}": Route({"PUT": debugging.switch_topic}),
    "/v1/capture": Route({"GET": debugging.capture}, Scope.ADMIN),
    "/v1/openapi.json": Route({"GET": document.show}, Scope.OPEN),
    "/metrics": Route({"GET": operation.show_metrics}),
    "/healthz": Route({"GET": operation.health}, Scope.OPEN),
    "/readyz": Route({"GET": operation.readiness}, Scope.OPEN),
}
ROUTER: Final = Router(ROUTES)
EVERYBODY: Final = AccessControl({}, Scope.ADMIN)


def make_app(
    service: Service, access: AccessControl = EVERYBODY, cooperate: Callable[[], None] = lambda: None
) -> WsgiApplication:
    """The WSGI application. `cooperate` is called before each request and often in long loops, to let others run."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        cooperate()
        request = Request(environ)
        request_id = _request_id(request)
        try:
            response = _answer(request, service, access, cooperate)
        except Problem as problem:
            response = _problem_response(problem, request_id)
        except Exception:
            path = environ.get("PATH_INFO")
            LOG.exception("request failed method=%s path=%r id=%s", request.method, path, request_id)
            bug = Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "a bug: see the log for this request_id")
            response = _problem_response(bug, request_id)
        response.headers["X-Request-Id"] = request_id
        if LOG.isEnabledFor(logging.DEBUG):
            what = (request.method, environ.get("PATH_INFO"), response.status_int, request.remote_addr, request_id)
            LOG.debug("request method=%s path=%r status=%d peer=%s id=%s", *what)
        response.headers["Cache-Control"] = "no-store"
        answer: Iterable[bytes] = response(environ, start_response)
        return answer

    return app


def _answer(request: Request, service: Service, access: AccessControl, cooperate: Callable[[], None]) -> Response:
    if request.headers.get("Transfer-Encoding") or (request.content_length or 0) > MAX_BODY:
        raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body has at most {MAX_BODY} octets and a Content-Length")
    try:
        path, parameters = request.path_info, list(request.GET.items())
    except UnicodeDecodeError:
        raise bad_request("the path and the parameters must be UTF-8") from None
    route, names = ROUTER.find(path)
    access.admit(request, route.needs(request.method))
    answer = handler(route, request.method)
    result = answer(Call(service, Query(parameters), request.headers, names, request.body, cooperate))
    if result is None:
        return Response(status=HTTPStatus.NO_CONTENT.value)
    if isinstance(result, Stream):
        # The server must not wait for more before it sends what there is (eventlet.wsgi does, by default).
        request.environ["eventlet.minimum_write_chunk_size"] = 0
        return Response(content_type=result.content_type, charset=None, app_iter=result.parts)
    if isinstance(result, Json):
        response = _json_response(result.status, "application/json", result.value)
        response.headers.update(result.headers)
        return response
    if isinstance(result, Text):
        response = Response(content_type=result.content_type, body=result.body)
        response.headers.update(result.headers)
        return response
    return _json_response(HTTPStatus.OK, "application/json", result)


def _problem_response(problem: Problem, request_id: str) -> Response:
    response = _json_response(problem.status, "application/problem+json", problem.body(request_id))
    for name, value in problem.headers.items():
        response.headers[name] = value
    return response


def _json_response(status: HTTPStatus, content_type: str, value: Any) -> Response:
    body = serialize.octets(value) + b"\n"
    line = f"{status.value} {status.phrase}"  # WebOb has phrases of its own, and Python's change with its version
    return Response(status=line, content_type=content_type, charset=None, body=body)


def _request_id(request: Request) -> str:
    """The caller's name for the request, if it is one that fits into a log line, else a new one."""
    given = str(request.headers.get("X-Request-Id", ""))
    return given if re.fullmatch(r"[A-Za-z0-9._-]{1,64}", given) else uuid.uuid4().hex
