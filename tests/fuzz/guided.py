"""A long run guided by the code that inputs reach:  .venv/bin/python tests/fuzz/guided.py [SECONDS [SEED]]

It needs atheris (libFuzzer for Python; `.venv/bin/pip install atheris`), which nothing else here does. It ends at the
first failure, prints its input, and leaves it in a file crash-*.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

import atheris  # type: ignore[import-not-found]

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
# One of the packages that Ryu needs installs its own `tests`.
sys.modules["tests"] = ModuleType("tests")
sys.modules["tests"].__path__ = [str(ROOT / "tests")]

with atheris.instrument_imports(include=["mip6core", "ryu_apps"]):
    from tests.fuzz import site
    from tests.fuzz.mutation import mutated
    from tests.fuzz.steps import pack, readable, unpack
    from tests.fuzz.target import Failure, Target

SEEDS = site.seeds()
TARGET = Target()


def run(octets: bytes) -> None:
    try:
        TARGET.run(octets)
    except Failure:
        print(readable(octets))
        raise


def mutate(octets: bytes, max_size: int, seed: int) -> bytes:
    chance = random.Random(seed)
    return pack(mutated(list(unpack(octets)) or chance.choice(SEEDS), SEEDS, chance))[:max_size]


if __name__ == "__main__":
    seconds, seed = (*sys.argv[1:], *("600", "1")[len(sys.argv) - 1 :])
    with TemporaryDirectory() as corpus:
        for number, steps in enumerate(SEEDS):
            (Path(corpus) / f"seed-{number}").write_bytes(pack(steps))
        limits = (f"-max_total_time={seconds}", "-max_len=20000", "-rss_limit_mb=0", "-timeout=30")
        atheris.Setup([sys.argv[0], f"-seed={seed}", *limits, corpus], run, custom_mutator=mutate)
        atheris.Fuzz()
