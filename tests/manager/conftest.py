"""The real mip6-manager as a process, on loopback and without switches: what it serves to programs."""

from __future__ import annotations

import datetime
import http.client
import ipaddress
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
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

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
        self.write()
        self.log = directory / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ryu_apps.launcher", "--config", self.config], cwd=ROOT, stderr=log
            )
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


class Authority:
    """A certificate authority of the test's own."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._sign(self._name, self._key, x509.BasicConstraints(True, None))
        self.path = directory / f"{name}.pem"
        self.path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str) -> tuple[Path, Path]:
        """PEM files of a certificate for 127.0.0.1, and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        loopback = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        certificate = self._sign(subject, key, x509.BasicConstraints(False, None), loopback)
        paths = self._directory / f"{name}.pem", self._directory / f"{name}.key"
        paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        paths[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return paths

    def _sign(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *extensions: x509.ExtensionType
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(self._key, hashes.SHA256())


@pytest.fixture
def authority(tmp_path: Path) -> Callable[[str], Authority]:
    return lambda name: Authority(tmp_path, name)
