"""Running the programs that provisioning is made of."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

OVSDB_TIMEOUT: Final = 15  # seconds; without one ovs-vsctl waits for ever for an ovs-vswitchd that does not run
_RUN_TIMEOUT: Final = 30.0


class ProvisionError(Exception):
    """Provisioning cannot be done; the text is one line for a person to read."""


@dataclass(frozen=True)
class Command:
    """One change."""

    argv: tuple[str, ...]
    why: str
    link: str  # name of the link that it is for
    call: Callable[[], object] | None = None  # does the same as `argv` without another process

    def __str__(self) -> str:
        return shlex.join(self.argv)


def vsctl(*words: str) -> tuple[str, ...]:
    """An ovs-vsctl command line: one transaction, done when ovs-vswitchd has made it real."""
    return ("ovs-vsctl", f"--timeout={OVSDB_TIMEOUT}", "--", *words)


def run(argv: Sequence[str]) -> str:
    """Run a program and return its standard output. ProvisionError with the first line of its complaint."""
    try:
        result = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_RUN_TIMEOUT, check=False
        )
    except FileNotFoundError:
        raise ProvisionError(f"{argv[0]} is not installed (Debian, Ubuntu: {_package(argv[0])})") from None
    except subprocess.TimeoutExpired:
        raise ProvisionError(f"{shlex.join(argv)}: no end after {_RUN_TIMEOUT:g} s") from None
    if result.returncode != 0:
        complaint = (result.stderr or result.stdout).strip().splitlines() or [f"status {result.returncode}"]
        raise ProvisionError(f"{shlex.join(argv)}: {complaint[0]}")
    return result.stdout


def _package(program: str) -> str:
    return {"ip": "iproute2", "sysctl": "procps", "ethtool": "ethtool"}.get(program, "openvswitch-switch")


def apply(commands: Iterable[Command], say: Callable[[Command], None] = lambda command: None) -> None:
    """Run commands in their order, telling `say` about each before it runs.

    ProvisionError ends it at the first failure. What was done stays; setup again goes on from there.
    """
    for command in commands:
        say(command)
        if command.call is not None:
            command.call()
        else:
            run(command.argv)
