"""The registrations of mobile nodes at their home agent (RFC 6275 sections 9.5.1, 10.3): fsm.py at work."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from mip6core.access import AccessList
from mip6core.actions import Actions, InstallBinding, RefreshBinding, ReleaseBinding
from mip6core.addresses import Address, link_local
from mip6core.admission import Admission
from mip6core.bcache import BindingCache, BindingCacheEntry
from mip6core.codec.mh import BU_ACKNOWLEDGE, BU_HOME_REGISTRATION, BU_KEY_MANAGEMENT, BU_LINK_LOCAL
from mip6core.constants import LIFETIME_UNIT, MAX_DELETE_BCE_TIMEOUT
from mip6core.dad import DuplicateAddressDetection, Probe
from mip6core.events import BindingEvent, BindingEventKind, Event
from mip6core.fsm import HOME_BINDING, Effect, Input, State
from mip6core.home_link import HomeLink, HomePrefix, Limits
from mip6core.mobile_prefix import MobilePrefixes
from mip6core.neighbor_discovery import Announcement, Announcer
from mip6core.registration import Registration
from mip6core.replies import binding_acknowledgement
from mip6core.sequence import is_newer
from mip6core.status import BindingAcknowledgementStatus as Status
from mip6core.timers import TimerQueue

Entry = BindingCacheEntry

# Reading a member of an enumeration costs as much as a function call in Python 3.11.
_REGISTER: Final = Input.REGISTER
_ABSENT: Final = State.ABSENT
_STATIC: Final = State.STATIC
_FLAGS: Final = BU_ACKNOWLEDGE | BU_HOME_REGISTRATION | BU_LINK_LOCAL | BU_KEY_MANAGEMENT
_SENT: Final = tuple(f"ba_sent_{status}" for status in range(256))


class HomeRegistrations:
    """Binding Cache, Duplicate Address Detection and claims of addresses, moved along together."""

    def __init__(
        self,
        links: Iterable[HomeLink],
        limits: Limits,
        statistics: dict[str, int],
        notify: Callable[[Event], None] | None,
        mobile_prefixes: MobilePrefixes,
        access: AccessList | None = None,
    ) -> None:
        self.timers = TimerQueue()
        self.bindings = BindingCache(self.timers)
        self.dad = DuplicateAddressDetection(self.timers)
        self._announcer = Announcer(self.timers)
        self._admission = Admission(links, limits, self.bindings, self.dad, access)
        self._statistics = statistics
        self._notify = notify
        self._mobile_prefixes = mobile_prefixes
        effects: dict[Effect, Callable[[Entry, Registration, float, Actions], None]] = {
            Effect.PROBE: self._probe,
            Effect.BIND: self._bind,
            Effect.UPDATE: self._update,
            Effect.DEREGISTER: self._deregister,
            Effect.WITHDRAW: self._withdraw,
            Effect.ACKNOWLEDGE_AGAIN: self._acknowledge_again,
            Effect.REFUSE_DEREGISTRATION: self._refuse_deregistration,
            Effect.REJECT_DUPLICATE: self._reject_duplicate,
            Effect.EXPIRE: self._expire,
            Effect.EXPIRE_AND_PROBE: self._expire_and_probe,
            Effect.CLEAR: self._clear,
            Effect.CANCEL: self._cancel,
            Effect.FAIL: self._fail,
            Effect.ADOPT: self._adopt,
            Effect.SET_STATIC: self._set_static,
            Effect.CHANGE_STATIC: self._change_static,
            Effect.REFUSE_STATIC: self._refuse_static,
            Effect.FAIL_STATIC: self._fail_static,
        }
        self._transitions = {
            (before, what): (None if effect is Effect.IGNORE else effects[effect], after)
            for (before, what), (effect, after) in HOME_BINDING.items()
        }

    def receive(self, request: Registration, now: float, actions: Actions) -> None:
        """A Binding Update that has passed the tests of the packet alone."""
        entry = self.bindings.get(request.home_address)
        if entry is None or entry.link is not request.link:
            entry = BindingCacheEntry(request)
        elif entry.state is _STATIC:
            self._run(entry, _REGISTER, now, actions, request)
            return
        elif not is_newer(request.sequence, entry.sequence) and not request.fresh:
            self._out_of_window(request, entry, now, actions)
            return
        if not request.flags & BU_HOME_REGISTRATION:
            if entry.bound:
                self._reject(request, Status.REGISTRATION_TYPE_CHANGE_DISALLOWED, now, actions)
            else:
                self._statistics["dropped_not_home_registration"] += 1
            return
        entry.sequence = request.sequence  # 9.5.1: of every valid Binding Update, accepted or not
        # Lifetime 0, or RFC 3775's other way to say it: the home address as care-of address. Without a Home Address
        # option that may be no home address at all, which 10.3.1 wants to be told.
        home_address = request.home_address
        if request.lifetime_units == 0 or (
            request.care_of_address == home_address and request.link.find_prefix(home_address) is not None
        ):
            self._run(entry, Input.DEREGISTER, now, actions, request)
            return
        status = self._admission.decide(request, entry, now)
        if status >= 128:
            self._reject(request, status, now, actions)
            return
        what = _REGISTER
        if not entry.bound or request.flags & BU_LINK_LOCAL:
            for address in self._admission.addresses_to_test(request, entry):
                probe = self.dad.get(request.link, address)
                if probe is None or not probe.passed:
                    what = Input.REGISTER_DAD
        self._run(entry, what, now, actions, request)

    def refuse(self, request: Registration, status: int, now: float, actions: Actions) -> None:
        """A Binding Update that the mobile node's authentication does not vouch for: nothing changes."""
        entry = self.bindings.get(request.home_address)
        if status == Status.MIPV6_ID_MISMATCH and entry is not None and self._repeats_what_waits(request, entry):
            return
        self._reject(request, status, now, actions)

    def defends(self, link: HomeLink, address: Address) -> bool:
        """Whether the home agent answers for `address` in Neighbor Discovery (10.4.1)."""
        entry = self.bindings.get_bound(address)
        if entry is not None:
            return entry.link is link
        return bool(self.bindings.link_local_holders(link, address))

    def conflict(self, probe: Probe, now: float, actions: Actions) -> None:
        """Another node uses, or wants to use, an address under test."""
        self._statistics["dad_failed"] += 1
        for entry in tuple(probe.owners):
            self._run(entry, Input.DAD_FAILED, now, actions)

    def tick(self, now: float, actions: Actions) -> None:
        """Carry out what is due, in the order of time."""
        while (item := self.timers.pop_due(now)) is not None:
            if isinstance(item, BindingCacheEntry):
                self._run(item, Input.EXPIRED, now, actions)
            elif isinstance(item, Announcement):
                self._announcer.timer(item, now, actions)
            else:
                assert isinstance(item, Probe)
                item.passed = True
                for entry in tuple(item.owners):
                    if all(probe.passed for probe in entry.probes):
                        self._run(entry, Input.DAD_PASSED, now, actions)

    def apply(self, what: Input, home_address: Address, now: float, actions: Actions) -> None:
        """Something that happens to a home address from outside, if the cache holds it."""
        entry = self.bindings.get(home_address)
        if entry is not None:
            self._run(entry, what, now, actions)

    def adopt(self, request: Registration, now: float, actions: Actions) -> bool:
        """A binding that a switch still serves. Whether it is one of ours from now on."""
        if self.bindings.get(request.home_address) is not None:
            return False
        if request.link.find_prefix(request.home_address) is None or request.expires_at <= now:
            return False
        if not self._admission.may_register(request.home_address, request.care_of_address):
            return False
        self._run(BindingCacheEntry(request), Input.ADOPT, now, actions, request)
        return True

    def put(self, request: Registration, now: float, actions: Actions) -> None:
        """A static binding, without an end if `expires_at` is infinite. ValueError says why it cannot be."""
        entry = self.bindings.get(request.home_address)
        if entry is not None and entry.link is not request.link:
            raise ValueError(f"the home address is registered on {entry.link.name}")
        entry = entry or BindingCacheEntry(request)
        self._admission.check_static(request, entry)
        self._run(entry, Input.PUT, now, actions, request)

    def adopt_static(self, request: Registration, now: float) -> bool:
        """The same as `adopt`, for a binding of the operator's."""
        if self.bindings.get(request.home_address) is not None:
            return False
        try:
            self.put(request, now, [])
        except ValueError:
            return False
        return True

    def set_prefixes(self, link: HomeLink, prefixes: tuple[HomePrefix, ...], now: float, actions: Actions) -> None:
        """Let the link have other prefixes or lifetimes; bindings end with their prefix (10.3.1)."""
        link.prefixes = prefixes
        for entry in [entry for entry in self.bindings if entry.link is link]:
            home_prefix = link.find_prefix(entry.home_address)
            valid = 0.0 if home_prefix is None else home_prefix.remaining(home_prefix.valid_lifetime, now)
            if valid <= 0:
                what = Input.EXPIRED if entry.state is State.BOUND else Input.CLEAR
                self._run(entry, what, now, actions)
                continue
            if entry.pending is not None:
                entry.pending.expires_at = min(entry.pending.expires_at, now + valid)
            if entry.bound and now + valid < entry.expires_at:
                self.bindings.set_expiry(entry, now + valid)
                actions.append(RefreshBinding(link, entry))

    def set_rules(self, limits: Limits, access: AccessList | None, now: float, actions: Actions) -> None:
        """Let other limits and rules count; bindings that the rules do not allow end, as they would by a restart."""
        self._admission.set_rules(limits, access)
        for entry in [entry for entry in self.bindings if entry.state is not _STATIC]:
            where = entry.care_of_address if entry.pending is None else entry.pending.care_of_address
            for care_of_address in {entry.care_of_address, where}:
                if not self._admission.may_register(entry.home_address, care_of_address):
                    self._run(entry, Input.CLEAR, now, actions)
                    break

    def set_links(self, links: Iterable[HomeLink], now: float, actions: Actions) -> None:
        """Serve these links; what was registered on others ends."""
        served = frozenset(link.name for link in links)
        self._admission.set_links(links)
        for entry in [entry for entry in self.bindings if entry.link.name not in served]:
            self._run(entry, Input.CLEAR, now, actions)

    def _run(
        self,
        entry: BindingCacheEntry,
        what: Input,
        now: float,
        actions: Actions,
        request: Registration | None = None,
    ) -> None:
        """The one place where a state changes. `request` is the Binding Update, if it is one that happens."""
        before = entry.state
        effect, after = self._transitions[before, what]
        changes = after is not before
        if changes:
            if before is _ABSENT:
                self._make_room(entry.link, now, actions)
                self.bindings.add(entry)
            entry.set_state(after)
        if effect is not None:
            effect(entry, request or entry.pending or entry.request, now, actions)
        if changes and after is _ABSENT:
            self.bindings.remove(entry)

    def _make_room(self, link: HomeLink, now: float, actions: Actions) -> None:
        for victim in self._admission.room_to_make(link) or ():
            self._run(victim, Input.CLEAR, now, actions)

    # The effects. `entry` is in its new state already; `request` is the Binding Update that happened, or else
    # the one that waits for Duplicate Address Detection, or else the last one accepted.

    def _probe(self, entry: Entry, request: Registration, now: float, actions: Actions) -> None:
        """Test what `request` needs. Tests that are under way go on; the answer waits for them (10.3.1)."""
        if entry.state is State.DAD:
            self.bindings.unmark_deleted(entry)
            entry.care_of_address = request.care_of_address
        entry.pending = request
        wanted = self._admission.addresses_to_test(request, entry)
        for probe in entry.probes:
            if probe.address not in wanted:
                self.dad.stop(entry, probe, actions)
        under_test = [probe.address for probe in entry.probes]
        for address in wanted:
            if address not in under_test:
                self._test(entry, address, now, actions)

    def _bind(self, entry: Entry, request: Registration, now: float, actions: Actions) -> None:
        """Begin to serve as home agent for the mobile node (10.3.1, 10.4.1)."""
        link = entry.link
        self.bindings.unmark_deleted(entry)
        self._end_tests(entry, actions)
        entry.registered_at = now
        entry.link_local = False
        claims = [entry.home_address]
        if request.flags & BU_LINK_LOCAL:
            claims += self._hold_link_local(entry)
        self._take_over(entry, request, now)
        self._mobile_prefixes.bound(entry, now)
        actions.append(InstallBinding(link, entry, None))
        self._acknowledge(request, request.status, actions, after_flows=True)
        if not link.virtual:
            for address in claims:
                self._announcer.start(link, address, now, actions)
        self._announce("registered", request, request.status, now)

    def _update(self, entry: Entry, request: Registration, now: float, actions: Actions) -> None:
        """Refresh or move a binding. Flows change only with the care-of address or the link-local address."""
        link = entry.link
        previous, previous_link_local = entry.care_of_address, entry.link_local
        if entry.pending is not None:
            self._end_tests(entry, actions)
        claims: Sequence[Address] = ()
        heir = None
        if (request.flags ^ entry.flags) & BU_LINK_LOCAL:
            if request.flags & BU_LINK_LOCAL:
                claims = self._hold_link_local(entry)
            else:
                heir = self._drop_link_local(entry)
                entry.link_local = False
        self._take_over(entry, request, now)
        self._mobile_prefixes.updated(entry, now)
        moved = entry.care_of_address != previous
        changed = moved or entry.link_local != previous_link_local
        if changed:
            actions.append(InstallBinding(link, entry, previous, previous_link_local))
        else:
            actions.append(RefreshBinding(link, entry))
        if heir is not None:
            actions.append(_inherit(heir))
        self._acknowledge(request, request.status, actions, changed)
        for address in claims:
            self._announcer.start(link, address, now, actions)
        self._announce("moved" if moved else "refreshed", request, request.status, now)

    def _deregister(self, entry: Entry, request: Registration, now: float, actions: Actions) -> None:
        """Stop at once, and keep the sequence number against Binding Updates that were delayed (10.3.2)."""
        self._release(entry, actions)
        self._withdraw(entry, request, now, actions)

    def _withdraw(self, entry: Entry, request: Registration, now: float, actions: Actions) -> None:
        """What waits is a home registration too, if not an answered one: it ends the same way."""
        self._end_tests(entry, actions)
        self._acknowledge_again(entry, request, now, actions)
        self._announce("deregistered", entry, Status.ACCEPTED, now)

    def _acknowledge_again(self, entry: Entry, request: Registration, now: float, actions: Actions) -> None:
        """The entry is still there, if invalid: to de-register again is no mistake of the mobile node."""
        self.bindings.mark_deleted(entry, now + MAX_DELETE_BCE_TIMEOUT)
        request.lifetime_units = 0
        self._acknowledge(request, Status.ACCEPTED, actions, after_flows=True)

    def _refuse_deregistration(self, entry: Entry, request: Registration, now: float, actions: Actions) -> None:
        """There is nothing to de-register (10.3.2)."""
        self._reject(request, Status.NOT_HOME_AGENT_FOR_THIS_MOBILE_NODE, now, actions)

    def _reject_duplicate(self, entry: Entry, request: Registration, now: float, actions: Actions) -> None:
        """An address is in use on the home link: the complete Binding Update is refused (10.3.1)."""
        self._end_tests(entry, actions)
        self._reject(request, Status.DUPLICATE_ADDRESS_DETECTION_FAILED, now, actions)

    def _expire(self, entry: Entry, request: Registration, now: float, actions: Actions) -> None:
        """The lifetime is over (9.6, 10.3.1)."""
        self._release(entry, actions)
        self._announce("expired", entry, Status.ACCEPTED, now)

    def _expire_and_probe(self, entry: Entry, request: Registration, now: float, actions: Actions) -> None:
        """The lifetime is over. What waits is a first registration now, so the home address is tested too."""
        self._expire(entry, request, now, actions)
        self._test(entry, entry.home_address, now, actions)

    def _clear(self, entry: Entry, request: Registration, now: float, actions: Actions) -> None:
        """Forget the binding, as if the mobile node had never been heard of."""
        self._release(entry, actions)
        self._cancel(entry, request, now, actions)

    def _cancel(self, entry: Entry, request: Registration, now: float, actions: Actions) -> None:
        """Forget a registration that waits."""
        self._end_tests(entry, actions)
        self._announce("cleared", entry, Status.ACCEPTED, now)

    def _fail(self, entry: Entry, request: Registration, now: float, actions: Actions) -> None:
        """The switch did not take the flows: the mobile node must not believe that it is served."""
        self._release(entry, actions)
        self._end_tests(entry, actions)
        self._reject(request, Status.INSUFFICIENT_RESOURCES, now, actions)

    def _adopt(self, entry: Entry, request: Registration, now: float, actions: Actions) -> None:
        """The mobile node knows the binding, and so do the neighbours: only the cache has to learn it again."""
        entry.registered_at = now
        self._take_over(entry, request, now)
        self._mobile_prefixes.bound(entry, now)
        if request.flags & BU_LINK_LOCAL:
            self._hold_link_local(entry)

    def _set_static(self, entry: Entry, request: Registration, now: float, actions: Actions) -> None:
        """Serve a mobile node that the operator speaks for."""
        link = entry.link
        self.bindings.unmark_deleted(entry)
        self._end_tests(entry, actions)
        entry.registered_at = now
        entry.link_local = False
        self._take_over_static(entry, request, now)
        actions.append(InstallBinding(link, entry, None))
        if link.link_layer_address and not link.virtual:
            self._announcer.start(link, entry.home_address, now, actions)
        self._announce("registered", entry, Status.ACCEPTED, now)

    def _change_static(self, entry: Entry, request: Registration, now: float, actions: Actions) -> None:
        """The same for one that is bound already, by itself or by the operator."""
        previous, previous_link_local = entry.care_of_address, entry.link_local
        self._end_tests(entry, actions)
        self._mobile_prefixes.released(entry)
        heir = self._drop_link_local(entry) if entry.flags & BU_LINK_LOCAL else None
        entry.link_local = False
        self._take_over_static(entry, request, now)
        actions.append(InstallBinding(entry.link, entry, previous, previous_link_local))
        if heir is not None:
            actions.append(_inherit(heir))
        moved = entry.care_of_address != previous
        self._announce("moved" if moved else "registered", entry, Status.ACCEPTED, now)

    def _take_over_static(self, entry: Entry, request: Registration, now: float) -> None:
        entry.request = request
        entry.care_of_address = request.care_of_address
        entry.flags = BU_HOME_REGISTRATION
        entry.updated_at = now
        endless = request.expires_at == math.inf
        entry.lifetime = 0 if endless else round(request.expires_at - now)
        if endless:
            entry.expires_at = math.inf
            self.timers.cancel(entry)
        else:
            self.bindings.set_expiry(entry, request.expires_at)

    def _refuse_static(self, entry: Entry, request: Registration, now: float, actions: Actions) -> None:
        """What the operator has said counts, whatever the mobile node says."""
        self._reject(request, Status.ADMINISTRATIVELY_PROHIBITED, now, actions)

    def _fail_static(self, entry: Entry, request: Registration, now: float, actions: Actions) -> None:
        """The switch did not take the flows."""
        self._release(entry, actions)
        self._announce("rejected", entry, Status.INSUFFICIENT_RESOURCES, now)

    # Parts of effects

    def _take_over(self, entry: Entry, request: Registration, now: float) -> None:
        entry.request = request
        entry.care_of_address = request.care_of_address
        entry.flags = request.flags & _FLAGS
        entry.lifetime = request.lifetime_units * LIFETIME_UNIT
        entry.updated_at = now
        entry.expires_at = request.expires_at
        self.timers.schedule(entry, request.expires_at)

    def _release(self, entry: Entry, actions: Actions) -> None:
        """No longer intercept the mobile node's packets, nor defend its addresses."""
        actions.append(ReleaseBinding(entry.link, entry))
        self._mobile_prefixes.released(entry)
        self._announcer.stop(entry.link, entry.home_address)
        if entry.flags & BU_LINK_LOCAL:
            heir = self._drop_link_local(entry)
            if heir is not None:
                actions.append(_inherit(heir))

    def _hold_link_local(self, entry: Entry) -> list[Address]:
        """Defend the link-local address from now on. Returns it if nobody else of ours defended it before."""
        if entry.link.virtual:
            return []
        self.bindings.hold_link_local(entry)
        return [link_local(entry.home_address)] if entry.link_local else []

    def _drop_link_local(self, entry: Entry) -> BindingCacheEntry | None:
        """End the defence for this entry. Returns the binding that inherits the flows, if one does."""
        link = entry.link
        if link.virtual:
            return None
        heir = self.bindings.drop_link_local(entry)
        if heir is None and entry.link_local:
            self._announcer.stop(link, link_local(entry.home_address))
        return heir

    def _test(self, entry: Entry, address: Address, now: float, actions: Actions) -> None:
        self._statistics["dad_started"] += 1
        self.dad.start(entry, address, now, actions)

    def _end_tests(self, entry: Entry, actions: Actions) -> None:
        entry.pending = None
        self.dad.stop_all(entry, actions)

    def _out_of_window(self, request: Registration, entry: Entry, now: float, actions: Actions) -> None:
        """The sequence number is not a newer one (9.5.1)."""
        if self._repeats_what_waits(request, entry):
            return
        request.sequence = entry.sequence  # 9.5.1: the last accepted one is told
        self._reject(request, Status.SEQUENCE_NUMBER_OUT_OF_WINDOW, now, actions)

    def _repeats_what_waits(self, request: Registration, entry: Entry) -> bool:
        """Whether the network doubled a packet whose answer is on its way: a second one would be one too many."""
        waits = entry.pending
        if waits is None or waits.sequence != request.sequence or waits.care_of_address != request.care_of_address:
            return False
        self._statistics["bu_duplicate"] += 1
        return True

    def _reject(self, request: Registration, status: int, now: float, actions: Actions) -> None:
        request.lifetime_units = 0
        self._acknowledge(request, status, actions, after_flows=False)
        self._announce("rejected", request, status, now)

    def _acknowledge(self, request: Registration, status: int, actions: Actions, after_flows: bool) -> None:
        self._statistics[_SENT[status]] += 1
        actions.append(binding_acknowledgement(request, status, after_flows))

    def _announce(self, kind: BindingEventKind, which: Registration | Entry, status: int, now: float) -> None:
        notify = self._notify
        if notify is not None:
            notify(BindingEvent(kind, which.home_address, which.care_of_address, which.link.name, status, now))


def _inherit(heir: BindingCacheEntry) -> InstallBinding:
    """The link-local address was defended with another binding, and is with `heir` now."""
    return InstallBinding(heir.link, heir, heir.care_of_address)
