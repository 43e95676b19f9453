"""The registrations of mobile nodes at correspondents (RFC 6275 sections 9.3.4, 9.5, 9.6 and 5.2.8)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mip6core.actions import CorrespondentActions, InstallRoute, RefreshRoute, ReleaseRoute
from mip6core.addresses import Address, is_unicast_routable
from mip6core.codec.mh import BU_ACKNOWLEDGE, BindingAcknowledgement
from mip6core.constants import (
    ACTIVE_USE,
    INITIAL_BINDACK_TIMEOUT,
    LIFETIME_UNIT,
    REFRESH_REQUEST_LEAD,
    UNREACHABLE_COUNT,
    UNREACHABLE_GAP,
    UNREACHABLE_TIME,
)
from mip6core.correspondent_cache import CorrespondentBinding, CorrespondentCache, History, Verdict
from mip6core.correspondent_link import CorrespondentLimits, CorrespondentLink
from mip6core.correspondent_replies import binding_acknowledgement, binding_refresh_request
from mip6core.correspondent_update import CorrespondentUpdate
from mip6core.events import BindingEventKind, CorrespondentEvent
from mip6core.rate_limit import RateLimiter
from mip6core.return_routability import Nonce, ReturnRoutability, is_authentic
from mip6core.status import BindingAcknowledgementStatus as Status
from mip6core.timers import TimerQueue

_Authorization = tuple[bytes, Address]  # Kbm, and the care-of address that the authenticator was made with

# Reading a member of an enumeration costs as much as a function call in Python 3.11.
_ACCEPTED: Final = Status.ACCEPTED
_NEW: Final = Verdict.NEW
_SENT: Final = tuple(f"ba_sent_{status}" for status in range(256))


class CorrespondentRegistrations:
    """The Binding Cache, and everything that changes it."""

    def __init__(
        self,
        limits: CorrespondentLimits,
        routability: ReturnRoutability,
        statistics: dict[str, int],
        notify: Callable[[CorrespondentEvent], None] | None,
        unauthenticated: RateLimiter,
    ) -> None:
        """`unauthenticated` limits acknowledgements to senders that may be anybody."""
        self.timers = TimerQueue()
        self.bindings = CorrespondentCache(self.timers)
        self._limits = limits
        self._routability = routability
        self._nonces = routability.nonces
        self._statistics = statistics
        self._notify = notify
        self._unauthenticated = unauthenticated

    def set_limits(self, limits: CorrespondentLimits) -> None:
        """From now on these count."""
        self._limits = limits

    def receive(
        self, update: CorrespondentUpdate, optimizable: bool, now: float, actions: CorrespondentActions
    ) -> None:
        """A Binding Update that has passed the tests of the packet alone."""
        indices = update.indices
        if indices is None:
            self._refuse_home_registration(update, now, actions)
            return
        home_nonce = self._nonces.find(indices.home_nonce_index, now)
        care_of_nonce = None
        if not update.deletion:  # 9.5.1: otherwise the care-of nonce index is not inspected
            care_of_nonce = self._nonces.find(indices.care_of_nonce_index, now)
            if care_of_nonce is None:
                status = Status.EXPIRED_NONCES if home_nonce is None else Status.EXPIRED_CARE_OF_NONCE_INDEX
                self._reject_unauthenticated(update, status, now, actions)
                return
        if home_nonce is None:
            self._reject_unauthenticated(update, Status.EXPIRED_HOME_NONCE_INDEX, now, actions)
            return
        authorization = self._authorize(update, home_nonce, care_of_nonce)
        if authorization is None:
            self._statistics["dropped_bad_authenticator"] += 1
            return
        nonces = (home_nonce.serial,) if care_of_nonce is None else (home_nonce.serial, care_of_nonce.serial)
        entry = self.bindings.find(update.correspondent, update.home_address)
        if entry is not None and not self._is_new(update, entry, nonces, authorization, now, actions):
            return
        if update.deletion:
            self._delete(update, entry, authorization, now, actions)
            return
        refusal = self._admission(update, entry, optimizable)
        if refusal is not None:
            self._refuse(update, refusal, entry, authorization, now, actions)
            return
        if entry is None:
            history = History(update.sequence, nonces, self._nonces.newest)
            entry = CorrespondentBinding(
                update.link, update.correspondent, update.home_address, update.care_of_address, history, now
            )
        self._bind(update, entry, authorization, now, actions)

    def tick(self, now: float, actions: CorrespondentActions) -> None:
        """Carry out what is due, in the order of time."""
        while (item := self.timers.pop_due(now)) is not None:
            assert isinstance(item, CorrespondentBinding)
            if not item.bound:
                self.bindings.forget(item)
            elif item.expires_at <= now:
                self._end(item, "expired", _ACCEPTED, now, actions)
            else:
                self._request_refresh(item, now, actions)

    def in_use(self, entry: CorrespondentBinding, now: float, actions: CorrespondentActions) -> None:
        """The correspondent still sends to the mobile node: near the end the binding is worth a reminder (9.5.5)."""
        entry.used_at = now
        self._schedule(entry, now)
        self.tick(now, actions)

    def unreachable(self, entry: CorrespondentBinding, now: float, actions: CorrespondentActions) -> None:
        """A Destination Unreachable came back from the way to the care-of address; only many end a binding (9.3.4)."""
        if now - entry.unreachable_last > UNREACHABLE_GAP:
            entry.unreachable_count = 0
        if entry.unreachable_count == 0:
            entry.unreachable_since = now
        entry.unreachable_count += 1
        entry.unreachable_last = now
        if entry.unreachable_count >= UNREACHABLE_COUNT and now - entry.unreachable_since >= UNREACHABLE_TIME:
            self._end(entry, "unreachable", _ACCEPTED, now, actions)

    def clear(self, entry: CorrespondentBinding, now: float, actions: CorrespondentActions) -> None:
        """The operator's: forget a binding."""
        self._end(entry, "cleared", _ACCEPTED, now, actions)

    def installation_failed(self, entry: CorrespondentBinding, now: float, actions: CorrespondentActions) -> None:
        """The switch did not take the flows: the mobile node must not believe that its route is optimised."""
        status = Status.INSUFFICIENT_RESOURCES
        authorization = self._authorize_again(entry, now)
        self._end(entry, "rejected", status, now, actions)
        if authorization is not None:
            self._acknowledge(entry, entry.reply_to, status, entry.sequence, 0, authorization, actions)

    def adopt(
        self,
        link: CorrespondentLink,
        correspondent: Address,
        home_address: Address,
        care_of_address: Address,
        sequence: int,
        remaining: float,
        now: float,
    ) -> bool:
        """A binding that a switch still serves. Whether it is one of ours from now on.

        No nonce of before is valid any more, so no Binding Update of before can be replayed.
        """
        if (
            remaining <= 0
            or len(self.bindings) >= self._limits.max_bindings
            or not link.is_correspondent(correspondent)
            or not is_unicast_routable(home_address)
            or not is_unicast_routable(care_of_address)
            or self.bindings.find(correspondent, home_address) is not None
        ):
            return False
        entry = CorrespondentBinding(link, correspondent, home_address, care_of_address, History(sequence), now)
        units = -int(-min(remaining, link.max_lifetime) // LIFETIME_UNIT)  # rounded up
        self.bindings.bind(entry)
        self._run_from(entry, now, units * LIFETIME_UNIT, min(remaining, link.max_lifetime))
        return True

    # Validation

    def _authorize(
        self, update: CorrespondentUpdate, home_nonce: Nonce, care_of_nonce: Nonce | None
    ) -> _Authorization | None:
        """Make Kbm again from what is in the packet; None if the authenticator was not made with it (9.5.1)."""
        correspondent, home_address = update.correspondent, update.home_address
        if care_of_nonce is None:
            key = self._routability.deletion_key(correspondent, home_address, home_nonce)
            # 6.2.7: made with the home address. RFC 3775 took the care-of address, and its mobile nodes still do.
            addresses: tuple[Address, ...] = (home_address, update.care_of_address)
        else:
            care_of_address = update.care_of_address
            key = self._routability.registration_key(
                correspondent, home_address, home_nonce, care_of_address, care_of_nonce
            )
            addresses = (care_of_address,)
        for address in addresses:
            if is_authentic(update.authenticator, key, address, correspondent, update.covered):
                return key, address
        return None

    def _authorize_again(self, entry: CorrespondentBinding, now: float) -> _Authorization | None:
        """The same for the Binding Update that made or last changed a binding, while its nonces are valid."""
        if entry.home_nonce_index is None or entry.care_of_nonce_index is None:
            return None
        home_nonce = self._nonces.find(entry.home_nonce_index, now)
        care_of_nonce = self._nonces.find(entry.care_of_nonce_index, now)
        if home_nonce is None or care_of_nonce is None:
            return None
        care_of_address = entry.care_of_address
        key = self._routability.registration_key(
            entry.correspondent, entry.home_address, home_nonce, care_of_address, care_of_nonce
        )
        return key, care_of_address

    def _is_new(
        self,
        update: CorrespondentUpdate,
        entry: CorrespondentBinding,
        nonces: tuple[int, ...],
        authorization: _Authorization,
        now: float,
        actions: CorrespondentActions,
    ) -> bool:
        """Whether an authentic Binding Update is not an old one; if so, `entry` knows it from now on."""
        history = entry.history
        entry.refresh_at = entry.expires_at  # 9.5.5: no more requests to refresh
        verdict = history.judge(update.sequence, nonces, entry.bound)
        if verdict is _NEW:
            if history.add(update.sequence, nonces, self._nonces.newest):
                self._nonces.retire()
            if not entry.bound:
                self._remember(entry, now)
            return True
        if verdict is Verdict.OLD_NONCES:
            status = Status.EXPIRED_HOME_NONCE_INDEX if update.deletion else Status.EXPIRED_NONCES
            self._reject_unauthenticated(update, status, now, actions)
        else:
            status = Status.SEQUENCE_NUMBER_OUT_OF_WINDOW
            self._acknowledge(update, update.reply_to, status, history.sequence, 0, authorization, actions)
            self._announce("rejected", update, status, now)
        return False

    def _admission(
        self, update: CorrespondentUpdate, entry: CorrespondentBinding | None, optimizable: bool
    ) -> Status | None:
        """The status to refuse a valid request with, if it cannot be served."""
        link, home_address, care_of_address = update.link, update.home_address, update.care_of_address
        if home_address == update.correspondent or link.is_taken(home_address):
            return Status.ADMINISTRATIVELY_PROHIBITED
        if care_of_address == update.correspondent or link.is_taken(care_of_address):
            return Status.INVALID_CARE_OF_ADDRESS  # packets would come back to us
        on_this_side = care_of_address != update.reply_to and link.find_prefix(care_of_address) is not None
        if not optimizable or on_this_side:
            return Status.ADMINISTRATIVELY_PROHIBITED
        if (entry is None or not entry.bound) and len(self.bindings) >= self._limits.max_bindings:
            self._statistics["bindings_refused"] += 1
            return Status.INSUFFICIENT_RESOURCES
        return None

    # Effects

    def _bind(
        self,
        update: CorrespondentUpdate,
        entry: CorrespondentBinding,
        authorization: _Authorization,
        now: float,
        actions: CorrespondentActions,
    ) -> None:
        """Make, move or refresh a binding (9.5.2)."""
        link = update.link
        units = min(update.lifetime_units, link.max_lifetime // LIFETIME_UNIT)
        previous = entry.care_of_address if entry.bound else None
        entry.link = link  # where the correspondent is may have changed
        entry.care_of_address = update.care_of_address
        entry.reply_to = update.reply_to
        entry.unreachable_count = 0
        assert update.indices is not None
        entry.home_nonce_index = update.indices.home_nonce_index
        entry.care_of_nonce_index = update.indices.care_of_nonce_index
        kind: BindingEventKind
        if previous is None:
            entry.registered_at = now
            self.bindings.bind(entry)
            kind = "registered"
        else:
            kind = "refreshed" if previous == entry.care_of_address else "moved"
        entry.updated_at = now
        self._run_from(entry, now, units * LIFETIME_UNIT, units * LIFETIME_UNIT)
        if kind == "refreshed":
            actions.append(RefreshRoute(link, entry))
        else:
            actions.append(InstallRoute(link, entry, previous))
        if update.flags & BU_ACKNOWLEDGE:
            after_flows = kind != "refreshed"
            self._acknowledge(
                update, update.reply_to, _ACCEPTED, update.sequence, units, authorization, actions, after_flows
            )
        self._announce(kind, entry, _ACCEPTED, now)

    def _delete(
        self,
        update: CorrespondentUpdate,
        entry: CorrespondentBinding | None,
        authorization: _Authorization,
        now: float,
        actions: CorrespondentActions,
    ) -> None:
        """Delete the binding if there is one; that there is none is no mistake (9.5.3)."""
        if entry is not None and entry.bound:
            self._end(entry, "deregistered", _ACCEPTED, now, actions)
        if update.flags & BU_ACKNOWLEDGE:
            self._acknowledge(update, update.reply_to, _ACCEPTED, update.sequence, 0, authorization, actions, True)

    def _refuse(
        self,
        update: CorrespondentUpdate,
        status: Status,
        entry: CorrespondentBinding | None,
        authorization: _Authorization,
        now: float,
        actions: CorrespondentActions,
    ) -> None:
        """A valid request that cannot be served. The mobile node has left the place where an old binding says it is."""
        if entry is not None and entry.bound:
            self._end(entry, "rejected", status, now, actions)
        else:
            self._announce("rejected", update, status, now)
        if update.flags & BU_ACKNOWLEDGE or status is Status.INSUFFICIENT_RESOURCES:  # 9.5.4
            self._acknowledge(update, update.reply_to, status, update.sequence, 0, authorization, actions)

    def _refuse_home_registration(self, update: CorrespondentUpdate, now: float, actions: CorrespondentActions) -> None:
        """A correspondent is no home agent (9.5.1, 10.3.1, 10.3.2). Nobody vouches for such a Binding Update."""
        if self.bindings.get(update.correspondent, update.home_address) is not None:
            status = Status.REGISTRATION_TYPE_CHANGE_DISALLOWED
        elif update.lifetime_units:
            status = Status.HOME_REGISTRATION_NOT_SUPPORTED
        else:
            status = Status.NOT_HOME_AGENT_FOR_THIS_MOBILE_NODE
        self._reject_unauthenticated(update, status, now, actions)

    def _end(
        self,
        entry: CorrespondentBinding,
        kind: BindingEventKind,
        status: Status,
        now: float,
        actions: CorrespondentActions,
    ) -> None:
        """Binding and flows go; the history stays as long as it has to."""
        actions.append(ReleaseRoute(entry.link, entry))
        self.bindings.unbind(entry)
        # Without a binding any sequence number is accepted (9.5.1): a new nonce tells that it is not an old one's
        self._nonces.retire()
        self._remember(entry, now)
        self._announce(kind, entry, status, now)

    def _remember(self, entry: CorrespondentBinding, now: float) -> None:
        """Keep the history of what is no binding while an old Binding Update could be replayed (5.2.8).

        Where the memory is full, the one with the oldest nonces makes room: these are invalidated for everybody.
        """
        self.bindings.forget(entry)
        replayable = entry.history.replayable
        until = self._nonces.expiry(replayable)
        if until is None or until <= now:
            return
        if self.bindings.remembered >= self._limits.max_bindings:
            oldest = self.bindings.oldest_remembered()
            self._statistics["nonces_invalidated"] += 1
            self._statistics["deleted_bindings_forgotten"] += 1
            self._nonces.invalidate(min(oldest.remembered_with, replayable))
            if replayable <= oldest.remembered_with:
                return
            self.bindings.forget(oldest)
        self.bindings.remember(entry, until)

    # Time

    def _run_from(self, entry: CorrespondentBinding, now: float, lifetime: int, remaining: float) -> None:
        """Let the binding live for `remaining` seconds from now."""
        entry.lifetime = lifetime
        entry.expires_at = now + remaining
        entry.refresh_at = entry.expires_at - min(REFRESH_REQUEST_LEAD, remaining / 4)
        entry.refresh_interval = INITIAL_BINDACK_TIMEOUT
        self._schedule(entry, now)

    def _schedule(self, entry: CorrespondentBinding, now: float) -> None:
        """The end, or before it a Binding Refresh Request while the binding is in active use."""
        due = entry.expires_at
        if entry.refresh_at < due and now - entry.used_at <= ACTIVE_USE:
            due = entry.refresh_at
        self.timers.schedule(entry, due)

    def _request_refresh(self, entry: CorrespondentBinding, now: float, actions: CorrespondentActions) -> None:
        """Ask the mobile node to register again, and with exponential back-off once more until it does (9.5.5)."""
        if entry.refresh_at <= now and now - entry.used_at <= ACTIVE_USE:
            self._statistics["brr_sent"] += 1
            actions.append(binding_refresh_request(entry))
            entry.refresh_at = now + entry.refresh_interval
            entry.refresh_interval *= 2
        self._schedule(entry, now)

    # Answers

    def _reject_unauthenticated(
        self, update: CorrespondentUpdate, status: Status, now: float, actions: CorrespondentActions
    ) -> None:
        """Without authorization data (9.5.4), and therefore at a limited rate."""
        if not self._unauthenticated.allow(update.reply_to, now):
            self._statistics["ba_suppressed"] += 1
            return
        self._acknowledge(update, update.reply_to, status, update.sequence, 0, None, actions)
        self._announce("rejected", update, status, now)

    def _acknowledge(
        self,
        to: CorrespondentUpdate | CorrespondentBinding,
        reply_to: Address,
        status: Status,
        sequence: int,
        units: int,
        authorization: _Authorization | None,
        actions: CorrespondentActions,
        after_flows: bool = False,
    ) -> None:
        self._statistics[_SENT[status]] += 1
        acknowledgement = BindingAcknowledgement(status, 0, sequence, units)
        actions.append(
            binding_acknowledgement(
                to.link, to.correspondent, to.home_address, reply_to, acknowledgement, authorization, after_flows
            )
        )

    def _announce(
        self, kind: BindingEventKind, which: CorrespondentUpdate | CorrespondentBinding, status: Status, now: float
    ) -> None:
        if self._notify is not None:
            self._notify(
                CorrespondentEvent(
                    kind,
                    which.correspondent,
                    which.home_address,
                    which.care_of_address,
                    which.link.name,
                    status,
                    now,
                )
            )
