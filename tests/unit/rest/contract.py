"""Every answer of the API is held against its OpenAPI document, by jsonschema."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, FormatChecker
from webob import Request, Response

DOCUMENT: dict[str, Any] = yaml.safe_load(
    Path(__file__).resolve().parents[3].joinpath("rest/openapi.yaml").read_text(encoding="utf-8")
)


def operation(method: str, path: str) -> dict[str, Any] | None:
    """What the document says of a request; None if it knows nothing of it."""
    segments = path.split("/")
    for pattern, item in DOCUMENT["paths"].items():
        wanted = pattern.split("/")
        if len(wanted) == len(segments) and all(
            expected.startswith("{") or expected == given for expected, given in zip(wanted, segments, strict=True)
        ):
            found: dict[str, Any] | None = item.get("get" if method == "HEAD" else method.lower())
            return found
    return None


def check(request: Request, response: Response) -> Response:
    """The answer, if the document allows it."""
    assert response.headers["X-Request-Id"]
    known = operation(request.method, request.path_info) if _is_text(request) else None
    if known is None:
        assert response.status_int in (400, 401, 403, 404, 405), response.status
        described: Any = {"$ref": "#/components/responses/problem"}
    else:
        described = known["responses"].get(str(response.status_int)) or known["responses"]["default"]
        if "default" not in known["responses"]:
            assert str(response.status_int) in known["responses"]
    described = _resolve(described)
    if response.status_int >= 400:
        assert response.content_type == "application/problem+json"
    content = described.get("content")
    if content is None:
        assert response.body == b""
        return response
    assert response.content_type in content
    if request.method != "HEAD" and response.content_type.endswith("json"):
        validate(response.json, content[response.content_type]["schema"])
    return response


def validate(value: Any, schema: dict[str, Any]) -> None:
    """AssertionError naming what does not fit a schema of the document."""
    validator = Draft202012Validator({**schema, "components": DOCUMENT["components"]}, format_checker=FormatChecker())
    errors = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]
    assert not errors, errors


def _resolve(described: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in described:
        return described
    value: Any = DOCUMENT
    for name in described["$ref"].removeprefix("#/").split("/"):
        value = value[name]
    return dict(value)


def _is_text(request: Request) -> bool:
    try:
        return bool(request.path_info)
    except UnicodeDecodeError:
        return False
