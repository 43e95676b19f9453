"""mip6ctl against the real WSGI application over real HTTP."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from deploy.config import load
from deploy.config.effective import effective
from rest.cli import output
from rest.cli.main import main
from rest.wsgi import make_app
from tests.unit.rest.fake_service import FakeService, packed, view

ROOT = Path(__file__).resolve().parents[3]


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def served(app: Callable[..., Any]) -> Iterator[str]:
    with make_server("127.0.0.1", 0, app, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def service() -> FakeService:
    return FakeService(view("2001:db8:1::b", "2001:db8:f::2"), view("2001:db8:1::a"), view("2001:db8:2::a"))


@pytest.fixture
def server(service: FakeService, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # must not be asked
    with served(make_app(service)) as url:
        monkeypatch.setenv("MIP6CTL_SERVER", url)
        yield url


class Ctl:
    """Runs mip6ctl in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *words: str, status: int = 0) -> str:
        """What it prints; what it says on standard error must be nothing, or one line if it fails."""
        try:
            result = main(words)
        except SystemExit as end:
            result = int(end.code or 0)
        out, err = self._capsys.readouterr()
        assert result == status, err
        if status == 0:
            assert err == ""
            return out
        assert err.startswith("mip6ctl") and err.count("\n") == 1
        return err

    def json(self, *words: str) -> Any:
        return json.loads(self(*words, "-o", "json"))


@pytest.fixture
def ctl(capsys: pytest.CaptureFixture[str]) -> Ctl:
    return Ctl(capsys)


# --- show ---


def test_show_bindings_as_a_table(server: str, ctl: Ctl) -> None:
    header, first, *rest = ctl("show", "bindings").splitlines()
    assert header.split("  ")[0] == "HOME ADDRESS"
    assert first.split() == ["2001:db8:1::a", "2001:db8:f::100", "homenet", "bound", "7", "420", "419", "AH"]
    assert rest[-1] == "3 of 3 bindings"


def test_json_has_the_fields_of_the_api(server: str, ctl: Ctl) -> None:
    result = ctl.json("show", "bindings")
    assert [binding["home_address"] for binding in result["bindings"]] == [
        *("2001:db8:1::a", "2001:db8:1::b", "2001:db8:2::a"),
    ]
    assert (result["total"], result["next_cursor"]) == (3, None)
    table = ctl("show", "bindings").splitlines()[0].lower()
    for column in ("home_address", "care_of_address", "home_link", "remaining_lifetime"):
        assert column in result["bindings"][0] and column.replace("_", " ") in table


def test_counters_of_bindings(server: str, ctl: Ctl, service: FakeService) -> None:
    ctl("show", "bindings")
    assert service.asked_about == []
    header, first, *_ = ctl("show", "bindings", "--counters").splitlines()
    assert header.split("  ")[-1] == "COUNTED AT"
    assert first.split()[4:8] == ["5", "500", "6", "600"]
    assert service.asked_about == [None]
    assert ctl.json("show", "bindings")["bindings"][0]["packets_in"] == 6
    assert service.asked_about == [None, None]


def test_filters_reach_the_server(server: str, ctl: Ctl) -> None:
    def found(*filters: str) -> list[str]:
        return [binding["home_address"] for binding in ctl.json("show", "bindings", *filters)["bindings"]]

    assert found("--home-address", "2001:DB8:1::A") == ["2001:db8:1::a"]
    assert found("--home-address", "2001:db8:1::/64") == ["2001:db8:1::a", "2001:db8:1::b"]
    assert found("--care-of-prefix", "2001:db8:f::2/128") == ["2001:db8:1::b"]
    assert found("--home-link", "nowhere") == []


def test_nothing_found_is_said(server: str, ctl: Ctl, service: FakeService) -> None:
    service.bindings.clear()
    assert ctl("show", "bindings") == "no bindings\n"
    assert ctl.json("show", "bindings") == {"bindings": [], "total": 0, "next_cursor": None}
    service.switches = list  # type: ignore[method-assign,assignment]
    assert ctl("show", "switches") == "no switches\n"
    assert ctl.json("show", "switches") == {"switches": []}


def test_all_pages_are_fetched(server: str, ctl: Ctl, service: FakeService) -> None:
    service.add(*(view(f"2001:db8:3::{number:x}") for number in range(2500)))
    result = ctl.json("show", "bindings")
    assert (len(result["bindings"]), result["total"], result["next_cursor"]) == (2503, 2503, None)
    assert len(ctl.json("show", "bindings", "--limit", "1500")["bindings"]) == 1500


def test_a_limit_says_how_to_go_on(server: str, ctl: Ctl) -> None:
    *_, count, more = ctl("show", "bindings", "--limit", "2").splitlines()
    assert count == "2 of 3 bindings"
    assert more.startswith("more with --cursor ")
    rest = ctl.json("show", "bindings", "--cursor", more.split()[-1])
    assert [binding["home_address"] for binding in rest["bindings"]] == ["2001:db8:2::a"]


def test_show_switches_and_statistics(server: str, ctl: Ctl) -> None:
    _, connected, missing = ctl("show", "switches").splitlines()
    assert connected.split()[:4] == ["00000000000000a1", "homenet", "office", "br-home"]
    assert "uplink0, mip6-br-home" in connected
    assert missing.split()[:5] == ["-", "labnet", "-", "br-lab", "no"]
    assert ctl.json("show", "switches")["switches"][1]["connected"] is False
    assert ctl("show", "statistics").splitlines() == ["homenet.bu_received  3", "homenet.ba_sent_0    2"]
    assert ctl.json("show", "statistics") == {"homenet": {"bu_received": 3, "ba_sent_0": 2}}


def test_show_home_agents_and_prefixes(server: str, ctl: Ctl) -> None:
    header, own, other, _ = ctl("show", "home-agents").splitlines()
    assert header.split()[:2] == ["HOME", "LINK"]
    assert own.split() == ["homenet", "2001:db8:1::2", "10", "-", "-", "yes"]
    assert other.split() == ["homenet", "2001:db8:1::3", "0", "1799", "fe80::3", "no"]
    assert len(ctl.json("show", "home-agents", "--home-link", "labnet")["home_agents"]) == 1
    _, first, second = ctl("show", "prefixes").splitlines()
    anycast = "2001:db8:1:0:fdff:ffff:ffff:fffe"
    assert first.split() == ["homenet", "2001:db8:1::/64", "infinity", "3600", anycast]
    assert second.split() == ["labnet", "2001:db8:2::/124", "10", "0", "-"]
    assert ctl("show", "prefixes", "--home-link", "nowhere") == "no prefixes\n"
    assert ctl("show", "home-agents", "--home-link", "nowhere") == "no home agents\n"


def test_a_table_too_wide_for_the_terminal_becomes_blocks(
    server: str, ctl: Ctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    assert ctl("show", "bindings").startswith("HOME ADDRESS  ")
    monkeypatch.setenv("COLUMNS", "60")
    blocks = ctl("show", "bindings")
    assert max(map(len, blocks.splitlines())) <= 60
    assert blocks.splitlines()[0].split() == ["home_address", "2001:db8:1::a"]


def test_a_table_that_nobody_looks_at_is_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "10")
    assert output.table([{"a": "x" * 40, "b": True}], ["a", "b"]).splitlines()[1] == "x" * 40 + "  yes"


# --- clear ---


def test_clear_one_binding(server: str, ctl: Ctl, service: FakeService) -> None:
    assert ctl("clear", "binding", "2001:db8:1:0::A") == "1 binding cleared\n"
    assert packed("2001:db8:1::a") not in service.bindings
    assert ctl("clear", "binding", "2001:db8:1::a", status=1) == "mip6ctl: no binding for 2001:db8:1::a\n"


def test_clear_a_prefix(server: str, ctl: Ctl, service: FakeService) -> None:
    assert ctl("clear", "binding", "--prefix", "2001:db8:1::/64") == "2 bindings cleared\n"
    assert ctl("clear", "binding", "--prefix", "2001:db8:1::/64") == "no bindings cleared\n"
    assert ctl.json("clear", "binding", "--prefix", "::/0") == {"cleared": 1}
    assert service.bindings == {}


# --- what goes wrong ---


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["show"],
        ["show", "nonsense"],
        ["show", "bindings", "--home-address", "nonsense"],
        ["show", "bindings", "--care-of-prefix", "2001:db8::1/64"],
        ["show", "bindings", "--limit", "0"],
        ["show", "bindings", "-o", "xml"],
        ["show", "bindings", "--server", "127.0.0.1:8080"],
        ["clear", "binding"],
        ["clear", "binding", "2001:db8::1", "--prefix", "2001:db8::/64"],
        ["config", "check"],
        ["ovs", "setup"],
    ],
)
def test_wrong_usage(ctl: Ctl, words: list[str]) -> None:
    ctl(*words, status=2)


def test_what_the_server_finds_wrong_with_a_request_is_wrong_usage(server: str, ctl: Ctl) -> None:
    assert "next_cursor" in ctl("show", "bindings", "--cursor", "x", status=2)


def test_no_server(ctl: Ctl) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    assert url in ctl("show", "bindings", "--server", url, status=3)


def test_a_server_of_something_else(ctl: Ctl) -> None:
    def page(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/html")])
        return [b"<html>"]

    def broken(environ: Any, start_response: Any) -> list[bytes]:
        start_response("502 Bad Gateway", [("Content-Type", "text/html")])
        return [b"<html>"]

    with served(page) as url:
        assert "not JSON" in ctl("show", "switches", "--server", url, status=1)
    with served(broken) as url:
        assert "502" in ctl("show", "switches", "--server", url, status=1)


def test_a_bug_of_the_server_is_a_failure(server: str, ctl: Ctl, service: FakeService) -> None:
    service.statistics = None  # type: ignore[method-assign,assignment]
    assert "request_id" in ctl("show", "statistics", status=1)


# --- the program ---


def test_config_check(ctl: Ctl, tmp_path: Path) -> None:
    file = tmp_path / "mip6.yaml"
    file.write_text(
        "home_links:\n- {name: homenet, bridge: br-home, address: '2001:db8:1::2', prefixes: ['2001:db8:1::/64'],\n"
        "   router: '2001:db8:1::1', uplinks: [uplink0]}\n"
    )
    assert ctl("config", "check", "--config", str(file)) == f"{file} is good (home_links: homenet)\n"
    assert ctl.json("config", "check", "--config", str(file))["home_links"] == ["homenet"]
    file.write_text(file.read_text().replace("router: '2001:db8:1::1'", "router: '2001:db8:9::1'"))
    assert f"{file}:3: home_links[0].router: expected" in ctl("config", "check", "--config", str(file), status=2)
    assert "No such file" in ctl("config", "check", "--config", str(tmp_path / "missing"), status=2)


EXAMPLES = ROOT / "deploy" / "config" / "examples"


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_config_check_of_the_examples(ctl: Ctl, example: Path) -> None:
    assert ctl("config", "check", "--config", str(example)).startswith(f"{example} is good (")


def test_there_are_examples_for_the_deployments() -> None:
    found = [load(path) for path in EXAMPLES.glob("*.yaml")]
    assert any(link.virtual for config in found for link in config.home_links)
    assert any(config.home_link_of(link) for config in found for link in config.correspondent_links)
    assert any(not config.home_link_of(link) for config in found for link in config.correspondent_links)
    assert any(not config.correspondent_links and not config.home_links[0].virtual for config in found)


def test_config_show_of_a_file_is_a_file(ctl: Ctl, tmp_path: Path) -> None:
    example = EXAMPLES / "home-and-office.yaml"
    shown = tmp_path / "shown.yaml"
    shown.write_text(ctl("config", "show", "--config", str(example)))
    assert load(shown) == load(example)
    assert ctl.json("config", "show", "--config", str(example))["limits"]["max_bindings"] == 10_000
    assert ctl("config", "diff", "--config", str(shown), "--from", str(example)) == "no difference\n"


def test_config_show_of_the_server(ctl: Ctl, server: str, service: FakeService) -> None:
    assert ctl.json("config", "show") == service.shown_configuration
    assert ctl("config", "show") == "limits:\n  max_bindings: 5\n"


def test_config_diff_of_files(ctl: Ctl, tmp_path: Path) -> None:
    example = EXAMPLES / "home-and-office.yaml"
    other = tmp_path / "other.yaml"
    text = example.read_text().replace("preference: 10", "preference: 11").replace("[eth2]", "[eth3]")
    other.write_text(text.replace("max_bindings: 10000", "max_bindings: 20000"))
    words = ("config", "diff", "--config", str(other), "--from", str(example))
    header, *rows = ctl(*words).splitlines()
    assert header.split() == ["SETTING", "CHANGE", "BEFORE", "AFTER", "APPLIED"]
    assert rows[0].split() == ["limits.max_bindings", "changed", "10000", "20000", "while", "it", "runs"]
    assert rows[1].startswith("home_links[homenet].router_advertisement ") and rows[1].endswith("  while it runs")
    assert rows[2].startswith("correspondent_links[office].uplinks ")
    assert rows[2].split()[2:] == ['["eth2"]', '["eth3"]', "by", "a", "restart,", "ovs", "setup"]
    found = ctl.json(*words)
    assert found["restart"] is True
    assert [(row["setting"], row["warm"], row["ovs_setup"]) for row in found["changes"]] == [
        ("limits.max_bindings", True, False),
        ("home_links[homenet].router_advertisement", True, False),
        ("correspondent_links[office].uplinks", False, True),
    ]


def test_config_diff_against_the_server(ctl: Ctl, server: str, service: FakeService) -> None:
    example = EXAMPLES / "one-switch.yaml"
    service.shown_configuration = effective(load(example))
    assert ctl("config", "diff", "--config", str(example)).splitlines()[0] == "no difference"
    service.shown_configuration["limits"]["max_bindings"] = 7
    found = ctl.json("config", "diff", "--config", str(example))
    (change,) = found["changes"]
    assert (change["setting"], change["before"], change["after"]) == ("limits.max_bindings", 7, 100_000)
    assert found["restart"] is False


def test_config_diff_of_a_bad_file(ctl: Ctl, tmp_path: Path) -> None:
    file = tmp_path / "mip6.yaml"
    file.write_text("rest: {port: 1}\nrest: {port: 2}\n")
    example = str(EXAMPLES / "one-switch.yaml")
    for words in (("--config", str(file)), ("--config", example, "--from", str(file))):
        assert f"{file}:2: rest: expected each key once" in ctl("config", "diff", *words, status=2)
    assert f"{file}:2: " in ctl("config", "show", "--config", str(file), status=2)


def test_config_schema(ctl: Ctl) -> None:
    assert json.loads(ctl("config", "schema")) == json.loads((ROOT / "docs" / "mip6.schema.json").read_text())


def test_the_program_loads_no_server_framework(server: str) -> None:
    code = "import sys; from rest.cli.main import main; main(['show', 'bindings']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.splitlines()[-1].split()}
    assert not loaded & {"eventlet", "ryu", "webob", "yaml"}


def test_a_reader_that_is_gone_before_a_short_answer_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    program = [sys.executable, "-m", "rest.cli.main", "completion", "bash"]
    try:
        done = subprocess.run(program, cwd=ROOT, stdout=write, stderr=subprocess.PIPE, timeout=60, check=False)
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_reader_that_stops_early_is_no_error(server: str, service: FakeService) -> None:
    service.add(*(view(f"2001:db8:3::{number:x}") for number in range(2000)))
    program = subprocess.Popen(
        [sys.executable, "-m", "rest.cli.main", "show", "bindings"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ,
    )
    assert program.stdout is not None and program.stderr is not None
    program.stdout.readline()
    program.stdout.close()
    with program.stderr:
        assert program.stderr.read() == b""
    assert program.wait(10) == 0
