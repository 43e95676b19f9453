"""The transition table of a home registration is complete and consistent."""

from __future__ import annotations

from itertools import product

from mip6core.fsm import BOUND_STATES, HOME_BINDING, Effect, Input, State
from tests.unit.engine.shell import Shell

RELEASING = {Effect.DEREGISTER, Effect.EXPIRE, Effect.EXPIRE_AND_PROBE, Effect.CLEAR, Effect.FAIL, Effect.FAIL_STATIC}
BINDING = {Effect.BIND, Effect.ADOPT, Effect.SET_STATIC}


def test_every_pair_is_in_the_table() -> None:
    assert set(HOME_BINDING) == set(product(State, Input))


def test_every_state_is_reached_and_every_effect_used() -> None:
    assert {after for _, after in HOME_BINDING.values()} == set(State)
    assert {effect for effect, _ in HOME_BINDING.values()} == set(Effect)


def test_the_engine_has_a_method_for_every_effect() -> None:
    transitions = Shell().ha._registrations._transitions
    assert set(transitions) == set(HOME_BINDING)
    for pair, (effect, after) in HOME_BINDING.items():
        assert transitions[pair][1] is after
        assert (transitions[pair][0] is None) == (effect is Effect.IGNORE)


def test_flows_are_made_and_taken_away_exactly_at_the_border_of_being_bound() -> None:
    for (before, _), (effect, after) in HOME_BINDING.items():
        assert (effect in BINDING) == (before not in BOUND_STATES and after in BOUND_STATES)
        assert (effect in RELEASING) == (before in BOUND_STATES and after not in BOUND_STATES)
        if effect is Effect.IGNORE:
            assert after is before or (before, after) == (State.DELETED, State.ABSENT)
