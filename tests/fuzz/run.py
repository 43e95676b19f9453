"""The search: inputs that lead to something new are kept, and changed further."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.fuzz import site
from tests.fuzz.mutation import mutated
from tests.fuzz.steps import Step, pack
from tests.fuzz.target import Failure, Target


@dataclass
class Result:
    """What a search has found."""

    executions: int = 0
    kept: int = 0  # inputs that led to something new
    seen: set[str] = field(default_factory=set)  # counters that moved, kinds of messages that were sent
    failures: dict[str, bytes] = field(default_factory=dict)  # by what went wrong


def search(
    seed: int,
    more: Callable[[Result], bool],
    corpus: list[list[Step]] | None = None,
    make: Callable[[], Target] = Target,
) -> Result:
    """Run inputs while `more` says so. The same seed makes the same inputs."""
    chance = random.Random(seed)
    corpus = site.seeds() if corpus is None else corpus
    result = Result()
    target = make()
    pairs: set[tuple[str, ...]] = set()
    try:
        queue = list(corpus)
        while more(result):
            steps = queue.pop(0) if queue else mutated(chance.choice(corpus), corpus, chance)
            octets = pack(steps)
            result.executions += 1
            try:
                found = target.run(octets)
            except Failure as failure:
                last = str(failure).strip().splitlines()[-1]
                if last not in result.failures:
                    result.failures[last] = octets
                    print(f"{failure}", flush=True)
                target.close()
                target = make()
                continue
            # What an input leads to as a whole counts, too: a combination may be new where its parts are not.
            combination = tuple(sorted(found))
            if combination not in pairs and (not found <= result.seen or chance.random() < 0.2):
                corpus.append(list(steps))
                result.kept += 1
            pairs.add(combination)
            result.seen |= found
    finally:
        target.close()
    return result


def for_seconds(seconds: float) -> Callable[[Result], bool]:
    """Until so much time has passed."""
    end = time.monotonic() + seconds
    return lambda _result: time.monotonic() < end


def for_executions(count: int) -> Callable[[Result], bool]:
    """So many inputs."""
    return lambda result: result.executions < count
