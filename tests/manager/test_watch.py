"""Server-sent events of the real server, with a fake switch whose coming and going are the events."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from topo import lab

Start = Callable[..., Any]
OFPT_HELLO, OFPT_ECHO_REQUEST, OFPT_FEATURES_REPLY, OFPT_MULTIPART_REPLY = 0, 2, 6, 19
OFPMP_PORT_DESC = 13


class Events:
    """Reads a stream of server-sent events (WHATWG HTML section 9.2.6), one after the other."""

    def __init__(self, running: Any, path: str = "/v1/watch", **headers: str) -> None:
        self._connection = running.connect()
        self._connection.request("GET", path, headers=headers)
        self._answer = self._connection.getresponse()
        assert self._answer.status == 200
        assert self._answer.headers["Content-Type"] == "text/event-stream"
        assert self._block() == {"retry": "2000"}

    def _block(self) -> dict[str, str]:
        fields: dict[str, str] = {}
        while line := self._answer.readline().decode().rstrip("\n"):
            name, _, value = line.partition(": ")
            fields[name] = value
        return fields

    def next(self) -> tuple[str, str, Any]:
        """Id, type and data of the next event."""
        block = self._block()
        return block.get("id", ""), block["event"], json.loads(block["data"])

    def close(self) -> None:
        self._answer.close()
        self._connection.close()

    def __enter__(self) -> Events:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Switch:
    """As much of an OpenFlow 1.3 switch as a controller needs to call it connected."""

    def __init__(self, port: int, bridge: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 10)
        self._send(OFPT_HELLO, b"")
        self._answer(OFPT_FEATURES_REPLY, struct.pack("!QIBB2xII", 0xA1, 0, 254, 0, 0x4F, 0))
        mac = bytes.fromhex("020000000001")
        names = [(0xFFFFFFFE, bridge), (1, "eth1"), (2, f"mip6-{bridge}")]
        ports = b"".join(struct.pack("!I4x6s2x16s32x", number, mac, name.encode()) for number, name in names)
        self._answer(OFPT_MULTIPART_REPLY, struct.pack("!HH4x", OFPMP_PORT_DESC, 0) + ports, request=18)

    def _answer(self, kind: int, body: bytes, request: int = 5) -> None:
        """Wait for the request and answer it."""
        while True:
            header = self._socket.recv(8, socket.MSG_WAITALL)
            _version, asked, length, xid = struct.unpack("!BBHI", header)
            self._socket.recv(length - 8, socket.MSG_WAITALL)
            if asked == request:
                self._send(kind, body, xid)
                return

    def _send(self, kind: int, body: bytes, xid: int = 1) -> None:
        self._socket.sendall(struct.pack("!BBHI", 4, kind, 8 + len(body), xid) + body)

    def close(self) -> None:
        self._socket.close()


def test_watchers_see_what_happens_and_can_go_on_where_they_were(manager: Start) -> None:
    running = manager()
    with Events(running) as second:
        with Events(running) as first:
            switch = Switch(running.openflow_port, "br-home")
            connected = first.next()
        assert connected[1] == "switch_connected"
        assert connected[2]["link"] == "homenet"
        assert connected[2]["datapath_id"] == "00000000000000a1"
        assert connected[0] == str(connected[2]["id"])
        assert second.next() == connected
        switch.close()
        gone = second.next()
    assert gone[1] == "switch_gone"
    assert int(gone[0]) == int(connected[0]) + 1

    with Events(running, **{"Last-Event-ID": connected[0]}) as again:
        assert again.next() == gone
    with Events(running, **{"Last-Event-ID": "1"}) as lost:
        assert lost.next()[1:] == ("lost", {})
        assert [lost.next(), lost.next()] == [connected, gone]

    status, body = running.call("GET", "/v1/events")
    assert status == 200
    assert [event["kind"] for event in body["events"]] == ["switch_gone", "switch_connected"]


def test_filters(manager: Start) -> None:
    running = manager()
    with Events(running, "/v1/watch?kind=switch_gone&link=homenet") as watching:
        Switch(running.openflow_port, "br-home").close()
        assert watching.next()[1] == "switch_gone"


def test_watchers_who_leave_make_room_for_others(manager: Start) -> None:
    running = manager()
    watchers = [Events(running) for _ in range(32)]
    assert running.call("GET", "/v1/watch")[0] == 503
    for watcher in watchers:
        watcher.close()

    def is_room() -> bool:
        """The server learns that they have gone when it has something to say to them."""
        Switch(running.openflow_port, "br-home").close()
        with closing(running.connect()) as connection:
            connection.request("GET", "/metrics")
            return b"mip6_watchers 0.0" in connection.getresponse().read()

    lab.wait_until(is_room, "the server to have noticed", timeout=20)
    with Events(running):
        pass


@pytest.mark.parametrize("given", ["x", "-1", "1" * 30, ""])
def test_an_id_that_is_none(manager: Start, given: str) -> None:
    assert manager().call("GET", "/v1/watch", **{"Last-Event-ID": given})[0] == 400
