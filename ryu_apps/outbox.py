"""Messages to one switch: in order, in one write, and with promises kept until their flows are in."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

from ryu_apps import templates
from ryu_apps.of_compat import hub
from ryu_apps.templates import word

MAX_XID: Final = 0xFFFFFFFF


@dataclass(slots=True)
class _Batch:
    """What hangs on one barrier."""

    promises: list[tuple[Hashable, bytes]] = field(default_factory=list)  # binding, packet-out
    bindings: dict[int, Hashable] = field(default_factory=dict)  # by the xid of the flow messages
    refused: set[Hashable] = field(default_factory=set)
    then: list[Callable[[], None]] = field(default_factory=list)
    began: float = 0.0  # monotonic seconds: when it got its first promise,
    written: float = 0.0  # and when the switch got the barrier

    def __bool__(self) -> bool:
        return bool(self.promises or self.bindings or self.then)


class Outbox:
    """Collects messages and writes them with `flush`.

    A switch may carry out messages in another order than they came, except across a barrier, and it tells of a flow
    that it refuses by an error. So packets that promise something (Binding Acknowledgement with status 0, section
    10.3.1) are held until the reply to a barrier behind their flows, and dropped if one of those was refused.
    """

    def __init__(
        self,
        send: Callable[[bytes], object],
        refused: Callable[[Hashable], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._send = send
        self._refused = refused
        self._clock = clock
        # Told for each barrier how long the switch took, and how long the first acknowledgement behind it has waited.
        self.measure: Callable[[float, float | None], None] = lambda installation, acknowledgement: None
        self._messages: list[bytes] = []
        self.put = self._messages.append  # sends a message with the next write
        self._batch = _Batch()
        self._waiting: dict[int, _Batch] = {}  # by the xid of the barrier
        self._xid = 0
        self._writing = hub.Semaphore(1)

    @property
    def unconfirmed(self) -> int:
        """Barriers without a reply."""
        return len(self._waiting)

    def next_xid(self) -> int:
        self._xid = self._xid % MAX_XID + 1
        return self._xid

    def next_flow_xid(self, binding: Hashable) -> bytes:
        """A transaction id for the flows of a binding, whatever names it; an error with it makes the binding fail."""
        self._xid = xid = self._xid % MAX_XID + 1
        self._batch.bindings[xid] = binding
        return word(xid)

    def promise(self, binding: Hashable, packet_out: bytes) -> None:
        """Send a packet when all messages put so far have been carried out."""
        promises = self._batch.promises
        if not promises:
            self._batch.began = self._clock()
        promises.append((binding, packet_out))

    def then(self, action: Callable[[], None]) -> None:
        """Call something when all messages put so far have been carried out."""
        self._batch.then.append(action)

    def flush(self) -> None:
        """Write what has been put, with a barrier if something waits for it."""
        if self._batch:
            xid = self.next_xid()
            self._messages.append(templates.barrier_request(xid))
            self._waiting[xid] = self._batch
            self._batch.written = self._clock()
            self._batch = _Batch()
        if not self._messages:
            return
        # The send queue may make us wait; whoever comes meanwhile must not overtake.
        with self._writing:
            octets = b"".join(self._messages)
            self._messages.clear()
            if octets:
                self._send(octets)

    def barrier_reply(self, xid: int) -> bool:
        """Everything before the barrier has been carried out. False: not one of our barriers."""
        batch = self._waiting.pop(xid, None)
        if batch is None:
            return False
        now = self._clock()
        self.measure(now - batch.written, now - batch.began if batch.promises else None)
        refused = batch.refused
        self._messages += [message for binding, message in batch.promises if binding not in refused]
        for binding in refused:
            self._refused(binding)
        for action in batch.then:
            action()
        return True

    def error(self, xid: int) -> bool:
        """The switch refused a message. False: not one of a binding's."""
        for batch in chain(self._waiting.values(), (self._batch,)):
            binding = batch.bindings.get(xid)
            if binding is not None:
                batch.refused.add(binding)
                return True
        return False
