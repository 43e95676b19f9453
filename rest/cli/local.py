"""mip6ctl ovs: what concerns this machine and needs no server."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Final

from deploy import ovs
from deploy.config import Config
from rest.cli.configuration import load_file
from rest.cli.failure import Exit, Failure
from rest.cli.output import print_data, table

STATUS_COLUMNS: Final = (
    *("home_link", "correspondent_link", "bridge", "datapath_id", "tunnel_port"),
    *("controller", "connected", "adapters", "provisioned"),
)


def ovs_setup(options: argparse.Namespace) -> Exit:
    return _carry_out(options, ovs.plan, load_file(options.config, controller=False))


def ovs_teardown(options: argparse.Namespace) -> Exit:
    return _carry_out(options, ovs.plan_teardown, load_file(options.config, controller=False))


def ovs_status(options: argparse.Namespace) -> Exit:
    config = load_file(options.config, controller=False)
    try:
        found = ovs.status(config)
    except ovs.ProvisionError as error:
        raise Failure(Exit.FAILURE, str(error)) from None
    rows = [*found["home_links"], *found["correspondent_links"]]
    if options.output != "table":
        print_data(options, found)
    else:
        shown = [
            {**row, "adapters": [f"{a['device']} {'attached' if a['attached'] else '-'}" for a in row["adapters"]]}
            for row in rows
        ]
        print(table(shown, STATUS_COLUMNS))
        for row in rows:
            if row["home_link"] is None or "correspondent_link" not in row:  # else its home link's entry tells it
                for missing in row["missing"]:
                    print(f"{row['home_link'] or row['correspondent_link']}: {missing['why']}")
    return Exit.OK if all(row["provisioned"] for row in rows) else Exit.FAILURE


def _carry_out(options: argparse.Namespace, plan: Callable[[Config], list[ovs.Command]], config: Config) -> Exit:
    """Run what a plan asks for, or with --dry-run only show it."""
    as_data = options.output != "table"

    def say(command: ovs.Command) -> None:
        if not as_data:
            print(f"{command}  # {command.why}", flush=True)

    try:
        commands = plan(config)
        if options.dry_run:
            for command in commands:
                say(command)
        else:
            ovs.apply(commands, say)
    except ovs.ProvisionError as error:
        raise Failure(Exit.FAILURE, str(error)) from None
    if as_data:
        done = [{"command": str(command), "why": command.why} for command in commands]
        print_data(options, {"dry_run": options.dry_run, "commands": done})
    elif not commands:
        print("nothing to do")
    return Exit.OK
