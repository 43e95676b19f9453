"""Order, barriers, and promises that are kept only when their flows are in."""

import struct

from ryu_apps.outbox import Outbox

HOME = b"\x20" * 16
OTHER = b"\x30" * 16
BARRIER = 20


class Wire:
    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.refused: list[bytes] = []
        self.outbox = Outbox(self.writes.append, self.refused.append)

    def barrier(self) -> int:
        """The xid of the barrier at the end of the last write."""
        _version, kind, length, xid = struct.unpack("!BBHI", self.writes[-1][-8:])
        assert (kind, length) == (BARRIER, 8)
        return int(xid)


def test_messages_leave_in_order_in_one_write() -> None:
    wire = Wire()
    for message in (b"one", b"two", b"three"):
        wire.outbox.put(message)
    wire.outbox.flush()
    assert wire.writes == [b"onetwothree"]


def test_nothing_to_send_is_no_write() -> None:
    wire = Wire()
    wire.outbox.flush()
    assert wire.writes == []


def test_a_promise_waits_for_the_barrier() -> None:
    wire = Wire()
    wire.outbox.next_flow_xid(HOME)
    wire.outbox.put(b"flow")
    wire.outbox.promise(HOME, b"acknowledgement")
    wire.outbox.flush()
    assert wire.writes[-1].startswith(b"flow")
    assert b"acknowledgement" not in wire.writes[-1]
    assert wire.outbox.barrier_reply(wire.barrier())
    wire.outbox.flush()
    assert wire.writes[-1] == b"acknowledgement"
    assert wire.outbox.unconfirmed == 0


def test_a_refused_flow_breaks_its_promise_and_no_other() -> None:
    wire = Wire()
    xid = int.from_bytes(wire.outbox.next_flow_xid(HOME), "big")
    wire.outbox.promise(HOME, b"refused one")
    wire.outbox.next_flow_xid(OTHER)
    wire.outbox.promise(OTHER, b"good one")
    wire.outbox.flush()
    barrier = wire.barrier()
    assert wire.outbox.error(xid)
    assert wire.refused == []  # told when the batch is over
    wire.outbox.barrier_reply(barrier)
    wire.outbox.flush()
    assert wire.refused == [HOME]
    assert wire.writes[-1] == b"good one"


def test_errors_and_replies_that_are_not_ours_are_left_alone() -> None:
    wire = Wire()
    assert not wire.outbox.error(12345)
    assert not wire.outbox.barrier_reply(12345)


def test_a_confirmed_transaction_is_forgotten() -> None:
    wire = Wire()
    xid = int.from_bytes(wire.outbox.next_flow_xid(HOME), "big")
    wire.outbox.flush()
    wire.outbox.barrier_reply(wire.barrier())
    assert not wire.outbox.error(xid)


def test_what_is_put_while_a_write_waits_comes_after_it() -> None:
    """The send queue may block; messages put meanwhile must not overtake."""
    order: list[bytes] = []
    outbox: Outbox

    def slow(octets: bytes) -> None:
        if not order:
            order.append(octets)
            outbox.put(b"second")
        else:
            order.append(octets)

    outbox = Outbox(slow, lambda home: None)
    outbox.put(b"first")
    outbox.flush()
    outbox.flush()
    assert order == [b"first", b"second"]


def test_the_switch_and_the_acknowledgements_are_timed() -> None:
    now, told = [10.0], []
    outbox = Outbox(lambda octets: None, lambda home: None, lambda: now[0])
    outbox.measure = lambda installation, acknowledgement: told.append((installation, acknowledgement))
    outbox.next_flow_xid(HOME)
    outbox.promise(HOME, b"first")
    now[0] = 10.5
    outbox.promise(HOME, b"second")
    outbox.flush()
    now[0] = 12.0
    assert outbox.barrier_reply(2)
    outbox.then(lambda: None)
    outbox.flush()
    now[0] = 15.0
    assert outbox.barrier_reply(3)
    assert told == [(1.5, 2.0), (3.0, None)]
