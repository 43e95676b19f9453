"""HTTP to the REST API."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, Final

from rest.cli.failure import Exit, Failure

TIMEOUT: Final = 30.0  # seconds


class Client:
    """Requests to one server. Each raises Failure unless the answer is a success."""

    def __init__(self, server: str) -> None:
        parts = urllib.parse.urlsplit(server)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise Failure(Exit.USAGE, f"{server}: a server such as http://127.0.0.1:8080 is needed")
        self._server = server.rstrip("/")
        # The API is near; what a proxy for the web would make of it is of no use here.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def get(self, path: str, parameters: dict[str, str] | None = None) -> Any:
        return self._call("GET", path, parameters)

    def delete(self, path: str, parameters: dict[str, str] | None = None) -> Any:
        return self._call("DELETE", path, parameters)

    def _call(self, method: str, path: str, parameters: dict[str, str] | None) -> Any:
        query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
        request = urllib.request.Request(f"{self._server}{path}{query}", method=method)
        try:
            with self._opener.open(request, timeout=TIMEOUT) as response:
                body = response.read()
        except urllib.error.HTTPError as error:
            with error:
                raise _refused(error.code, error.read()) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            reason = getattr(reason, "strerror", None) or reason
            raise Failure(Exit.UNREACHABLE, f"{self._server}: no answer ({reason})") from None
        try:
            return json.loads(body) if body else None
        except ValueError:
            raise Failure(Exit.FAILURE, f"{self._server}: the answer is not JSON: is this the right server?") from None


def _refused(status: int, body: bytes) -> Failure:
    """What the server says (RFC 9457), with the checks that failed if it is about its health."""
    try:
        problem = json.loads(body)
        text = str(problem["detail"])
        if problem.get("checks"):
            text += f": {json.dumps(problem['checks'])}"
    except (ValueError, KeyError, TypeError):
        text = f"the server answers with status {status}"
    return Failure(Exit.USAGE if status == 400 else Exit.FAILURE, text)
