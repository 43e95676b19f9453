"""The real mip6-manager as a process, on loopback and without switches: what it serves to programs."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.certificates import Authority

ROOT = Path(__file__).resolve().parents[2]
START = 20.0  # seconds
HOME_LINK = {
    "name": "homenet",
    "bridge": "br-home",
    "address": "2001:db8:1::2",
    "prefixes": ["2001:db8:1::/64"],
    "router": "2001:db8:1::1",
    "uplinks": ["eth1"],
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Manager:
    """A running mip6-manager."""

    def __init__(self, directory: Path, rest: dict[str, Any], **sections: Any) -> None:
        self.openflow_port, self.port = free_port(), free_port()
        self.config = directory / "mip6.yaml"
        self.sections = {
            "openflow": {"port": self.openflow_port},
            "rest": {"port": self.port, **rest},
            "security": {"unprotected_signalling": "accept"},
            "home_links": [HOME_LINK],
            **sections,
        }
        self.openflow_port = self.sections["openflow"]["port"]
        self.write()
        self.adapter_counters = directory / "adapters.json"
        self.log = directory / "log"
        with self.log.open("wb") as log:
            options = ["--config", self.config, "--adapter-counters", self.adapter_counters]
            words = [sys.executable, "-m", "ryu_apps.launcher", *options]
            self.process = subprocess.Popen(words, cwd=ROOT, stderr=log)
        self._wait()

    def write(self) -> None:
        """The configuration file as `sections` are now."""
        self.config.write_text(yaml.safe_dump(self.sections))

    def _wait(self) -> None:
        end = time.monotonic() + START
        while time.monotonic() < end and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError(self.log.read_text())

    def connect(self, tls: ssl.SSLContext | None = None) -> http.client.HTTPConnection:
        if tls is None:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=10, context=tls)

    def call(self, method: str, path: str, tls: ssl.SSLContext | None = None, **headers: str) -> tuple[int, Any]:
        """Status and JSON of one request."""
        connection = self.connect(tls)
        try:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            body = answer.read()
            return answer.status, json.loads(body) if body else None
        finally:
            connection.close()

    def close(self) -> None:
        self.process.terminate()
        assert self.process.wait(10) == 0, self.log.read_text()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Callable[..., Manager]]:
    """Starts managers; the test's end is theirs, and must be a clean one."""
    started: list[Manager] = []

    def start(rest: dict[str, Any] | None = None, **sections: Any) -> Manager:
        started.append(Manager(tmp_path, rest or {}, **sections))
        return started[-1]

    yield start
    for one in started:
        one.close()
        assert "Traceback" not in one.log.read_text(), one.log.read_text()


@pytest.fixture
def authority(tmp_path: Path) -> Callable[[str], Authority]:
    return lambda name: Authority(tmp_path, name)
