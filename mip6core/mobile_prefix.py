"""Prefix discovery of mobile nodes that are away (RFC 6275 sections 6.7, 6.8 and 10.6).

A solicitation is answered at once. Unsolicited advertisements tell of changed prefixes, and of the prefixes as
they are after a long silence; they are repeated until the mobile node solicits, and end with its binding.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

from mip6core.actions import Actions, SendDatagram
from mip6core.addresses import Address
from mip6core.bcache import BindingCacheEntry
from mip6core.chance import RandomOctets, integer
from mip6core.codec import icmpv6, ipv6
from mip6core.codec.icmpv6 import MobilePrefixAdvertisement
from mip6core.constants import ICMPV6, PREFIX_ADV_RETRIES, PREFIX_ADV_TIMEOUT
from mip6core.home_link import HomeLink
from mip6core.prefix_options import prefix_options
from mip6core.timers import Timed, TimerQueue

MIN_SPACING: Final = 1.0  # seconds between two advertisements to one mobile node (6.8)
UNSOLICITED: Final = 0  # Identifier of what answers no solicitation

Flags = tuple[bool, bool]  # M, O


class Delivery(Timed):
    """An unsolicited advertisement that is scheduled, or not acknowledged yet. Its content is made when it leaves.

    Without a deadline all its transmissions were in vain; the next Binding Update starts it again.
    """

    __slots__ = ("entry", "transmissions")

    def __init__(self, entry: BindingCacheEntry) -> None:
        super().__init__()
        self.entry = entry
        self.transmissions = 0


class Answer(Timed):
    """The answer to a solicitation that came within a second after an advertisement."""

    __slots__ = ("entry", "identifier", "link_layer_destination")

    def __init__(self, entry: BindingCacheEntry) -> None:
        super().__init__()
        self.entry = entry
        self.identifier = 0
        self.link_layer_destination: bytes | None = None


class LinkSilence(Timed):
    """The bindings of a link in the order in which their mobile nodes were last told, or else bound."""

    __slots__ = ("link", "since")

    def __init__(self, link: HomeLink) -> None:
        super().__init__()
        self.link = link
        self.since: OrderedDict[BindingCacheEntry, float] = OrderedDict()


class MobilePrefixes:
    """Mobile Prefix Advertisements of all home links. There is at most one of each record for a binding."""

    __slots__ = ("_answers", "_deliveries", "_flags", "_recent", "_rng", "_silences", "_statistics", "_timers")

    def __init__(
        self,
        links: Iterable[HomeLink],
        flags: Callable[[HomeLink, float], Flags],
        timers: TimerQueue,
        rng: RandomOctets,
        statistics: dict[str, int],
    ) -> None:
        """`flags` tells M and O of a link at a time."""
        self._flags = flags
        self._timers = timers
        self._rng = rng
        self._statistics = statistics
        self._silences: dict[str, LinkSilence] = {}  # of the links whose mobile nodes are told without asking
        self._deliveries: dict[BindingCacheEntry, Delivery] = {}
        self._answers: dict[BindingCacheEntry, Answer] = {}
        self._recent: OrderedDict[Address, float] = OrderedDict()  # when advertisements of the last second left
        for link in links:
            self.set_link(link, (), 0.0)

    def set_link(self, link: HomeLink, bindings: Iterable[BindingCacheEntry], now: float) -> None:
        """A link with these bindings is there, or its settings are other ones now."""
        settings = link.mobile_prefix
        silence = self._silences.get(link.name)
        if not (settings.enabled and settings.unsolicited):
            self.remove_link(link)
        elif silence is None:
            self._silences[link.name] = LinkSilence(link)
            for entry in bindings:
                self.bound(entry, now)
        elif silence.since:
            self._timers.schedule(silence, next(iter(silence.since.values())) + settings.max_interval)

    def remove_link(self, link: HomeLink) -> None:
        """The mobile nodes of a link are told nothing any more without asking."""
        silence = self._silences.pop(link.name, None)
        if silence is not None:
            self._timers.cancel(silence)
            for entry in silence.since:
                self._cancel_delivery(entry)

    def delivery(self, entry: BindingCacheEntry) -> Delivery | None:
        """The unsolicited advertisement that waits for `entry`, if one does."""
        return self._deliveries.get(entry)

    # What happens to bindings

    def bound(self, entry: BindingCacheEntry, now: float) -> None:
        """A binding begins."""
        silence = self._silences.get(entry.link.name)
        if silence is not None:
            if not silence.since:
                self._timers.schedule(silence, now + silence.link.mobile_prefix.max_interval)
            silence.since[entry] = now

    def updated(self, entry: BindingCacheEntry, now: float) -> None:
        """A Binding Update for a binding: what was transmitted and not acknowledged is begun again (10.6.2)."""
        delivery = self._deliveries.get(entry)
        if delivery is not None and delivery.transmissions:
            delivery.transmissions = 0
            self._timers.schedule(delivery, now)

    def released(self, entry: BindingCacheEntry) -> None:
        """A binding ends, and all that was scheduled for it (10.6.2)."""
        silence = self._silences.get(entry.link.name)
        if silence is not None:
            silence.since.pop(entry, None)
            if not silence.since:
                self._timers.cancel(silence)
        self._cancel_delivery(entry)
        self._cancel_answer(entry)

    def prefixes_changed(self, link: HomeLink, now: float) -> None:
        """A prefix was added, or flags or lifetimes were changed: all mobile nodes of the link are told (10.6.2)."""
        silence = self._silences.get(link.name)
        if silence is not None:
            for entry in silence.since:
                self._schedule(entry, now)

    def solicited(
        self,
        entry: BindingCacheEntry,
        identifier: int,
        link_layer_destination: bytes | None,
        now: float,
        actions: Actions,
    ) -> None:
        """A solicitation from the care-of address of a binding: also the acknowledgement of what was sent before."""
        self._cancel_delivery(entry)
        wait = self._spacing(entry, now)
        if wait <= 0:
            self._cancel_answer(entry)
            self._send(entry, identifier, link_layer_destination, now, actions)
            return
        self._statistics["mpa_delayed"] += 1
        answer = self._answers.get(entry)
        if answer is None:
            answer = self._answers[entry] = Answer(entry)
        answer.identifier = identifier
        answer.link_layer_destination = link_layer_destination
        self._timers.schedule(answer, now + wait)

    # Timers

    def delivery_due(self, delivery: Delivery, now: float, actions: Actions) -> None:
        """Transmit the first time, or again with doubled waits up to PREFIX_ADV_RETRIES times (10.6.2)."""
        entry = delivery.entry
        wait = self._spacing(entry, now)
        if wait > 0:
            self._timers.schedule(delivery, now + wait)
            return
        self._statistics["mpa_retransmitted" if delivery.transmissions else "mpa_unsolicited"] += 1
        self._send(entry, UNSOLICITED, None, now, actions)
        if delivery.transmissions < PREFIX_ADV_RETRIES:
            self._timers.schedule(delivery, now + (PREFIX_ADV_TIMEOUT << delivery.transmissions))
        delivery.transmissions += 1

    def answer_due(self, answer: Answer, now: float, actions: Actions) -> None:
        """The second is over."""
        del self._answers[answer.entry]
        self._send(answer.entry, answer.identifier, answer.link_layer_destination, now, actions)

    def silence_due(self, silence: LinkSilence, now: float) -> None:
        """Schedule an advertisement for each mobile node that was sent none for MaxMobPfxAdvInterval (10.6.2)."""
        interval = silence.link.mobile_prefix.max_interval
        while silence.since:
            entry, since = next(iter(silence.since.items()))
            if since + interval > now:
                self._timers.schedule(silence, since + interval)
                return
            silence.since[entry] = now
            silence.since.move_to_end(entry)
            self._schedule(entry, now)

    # Parts

    def _schedule(self, entry: BindingCacheEntry, now: float) -> None:
        """See to it that a transmission is scheduled; one that is not acknowledged yet is replaced."""
        delivery = self._deliveries.get(entry)
        if delivery is None:
            delivery = self._deliveries[entry] = Delivery(entry)
        elif not delivery.transmissions:
            return
        delivery.transmissions = 0
        self._timers.schedule(delivery, now + self._random_delay(entry, now))

    def _random_delay(self, entry: BindingCacheEntry, now: float) -> float:
        """RAND_ADV_DELAY of section 10.6.2, in seconds."""
        settings = entry.link.mobile_prefix
        home_prefix = entry.link.find_prefix(entry.home_address)
        preferred = 0.0
        if home_prefix is not None:
            lifetime = min(home_prefix.preferred_lifetime, home_prefix.valid_lifetime)
            preferred = max(0.0, home_prefix.remaining(lifetime, now))
        span = abs(int(min(settings.max_interval, preferred)) - settings.min_interval)
        return settings.min_interval + (integer(self._rng) % span if span else 0)

    def _cancel_delivery(self, entry: BindingCacheEntry) -> None:
        delivery = self._deliveries.pop(entry, None)
        if delivery is not None:
            self._timers.cancel(delivery)

    def _cancel_answer(self, entry: BindingCacheEntry) -> None:
        answer = self._answers.pop(entry, None)
        if answer is not None:
            self._timers.cancel(answer)

    def _spacing(self, entry: BindingCacheEntry, now: float) -> float:
        """How long no advertisement may go to the mobile node yet; 0 or less: it may go now (6.8)."""
        recent = self._recent
        while recent:
            home_address, sent_at = next(iter(recent.items()))
            if sent_at + MIN_SPACING > now:
                break
            del recent[home_address]
        return recent.get(entry.home_address, now - MIN_SPACING) + MIN_SPACING - now

    def _send(
        self,
        entry: BindingCacheEntry,
        identifier: int,
        link_layer_destination: bytes | None,
        now: float,
        actions: Actions,
    ) -> None:
        """To the care-of address with a Type 2 Routing header: the list is always the whole one (10.6.2, 10.6.3)."""
        link = entry.link
        silence = self._silences.get(link.name)
        if silence is not None and entry in silence.since:
            silence.since[entry] = now
            silence.since.move_to_end(entry)
        self._recent[entry.home_address] = now
        self._statistics["mpa_sent"] += 1
        managed, other = self._flags(link, now)
        message = MobilePrefixAdvertisement(identifier, prefix_options(link, now), managed, other)
        upper = icmpv6.build(message, link.address, entry.home_address)
        packet = ipv6.build(link.address, entry.care_of_address, ICMPV6, upper, type2_home_address=entry.home_address)
        actions.append(SendDatagram(link, packet, link_layer_destination))
