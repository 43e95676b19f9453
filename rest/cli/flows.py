"""mip6ctl show flows: the application's flows on this machine's bridges, and what each is for.

They are read by ovs-ofctl where Open vSwitch runs, and so also when the controller is away.
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
from ryu_apps import cookies
from ryu_apps.cookies import Category
from ryu_apps.pipeline import Punt, Table

COLUMNS: Final = ("table", "priority", "category", "packets", "match", "actions")
CATEGORIES: Final = {
    Category.PIPELINE: "of every link: where packets go that concern no binding",
    Category.PUNT: "to the controller",
    Category.TUNNEL: "to a mobile node, into its tunnel",
    Category.REVERSE_TUNNEL: "from a mobile node, out of its tunnel: care-of address and home address fit",
    Category.PROXY_ND: "answers Neighbor Solicitations for a mobile node that is away",
    Category.WATCH: "an address under Duplicate Address Detection",
    Category.NEIGHBOUR: "to a neighbour on the link, or the router",
    Category.HOME_TEST: "return routability that IPsec has to protect",
    Category.ROUTE_OUT: "from a correspondent to a mobile node, with a routing header",
    Category.ROUTE_IN: "from a mobile node to a correspondent, by a Home Address option",
    Category.NARROW_PATH: "to a mobile node whose path is so narrow that the controller makes fragments",
}
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
    bridges = [options.bridge] if options.bridge else _bridges(options)
    found = [flow for bridge in bridges for flow in flows(bridge)]
    found = [flow for flow in found if _wanted(options, flow)]
    if options.output != "table":
        print_data(options, {"flows": found})
        return Exit.OK
    if not found:
        print("no flows")
    for bridge in bridges:
        rows = [flow for flow in found if flow["bridge"] == bridge]
        if rows:
            print(f"{bridge}: {len(rows)} flows")
            print(table(rows, COLUMNS), end="\n\n")
    for category, meaning in CATEGORIES.items():
        if any(flow["category"] == category.name.lower() for flow in found):
            print(f"{category.name.lower():<15}{meaning}")
    return Exit.OK


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


def _bridges(options: argparse.Namespace) -> list[str]:
    """The bridges that the server knows of, as far as they are here."""
    here = ovs("ovs-vsctl", "list-br").split()
    switches = Client(options).get("/v1/switches")["switches"]
    wanted = [
        switch["bridge"]
        for switch in switches
        if options.link in (None, switch["home_link"], switch.get("correspondent_link"))
    ]
    found = [bridge for bridge in dict.fromkeys(wanted) if bridge in here]
    if not found:
        raise Failure(Exit.FAILURE, f"none of these bridges is on this machine: {', '.join(wanted) or 'none'}")
    return found


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
            "table": _table(int(flow["table"])),
            "priority": int(priority[1]) if priority else _DEFAULT_PRIORITY,
            "category": _category(category),
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
            entry["punt"] = Punt(cookies.item(cookie)).name.lower()
        yield entry


def _category(number: int) -> str:
    return Category(number).name.lower() if number in {member.value for member in Category} else f"unknown {number}"


def _table(number: int) -> str:
    return f"{number} {Table(number).name.lower()}" if number in {table.value for table in Table} else str(number)


def _actions(actions: str) -> str:
    """Tables by name."""
    return re.sub(r"goto_table:(\d+)", lambda found: f"goto {_table(int(found[1]))}", actions)


def _wanted(options: argparse.Namespace, flow: dict[str, Any]) -> bool:
    if options.category not in (None, flow["category"]):
        return False
    if options.table is not None and options.table not in flow["table"].split():
        return False
    address = options.home_address
    whole = None if address is None else re.compile(rf"[=>]{re.escape(address)}(?![0-9a-f:/])")
    return whole is None or bool(whole.search(f"{flow['match']} {flow['actions']}"))
