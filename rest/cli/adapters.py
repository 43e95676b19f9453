"""mip6ctl ovs counters: what the wire format adapters of this machine have counted, shown or left in a file.

The controller runs without the right to read them: a small unit of the package (mip6-adapters.service) has this write
them for it.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

from deploy.shim import AdapterError, adapter_for
from rest.cli.failure import Exit, Failure
from rest.cli.output import pairs, print_data


def counters(options: argparse.Namespace) -> Exit:
    if options.write is None:
        if options.every is not None:
            raise Failure(Exit.USAGE, "--every needs --write FILE")
        _show(options, _report())
        return Exit.OK
    while True:
        _write(Path(options.write), _report())
        if options.every is None:
            return Exit.OK
        time.sleep(options.every)


def _report() -> dict[str, Any]:
    adapter = adapter_for("netdev")
    try:
        found = [adapter.status(device).as_dict() for device in adapter.devices()]
    except (AdapterError, OSError) as error:
        raise Failure(Exit.FAILURE, str(error)) from None
    names = ("device", "attached", "problems", "counters")
    return {"time": time.time(), "adapters": [{name: entry[name] for name in names} for entry in found]}


def _show(options: argparse.Namespace, report: dict[str, Any]) -> None:
    if options.output != "table":
        print_data(options, report)
        return
    if not report["adapters"]:
        print("no adapters")
    for adapter in report["adapters"]:
        print(f"{adapter['device']}: {'attached' if adapter['attached'] else 'NOT attached'}")
        for problem in adapter["problems"]:
            print(f"  {problem}")
        counted = [(name, str(count)) for name, count in adapter["counters"].items() if count]
        print(pairs(counted) or "nothing counted")


def _write(path: Path, report: dict[str, Any]) -> None:
    """In one step: who reads never finds half of it. Everybody may read it: there is no address in it."""
    new = path.with_name(f".{path.name}.new")
    try:
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o644)
            json.dump(report, file)
        new.replace(path)
    except OSError as error:
        raise Failure(Exit.FAILURE, f"{path}: {error.strerror}") from None
