"""The rule of import: which of our packages may use which, and that mip6core stays pure."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = ("mip6core", "ryu_apps", "rest", "topo", "deploy")

# Module prefix -> what it may import of ours besides its own package. The longest prefix that fits counts.
ALLOWED: dict[str, tuple[str, ...]] = {
    "mip6core": (),
    "deploy": ("mip6core",),
    "deploy.benchmarks": OURS,
    "rest": ("mip6core", "deploy.config"),
    "rest.cli": ("mip6core", "deploy.config", "deploy.ovs", "deploy.shim"),
    "rest.cli.flows": ("ryu_apps.cookies", "ryu_apps.meanings"),
    "rest.cli.trace": ("mip6core", "deploy.shim", "ryu_apps.cookies", "ryu_apps.meanings", "ryu_apps.pipeline"),
    "ryu_apps": ("mip6core", "deploy.config"),
    "ryu_apps.app": ("mip6core", "deploy.config", "rest.service"),
    "ryu_apps.switch": ("mip6core", "deploy.config", "rest.service"),
    "ryu_apps.flow_listing": ("mip6core", "rest.service"),
    "ryu_apps.event_log": ("mip6core.events", "mip6core.rate_limit", "rest.service"),
    "ryu_apps.northbound": ("mip6core", "deploy.config", "rest.service"),
    "ryu_apps.rest_server": ("deploy.config", "rest"),
    "topo": ("mip6core.codec", "mip6core.addresses", "mip6core.constants", "mip6core.errors"),
}

# All that mip6core may use of the standard library: nothing that reads a clock, makes chance, or does I/O.
PURE = {
    *("__future__", "abc", "bisect", "collections", "contextlib", "dataclasses", "enum", "functools"),
    *("hashlib", "heapq", "hmac", "ipaddress", "itertools", "math", "operator", "struct", "types", "typing"),
}


def imports(module: str, source: str) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of everything that a module imports (``from a import b`` gives ``a.b``)."""
    package = module.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = [*package[: len(package) - node.level + 1]] if node.level else []
            base += node.module.split(".") if node.module else []
            yield from ((node.lineno, ".".join([*base, alias.name])) for alias in node.names)


def fits(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


def violations(module: str, source: str) -> list[str]:
    """What a module imports against the rule, one line for each."""
    own = module.split(".")[0]
    allowed = ALLOWED[max((prefix for prefix in ALLOWED if fits(module, prefix)), key=len)]
    found = []
    for line, name in imports(module, source):
        top = name.split(".")[0]
        if top in OURS:
            wrong = top != own and not any(fits(name, prefix) for prefix in allowed)
        elif own == "mip6core":
            wrong = top not in PURE
        else:
            wrong = own == "rest" and top in ("ryu", "eventlet")
        if wrong:
            found.append(f"{module} line {line}: {name}")
    if own == "mip6core":
        calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
        names = ((call.lineno, call.func.id) for call in calls if isinstance(call.func, ast.Name))
        impure = ("open", "print", "input")
        found += [f"{module} line {line}: {name}()" for line, name in names if name in impure]
    return found


def modules() -> Iterator[tuple[str, Path]]:
    for package in OURS:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts), path


@pytest.mark.parametrize("package", OURS)
def test_package_keeps_the_rule(package: str) -> None:
    sources = [(name, path.read_text()) for name, path in modules() if fits(name, package)]
    assert [line for name, source in sources for line in violations(name, source)] == []


def test_pure_modules_are_of_the_standard_library() -> None:
    assert sys.stdlib_module_names >= PURE


@pytest.mark.parametrize(
    ("module", "source", "wrong"),
    [
        ("mip6core.home_agent", "import time", True),
        ("mip6core.home_agent", "def f():\n    from os import urandom", True),
        ("mip6core.home_agent", "print('x')", True),
        ("mip6core.home_agent", "import scapy.all", True),
        ("mip6core.home_agent", "from rest import service", True),
        ("mip6core.codec.mh", "from ..errors import ParseError\nfrom . import ipv6\nimport struct", False),
        ("rest.wsgi", "import eventlet.wsgi", True),
        ("rest.wsgi", "from ryu.lib import hub", True),
        ("rest.wsgi", "from ryu_apps import app", True),
        ("rest.wsgi", "from deploy import ovs", True),
        ("rest.wsgi", "from deploy.config import Config\nimport webob", False),
        ("rest.cli.main", "from deploy import ovs", False),
        ("ryu_apps.pipeline", "import rest.service", True),
        ("ryu_apps.rest_server", "import rest.wsgi", False),
        ("deploy.ovs", "from rest import service", True),
        ("topo.mobile_node", "from mip6core import home_agent", True),
        ("topo.mobile_node", "from mip6core.codec import mh", False),
    ],
)
def test_the_check_itself(module: str, source: str, wrong: bool) -> None:
    assert bool(violations(module, source)) == wrong
