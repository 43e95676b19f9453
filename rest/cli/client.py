"""HTTP to the REST API."""

from __future__ import annotations

import argparse
import http.client
import json
import os
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from rest.cli.failure import Exit, Failure

TIMEOUT: Final = 30.0  # seconds


class Client:
    """Requests to one server. Each raises Failure unless the answer is a success."""

    def __init__(self, options: argparse.Namespace) -> None:
        server: str = options.server
        parts = urllib.parse.urlsplit(server)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise Failure(Exit.USAGE, f"{server}: a server such as http://127.0.0.1:8080 is needed")
        self._server = server.rstrip("/")
        # The API is near; what a proxy for the web would make of it is of no use here.
        handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
        if parts.scheme == "https":
            handlers.append(urllib.request.HTTPSHandler(context=_tls(options)))
        self._opener = urllib.request.build_opener(*handlers)
        token = _token(options)
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    def get(self, path: str, parameters: dict[str, str] | None = None) -> Any:
        return self._call("GET", path, parameters)

    def delete(
        self, path: str, parameters: dict[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        return self._call("DELETE", path, parameters, None, headers)

    def post(self, path: str) -> Any:
        return self._call("POST", path, None)

    def put(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> Any:
        return self._call("PUT", path, None, body, headers)

    @contextmanager
    def stream(
        self, path: str, parameters: dict[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        """An answer to be read as it comes; what goes wrong with the connection is Failure UNREACHABLE."""
        with self._failures(), self._open("GET", path, parameters, None, headers) as response:
            yield response

    def _open(
        self,
        method: str,
        path: str,
        parameters: dict[str, str] | None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> http.client.HTTPResponse:
        query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
        data = None if body is None else json.dumps(body).encode()
        more = {} if body is None else {"Content-Type": "application/json"}
        request = urllib.request.Request(
            f"{self._server}{path}{query}", data, {**self._headers, **more, **(headers or {})}, method=method
        )
        response: http.client.HTTPResponse = self._opener.open(request, timeout=TIMEOUT)
        return response

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except urllib.error.HTTPError as error:
            with error:
                raise _refused(error.code, error.read()) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            reason = getattr(reason, "strerror", None) or reason
            raise Failure(Exit.UNREACHABLE, f"{self._server}: no answer ({reason})") from None

    def _call(
        self,
        method: str,
        path: str,
        parameters: dict[str, str] | None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        with self._failures(), self._open(method, path, parameters, body, headers) as response:
            answer = response.read()
        return self._parsed(answer)

    def _parsed(self, body: bytes) -> Any:
        try:
            return json.loads(body) if body else None
        except ValueError:
            raise Failure(Exit.FAILURE, f"{self._server}: the answer is not JSON: is this the right server?") from None


def _token(options: argparse.Namespace) -> str | None:
    """Of a file or of the environment: a command line is seen by every user of the machine."""
    if options.token_file is None:
        return os.environ.get("MIP6CTL_TOKEN") or None
    token = _read(options.token_file).strip()
    if not token.isascii() or not token.isprintable() or not token:
        raise Failure(Exit.USAGE, f"{options.token_file}: a file with a token in one line is needed")
    return token


def _tls(options: argparse.Namespace) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=options.ca_file)
        if options.certificate is not None:
            context.load_cert_chain(options.certificate)
    except OSError as error:  # an SSLError is one
        names = ", ".join(name for name in (options.ca_file, options.certificate) if name is not None)
        raise Failure(Exit.USAGE, f"{names}: PEM files are needed ({error})") from None
    return context


def _read(name: str) -> str:
    try:
        return Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(Exit.USAGE, f"{name}: {getattr(error, 'strerror', None) or 'not a text'}") from None


def _refused(status: int, body: bytes) -> Failure:
    """What the server says (RFC 9457), with the checks that failed if it is about its health."""
    try:
        problem = json.loads(body)
        text = str(problem["detail"])
        if problem.get("checks"):
            text += f": {json.dumps(problem['checks'])}"
    except (ValueError, KeyError, TypeError):
        text = f"the server answers with status {status}"
    if status == HTTPStatus.UNAUTHORIZED:
        text += " (--token-file, or MIP6CTL_TOKEN of the environment)"
    return Failure(Exit.USAGE if status == HTTPStatus.BAD_REQUEST else Exit.FAILURE, text)
