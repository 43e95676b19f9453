"""When a message is to be sent, and sent again, until there is an answer (RFC 6275 section 11.8)."""

from __future__ import annotations

import math
from collections import deque
from typing import Final

# Section 12; seconds
INITIAL_BINDACK_TIMEOUT: Final = 1.0
MAX_BINDACK_TIMEOUT: Final = 32.0
MAX_UPDATE_RATE: Final = 3  # a second


class Retransmission:
    """The back-off of one type of message to one node; `now` is monotonic seconds."""

    def __init__(self) -> None:
        self.timer = math.inf  # when to send next
        self.transmissions = 0  # since `begin`
        self._timeout = INITIAL_BINDACK_TIMEOUT
        self._sent: deque[float] = deque(maxlen=MAX_UPDATE_RATE)

    @property
    def running(self) -> bool:
        """Whether something is to be sent, or an answer is waited for."""
        return self.timer != math.inf

    def begin(self, at: float) -> None:
        """Start anew: the first transmission is due at this time."""
        self.timer = at
        self.transmissions = 0
        self._timeout = INITIAL_BINDACK_TIMEOUT

    def stop(self) -> None:
        """There is an answer, or no longer a question."""
        self.timer = math.inf

    def due(self, now: float) -> bool:
        """Whether to send now. Counts as sent if so; waits on if that would be too many a second."""
        if now < self.timer:
            return False
        if len(self._sent) == MAX_UPDATE_RATE and now < self._sent[0] + 1.0:
            self.timer = self._sent[0] + 1.0
            return False
        self._sent.append(now)
        self.transmissions += 1
        self.timer = now + self._timeout
        self._timeout = min(self._timeout * 2, MAX_BINDACK_TIMEOUT)
        return True
