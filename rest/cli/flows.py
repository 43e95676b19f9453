"""mip6ctl show flows: the application's flows in the switches, and what each is for.

The server tells them, of whatever machine a switch is on. With --bridge they are read by ovs-ofctl, on the machine of
the switch, and so also when the controller is away.
"""

from __future__ import annotations

import argparse
import re
import subprocess
from collections.abc import Iterator
from typing import Any, Final

from rest.cli.client import Client
from rest.cli.failure import Exit, Failure
from rest.cli.output import print_data, table
from ryu_apps import cookies, meanings
from ryu_apps.cookies import Category
from ryu_apps.meanings import CATEGORIES

PAGE: Final = 1000  # flows asked for at once: the most that the API gives
COLUMNS: Final = ("table", "priority", "category", "packets", "match", "actions")
WITH_BINDING: Final = (
    *(Category.TUNNEL, Category.REVERSE_TUNNEL, Category.PROXY_ND),
    *(Category.ROUTE_OUT, Category.ROUTE_IN),
)
_FLOW: Final = re.compile(
    r"cookie=(?P<cookie>\S+), duration=(?P<age>[\d.]+)s, table=(?P<table>\d+), n_packets=(?P<packets>\d+), "
    r"n_bytes=(?P<bytes>\d+),(?: idle_timeout=(?P<idle>\d+),)?(?: hard_timeout=(?P<hard>\d+),)?(?: idle_age=\d+,)?"
    r" (?:(?:send_flow_rem|reset_counts) )*(?P<match>\S+) actions=(?P<actions>.*)"
)
_PRIORITY: Final = re.compile(r"^priority=(\d+),?")
_DEFAULT_PRIORITY: Final = 32768


def show(options: argparse.Namespace) -> Exit:
    found = _here(options) if options.bridge else _of_server(options)
    if options.output != "table":
        print_data(options, {"flows": found})
        return Exit.OK
    if not found:
        print("no flows")
    for bridge in dict.fromkeys(flow["bridge"] for flow in found):
        rows = [flow for flow in found if flow["bridge"] == bridge]
        print(f"{bridge}: {len(rows)} flows")
        print(table(rows, COLUMNS), end="\n\n")
    for number, meaning in CATEGORIES.items():
        category = meanings.category(number)
        if any(flow["category"] == category for flow in found):
            print(f"{category:<15}{meaning}")
    return Exit.OK


def _of_server(options: argparse.Namespace) -> list[dict[str, Any]]:
    """As many pages as it takes."""
    client = Client(options)
    names = ("link", "table", "category", "home_address")
    parameters = {name: value for name in names if (value := getattr(options, name)) is not None}
    parameters["limit"] = str(PAGE)
    found: list[dict[str, Any]] = []
    while True:
        page = client.get("/v1/flows", parameters)
        found += page["flows"]
        if page["next_cursor"] is None:
            return found
        parameters["cursor"] = page["next_cursor"]


def _here(options: argparse.Namespace) -> list[dict[str, Any]]:
    """By ovs-ofctl, and so also when the controller is away."""
    return [flow for flow in flows(options.bridge) if _wanted(options, flow)]


def flows(bridge: str) -> list[dict[str, Any]]:
    """All flows of ours on a bridge, as `show flows -o json` shows them."""
    return list(_parsed(bridge, ovs("ovs-ofctl", "-O", "OpenFlow13", "dump-flows", bridge)))


def ovs(*words: str) -> str:
    """What a tool of Open vSwitch prints."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    except FileNotFoundError:
        raise Failure(Exit.FAILURE, f"{words[0]}: not installed: this needs the machine of the switch") from None
    except subprocess.TimeoutExpired:
        raise Failure(Exit.FAILURE, f"{words[0]}: no answer of Open vSwitch") from None
    if done.returncode:
        raise Failure(Exit.FAILURE, (done.stderr.strip() or f"{words[0]} failed").splitlines()[-1])
    return done.stdout


def _parsed(bridge: str, dump: str) -> Iterator[dict[str, Any]]:
    for line in dump.splitlines():
        flow = _FLOW.search(line)
        if flow is None or not cookies.is_ours(cookie := int(flow["cookie"], 16)):
            continue
        category = cookies.category(cookie)
        priority = _PRIORITY.match(flow["match"])
        hard, age = int(flow["hard"] or 0), float(flow["age"])
        entry = {
            "bridge": bridge,
            "table": meanings.table(int(flow["table"])),
            "priority": int(priority[1]) if priority else _DEFAULT_PRIORITY,
            "category": meanings.category(category),
            "meaning": meanings.of_flow(cookie, int(flow["table"])),
            "generation": cookies.generation(cookie),
            "match": _PRIORITY.sub("", flow["match"]) or "any",
            "actions": _actions(flow["actions"]),
            "packets": int(flow["packets"]),
            "bytes": int(flow["bytes"]),
            "remaining_lifetime": max(0, int(hard - age)) if hard else None,
        }
        if category in WITH_BINDING:
            entry["sequence"] = cookies.binding_of_item(cookies.item(cookie))[0]
        if category == Category.PUNT:
            entry["punt"] = meanings.punt(cookies.item(cookie))
        yield entry


def _actions(actions: str) -> str:
    """Tables by name."""
    return re.sub(r"goto_table:(\d+)", lambda found: f"goto {meanings.table(int(found[1]))}", actions)


def _wanted(options: argparse.Namespace, flow: dict[str, Any]) -> bool:
    if options.category not in (None, flow["category"]):
        return False
    if options.table is not None and options.table not in flow["table"].split():
        return False
    address = options.home_address
    whole = None if address is None else re.compile(rf"[=>]{re.escape(address)}(?![0-9a-f:/])")
    return whole is None or bool(whole.search(f"{flow['match']} {flow['actions']}"))
