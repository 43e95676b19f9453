"""No Binding Update counts twice, whatever numbers and nonces a mobile node uses (RFC 6275 section 5.2.8)."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from mip6core.constants import MAX_NONCE_LIFETIME, MAX_TOKEN_LIFETIME
from mip6core.correspondent_cache import History, Verdict
from mip6core.return_routability import MAX_NONCES, Nonces

# The same examples in every run, and nothing kept between runs; raise max_examples to search
bounded = settings(max_examples=400, deadline=None, derandomize=True, database=None)

Update = tuple[int, tuple[int, ...]]  # sequence number, serial numbers of the nonces


@bounded
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0, 0, 0, 1]),  # new nonces
            st.sampled_from([1, 1, 2, 20000, 32767, 32768, 45000, 65535]),  # step of the sequence number
            st.lists(st.integers(0, 2), min_size=1, max_size=2),  # how old the nonces are
            st.booleans(),  # whether there is a binding
        ),
        min_size=1,
        max_size=40,
    )
)
def test_no_update_counts_twice(steps: list[tuple[int, int, list[int], bool]]) -> None:
    newest, sequence = 3, 0
    first: Update = (0, (newest, newest))
    history = History(*first, newest)
    accepted = [first]
    for more, step, ages, bound in steps:
        newest += more
        sequence = (sequence + step) % 65536
        update = sequence, tuple(newest - age for age in ages)
        if history.judge(*update, bound) is Verdict.NEW:
            assert update not in accepted
            history.add(*update, newest)
            accepted.append(update)
            assert history.sequence == sequence
        for old in accepted:
            for bound in (False, True):
                assert history.judge(*old, bound) is not Verdict.NEW
        # What is remembered is remembered for long enough: without that nonce no old one is authentic
        assert all(min(nonces) <= history.replayable for _, nonces in accepted)


@bounded
@given(st.lists(st.tuples(st.floats(0.0, 100.0), st.booleans()), max_size=60), st.integers(0, 65535))
def test_a_token_is_good_for_as_long_as_it_has_to_be_and_no_longer(
    steps: list[tuple[float, bool]], first_index: int
) -> None:
    source = random.Random(first_index)
    nonces = Nonces(lambda length: first_index.to_bytes(2, "big") if length == 2 else source.randbytes(length))
    now = 0.0
    handed_out: list[tuple[float, int, bytes]] = []
    first_use: dict[bytes, float] = {}
    for pause, retire in steps:
        now += pause
        if retire:
            nonces.retire()
        nonce = nonces.current(now)
        handed_out.append((now, nonce.index, nonce.value))
        first_use.setdefault(nonce.value, now)
        assert len(nonces) <= MAX_NONCES
        for at, index, value in handed_out:
            found = nonces.find(index, now)
            recognized = found is not None and found.value == value
            if now - at <= MAX_TOKEN_LIFETIME:
                assert recognized
            if now - first_use[value] >= MAX_NONCE_LIFETIME:
                assert not recognized
