"""One entry of a mobile node's Binding Update List: the registration with one correspondent (RFC 6275 section 11.7.2).

Return routability (5.2.5, 11.6) and the Binding Update that it authorizes, without any I/O. `now` is monotonic
seconds everywhere. The numbers of the RFC stand here once more and are not taken from the correspondent's code.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mip6core import addresses
from mip6core.addresses import Address
from mip6core.codec import ipv6, mh
from mip6core.codec.options import NonceIndices
from mip6core.constants import IPV6, MOBILITY_HEADER
from topo import binding_authorization as authorization
from topo.mobile_node_effects import Effect, EndRouteOptimization, Event, OptimizeRoute, Send
from topo.retransmission import INITIAL_BINDACK_TIMEOUT, Retransmission

# Section 12; seconds
MAX_TOKEN_LIFETIME: Final = 210.0
MAX_RR_BINDING_LIFETIME: Final = 420
MAX_RO_FAILURE: Final = 3  # retries
LIFETIME_UNIT: Final = 4
COOKIE: Final = 8  # octets

# Of the lifetime granted. The home registration is refreshed at three quarters of its own, and that renews this one too
REFRESH_AT: Final = 0.85
RETRY_AFTER: Final = 300.0  # seconds until a correspondent is asked again that has refused ...
RETRY_AFTER_SILENCE: Final = 60.0  # ... or has not answered

# Section 6.1.8
STATUS_REJECTED: Final = 128  # and above
STATUS_SEQUENCE: Final = 135
STATUS_HOME_NONCE: Final = 136
STATUS_CARE_OF_NONCE: Final = 137
STATUS_NONCES: Final = 138
# Section 6.1.9
ERROR_UNKNOWN_BINDING: Final = 1
ERROR_UNRECOGNIZED_TYPE: Final = 2


@dataclass(slots=True)
class Situation:
    """What a mobile node knows of itself, shared by all its correspondent registrations."""

    home_address: Address
    home_agent: Address
    lifetime: int  # seconds to ask for
    random: Callable[[int], bytes]
    patience: float = 0.0  # seconds from the first home registration to the first correspondent registration
    care_of_address: Address | None = None  # while away
    registered_until: float = -math.inf  # the home agent has accepted that care-of address until then
    at_home: bool = False

    def reachable(self, now: float) -> bool:
        """Whether packets to the home address arrive."""
        return self.at_home or now < self.registered_until


class _Test:
    """One of the two tests: an init message is sent until a keygen token comes back."""

    def __init__(self) -> None:
        self.retransmission = Retransmission()
        self.cookie: bytes | None = None  # of the last transmission; None: no answer is expected
        self.token: bytes | None = None
        self.nonce_index = 0
        self.received_at = -math.inf
        self.address: Address | None = None  # that is tested

    def usable(self, address: Address, now: float) -> bool:
        """Whether there is a token for an address that the correspondent will still know (5.2.7)."""
        return self.token is not None and self.address == address and now < self.received_at + MAX_TOKEN_LIFETIME

    def begin(self, address: Address, now: float) -> None:
        """Ask for a token, unless that is under way."""
        if self.address != address or not self.retransmission.running:
            self.address = address
            self.token = self.cookie = None
            self.retransmission.begin(now)

    def end(self) -> None:
        """Wait for no answer."""
        self.cookie = None
        self.retransmission.stop()

    def passed(self, cookie: bytes, token: bytes, nonce_index: int, now: float) -> bool:
        """Take the answer if it is one (11.6.2)."""
        if self.cookie is None or cookie != self.cookie:
            return False
        self.end()
        self.token, self.nonce_index, self.received_at = token, nonce_index, now
        return True


class CorrespondentRegistration:
    """The registration with one correspondent, kept up while the mobile node is away, taken back at home."""

    def __init__(self, correspondent: Address, situation: Situation) -> None:
        self.correspondent = correspondent
        self.optimized = False  # data takes the direct path
        self._situation = situation
        self._sequence = int.from_bytes(situation.random(2), "big")
        self._home_test = _Test()
        self._care_of_test = _Test()
        self._update = Retransmission()
        self._outstanding: dict[int, tuple[float, int]] = {}  # sequence: sent at, lifetime in units
        self._key = b""  # of the Binding Updates that are outstanding
        self._began = -math.inf  # this attempt
        self._renewals = 0  # Binding Updates refused in a way that a new one may mend
        self._expires = -math.inf  # by the last acknowledgement
        self._bound_until = -math.inf  # the correspondent may have a binding until then, acknowledged or not
        self._next_try = math.inf  # when to begin again without a reason from outside
        self._refused_until = -math.inf
        self._incapable = False  # it speaks no Mobile IPv6: a move will not change that
        self._waiting = situation.patience > 0  # for the first registration

    # --- from the mobile node ---

    def begin(self, now: float) -> list[Effect]:
        """Register the care-of address, or renew that, or take the binding back at home."""
        if now < self._refused_until:
            self._next_try = self._refused_until
            return []
        if self._waiting:
            if self._next_try == math.inf and now < self._situation.registered_until:
                self._next_try = now + self._situation.patience
            return []
        self._next_try = math.inf
        self._began = now
        self._update.stop()
        self._outstanding.clear()
        return self._advance(now)

    def moved(self, now: float) -> list[Effect]:
        """There is a new care-of address, and the home agent is being told."""
        if not self._incapable:
            self._refused_until = -math.inf
        return self.begin(now)

    def detached(self) -> None:
        """There is no care-of address: nothing can be sent, and the direct path is gone."""
        self.optimized = False
        self._rest()

    # --- time ---

    def next_timer(self) -> float:
        """When `tick` wants to be called."""
        retransmissions = (self._home_test.retransmission, self._care_of_test.retransmission, self._update)
        expiry = self._expires if self.optimized else math.inf
        return min(expiry, self._next_try, *(one.timer for one in retransmissions))

    def tick(self, now: float) -> list[Effect]:
        """Do what time asks for."""
        effects: list[Effect] = []
        if self.optimized and now >= self._expires:
            effects += self._fall_back("the binding has run out", now)
        if now >= self._next_try:
            self._incapable = self._waiting = False
            return effects + self.begin(now)
        return effects + self._transmit(now)

    # --- messages, checked for their addresses by the caller ---

    def home_test(self, message: mh.HomeTest, now: float) -> list[Effect]:
        """11.6.2."""
        token = message.home_init_cookie, message.home_keygen_token, message.home_nonce_index
        if not self._home_test.passed(*token, now):
            return []
        return [self._event("home_test", now, nonce_index=message.home_nonce_index), *self._advance(now)]

    def care_of_test(self, message: mh.CareOfTest, now: float) -> list[Effect]:
        """11.6.2."""
        token = message.care_of_init_cookie, message.care_of_keygen_token, message.care_of_nonce_index
        if not self._care_of_test.passed(*token, now):
            return []
        return [self._event("care_of_test", now, nonce_index=message.care_of_nonce_index), *self._advance(now)]

    def acknowledgement(self, message: mh.BindingAcknowledgement, mobility_header: bytes, now: float) -> list[Effect]:
        """11.7.3. Statuses 136 to 138 cannot be authenticated: the correspondent has lost what the key is made of."""
        if not self._outstanding:
            return []
        stale = {
            STATUS_HOME_NONCE: [self._home_test],
            STATUS_CARE_OF_NONCE: [self._care_of_test],
            STATUS_NONCES: [self._home_test, self._care_of_test],
        }.get(message.status, [])
        known = message.sequence in self._outstanding
        if stale:
            if not known:
                return []
        elif not authorization.is_authorized(
            message, mobility_header, self._key, self._registered_address(), self.correspondent
        ):
            return []
        lifetime = message.lifetime * LIFETIME_UNIT
        received = self._event(
            "correspondent_acknowledgement", now, status=message.status, sequence=message.sequence, lifetime=lifetime
        )
        if message.status == STATUS_SEQUENCE or stale:
            if message.status == STATUS_SEQUENCE:
                self._sequence = message.sequence
            for test in stale:
                test.token = None
            self._renewals += 1
            renew = self._renewals <= MAX_RO_FAILURE
            return [received, *(self.begin(now) if renew else self._give_up(f"status {message.status}", now))]
        if not known:
            return []
        sent_at, units = self._outstanding[message.sequence]
        granted = min(message.lifetime, units)
        if message.status >= STATUS_REJECTED or (granted == 0 and not self._situation.at_home):
            return [received, *self._give_up(f"status {message.status}", now)]
        return [received, *self._accepted(sent_at, granted * LIFETIME_UNIT, now)]

    def refresh_request(self, now: float) -> list[Effect]:
        """11.7.4."""
        if not self.optimized:
            return []
        asked = self._event("correspondent_refresh_request", now)
        return [asked] if self._expecting else [asked, *self.begin(now)]

    def binding_error(self, status: int, now: float) -> list[Effect]:
        """11.3.6. A lost binding is registered again, but not at once: the error may be a stranger's."""
        told = self._event("correspondent_error", now, status=status)
        if status == ERROR_UNKNOWN_BINDING and self.optimized:
            effects = self._fall_back("it knows of no binding", now)
            self._rest()
            self._next_try = now + INITIAL_BINDACK_TIMEOUT
            return [told, *effects]
        if status == ERROR_UNRECOGNIZED_TYPE and self._expecting:
            return [told, *self.refused("it knows no such message", now)]
        return []

    def refused(self, reason: str, now: float) -> list[Effect]:
        """The correspondent speaks no Mobile IPv6 (11.3.5)."""
        if not self._expecting:
            return []
        self._incapable = True
        return self._give_up(reason, now)

    # --- how it goes on ---

    @property
    def _expecting(self) -> bool:
        tests = (self._home_test.retransmission, self._care_of_test.retransmission)
        return self._update.running or any(test.running for test in tests)

    def _advance(self, now: float) -> list[Effect]:
        """Ask for what is missing; when nothing is, send the Binding Update."""
        situation = self._situation
        if situation.at_home and now >= self._bound_until:
            self._rest()
            return []
        care_of_address = None if situation.at_home else situation.care_of_address
        if care_of_address is None and not situation.at_home:
            return []
        missing = False
        if not self._home_test.usable(situation.home_address, now):
            missing = True
            if situation.reachable(now):
                self._home_test.begin(situation.home_address, now)
        if care_of_address is not None and not self._care_of_test.usable(care_of_address, now):
            missing = True
            self._care_of_test.begin(care_of_address, now)
        if not missing and situation.reachable(now) and not self._update.running:
            tokens = [self._home_test.token] if situation.at_home else [self._home_test.token, self._care_of_test.token]
            self._key = authorization.binding_management_key(*(token for token in tokens if token is not None))
            self._update.begin(now)
        return self._transmit(now)

    def _transmit(self, now: float) -> list[Effect]:
        """Send what is due."""
        effects: list[Effect] = []
        for retransmission, send in (
            (self._home_test.retransmission, self._send_home_test_init),
            (self._care_of_test.retransmission, self._send_care_of_test_init),
            (self._update, self._send_update),
        ):
            if not retransmission.due(now):
                continue
            if self._situation.at_home:
                if now >= self._bound_until:  # it has run out by itself
                    self._rest()
                    return effects
            elif retransmission.transmissions > 1 + MAX_RO_FAILURE:
                return effects + self._give_up("no answer", now, RETRY_AFTER_SILENCE)
            if retransmission is self._update and self._renew_tokens():
                return effects + self.begin(now)
            effects += send(now)
        return effects

    def _renew_tokens(self) -> bool:
        """Whether to test anew: two Binding Updates made with a home keygen token of before have no answer.

        A correspondent that has started anew may take its nonce index for another and drop the update silently (9.5.1).
        """
        if self._update.transmissions <= 2 or self._home_test.received_at >= self._began:
            return False
        self._home_test.token = self._care_of_test.token = None
        return True

    def _send_home_test_init(self, now: float) -> list[Effect]:
        """Through the reverse tunnel, or plainly at home; with a new cookie each time (11.8)."""
        situation = self._situation
        self._home_test.cookie = situation.random(COOKIE)
        upper = mh.build(mh.HomeTestInit(self._home_test.cookie), situation.home_address, self.correspondent)
        packet = ipv6.build(situation.home_address, self.correspondent, MOBILITY_HEADER, upper)
        if not situation.at_home:
            assert situation.care_of_address is not None
            packet = ipv6.build(situation.care_of_address, situation.home_agent, IPV6, packet)
        return [Send(packet), self._event("home_test_init", now)]

    def _send_care_of_test_init(self, now: float) -> list[Effect]:
        """Directly."""
        care_of_address = self._situation.care_of_address
        assert care_of_address is not None
        self._care_of_test.cookie = self._situation.random(COOKIE)
        upper = mh.build(mh.CareOfTestInit(self._care_of_test.cookie), care_of_address, self.correspondent)
        packet = ipv6.build(care_of_address, self.correspondent, MOBILITY_HEADER, upper)
        return [Send(packet), self._event("care_of_test_init", now)]

    def _send_update(self, now: float) -> list[Effect]:
        """11.7.2; with a new sequence number each time (11.8)."""
        situation = self._situation
        registered = self._registered_address()
        remaining = min(situation.lifetime, MAX_RR_BINDING_LIFETIME, situation.registered_until - now)
        units = 0 if situation.at_home else int(remaining) // LIFETIME_UNIT
        if units == 0 and not situation.at_home:
            self._rest()  # the home registration ends; its renewal begins this one anew
            return []
        self._sequence = (self._sequence + 1) & 0xFFFF
        care_of_nonce_index = 0 if situation.at_home else self._care_of_test.nonce_index
        indices = NonceIndices(self._home_test.nonce_index, care_of_nonce_index)
        update = mh.BindingUpdate(self._sequence, mh.BU_ACKNOWLEDGE, units, (indices,))
        own = situation.home_address
        upper = authorization.authorized_update(update, self._key, registered, own, self.correspondent)
        option = None if situation.at_home else own
        packet = ipv6.build(registered, self.correspondent, MOBILITY_HEADER, upper, home_address=option)
        self._outstanding[self._sequence] = (now, units)
        self._bound_until = max(self._bound_until, now + units * LIFETIME_UNIT)
        details = {
            "sequence": self._sequence,
            "lifetime": units * LIFETIME_UNIT,
            "care_of_address": addresses.text(registered),
            "home_token_age": round(now - self._home_test.received_at, 1),
        }
        return [Send(packet), self._event("correspondent_update", now, **details)]

    def _accepted(self, sent_at: float, lifetime: int, now: float) -> list[Effect]:
        self._update.stop()
        self._outstanding.clear()
        self._renewals = 0
        if self._situation.at_home:
            self._bound_until = -math.inf
            return [self._event("correspondent_deregistered", now)]
        self._expires = self._bound_until = sent_at + lifetime  # counted from the Binding Update
        self._next_try = sent_at + lifetime * REFRESH_AT
        if self.optimized:
            return []
        self.optimized = True
        return [
            OptimizeRoute(self.correspondent),
            self._event("route_optimized", now),
        ]

    def _fall_back(self, reason: str, now: float) -> list[Effect]:
        self.optimized = False
        return [EndRouteOptimization(self.correspondent), self._event("route_by_home_agent", now, reason=reason)]

    def _give_up(self, reason: str, now: float, retry_after: float = RETRY_AFTER) -> list[Effect]:
        """Data goes through the home agent (5.2.9). Tried again after the next move, or later."""
        self._rest()
        self._renewals = 0
        self._refused_until = self._next_try = now + retry_after
        failed = self._event("route_optimization_failed", now, reason=reason)
        return [failed, *self._fall_back(reason, now)] if self.optimized else [failed]

    def _rest(self) -> None:
        self._home_test.end()
        self._care_of_test.end()
        self._update.stop()
        self._outstanding.clear()
        self._next_try = math.inf

    def _registered_address(self) -> Address:
        """What a Binding Update registers; at home the home address: it takes the binding back."""
        situation = self._situation
        if situation.at_home or situation.care_of_address is None:
            return situation.home_address
        return situation.care_of_address

    def _event(self, name: str, now: float, **details: object) -> Event:
        return Event(name, now, {"correspondent": addresses.text(self.correspondent), **details})
