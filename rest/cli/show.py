"""mip6ctl show and clear."""

from __future__ import annotations

import argparse
import urllib.parse
from typing import Any, Final

from rest.cli.client import Client
from rest.cli.failure import Exit
from rest.cli.output import flatten, pairs, print_data, table

PAGE: Final = 1000  # bindings asked for at once: the most that the API gives

BINDING_COLUMNS: Final = (
    *("home_address", "care_of_address", "home_link", "state"),
    *("sequence", "lifetime", "remaining_lifetime", "flags"),
)
COUNTER_COLUMNS: Final = (
    *("home_address", "care_of_address", "home_link", "state"),
    *("packets_out", "bytes_out", "packets_in", "bytes_in", "counted_at"),
)
FLAG_LETTERS: Final = {"acknowledge": "A", "home_registration": "H", "link_local": "L", "key_management": "K"}
CORRESPONDENT_COLUMNS: Final = (
    *("correspondent", "home_address", "care_of_address", "correspondent_link"),
    *("sequence", "remaining_lifetime", "packets_out", "packets_in"),
)
SWITCH_COLUMNS: Final = (
    *("datapath_id", "home_link", "correspondent_link", "bridge"),
    *("connected", "address", "role", "ports"),
)
HOME_AGENT_COLUMNS: Final = (
    *("home_link", "addresses", "preference", "remaining_lifetime"),
    *("link_local_address", "own"),
)
EVENT_COLUMNS: Final = ("time", "kind", "link", "home_address", "care_of_address", "correspondent", "status")
NONCE_COLUMNS: Final = ("index", "age", "remaining_lifetime")
PREFIX_COLUMNS: Final = (
    *("home_link", "prefix", "valid_lifetime", "preferred_lifetime"),
    "home_agents_anycast_address",
)


def show_bindings(options: argparse.Namespace) -> Exit:
    filters = {name: getattr(options, name) for name in ("home_address", "care_of_prefix", "home_link", "cursor")}
    if options.counters or options.output != "table":
        filters["counters"] = "true"
    result = _fetch(Client(options), "bindings", filters, options.limit)
    if options.output != "table":
        print_data(options, result)
        return Exit.OK
    rows = result["bindings"]
    if not rows:
        print("no bindings")
        return Exit.OK
    columns = COUNTER_COLUMNS if options.counters else BINDING_COLUMNS
    print(table([{**row, "flags": _flag_letters(row["flags"])} for row in rows], columns))
    _print_total(result, len(rows))
    return Exit.OK


def show_correspondents(options: argparse.Namespace) -> Exit:
    names = ("home_address", "correspondent", "care_of_prefix", "correspondent_link", "cursor")
    filters = {name: getattr(options, name) for name in names}
    result = _fetch(Client(options), "correspondents", filters, options.limit)
    rows = result["correspondents"]
    if options.output != "table":
        print_data(options, result)
    elif not rows:
        print("no bindings")
    else:
        print(table(rows, CORRESPONDENT_COLUMNS))
        _print_total(result, len(rows))
    return Exit.OK


def _print_total(result: dict[str, Any], shown: int) -> None:
    print(f"\n{shown} of {result['total']} binding{'' if result['total'] == 1 else 's'}")
    if result["next_cursor"]:
        print(f"more with --cursor {result['next_cursor']}")


def _fetch(client: Client, what: str, filters: dict[str, str | None], limit: int | None) -> dict[str, Any]:
    """As many pages as it takes, in the form of one."""
    parameters = {name: value for name, value in filters.items() if value is not None}
    entries: list[dict[str, Any]] = []
    while True:
        size = PAGE if limit is None else min(PAGE, limit - len(entries))
        page: dict[str, Any] = client.get(f"/v1/{what}", {**parameters, "limit": str(size)})
        entries += page[what]
        if page["next_cursor"] is None or (limit is not None and len(entries) >= limit):
            return {**page, what: entries}
        parameters = {**parameters, "cursor": page["next_cursor"]}


def _flag_letters(flags: dict[str, bool]) -> str:
    """The letters of RFC 6275 section 6.1.7."""
    return "".join(letter for name, letter in FLAG_LETTERS.items() if flags.get(name)) or "-"


def show_switches(options: argparse.Namespace) -> Exit:
    result = Client(options).get("/v1/switches")
    if options.output != "table":
        print_data(options, result)
    elif not result["switches"]:
        print("no switches")
    else:
        rows = [{**row, "ports": [port["name"] for port in row["ports"]]} for row in result["switches"]]
        print(table(rows, SWITCH_COLUMNS))
    return Exit.OK


def show_home_agents(options: argparse.Namespace) -> Exit:
    result = Client(options).get("/v1/home-agents", _home_link(options))
    if options.output != "table":
        print_data(options, result)
    elif not result["home_agents"]:
        print("no home agents")
    else:
        print(table(result["home_agents"], HOME_AGENT_COLUMNS))
    return Exit.OK


def show_prefixes(options: argparse.Namespace) -> Exit:
    result = Client(options).get("/v1/prefixes", _home_link(options))
    if options.output != "table":
        print_data(options, result)
    elif not result["prefixes"]:
        print("no prefixes")
    else:
        lifetimes = ("valid_lifetime", "preferred_lifetime")
        rows = [
            {**row, **{name: "infinity" if row[name] is None else row[name] for name in lifetimes}}
            for row in result["prefixes"]
        ]
        print(table(rows, PREFIX_COLUMNS))
    return Exit.OK


def _home_link(options: argparse.Namespace) -> dict[str, str]:
    return {} if options.home_link is None else {"home_link": options.home_link}


def show_statistics(options: argparse.Namespace) -> Exit:
    result = Client(options).get("/v1/statistics")
    if options.output != "table":
        print_data(options, result)
    else:
        print(pairs(flatten(result)) or "no statistics")
    return Exit.OK


def show_events(options: argparse.Namespace) -> Exit:
    names = ("home_address", "link", "kind", "limit")
    given = {name: getattr(options, name) for name in names}
    result = Client(options).get("/v1/events", {name: str(value) for name, value in given.items() if value is not None})
    if options.output != "table":
        print_data(options, result)
    elif not result["events"]:
        print("no events")
    else:
        print(table(result["events"], EVENT_COLUMNS))
        print(f"\n{len(result['events'])} of {result['total']} events, newest first")
    return Exit.OK


def show_nonces(options: argparse.Namespace) -> Exit:
    result = Client(options).get("/v1/nonces")
    if options.output != "table":
        print_data(options, result)
    elif not result["nonces"]:
        print("no nonces: nobody has asked for a token lately")
    else:
        print(table(result["nonces"], NONCE_COLUMNS))
    return Exit.OK


def set_binding(options: argparse.Namespace) -> Exit:
    body = {
        "care_of_address": options.care_of_address,
        "home_link": options.home_link,
        "lifetime": options.lifetime,
    }
    result = Client(options).put(f"/v1/bindings/{urllib.parse.quote(options.home_address, safe=':')}", body)
    if options.output != "table":
        print_data(options, result)
    else:
        print(table([{**result, "flags": _flag_letters(result["flags"])}], BINDING_COLUMNS))
    return Exit.OK


def clear_statistics(options: argparse.Namespace) -> Exit:
    Client(options).delete("/v1/statistics")
    if options.output != "table":
        print_data(options, {"cleared": True})
    else:
        print("counters begin at zero; those of Prometheus go on")
    return Exit.OK


def clear_binding(options: argparse.Namespace) -> Exit:
    client = Client(options)
    if options.prefix is not None:
        cleared = client.delete("/v1/bindings", {"prefix": options.prefix})["cleared"]
    else:
        client.delete(f"/v1/bindings/{urllib.parse.quote(options.home_address, safe=':')}")
        cleared = 1
    if options.output != "table":
        print_data(options, {"cleared": cleared})
    else:
        print(f"{cleared or 'no'} binding{'' if cleared == 1 else 's'} cleared")
    return Exit.OK


def clear_correspondent(options: argparse.Namespace) -> Exit:
    names = (urllib.parse.quote(name, safe=":") for name in (options.correspondent, options.home_address))
    Client(options).delete("/v1/correspondents/" + "/".join(names))
    if options.output != "table":
        print_data(options, {"cleared": 1})
    else:
        print("1 binding cleared")
    return Exit.OK
