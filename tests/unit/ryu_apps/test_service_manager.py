"""What systemd is told. The socket is a real one; the words are those of sd_notify(3)."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from ryu_apps.service_manager import ServiceManager


class EnoughError(Exception):
    """Ends a loop that has no end."""


@pytest.fixture
def systemd(tmp_path: Path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(0)
        yield listener


def environment(listener: socket.socket, **more: str) -> dict[str, str]:
    return {"NOTIFY_SOCKET": listener.getsockname(), **more}


def heard(listener: socket.socket) -> list[str]:
    return listener.recv(1000).decode().split("\n")


def test_ready_comes_with_a_status(systemd: socket.socket) -> None:
    ServiceManager(environment(systemd)).ready("OpenFlow on 127.0.0.1 port 6653")
    assert heard(systemd) == ["READY=1", "STATUS=OpenFlow on 127.0.0.1 port 6653"]


def test_a_reload_is_told_with_the_time_that_systemd_compares(systemd: socket.socket) -> None:
    ServiceManager(environment(systemd)).reloading()
    first, second = heard(systemd)
    assert first == "RELOADING=1"
    assert second.removeprefix("MONOTONIC_USEC=").isdecimal()


def test_stopping(systemd: socket.socket) -> None:
    ServiceManager(environment(systemd)).stopping()
    assert heard(systemd) == ["STOPPING=1"]


def test_the_watchdog_is_fed_twice_in_its_time_while_the_process_is_healthy(systemd: socket.socket) -> None:
    manager = ServiceManager(environment(systemd, WATCHDOG_USEC="30000000", WATCHDOG_PID=str(os.getpid())))
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            raise EnoughError

    with pytest.raises(EnoughError):
        manager.keep_alive(lambda: len(slept) != 1, sleep)
    assert slept == [15, 15, 15]
    assert [heard(systemd), heard(systemd)] == [["WATCHDOG=1"]] * 2
    with pytest.raises(BlockingIOError):
        systemd.recv(1000)


@pytest.mark.parametrize("more", [{}, {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "x"}])
def test_without_a_watchdog_for_this_process_nobody_feeds_one(systemd: socket.socket, more: dict[str, str]) -> None:
    ServiceManager(environment(systemd, **more)).keep_alive(lambda: True, lambda seconds: pytest.fail("slept"))


def test_outside_systemd_nothing_happens() -> None:
    ServiceManager({}).ready("")


def test_a_listener_that_has_gone_is_no_error(tmp_path: Path) -> None:
    ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready("")
