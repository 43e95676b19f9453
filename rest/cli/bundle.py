"""mip6ctl bundle: what a bug report needs, in one archive.

What cannot be had, since the server does not answer or this is another machine, is told in its file, and the rest is
collected all the same. Keys and tokens are not in it; addresses of mobile nodes are.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib import metadata
from typing import Any, Final

from deploy.shim import AdapterError, adapter_for
from rest.cli.client import Client
from rest.cli.failure import Exit, Failure
from rest.cli.output import print_data

MAX_OCTETS: Final = 8 << 20  # of one file; its end is kept
LOG_LINES: Final = 5000
UNITS: Final = ("mip6-manager.service", "mip6-ovs.service", "mip6-adapters.service")
PACKAGES: Final = ("mip6", "ryu", "eventlet", "webob", "prometheus-client", "cryptography", "pyyaml")
RESOURCES: Final = {
    "config": "/v1/config",
    "switches": "/v1/switches",
    "bindings": "/v1/bindings?limit=1000",
    "correspondents": "/v1/correspondents?limit=1000",
    "home-agents": "/v1/home-agents",
    "prefixes": "/v1/prefixes",
    "statistics": "/v1/statistics",
    "events": "/v1/events?limit=1000",
    "debug": "/v1/debug",
    "health": "/healthz",
    "ready": "/readyz",
}
COMMANDS: Final = {
    "ovs/version": ("ovs-vsctl", "--version"),
    "ovs/show": ("ovs-vsctl", "show"),
    "ovs/tunnel-ports": ("ovs-appctl", "tnl/ports/show"),
    "ovs/tunnel-neighbours": ("ovs-appctl", "tnl/neigh/show"),
    "ovs/routes": ("ovs-appctl", "ovs/route/show"),
    "ovs/coverage": ("ovs-appctl", "coverage/show"),
    "system/addresses": ("ip", "-6", "address"),
    "system/routes": ("ip", "-6", "route"),
    "system/links": ("ip", "-s", "link"),
}
OF_BRIDGES: Final = ("dump-flows", "dump-meters", "meter-stats", "show", "dump-tables")


def bundle(options: argparse.Namespace) -> Exit:
    """Write the archive, readable for its owner only."""
    client = Client(options)
    name = options.file or time.strftime("mip6-bundle-%Y%m%d-%H%M%S.tar.gz")
    top = os.path.basename(name).removesuffix(".tar.gz")
    files = []
    try:
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise Failure(Exit.FAILURE, f"cannot write {name}: {error.strerror}") from None
    with os.fdopen(descriptor, "wb") as out, tarfile.open(fileobj=out, mode="w:gz") as archive:
        for path, make in _parts(client, options.log):
            content = _collected(make)[-MAX_OCTETS:]
            entry = tarfile.TarInfo(f"{top}/{path}")
            entry.size, entry.mtime = len(content), int(time.time())
            archive.addfile(entry, io.BytesIO(content))
            files.append(path)
    if options.output != "table":
        print_data(options, {"file": name, "files": files})
    else:
        print(f"{name}: {len(files)} files; it has no keys, but addresses of mobile nodes: look before you send it")
    return Exit.OK


def _parts(client: Client, log: str | None) -> Iterator[tuple[str, Callable[[], str]]]:
    """Names, and what makes the contents."""
    yield "versions.txt", _versions
    for name, path in RESOURCES.items():
        yield f"server/{name}.json", partial(_resource, client, path)
    yield "server/metrics.txt", partial(_text, client)
    for name, words in COMMANDS.items():
        yield f"{name}.txt", partial(_run, *words)
    for bridge in _bridges():
        for command in OF_BRIDGES:
            words = ("ovs-ofctl", "-O", "OpenFlow13", command, bridge)
            yield f"ovs/{bridge}/{command}.txt", partial(_run, *words)
    yield "adapters.json", _adapters
    yield "log.txt", partial(_log, log)


def _bridges() -> list[str]:
    """Those of this machine; none where Open vSwitch does not tell, and then `ovs/show` says why."""
    try:
        done = subprocess.run(("ovs-vsctl", "list-br"), capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return done.stdout.split()


def _collected(make: Callable[[], str]) -> bytes:
    try:
        return make().encode()
    except (Failure, AdapterError, OSError, subprocess.SubprocessError) as error:
        return f"not collected: {error}\n".encode()


def _versions() -> str:
    lines = [f"system {platform.platform()}", f"python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            lines.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            lines.append(f"{package} -")
    return "\n".join(lines) + "\n"


def _resource(client: Client, path: str) -> str:
    return json.dumps(client.get(path), indent=2)


def _text(client: Client) -> str:
    with client.stream("/metrics") as answer:
        return answer.read().decode(errors="replace")


def _run(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + (f"exit status {done.returncode}: {done.stderr}" if done.returncode else "")


def _adapters() -> str:
    adapter = adapter_for("netdev")
    found: list[Any] = [adapter.status(device).as_dict() for device in adapter.devices()]
    return json.dumps(found, indent=2)


def _log(path: str | None) -> str:
    """Of a file, or of the journal."""
    if path is None:
        return _run("journalctl", "--no-pager", *(f"--unit={unit}" for unit in UNITS), "-n", str(LOG_LINES))
    with open(path, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - MAX_OCTETS))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-LOG_LINES:]) + "\n"
