"""deploy/install: its decisions, with stand-ins for what it calls, and that a second run is idle."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


def bash(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a bash script that has the functions of deploy/install."""
    return subprocess.run(
        ["bash", "-c", f"source '{ROOT}/deploy/install'; {script}"],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def executable(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("help_text", "option", "variable"),
    [
        ("  --build-constraint <file>   Constrain build dependencies", True, False),  # pip 25.3 and later
        ("  -c, --constraint <file>     Constrain versions", False, True),  # pip before
    ],
)
def test_ryu_is_built_with_the_constraint_that_pip_understands(
    tmp_path: Path, help_text: str, option: bool, variable: bool
) -> None:
    executable(
        tmp_path / "bin/python",
        f"""[[ $* == *--help ]] && echo '{help_text}' || echo "$*" "variable=${{PIP_CONSTRAINT-}}" "in=$PWD" """,
    )
    result = bash(f"venv={tmp_path}; build_ryu")
    assert result.returncode == 0, result.stderr
    constraints = f"in={ROOT}/deploy/constraints\n"
    assert "ryu==4.34" in result.stdout
    assert constraints in result.stdout
    assert ("--build-constraint ryu-build.txt" in result.stdout) == option
    assert ("variable=ryu-build.txt" in result.stdout) == variable


def test_missing_packages_are_those_that_dpkg_does_not_have_installed(tmp_path: Path) -> None:
    executable(
        tmp_path / "dpkg-query",
        "echo 'installed clang'; echo 'config-files radvd'; echo 'no packages matching mininet' >&2; exit 1",
    )
    result = bash("missing_packages clang radvd mininet", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert result.stdout.split() == ["mininet", "radvd"]


@pytest.mark.parametrize(("candidate", "package"), [("7.1.0", "bpftool"), ("(none)", "linux-tools-generic")])
def test_bpftool_has_another_package_where_apt_has_none_of_its_name(
    tmp_path: Path, candidate: str, package: str
) -> None:
    executable(tmp_path / "apt-get", """[[ $* == *install* ]] && echo "${@: -2}"; true""")
    executable(tmp_path / "apt-cache", f"""echo "bpftool: Candidate: {candidate}" """)
    policy = Path("/usr/sbin/policy-rc.d")
    before = policy.exists()
    result = bash("apt_get radvd bpftool", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert result.stdout == f"radvd {package}\n"
    assert policy.exists() == before


def test_the_systems_python_comes_before_one_in_the_callers_path(tmp_path: Path) -> None:
    executable(tmp_path / "python3", "exit 0")
    executable(tmp_path / "python3.12", "exit 0")
    result = bash("find_python", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert result.stdout.strip() == "/usr/bin/python3"


def test_a_python_that_does_not_do_is_passed_over(tmp_path: Path) -> None:
    for name in ("python3", "python3.13", "python3.11", "python3.10"):
        executable(tmp_path / name, "exit 1")
    good = executable(tmp_path / "python3.12", "exit 0")
    script = f"command() {{ [[ -x {tmp_path}/${{2##*/}} ]] && echo {tmp_path}/${{2##*/}}; }}; find_python"
    result = bash(script)
    assert result.stdout.strip() == str(good)
    good.unlink()
    assert bash(script).returncode == 1


def test_a_failing_step_gives_one_line_and_the_place_of_the_log(tmp_path: Path) -> None:
    log = tmp_path / "install.log"
    script = "broken() { echo fetching; echo 'E: Unable to locate package mininet'; echo bye; return 100; }"
    result = bash(f"log={log}; {script}; step 'Debian packages' broken; echo not reached")
    assert result.returncode == 1
    assert result.stdout.splitlines() == ["install: Debian packages ..."]
    assert result.stderr.splitlines() == [
        f"install: Debian packages failed: E: Unable to locate package mininet (details: {log})"
    ]
    assert "fetching" in log.read_text()


def test_without_root_one_line() -> None:
    with tempfile.TemporaryDirectory() as directory:  # pytest's own directories are closed to other users
        os.chmod(directory, 0o755)
        install = executable(Path(directory, "deploy/install"), (ROOT / "deploy/install").read_text())
        result = subprocess.run(
            ["setpriv", "--reuid=65534", "--clear-groups", install],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.splitlines() == ["install: must run as root: sudo deploy/install"]


@pytest.mark.lab  # for root; deploy/test has made the installation that is looked at
def test_a_second_run_changes_nothing_and_is_quick() -> None:
    def files() -> dict[Path, int]:
        paths = [path for place in (".venv", "build", "deploy/shim") for path in (ROOT / place).iterdir()]
        paths += (ROOT / ".venv").glob("lib/*/site-packages/*")
        return {path: path.lstat().st_mtime_ns for path in paths}

    before = files()
    started = time.monotonic()
    result = bash('step() { echo "step: $1"; exit 3; }; main', INSTALL_LOCKED="1")
    assert (result.stdout, result.returncode) == ("install: everything is in place\n", 0), result.stderr
    assert time.monotonic() - started < 2
    assert files() == before
