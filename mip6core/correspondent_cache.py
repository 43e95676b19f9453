"""The correspondents' Binding Cache (RFC 6275 section 9.1), and what bindings that are gone leave behind (5.2.8)."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Final

from mip6core.addresses import Address
from mip6core.correspondent_link import CorrespondentLink
from mip6core.sequence import is_newer
from mip6core.timers import Timed, TimerQueue

_HALF_OF_SEQUENCE_NUMBERS: Final = 0x8000


class Verdict(Enum):
    """What the history of a home address says to an authentic Binding Update."""

    NEW = "new"
    OUT_OF_WINDOW = "out of window"
    OLD_NONCES = "old nonces"


_NEW: Final = Verdict.NEW  # reading a member of an enumeration costs as much as a function call in Python 3.11


class History:
    """Which Binding Updates of one home address are old: no valid one counts a second time (5.2.8, 9.5.1).

    While there is a binding, and with nonces from the time of one, the sequence number decides. Without a binding any
    sequence number has to be accepted (9.5.1); then a nonce that is newer than the last Binding Update shows that this
    one is no replay. Where sequence numbers start anew or have gone once round, older nonces are over for this home
    address: `floor`. Nonces are known by their serial numbers here.
    """

    __slots__ = ("_advance", "_floor", "_newest", "replayable", "sequence")

    def __init__(self, sequence: int, nonces: tuple[int, ...] = (0,), newest: int = 0) -> None:
        """Begins with a valid Binding Update; without nonces it is one from before a restart."""
        self.sequence = sequence  # of the last valid Binding Update
        self.replayable = min(nonces)  # while this nonce is valid, some Binding Update of the past is authentic
        self._newest = newest  # the newest nonce there was at the last Binding Update
        self._floor = 0  # a Binding Update with no newer nonce than this is old
        self._advance = 0  # of the sequence numbers since the oldest one behind the floor

    def judge(self, sequence: int, nonces: tuple[int, ...], bound: bool) -> Verdict:
        """Whether a Binding Update authenticated with `nonces` is new."""
        used = max(nonces)
        if used <= self._floor:
            return Verdict.OLD_NONCES
        if is_newer(sequence, self.sequence) or (not bound and used > self._newest):
            return _NEW
        return Verdict.OUT_OF_WINDOW

    def add(self, sequence: int, nonces: tuple[int, ...], newest: int) -> bool:
        """A Binding Update that is new. `newest` is the newest nonce there is.

        Returns whether all nonces up to now are over for this home address, and the mobile node needs another one.
        """
        self.replayable = max(self.replayable, min(nonces))
        start_again = not is_newer(sequence, self.sequence)
        if start_again:
            self._floor = self._newest
            self._advance = 0
        else:
            self._advance += (sequence - self.sequence) & 0xFFFF
        self.sequence = sequence
        self._newest = newest
        if self._advance <= _HALF_OF_SEQUENCE_NUMBERS:
            return False
        self._floor = newest  # or the oldest numbers would look new again
        self._advance = 0
        return True


class CorrespondentBinding(Timed):
    """A mobile node's binding at one correspondent; once it is gone, what has to be remembered of it."""

    __slots__ = (
        "bound",
        "care_of_address",
        "care_of_nonce_index",
        "correspondent",
        "expires_at",
        "history",
        "home_address",
        "home_nonce_index",
        "lifetime",
        "link",
        "refresh_at",
        "refresh_interval",
        "registered_at",
        "remembered_with",
        "reply_to",
        "unreachable_count",
        "unreachable_last",
        "unreachable_since",
        "updated_at",
        "used_at",
    )

    def __init__(
        self,
        link: CorrespondentLink,
        correspondent: Address,
        home_address: Address,
        care_of_address: Address,
        history: History,
        now: float,
    ) -> None:
        super().__init__()
        self.link = link
        self.correspondent = correspondent
        self.home_address = home_address
        self.care_of_address = care_of_address
        self.history = history
        self.bound = False  # packets for the home address go to the care-of address
        self.lifetime = 0  # seconds granted
        self.expires_at = now  # monotonic seconds
        self.registered_at = now  # when the binding was made, monotonic seconds
        self.updated_at = now  # when it was last registered again
        self.home_nonce_index: int | None = None  # of the last Binding Update; None: adopted
        self.care_of_nonce_index: int | None = None
        self.reply_to = care_of_address  # Source Address of the last Binding Update
        self.remembered_with = 0  # where the cache keeps it once it is no binding: history.replayable of that time
        self.used_at = float("-inf")  # when the correspondent was last seen to use it
        self.refresh_at = now  # when the next Binding Refresh Request may be sent
        self.refresh_interval = 0.0  # seconds to the one after that
        self.unreachable_count = 0  # Destination Unreachable messages in a row
        self.unreachable_since = now  # the first of them
        self.unreachable_last = now

    @property
    def sequence(self) -> int:
        """Of the last valid Binding Update."""
        return self.history.sequence

    def __repr__(self) -> str:
        return (
            f"<CorrespondentBinding {self.correspondent.hex()} {self.home_address.hex()}"
            f" at {self.care_of_address.hex()} bound={self.bound} sequence={self.sequence}"
            f" expires_at={self.expires_at}>"
        )


_Key = tuple[Address, Address]
_Entries = dict[_Key, CorrespondentBinding]


class CorrespondentCache:
    """Bindings by correspondent and home address; apart from them those that are gone, oldest nonces first."""

    __slots__ = ("_bindings", "_by_nonce", "_remembered", "_timers")

    def __init__(self, timers: TimerQueue) -> None:
        self._timers = timers
        self._bindings: _Entries = {}
        self._remembered: _Entries = {}
        self._by_nonce: dict[int, _Entries] = {}  # the same by the nonce for whose sake they are

    def __len__(self) -> int:
        """How many bindings there are."""
        return len(self._bindings)

    def __iter__(self) -> Iterator[CorrespondentBinding]:
        """The bindings. The cache must not change meanwhile; take a list where it may."""
        return iter(self._bindings.values())

    def get(self, correspondent: Address, home_address: Address) -> CorrespondentBinding | None:
        """The binding of a home address at a correspondent."""
        return self._bindings.get((correspondent, home_address))

    def find(self, correspondent: Address, home_address: Address) -> CorrespondentBinding | None:
        """The binding, or what is remembered of it."""
        key = correspondent, home_address
        return self._bindings.get(key) or self._remembered.get(key)

    @property
    def remembered(self) -> int:
        """How many are remembered without being bindings."""
        return len(self._remembered)

    def bind(self, entry: CorrespondentBinding) -> None:
        """Let a new or a remembered entry be a binding. It has no timer yet."""
        self._take_out(entry)
        self._timers.cancel(entry)
        entry.bound = True
        self._bindings[_key(entry)] = entry

    def unbind(self, entry: CorrespondentBinding) -> None:
        """Let a binding be none any more; nothing remembers it."""
        self._timers.cancel(entry)
        entry.bound = False
        del self._bindings[_key(entry)]

    def remember(self, entry: CorrespondentBinding, until: float) -> None:
        """Keep an entry that is no binding, for its history only; this changes nothing but the time if it is kept."""
        self._take_out(entry)
        key = _key(entry)
        self._remembered[key] = entry
        entry.remembered_with = entry.history.replayable
        self._by_nonce.setdefault(entry.remembered_with, {})[key] = entry
        self._timers.schedule(entry, until)

    def forget(self, entry: CorrespondentBinding) -> None:
        """Do not remember an entry any longer."""
        self._timers.cancel(entry)
        self._take_out(entry)

    def oldest_remembered(self) -> CorrespondentBinding:
        """The one whose nonces are the oldest; some must be remembered."""
        return next(iter(self._by_nonce[min(self._by_nonce)].values()))

    def _take_out(self, entry: CorrespondentBinding) -> None:
        key = _key(entry)
        if self._remembered.pop(key, None) is None:
            return
        entries = self._by_nonce[entry.remembered_with]
        del entries[key]
        if not entries:
            del self._by_nonce[entry.remembered_with]


def _key(entry: CorrespondentBinding) -> _Key:
    return entry.correspondent, entry.home_address
