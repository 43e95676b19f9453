"""mip6ctl debug: logging by topic. mip6ctl capture: signalling in a pcapng file."""

from __future__ import annotations

import argparse
import sys
import urllib.parse
from pathlib import Path
from typing import Any

from rest.cli.client import Client
from rest.cli.failure import Exit, Failure
from rest.cli.output import print_data, table


def debug(options: argparse.Namespace) -> Exit:
    """Switch a topic, and show all."""
    client = Client(options)
    result: dict[str, Any]
    if options.topic is None:
        result = client.get("/v1/debug")
    elif options.state is None:
        raise Failure(Exit.USAGE, f"debug {options.topic}: on or off?")
    else:
        topic = urllib.parse.quote(options.topic, safe="")
        result = client.put(f"/v1/debug/{topic}", {"on": options.state == "on"})
    if options.output != "table":
        print_data(options, result)
    else:
        rows = [{"topic": name, "debug": "on" if on else "off"} for name, on in result["topics"].items()]
        print(table(rows, ("topic", "debug")))
    return Exit.OK


def capture(options: argparse.Namespace) -> Exit:
    """Until the time is over, or Ctrl-C."""
    parameters = {"seconds": str(options.seconds)}
    if options.home_address is not None:
        parameters["home_address"] = options.home_address
    written = 0
    try:
        with Client(options).stream("/v1/capture", parameters) as response, _open(options.file) as file:
            try:
                while part := response.read1(65_536):
                    written += file.write(part)
                    file.flush()
            except KeyboardInterrupt:
                pass
    except OSError as error:
        raise Failure(Exit.FAILURE, f"cannot write {options.file}: {error.strerror}") from None
    result = {"file": options.file, "octets": written}
    if options.output != "table":
        print_data(options, result)
    else:
        print(f"{written} octets in {options.file}; look with wireshark or tshark", file=sys.stderr)
    return Exit.OK


def _open(name: str) -> Any:
    try:
        return Path(name).open("xb")
    except FileExistsError:
        raise Failure(Exit.FAILURE, f"{name} exists already") from None
    except OSError as error:
        raise Failure(Exit.FAILURE, f"cannot write {name}: {error.strerror}") from None
