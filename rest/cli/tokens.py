"""mip6ctl token: bearer tokens for the REST API."""

from __future__ import annotations

import argparse
import secrets
from pathlib import Path

from deploy.config.reading import name as check_name
from deploy.config.rest import token_digest
from mip6core.errors import ConfigError
from rest.cli.failure import Exit, Failure
from rest.cli.output import print_data
from rest.cli.private_files import write_private

_OCTETS = 32  # of chance in a token


def generate(options: argparse.Namespace) -> Exit:
    """The token goes into a file; what is printed is good for everybody's eyes."""
    try:
        name = check_name(options.name, "NAME")
    except ConfigError as error:
        raise Failure(Exit.USAGE, str(error)) from None
    token = secrets.token_urlsafe(_OCTETS)
    write_private([(Path(options.file), f"{token}\n")])
    entry = {"name": name, "scope": options.scope, "sha256": token_digest(token)}
    if options.output != "table":
        print_data(options, {"file": options.file, **entry})
        return Exit.OK
    print(f"the token is in {options.file}: mip6ctl --token-file, or `Authorization: Bearer ...`")
    print("for the controller's configuration file:")
    print(f'  rest:\n    tokens:\n      - {{name: {name}, scope: {options.scope}, sha256: "{entry["sha256"]}"}}')
    return Exit.OK
