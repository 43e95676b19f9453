"""Errors of the API: problem details for HTTP (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any


class Problem(Exception):
    """Raised by a handler: the answer to the request is this error."""

    def __init__(self, status: HTTPStatus, detail: str, headers: dict[str, str] | None = None, **more: Any) -> None:
        """`detail` tells the caller what to do about it; `more` are members besides the standard ones."""
        super().__init__(detail)
        self.status = status
        self.headers = headers or {}
        self._more = more

    def body(self, request_id: str) -> dict[str, Any]:
        """The JSON of the answer. Without a `type` of its own a problem says no more than its status."""
        return {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": self.status.value,
            "detail": str(self),
            "request_id": request_id,
            **self._more,
        }


def bad_request(detail: str) -> Problem:
    return Problem(HTTPStatus.BAD_REQUEST, detail)


def not_found(detail: str) -> Problem:
    return Problem(HTTPStatus.NOT_FOUND, detail)
