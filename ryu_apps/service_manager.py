"""What systemd wants to hear of a service (sd_notify(3)): ready, reloading, stopping, and that it is still alive.

Outside systemd there is no socket to tell it to, and nothing happens.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping


class ServiceManager:
    """The notification socket of `Type=notify` services."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog_interval = _watchdog_interval(environment)

    def ready(self, status: str) -> None:
        """Started, or done with a reload; `status` is what `systemctl status` shows."""
        self._tell("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """The configuration is read again; `ready` ends it."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The service ends because it was asked to."""
        self._tell("STOPPING=1")

    def keep_alive(self, healthy: Callable[[], bool], sleep: Callable[[float], object]) -> None:
        """Feed the watchdog for ever from the event loop: a process that hangs, or is not healthy, is restarted."""
        if self.watchdog_interval is None:
            return
        while True:
            if healthy():
                self._tell("WATCHDOG=1")
            sleep(self.watchdog_interval)

    def _tell(self, *lines: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            try:
                channel.sendto("\n".join(lines).encode(), self._address)
            except OSError:
                return  # a service does not end because nobody listens


def _watchdog_interval(environment: Mapping[str, str]) -> float | None:
    """Seconds between two signs of life, half of what systemd waits; None without a watchdog for this process."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    given = environment.get("WATCHDOG_USEC", "")
    return int(given) / 2e6 if given.isdecimal() and int(given) > 0 else None
