"""The life of a home registration as a table (RFC 6275 sections 10.3.1 and 10.3.2).

The table is the specification: every pair of state and input is in it, and the engine does what it says. A
binding that is not in the cache is ABSENT, whether it never was or is gone.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class State(IntEnum):
    """What the home agent knows about a home address."""

    ABSENT = 0
    DAD = 1  # accepted if Duplicate Address Detection finds nobody
    BOUND = 2
    BOUND_DAD = 3  # bound, while a newer Binding Update waits for the link-local address to be tested
    DELETED = 4  # de-registered; kept for its sequence number only, MAX_DELETE_BCE_TIMEOUT seconds
    STATIC = 5  # a binding of the operator's, which no Binding Update changes


BOUND_STATES: Final = (State.BOUND, State.BOUND_DAD, State.STATIC)


class Input(IntEnum):
    """What can happen to it."""

    REGISTER = 0  # a Binding Update that passed all checks, and no address is left to be tested
    REGISTER_DAD = 1  # the same, and Duplicate Address Detection has to run or goes on
    DEREGISTER = 2
    DAD_PASSED = 3
    DAD_FAILED = 4
    EXPIRED = 5  # the entry's own timer
    CLEAR = 6  # the operator's
    INSTALLATION_FAILED = 7  # the switch refused the flows
    ADOPT = 8  # the switch has its flows, from before a restart
    PUT = 9  # the operator's: a static binding


class Effect(IntEnum):
    """What the engine does on the way."""

    IGNORE = 0
    PROBE = 1  # start or amend Duplicate Address Detection; nothing is answered yet
    BIND = 2  # flows, Binding Acknowledgement 0 or 1, Neighbor Advertisements
    UPDATE = 3  # the binding takes the values of the newer Binding Update; acknowledgement 0 or 1
    DEREGISTER = 4  # no more flows and tests; acknowledgement 0
    WITHDRAW = 5  # no more tests; acknowledgement 0
    ACKNOWLEDGE_AGAIN = 6  # acknowledgement 0 for a repeated de-registration
    REFUSE_DEREGISTRATION = 7  # acknowledgement 133
    REJECT_DUPLICATE = 8  # no more tests; acknowledgement 134
    EXPIRE = 9  # no more flows
    EXPIRE_AND_PROBE = 10  # no more flows; the registration that waits is a first one now
    CLEAR = 11  # no more flows and tests; nothing is sent
    CANCEL = 12  # no more tests; nothing is sent
    FAIL = 13  # no more flows and tests; acknowledgement 130
    ADOPT = 14  # the binding is as it was; nothing is sent
    SET_STATIC = 15  # flows, Neighbor Advertisements; no mobile node is told
    CHANGE_STATIC = 16  # the binding takes the operator's values, and the tests end
    REFUSE_STATIC = 17  # acknowledgement 129
    FAIL_STATIC = 18  # no more flows; no mobile node is told


_IGNORE: Final = Effect.IGNORE

HOME_BINDING: Final[dict[tuple[State, Input], tuple[Effect, State]]] = {
    # No Duplicate Address Detection on a virtual home link: REGISTER binds at once.
    (State.ABSENT, Input.REGISTER): (Effect.BIND, State.BOUND),
    (State.ABSENT, Input.REGISTER_DAD): (Effect.PROBE, State.DAD),
    (State.ABSENT, Input.DEREGISTER): (Effect.REFUSE_DEREGISTRATION, State.ABSENT),
    (State.ABSENT, Input.DAD_PASSED): (_IGNORE, State.ABSENT),
    (State.ABSENT, Input.DAD_FAILED): (_IGNORE, State.ABSENT),
    (State.ABSENT, Input.EXPIRED): (_IGNORE, State.ABSENT),
    (State.ABSENT, Input.CLEAR): (_IGNORE, State.ABSENT),
    (State.ABSENT, Input.INSTALLATION_FAILED): (_IGNORE, State.ABSENT),
    (State.ABSENT, Input.ADOPT): (Effect.ADOPT, State.BOUND),
    (State.ABSENT, Input.PUT): (Effect.SET_STATIC, State.STATIC),
    # A Binding Update during the test replaces what waits for it, and does not start it again.
    (State.DAD, Input.REGISTER): (Effect.BIND, State.BOUND),
    (State.DAD, Input.REGISTER_DAD): (Effect.PROBE, State.DAD),
    (State.DAD, Input.DEREGISTER): (Effect.WITHDRAW, State.DELETED),
    (State.DAD, Input.DAD_PASSED): (Effect.BIND, State.BOUND),
    (State.DAD, Input.DAD_FAILED): (Effect.REJECT_DUPLICATE, State.ABSENT),
    (State.DAD, Input.EXPIRED): (_IGNORE, State.DAD),
    (State.DAD, Input.CLEAR): (Effect.CANCEL, State.ABSENT),
    (State.DAD, Input.INSTALLATION_FAILED): (_IGNORE, State.DAD),
    (State.DAD, Input.ADOPT): (_IGNORE, State.DAD),
    (State.DAD, Input.PUT): (Effect.SET_STATIC, State.STATIC),
    (State.BOUND, Input.REGISTER): (Effect.UPDATE, State.BOUND),
    (State.BOUND, Input.REGISTER_DAD): (Effect.PROBE, State.BOUND_DAD),
    (State.BOUND, Input.DEREGISTER): (Effect.DEREGISTER, State.DELETED),
    (State.BOUND, Input.DAD_PASSED): (_IGNORE, State.BOUND),
    (State.BOUND, Input.DAD_FAILED): (_IGNORE, State.BOUND),
    (State.BOUND, Input.EXPIRED): (Effect.EXPIRE, State.ABSENT),
    (State.BOUND, Input.CLEAR): (Effect.CLEAR, State.ABSENT),
    (State.BOUND, Input.INSTALLATION_FAILED): (Effect.FAIL, State.ABSENT),
    (State.BOUND, Input.ADOPT): (_IGNORE, State.BOUND),
    (State.BOUND, Input.PUT): (Effect.CHANGE_STATIC, State.STATIC),
    # The old binding stays as it is until the link-local address is known to be free.
    (State.BOUND_DAD, Input.REGISTER): (Effect.UPDATE, State.BOUND),
    (State.BOUND_DAD, Input.REGISTER_DAD): (Effect.PROBE, State.BOUND_DAD),
    (State.BOUND_DAD, Input.DEREGISTER): (Effect.DEREGISTER, State.DELETED),
    (State.BOUND_DAD, Input.DAD_PASSED): (Effect.UPDATE, State.BOUND),
    (State.BOUND_DAD, Input.DAD_FAILED): (Effect.REJECT_DUPLICATE, State.BOUND),
    (State.BOUND_DAD, Input.EXPIRED): (Effect.EXPIRE_AND_PROBE, State.DAD),
    (State.BOUND_DAD, Input.CLEAR): (Effect.CLEAR, State.ABSENT),
    (State.BOUND_DAD, Input.INSTALLATION_FAILED): (Effect.FAIL, State.ABSENT),
    (State.BOUND_DAD, Input.ADOPT): (_IGNORE, State.BOUND_DAD),
    (State.BOUND_DAD, Input.PUT): (Effect.CHANGE_STATIC, State.STATIC),
    # "Marked as invalid" (10.3.2): no binding, but a delayed older Binding Update is still recognised as old.
    (State.DELETED, Input.REGISTER): (Effect.BIND, State.BOUND),
    (State.DELETED, Input.REGISTER_DAD): (Effect.PROBE, State.DAD),
    (State.DELETED, Input.DEREGISTER): (Effect.ACKNOWLEDGE_AGAIN, State.DELETED),
    (State.DELETED, Input.DAD_PASSED): (_IGNORE, State.DELETED),
    (State.DELETED, Input.DAD_FAILED): (_IGNORE, State.DELETED),
    (State.DELETED, Input.EXPIRED): (_IGNORE, State.ABSENT),
    (State.DELETED, Input.CLEAR): (_IGNORE, State.ABSENT),
    (State.DELETED, Input.INSTALLATION_FAILED): (_IGNORE, State.DELETED),
    (State.DELETED, Input.ADOPT): (_IGNORE, State.DELETED),
    (State.DELETED, Input.PUT): (Effect.SET_STATIC, State.STATIC),
    # Only the operator changes it; EXPIRED if it was put with a lifetime, or its prefix ends.
    (State.STATIC, Input.REGISTER): (Effect.REFUSE_STATIC, State.STATIC),
    (State.STATIC, Input.REGISTER_DAD): (Effect.REFUSE_STATIC, State.STATIC),
    (State.STATIC, Input.DEREGISTER): (Effect.REFUSE_STATIC, State.STATIC),
    (State.STATIC, Input.DAD_PASSED): (_IGNORE, State.STATIC),
    (State.STATIC, Input.DAD_FAILED): (_IGNORE, State.STATIC),
    (State.STATIC, Input.EXPIRED): (Effect.EXPIRE, State.ABSENT),
    (State.STATIC, Input.CLEAR): (Effect.CLEAR, State.ABSENT),
    (State.STATIC, Input.INSTALLATION_FAILED): (Effect.FAIL_STATIC, State.ABSENT),
    (State.STATIC, Input.ADOPT): (_IGNORE, State.STATIC),
    (State.STATIC, Input.PUT): (Effect.CHANGE_STATIC, State.STATIC),
}
