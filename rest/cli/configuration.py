"""mip6ctl config: the configuration file, and what the server runs with."""

from __future__ import annotations

import argparse
import json
from typing import Any, Final

import yaml

from deploy.config import Config, load
from deploy.config.difference import difference, difference_of_shown, for_people
from deploy.config.effective import effective
from deploy.config.schema import file_schema
from mip6core.errors import ConfigError
from rest.cli.client import Client
from rest.cli.failure import Exit, Failure
from rest.cli.output import print_data, table

COLUMNS: Final = ("setting", "change", "before", "after", "applied")
CELL: Final = 48  # characters of a value in a table


def check(options: argparse.Namespace) -> Exit:
    config = load_file(options.config)
    names = {
        "home_links": [link.name for link in config.home_links],
        "correspondent_links": [link.name for link in config.correspondent_links],
    }
    if options.output != "table":
        print_data(options, {"file": options.config, **names})
    else:
        links = "; ".join(f"{kind}: {', '.join(found)}" for kind, found in names.items() if found)
        print(f"{options.config} is good ({links})")
    return Exit.OK


def show(options: argparse.Namespace) -> Exit:
    """Of a file, or of the server."""
    shown = _of_server(options) if options.config is None else effective(load_file(options.config))
    if options.output != "table":
        print_data(options, shown)
    else:
        print(yaml.safe_dump(shown, sort_keys=False, allow_unicode=True), end="")
    return Exit.OK


def diff(options: argparse.Namespace) -> Exit:
    """From the server, or from another file, to a file."""
    after = load_file(options.config)
    shown_after = effective(after)
    if options.before is None:
        shown_before = _of_server(options)
        changes = difference_of_shown(shown_before, after)
    else:
        before = load_file(options.before)
        shown_before = effective(before)
        changes = difference(before, after)
    rows = for_people(changes, shown_before, shown_after)
    if options.output != "table":
        print_data(options, {"changes": rows, "restart": not all(change.warm for change in changes)})
        return Exit.OK
    print(table([_cells(row) for row in rows], COLUMNS) if rows else "no difference")
    if options.before is None:
        print("keys and tokens are not compared: the server does not tell them")
    return Exit.OK


def reload(options: argparse.Namespace) -> Exit:
    """What the server has applied, and what not."""
    result: dict[str, Any] = Client(options).post("/v1/config:reload")
    if options.output != "table":
        print_data(options, result)
        return Exit.OK
    rows = [_cells(row) for row in result["applied"]]
    rows += [{**_cells(row), "applied": "NOT YET: needs a restart"} for row in result["needs_restart"]]
    for section in result["certificates"]:
        print(f"{section}: certificates read again, for new connections")
    if rows or not result["certificates"]:
        print(table(rows, COLUMNS) if rows else "nothing has changed")
    if any(row["ovs_setup"] for row in result["applied"]):
        print("on the machine of the switch, run: mip6ctl ovs setup")
    return Exit.OK


def schema(options: argparse.Namespace) -> Exit:
    print_data(options, file_schema())
    return Exit.OK


def load_file(path: str, controller: bool = True) -> Config:
    """A configuration file, as `load` reads it; Failure if it is not good."""
    try:
        return load(path, controller)
    except ConfigError as error:
        raise Failure(Exit.USAGE, str(error)) from None


def _of_server(options: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = Client(options).get("/v1/config")
    return found


def _cells(row: dict[str, Any]) -> dict[str, str]:
    """A change for a table."""
    applied = ["while it runs" if row["warm"] else "by a restart"] + (["ovs setup"] if row["ovs_setup"] else [])
    values = {key: _short(row[key]) for key in ("before", "after")}
    return {"setting": row["setting"], "change": row["change"], **values, "applied": ", ".join(applied)}


def _short(value: Any) -> str:
    if value is None:
        return "-"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= CELL else f"{text[: CELL - 3]}..."
