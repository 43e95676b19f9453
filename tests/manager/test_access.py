"""Tokens, TLS and client certificates on the real server."""

from __future__ import annotations

import hashlib
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Start = Callable[..., Any]


def test_tokens_made_by_mip6ctl_open_the_api(manager: Start, tmp_path: Path) -> None:
    file = tmp_path / "token"
    made = mip6ctl("token", "generate", "noc", "--scope", "read", "--file", str(file), "-o", "json")
    assert made.returncode == 0, made.stderr
    assert file.stat().st_mode & 0o777 == 0o600
    token = file.read_text().strip()
    digest = hashlib.sha256(token.encode()).hexdigest()
    assert digest in made.stdout
    assert token not in made.stdout

    running = manager({"tokens": [{"name": "noc", "scope": "read", "sha256": digest}]})
    assert running.call("GET", "/v1/bindings")[0] == 401
    assert running.call("GET", "/v1/bindings", Authorization=f"Bearer {token}")[0] == 200
    assert running.call("DELETE", "/v1/bindings?prefix=::/0", Authorization=f"Bearer {token}")[0] == 403
    server = f"--server=http://127.0.0.1:{running.port}"
    refused = mip6ctl("show", "bindings", server)
    assert refused.returncode == 1
    assert "--token-file" in refused.stderr
    assert mip6ctl("show", "bindings", server, "--token-file", str(file)).returncode == 0
    assert mip6ctl("show", "bindings", server, MIP6CTL_TOKEN=token).returncode == 0
    assert token not in running.log.read_text()


def test_tls_with_client_certificates(manager: Start, authority: Callable[[str], Any]) -> None:
    ours, other = authority("ours"), authority("other")
    certificate, key = ours.issue("server")
    tls = {"certificate": str(certificate), "key": str(key), "client_ca": str(ours.path)}
    running = manager({"tls": tls})

    trusting = ssl.create_default_context(cafile=str(ours.path))
    with pytest.raises((ssl.SSLError, ConnectionError)):
        running.call("GET", "/healthz", trusting)
    trusting.load_cert_chain(*other.issue("stranger"))
    with pytest.raises((ssl.SSLError, ConnectionError)):
        running.call("GET", "/healthz", trusting)
    client_certificate, client_key = ours.issue("client")
    known = ssl.create_default_context(cafile=str(ours.path))
    known.load_cert_chain(client_certificate, client_key)
    assert running.call("GET", "/v1/bindings", known)[0] == 200

    both = client_certificate.with_name("client-both.pem")
    both.write_bytes(client_certificate.read_bytes() + client_key.read_bytes())
    server = f"--server=https://127.0.0.1:{running.port}"
    assert mip6ctl("show", "bindings", server, "--ca-file", str(ours.path)).returncode != 0
    shown = mip6ctl("show", "bindings", server, "--ca-file", str(ours.path), "--certificate", str(both))
    assert shown.returncode == 0, shown.stderr


def test_who_says_nothing_or_nonsense_to_the_tls_port_holds_up_nobody(
    manager: Start, authority: Callable[[str], Any]
) -> None:
    ours = authority("ours")
    certificate, key = ours.issue("server")
    running = manager({"tls": {"certificate": str(certificate), "key": str(key)}})
    with (
        socket.create_connection(("127.0.0.1", running.port)),
        socket.create_connection(("127.0.0.1", running.port)) as talker,
    ):
        talker.sendall(b"GET / HTTP/1.1\r\n\r\n")
        trusting = ssl.create_default_context(cafile=str(ours.path))
        assert running.call("GET", "/healthz", trusting)[0] == 200


def mip6ctl(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rest.cli.main", *words],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
