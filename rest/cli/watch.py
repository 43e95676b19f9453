"""mip6ctl watch: events as they happen (server-sent events, WHATWG HTML section 9.2.6)."""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import time
from collections.abc import Iterator
from typing import Any, Final

from rest.cli.client import Client
from rest.cli.failure import Exit, Failure
from rest.cli.output import print_data, text

RETRY: Final = 2.0  # seconds until the server is asked again, unless it has said something else
COLUMNS: Final = ("kind", "link", "home_address", "care_of_address", "correspondent", "status", "datapath_id")
LOST: Final = "events have been lost: mip6ctl show bindings tells how it is now"


def watch(options: argparse.Namespace) -> Exit:
    """Until Ctrl-C. When the server goes away, it is waited for, and goes on behind the last event."""
    client = Client(options)
    names = ("home_address", "link", "kind")
    filters = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    stream = Stream()
    try:
        while True:
            try:
                with client.stream("/v1/watch", filters, stream.headers) as response:
                    for kind, event in stream.events(response):
                        _show(options, kind, event)
            except Failure as failure:
                if failure.status != Exit.UNREACHABLE or not stream.began:
                    raise
            time.sleep(stream.retry)
    except KeyboardInterrupt:
        return Exit.OK


class Stream:
    """Events of one connection after the other."""

    def __init__(self) -> None:
        self.retry = RETRY
        self.began = False  # there was a connection
        self._last_id = ""

    @property
    def headers(self) -> dict[str, str]:
        return {"Last-Event-ID": self._last_id} if self._last_id else {}

    def events(self, response: http.client.HTTPResponse) -> Iterator[tuple[str, Any]]:
        """Kind and data, until the connection ends."""
        self.began = True
        fields: dict[str, str] = {}
        for octets in response:
            line = octets.decode(errors="replace").rstrip("\r\n")
            if line:
                name, _, value = line.partition(":")
                fields[name] = value.removeprefix(" ")
                continue
            if fields.get("retry", "").isdecimal():
                self.retry = int(fields["retry"]) / 1000
            self._last_id = fields.get("id", self._last_id)
            if "data" in fields:
                yield fields.get("event", "message"), json.loads(fields["data"])
            fields = {}


def _show(options: argparse.Namespace, kind: str, event: Any) -> None:
    if kind == "lost":
        print(f"mip6ctl: {LOST}", file=sys.stderr, flush=True)
    elif options.output == "json":
        print(json.dumps(event, ensure_ascii=False), flush=True)  # one a line
    elif options.output == "yaml":
        print("---")
        print_data(options, event)
        sys.stdout.flush()
    else:
        known = [f"{name}={text(event[name])}" for name in COLUMNS[2:] if event.get(name) is not None]
        print(f"{event['time']}  {event['kind']:<16}  {event['link']}  {'  '.join(known)}".rstrip(), flush=True)
