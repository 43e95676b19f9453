"""REST clients that ask as fast as they are answered, and watchers of events, in a process of their own."""

from __future__ import annotations

import contextlib
import http.client
import multiprocessing
import os
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Final

HOST: Final = "127.0.0.1"
TIMEOUT: Final = 30.0  # seconds
NICE: Final = 10  # clients get what processor time others leave
PAGES: Final = "/v1/bindings?limit=1000"
NEXT_CURSOR: Final = re.compile(rb'"next_cursor":"([^"]+)"')
CURSOR_END: Final = 100  # octets at the end of a page that the cursor is in


@dataclass
class Served:
    """What the clients have got."""

    requests: int = 0
    octets: int = 0
    events: int = 0  # that watchers have got
    slowest: float = 0.0  # seconds, of a request
    seconds: float = 0.0

    def add(self, other: Served) -> None:
        self.requests += other.requests
        self.octets += other.octets
        self.events += other.events
        self.slowest = max(self.slowest, other.slowest)
        self.seconds += other.seconds


class RestLoad:
    """A running load. A context manager: at its end `served` is complete."""

    def __init__(self, port: int, clients: int, watchers: int, others: Sequence[str]) -> None:
        """Returns when all are connected. `others` are paths that are asked for besides all bindings."""
        context = multiprocessing.get_context("spawn")
        self.served = Served()
        self._connection, other = context.Pipe()
        self._process = context.Process(target=_run, args=(other, port, clients, watchers, others), daemon=True)
        self._process.start()
        other.close()
        self._connection.recv()

    def __enter__(self) -> RestLoad:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.send(None)
        found = self._connection.recv()
        self._process.join()
        if isinstance(found, str):
            raise SystemExit(f"bench operate: REST: {found}")
        self.served = found


def _run(connection: Connection, port: int, clients: int, watchers: int, others: Sequence[str]) -> None:
    os.nice(NICE)
    _Load(port, clients, watchers, others).run(connection)


_Work = Callable[[http.client.HTTPConnection, Served], None]


class _Load:
    def __init__(self, port: int, clients: int, watchers: int, others: Sequence[str]) -> None:
        self._port = port
        self._others = others
        self._served = [Served() for _ in range(clients + watchers)]
        self._over = threading.Event()
        self._failure = ""
        connected = threading.Barrier(clients + watchers + 1)
        self._threads = [
            threading.Thread(
                target=self._thread,
                args=(self._ask if index < clients else self._watch, served, connected),
                daemon=True,  # a watcher waits for events that may not come
            )
            for index, served in enumerate(self._served)
        ]
        for thread in self._threads:
            thread.start()
        with contextlib.suppress(threading.BrokenBarrierError):
            connected.wait()

    def run(self, connection: Connection) -> None:
        """Until it is told."""
        begin = time.perf_counter()
        connection.send(None)
        connection.recv()
        self._over.set()
        total = Served()
        for served in self._served:
            total.add(served)
        total.seconds = time.perf_counter() - begin
        connection.send(self._failure or total)

    def _thread(self, work: _Work, served: Served, connected: threading.Barrier) -> None:
        client = http.client.HTTPConnection(HOST, self._port, timeout=TIMEOUT)
        try:
            client.connect()
            connected.wait()
            work(client, served)
        except threading.BrokenBarrierError:
            pass
        except (OSError, http.client.HTTPException, ValueError) as error:
            if not self._over.is_set():
                self._failure = str(error) or type(error).__name__
            connected.abort()  # nobody waits for this one

    def _ask(self, client: http.client.HTTPConnection, served: Served) -> None:
        """In turn: all bindings in the largest pages, then the first page of what passes each filter, then the rest."""
        while not self._over.is_set():
            path: str | None = PAGES
            while path is not None:
                end = self._get(client, served, path)[-CURSOR_END:]
                cursor = NEXT_CURSOR.search(end)
                path = None if cursor is None else f"{PAGES}&cursor={cursor[1].decode()}"
            for path in self._others:
                self._get(client, served, path)

    def _get(self, client: http.client.HTTPConnection, served: Served, path: str) -> bytes:
        begin = time.perf_counter()
        client.request("GET", path)
        answer = client.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise ValueError(f"{path}: {answer.status}")
        if not self._over.is_set():
            served.requests += 1
            served.octets += len(body)
            served.slowest = max(served.slowest, time.perf_counter() - begin)
        return body

    def _watch(self, client: http.client.HTTPConnection, served: Served) -> None:
        client.request("GET", "/v1/watch")
        answer = client.getresponse()
        while not self._over.is_set():
            served.events += answer.readline().startswith(b"id:")
