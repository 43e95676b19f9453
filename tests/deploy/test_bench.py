"""deploy/bench: it lists the benchmarks, and refuses what is none of them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    """deploy/bench beside two benchmarks."""
    (tmp_path / "deploy/benchmarks").mkdir(parents=True)
    (tmp_path / "deploy/benchmarks/__init__.py").touch()
    main = "def main(argv):\n    pass\n"
    (tmp_path / "deploy/benchmarks/datapath.py").write_text(f'"""Throughput of a tunnel."""\n{main}')
    (tmp_path / "deploy/benchmarks/control.py").write_text(f'"""Registrations.\n\nMore.\n"""\n{main}')
    (tmp_path / "deploy/benchmarks/part.py").write_text('"""Of both."""\n')
    shutil.copy(ROOT / "deploy/bench", tmp_path / "deploy")
    return tmp_path / "deploy/bench"


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


def test_without_a_name_it_lists_them(bench: Path) -> None:
    assert run(bench).stdout.splitlines() == [
        "control        Registrations.",
        "datapath       Throughput of a tunnel.",
    ]


@pytest.mark.parametrize("name", ["speed", "part", "../bench", "__init__", "--json", ""])
def test_a_name_that_is_none_of_them_is_refused(bench: Path, name: str) -> None:
    result = run(bench, name)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == f"bench: no benchmark '{name}'; deploy/bench lists them\n"


def test_standard_output_is_the_benchmarks_alone(bench: Path) -> None:
    install = bench.with_name("install")
    install.write_text("#!/bin/sh\necho install: everything is in place\n")
    install.chmod(0o755)
    python = bench.parent.parent / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "$*"\n')
    python.chmod(0o755)
    result = run(bench, "datapath", "--json")
    assert result.stdout == "-m topo.lab -- .venv/bin/python -m deploy.benchmarks.datapath --json\n"
    assert result.stderr == "install: everything is in place\n"
