"""The documentation names only what there is: pages, files, commands, keys, REST paths, metrics, counters."""

from __future__ import annotations

import argparse
import itertools
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import config
from mip6core.errors import ConfigError
from rest.cli import main as mip6ctl
from ryu_apps import pipeline

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
WRITTEN = sorted(path for path in DOCS.glob("*.md") if path.name != "conformance.md")  # that one is made by a run
PAGES = [*WRITTEN, ROOT / "README.md"]
SOURCES = ("mip6core", "ryu_apps", "rest", "deploy", "topo")

pages = pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)


def anchors(page: Path) -> set[str]:
    """What GitHub makes of the headings."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def code(page: Path) -> Iterator[str]:
    """Lines of code blocks, and code in the text."""
    text = page.read_text()
    for line in re.findall(r"^(?:    )+(.+)$", text, re.MULTILINE):
        yield line.strip()
    for block in re.findall(r"```\w*\n(.*?)```", text, re.DOTALL):
        yield from block.splitlines()
    yield from re.findall(r"`([^`\n]+)`", text)


def commands(page: Path, program: str) -> Iterator[list[str]]:
    """Command lines that begin with a program, as a shell would split them."""
    for line in code(page):
        found = re.match(rf"(?:\$ )?(?:sudo )?(?:timeout \d+ )?(?:\S*/)?{program} (.*)", line)
        if found:
            words = re.split(r"\s(?:\||#|>)\s?|;|  \(", found[1])[0]
            yield shlex.split(words.replace("[", "").replace("]", ""))


@cache
def sources() -> str:
    """All program text."""
    return "\n".join(
        path.read_text(errors="replace")
        for folder in SOURCES
        for path in sorted((ROOT / folder).rglob("*"))
        if path.is_file() and path.suffix in (".py", ".yaml", ".h", ".c", ".json", "")
    )


@pages
def test_links_lead_to_something(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


@pytest.mark.parametrize("page", [path for path in WRITTEN if path.name != "README.md"], ids=lambda path: path.name)
def test_the_index_has_every_page(page: Path) -> None:
    assert f"]({page.name})" in (DOCS / "README.md").read_text()


@pages
def test_files_of_the_checkout_exist(page: Path) -> None:
    for word in code(page):
        for path in re.findall(r"(?<![\w/.])((?:deploy|docs|mip6core|rest|ryu_apps|topo|tests)/[\w./-]+)", word):
            name = path.partition("::")[0].rstrip(".")
            assert list(ROOT.glob(name)) or (ROOT / name).exists(), path
        for module in re.findall(r"python -m ((?:deploy|topo)[\w.]*)", word):
            file = ROOT / module.replace(".", "/")
            assert file.with_suffix(".py").exists() or (file / "__main__.py").exists(), module


def subcommand(words: list[str]) -> tuple[argparse.ArgumentParser, list[str]]:
    """The parser for a command line of mip6ctl, and what is left of the words."""
    parser: Any = mip6ctl.parser()
    while True:
        choices = next((a.choices for a in parser._actions if isinstance(a, argparse._SubParsersAction)), None)
        if choices is None or not words or words[0] not in choices:
            assert choices is None or not words, f"{parser.prog}: no {words[0]}"
            return parser, words
        parser, words = choices[words[0]], words[1:]


@pages
def test_commands_of_mip6ctl_exist(page: Path) -> None:
    for words in commands(page, "mip6ctl"):
        if words[0].startswith("-") or words[0].isupper():
            continue
        for written in itertools.product(*(word.split("|") for word in words)):
            parser, left = subcommand(list(written))
            options = {text for action in parser._actions for text in action.option_strings}
            unknown = {word for word in left if word.startswith("-")} - options
            assert not unknown, f"{parser.prog}: {unknown}"


@pages
def test_configurations_are_good(page: Path) -> None:
    """A block that is a whole file is accepted; of a part of one, all keys are known."""
    for block in re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
        found = yaml.safe_load(block)
        if "scrape_configs" in found:
            continue
        if not found.keys() & {"home_links", "correspondent_links"}:
            found["home_links"] = [a_home_link()]
        for keys in (found.get("security") or {}).get("mobile_nodes") or []:
            keys.pop("key_file", None)  # it is the reader's
        for section in ("rest", "openflow"):
            if isinstance(found.get(section), dict):
                found[section].pop("tls", None)  # so are these
        try:
            config.parse(found)
        except ConfigError as error:
            raise AssertionError(f"{page.name}: {error}\n{block}") from error


def a_home_link() -> dict[str, Any]:
    link = {"name": "homenet", "bridge": "br-home", "address": "2001:db8:1::2", "router": "2001:db8:1::1"}
    return {**link, "prefixes": ["2001:db8:1::/64"], "uplinks": ["eth1"]}


@pages
def test_rest_paths_are_in_the_contract(page: Path) -> None:
    contract = yaml.safe_load((ROOT / "rest/openapi.yaml").read_text())["paths"]
    patterns = [re.compile(re.sub(r"\{\w+\}", "[^/]+", path) + "$") for path in contract]
    for line in code(page):
        asked = re.findall(r"https?://(?:127\.0\.0\.1|\[::1\]):\d+(/[^\s'\"?`)]*)", line)
        asked += re.findall(r"^(?:GET|PUT|POST|DELETE)(?:`, `DELETE)? (/[^\s?`]*)", line)
        for path in asked:
            assert any(pattern.match(path) for pattern in patterns), path


@pages
def test_metrics_are_exported(page: Path) -> None:
    exported = (ROOT / "ryu_apps/metrics.py").read_text()
    for name in re.findall(r"(?<!/)\bmip6_[a-z_]+\b", page.read_text()):
        base = re.sub(r"_(total|bucket|sum|count|created)$", "", name)
        assert f'"{base}"' in exported, name


def test_every_metric_is_in_the_list() -> None:
    listed = (DOCS / "metrics.md").read_text()
    for name in re.findall(r'"(mip6_[a-z_]+)"', (ROOT / "ryu_apps/metrics.py").read_text()):
        assert re.search(rf"`{name}(_total)?`", listed), name


@pytest.mark.parametrize("name", ["troubleshooting.md", "fragments-and-errors.md", "discovery.md"])
def test_counters_are_counted(name: str) -> None:
    """Names of counters in text end somewhere in the program."""
    for word in re.findall(r"`([a-z]+(?:_[a-z0-9]+)+)`", (DOCS / name).read_text()):
        tail = re.sub(r"^(?:dropped|ignored|punted)_|_sent_\d+$", "", word)
        assert tail in sources() or tail.upper() in sources(), word


def test_every_alert_is_in_the_list() -> None:
    rules = yaml.safe_load((ROOT / "deploy/monitoring/alerts.yaml").read_text())
    for rule in (rule for group in rules["groups"] for rule in group["rules"]):
        assert f"| {rule['alert']} |" in (DOCS / "metrics.md").read_text(), rule["alert"]


def test_every_counter_of_the_adapter_is_explained() -> None:
    from deploy.shim import userspace

    explained = (DOCS / "troubleshooting.md").read_text()
    for counter in userspace.COUNTERS:
        assert f"`{counter}`" in explained, counter


def test_every_status_is_explained() -> None:
    from mip6core.status import BindingAcknowledgementStatus

    explained = re.findall(r"^\| ([\d, ]+) \|", (DOCS / "troubleshooting.md").read_text(), re.MULTILINE)
    numbers = {int(number) for cell in explained for number in cell.split(",")}
    assert {int(status) for status in BindingAcknowledgementStatus} - numbers == set()


def test_every_table_and_meter_of_the_switch_is_explained() -> None:
    explained = (DOCS / "troubleshooting.md").read_text()
    tables = {int(n) for cell in re.findall(r"^\| ([\d, ]+) \|", explained, re.MULTILINE) for n in cell.split(",")}
    assert set(map(int, pipeline.Table)) - tables == set()
    meters: set[int] = set()
    for first, last in re.findall(r"\b(2[789]\d{3})(?: to (2[789]\d{3}))?\b", explained):
        meters.update(range(int(first), int(last or first) + 1))
    assert {meter.meter_id for meter in pipeline.meters(dict.fromkeys(pipeline.Punt, 100))} - meters == set()
