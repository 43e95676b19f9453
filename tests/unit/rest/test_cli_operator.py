"""mip6ctl's words for operators: every output form, watch, debug, capture, completion, flows."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from rest.cli import flows
from rest.cli.failure import Exit
from rest.service import EventView
from rest.wsgi import make_app
from tests.unit.rest.contract import DOCUMENT
from tests.unit.rest.fake_service import FakeService, packed, view
from tests.unit.rest.test_cli import ROOT, Ctl, ctl, served

__all__ = ["ctl"]


@pytest.fixture
def service() -> FakeService:
    return FakeService(view("2001:db8:1::a"), view("2001:db8:1::b"))


@pytest.fixture
def server(service: FakeService, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with served(make_app(service)) as url:
        monkeypatch.setenv("MIP6CTL_SERVER", url)
        yield url


@pytest.mark.parametrize(
    "words",
    [
        *(["show", what] for what in ("bindings", "correspondents", "home-agents", "prefixes", "switches")),
        *(["show", what] for what in ("statistics", "events", "config", "nonces")),
        ["debug"],
        ["config", "reload"],
    ],
)
def test_json_and_yaml_say_the_same_and_a_table_says_something(server: str, ctl: Ctl, words: list[str]) -> None:
    assert yaml.safe_load(ctl(*words, "-o", "yaml")) == ctl.json(*words)
    assert ctl(*words).strip()


def test_show_events_with_filters(server: str, ctl: Ctl) -> None:
    lines = ctl("show", "events", "--home-address", "2001:db8:1::a", "--kind", "moved").splitlines()
    assert lines[0].startswith("TIME")
    assert "moved" in lines[1] and "2001:db8:e::1" in lines[1]
    assert lines[-1] == "1 of 1 events, newest first"
    assert len(ctl.json("show", "events", "--link", "office", "--limit", "5")["events"]) == 1


def test_both_names_of_what_is_cleared(server: str, ctl: Ctl, service: FakeService) -> None:
    assert (
        ctl("clear", "bindings", "2001:db8:1::a") == ctl("clear", "binding", "2001:db8:1::b") == "1 binding cleared\n"
    )
    assert not service.bindings
    assert "zero" in ctl("clear", "statistics")
    assert service.statistics_cleared


def test_debug(server: str, ctl: Ctl, service: FakeService) -> None:
    assert [line.split() for line in ctl("debug", "signalling", "on").splitlines()[1:]] == [
        ["signalling", "on"],
        ["flows", "on"],
    ]
    assert service.topics["signalling"] is True
    assert ctl.json("debug", "flows", "off") == {"topics": {"signalling": True, "flows": False}}
    assert "there are: signalling, flows" in ctl("debug", "x", "on", status=1)
    assert "on or off" in ctl("debug", "flows", status=2)


def test_capture_writes_a_new_file(server: str, ctl: Ctl, service: FakeService, tmp_path: Path) -> None:
    file = tmp_path / "x.pcapng"
    assert ctl.json("capture", str(file), "--seconds", "3", "--home-address", "2001:db8:1::a") == {
        "file": str(file),
        "octets": 6,
    }
    assert file.read_bytes() == b"onetwo"
    assert service.captured[1] == 3 and service.captured[0].contains(packed("2001:db8:1::a"))
    assert "exists already" in ctl("capture", str(file), status=1)
    assert "cannot write" in ctl("capture", str(tmp_path / "no" / "x"), status=1)


class Events:
    """A watch with an end."""

    def __init__(self, *events: EventView) -> None:
        self._events = events

    def __iter__(self) -> Iterator[Sequence[EventView]]:
        yield ()  # a sign of life
        yield self._events

    def close(self) -> None:
        pass


class WatchedService(FakeService):
    """Each watch ends after one event; the next one goes on behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int | None] = []

    def watch(self, after: int | None) -> Any:
        self.asked.append(after)
        number = (after or 10) + 1
        home, care_of = packed("2001:db8:1::a"), packed("2001:db8:f::1")
        event = EventView("moved", "homenet", home, care_of, status=0, id=number, time=1e9 + number)
        return Events(event)


def watched(url: str, *words: str, lines: int) -> tuple[list[str], int]:
    """The first lines that `mip6ctl watch` prints, and its exit status after Ctrl-C."""
    program = subprocess.Popen(
        [sys.executable, "-m", "rest.cli.main", "watch", "--server", url, *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ,
    )
    assert program.stdout is not None
    with program.stdout:
        found = [program.stdout.readline().rstrip("\n") for _ in range(lines)]
        program.send_signal(signal.SIGINT)
        return found, program.wait(10)


def test_watch_goes_on_behind_the_last_event_until_it_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rest.resources.events.RETRY", 10)
    service = WatchedService()
    with served(make_app(service)) as url:
        lines, status = watched(url, lines=3)
    assert status == Exit.OK
    assert service.asked[:3] == [None, 11, 12]
    assert lines[0].split() == [
        *("2001-09-09T01:46:51.000Z", "moved", "homenet", "home_address=2001:db8:1::a"),
        *("care_of_address=2001:db8:f::1", "status=0"),
    ]


def test_watch_for_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rest.resources.events.RETRY", 10)
    with served(make_app(WatchedService())) as url:
        lines, _ = watched(url, "-o", "json", "--kind", "moved", lines=1)
        assert yaml.safe_load(lines[0])["id"] == 11
        lines, _ = watched(url, "-o", "yaml", lines=2)
    assert lines[0] == "---" and lines[1] == "id: 11"


def test_watch_of_a_server_that_is_not_there(ctl: Ctl) -> None:
    assert "no answer" in ctl("watch", "--server", "http://127.0.0.1:9", status=3)


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("mip6ctl ", {"show", "watch", "config", "completion"}),
        ("mip6ctl sh", {"show"}),
        ("mip6ctl show pre", {"prefixes"}),
        ("mip6ctl show bindings --home-", {"--home-address", "--home-link"}),
        ("mip6ctl show flows -o ", {"table", "json", "yaml"}),
        ("mip6ctl show flows --category pro", {"proxy_nd"}),
        ("mip6ctl debug signalling o", {"on", "off"}),
        ("mip6ctl config re", {"reload"}),
        ("mip6ctl show bindings --home-link ", set()),
    ],
)
def test_bash_completes(ctl: Ctl, typed: str, offered: set[str]) -> None:
    words = typed.split(" ")
    script = ctl("completion", "bash")
    quoted = " ".join(f"'{word}'" for word in words)
    check = f'{script}\nCOMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _mip6ctl; echo "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-uc", check], capture_output=True, text=True, check=True)
    found = set(done.stdout.split())
    assert offered <= found if typed == "mip6ctl " else found == offered


DUMP = """\
 cookie=0x6d36040300070008, duration=10.5s, table=10, n_packets=5, n_bytes=500, hard_timeout=100, \
priority=100,ipv6,tun_ipv6_src=2001:db8:f::1,ipv6_src=2001:db8:1::a actions=goto_table:20
 cookie=0x6d36010300000000, duration=10.5s, table=0, n_packets=0, n_bytes=0, priority=0 actions=NORMAL
 cookie=0x6d36020300000001, duration=1s, table=60, n_packets=2, n_bytes=9, priority=9,reg2=0x1 actions=CONTROLLER:65535
 cookie=0x6d36070300000000, duration=1s, table=41, n_packets=2, n_bytes=9, idle_timeout=120, idle_age=3, \
send_flow_rem priority=90,ipv6,ipv6_dst=2001:db8:1::aa actions=set_field:02:00:00:00:01:0c->eth_dst,NORMAL
 cookie=0x0, duration=10.5s, table=0, n_packets=0, n_bytes=0, priority=7 actions=drop
"""


@pytest.fixture
def switch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows, "ovs", lambda *words: DUMP)


def test_show_flows_of_this_machine(ctl: Ctl, switch: None) -> None:
    found = ctl.json("show", "flows", "--bridge", "br-home")["flows"]
    assert [flow["category"] for flow in found] == ["reverse_tunnel", "pipeline", "punt", "neighbour"]
    assert found[0] == {
        "bridge": "br-home",
        "table": "10 reverse_tunnel",
        "priority": 100,
        "category": "reverse_tunnel",
        "meaning": "from a mobile node, out of its tunnel: care-of address and home address fit",
        "generation": 3,
        "match": "ipv6,tun_ipv6_src=2001:db8:f::1,ipv6_src=2001:db8:1::a",
        "actions": "goto 20 bindings",
        "packets": 5,
        "bytes": 500,
        "remaining_lifetime": 89,
        "sequence": 7,
    }
    assert found[2]["punt"] == "signalling"
    table = ctl("show", "flows", "--bridge", "br-home")
    assert "br-home: 4 flows" in table and "out of its tunnel" in table


@pytest.mark.parametrize(
    ("filters", "categories"),
    [
        (["--home-address", "2001:db8:1::a"], ["reverse_tunnel"]),
        (["--category", "punt"], ["punt"]),
        (["--table", "10"], ["reverse_tunnel"]),
        (["--table", "classify"], ["pipeline"]),
        (["--table", "deliver"], ["neighbour"]),
    ],
)
def test_flows_by_filter(ctl: Ctl, switch: None, filters: list[str], categories: list[str]) -> None:
    shown = ctl.json("show", "flows", "--bridge", "br-home", *filters)["flows"]
    assert [flow["category"] for flow in shown] == categories


def test_without_open_vswitch(ctl: Ctl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert "machine of the switch" in ctl("show", "flows", "--bridge", "br-home", status=1)


def test_the_categories_that_the_command_line_knows_are_those_of_the_flows() -> None:
    from rest.cli.main import FLOW_CATEGORIES
    from ryu_apps import meanings
    from ryu_apps.cookies import Category

    assert set(FLOW_CATEGORIES) == {category.name.lower() for category in Category}
    assert set(DOCUMENT["components"]["schemas"]["FlowCategory"]["enum"]) == set(FLOW_CATEGORIES)
    assert set(meanings.CATEGORIES) == set(Category)


def test_the_new_words_of_the_table_of_old_ones_are_words_of_the_command_line() -> None:
    from rest.cli.main import parser

    text = (ROOT / "docs" / "old-words.md").read_text()
    commands = re.findall(r"`mip6ctl ([^`]*)`", text)
    assert len(commands) > 20
    for command in commands:
        words = re.sub(r"\[([^\]]*)\]", r"\1", command).replace("PREFIX", "2001:db8::/64").split()
        words = ["2001:db8::1" if word == "HOME_ADDRESS" else word for word in words]
        if words == ["trace"]:
            words += ["2001:db8::1", "2001:db8::2"]
        if words[:2] == ["keys", "generate"]:
            words += ["--home-address", "2001:db8::1", "--home-agent", "2001:db8::2"]
        assert parser().parse_args(words).run


def test_the_counters_in_it_are_counted() -> None:
    table = (ROOT / "docs" / "old-words.md").read_text().partition("## Counters")[2].partition("## Keys")[0]
    names = re.findall(r"`(?:engine|correspondent)\.(?:dropped_)?([a-z_]+)[0-9]*`", table)
    assert len(names) > 15
    sources = "".join(path.read_text() for path in (ROOT / "mip6core").rglob("*.py"))
    assert [name for name in names if f'"{name}' not in sources] == []


def test_the_keys_in_it_are_keys_of_the_configuration_file() -> None:
    schema = json.dumps(json.loads((ROOT / "docs" / "mip6.schema.json").read_text()))
    table = (ROOT / "docs" / "old-words.md").read_text().partition("## Keys of mip6d.conf")[2]
    new = [line.split("|")[2] for line in table.splitlines() if line.startswith("| `")]
    words = {
        word
        for cell in new
        for quoted in re.findall(r"`([^`]*)`", cell)
        if not quoted.startswith("mip6ctl")
        for word in re.findall(r"[a-z_]{3,}", quoted)
    }
    assert len(words) > 15
    assert [word for word in sorted(words) if f'"{word}"' not in schema] == []


def test_a_bundle_of_somebody_who_may_not_ask_open_vswitch(
    server: str, ctl: Ctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its complaint is told once, and no word of it is taken for a bridge."""
    program = tmp_path / "ovs-vsctl"
    program.write_text("#!/bin/sh\necho ovs-vsctl: no database >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    made = ctl.json("bundle", str(tmp_path / "bundle.tar.gz"))
    assert not [name for name in made["files"] if name.count("/") > 1]
    with tarfile.open(made["file"]) as archive:
        shown = archive.extractfile("bundle/ovs/show.txt")
        assert shown is not None and shown.read() == b"exit status 1: ovs-vsctl: no database\n"
