"""mip6ctl keys: fresh keys for a mobile node and its home agent, written for both ends."""

from __future__ import annotations

import argparse
import secrets
from pathlib import Path
from typing import Any, Final

import yaml

from deploy.config import associations as ipsec
from deploy.config.associations import ENCRYPTION_KEYS, GCM, INTEGRITY_KEYS, KINDS, MIN_SPI
from mip6core.errors import ConfigError
from rest.cli.failure import Exit, Failure
from rest.cli.key_formats import BY_PROTOCOL, CUT_SHORT, DEFAULT_INTEGRITY, FORMATS, WITHOUT_GCM, Agreement
from rest.cli.output import print_data
from rest.cli.private_files import make_private_directory, write_private

_MAX_RANDOM_SPI: Final = 0x7FFFFFFF


def generate(options: argparse.Namespace) -> Exit:
    """Write the files, none of which may exist, and say how they are used."""
    directory = Path(options.directory).resolve()
    if not directory.exists():
        make_private_directory(directory)
    name = options.home_address.replace(":", "-")
    content = _content(options)
    try:
        agreement = Agreement(
            options.home_address, options.home_agent, ipsec.associations(content["associations"], "associations")
        )
    except ConfigError as error:
        raise Failure(Exit.USAGE, f"these do not go together: {error}") from None
    ours = directory / f"{name}.keys.yaml"
    text = f"# Keys of the home agent {options.home_agent} with the mobile node {options.home_address}\n"
    files = [(ours, text + yaml.safe_dump(content, sort_keys=False))]
    files += [(directory / f"{name}.{end}", text) for end, text in FORMATS[options.format](agreement)]
    write_private(files)
    theirs = [str(path) for path, _text in files[1:]]
    if options.output != "table":
        print_data(options, {"home_agent": str(ours), "mobile_node": theirs})
        return Exit.OK
    print(f"for the home agent: {ours}; in its configuration file:")
    print(f"  security:\n    mobile_nodes:\n      - home_address: {options.home_address}\n        key_file: {ours}")
    print(f"for the mobile node: {', '.join(theirs)}")
    return Exit.OK


def _content(options: argparse.Namespace) -> dict[str, Any]:
    """The key file's content."""
    encryption = options.encryption
    integrity = options.integrity or DEFAULT_INTEGRITY[options.format]
    if encryption == GCM and options.format in WITHOUT_GCM:
        raise Failure(Exit.USAGE, f"--format {options.format} has no AES-GCM")
    if encryption != GCM and integrity in CUT_SHORT.get(options.format, ()):
        raise Failure(Exit.USAGE, f"--format {options.format}: Linux cuts {integrity} to 96 bits there; take another")
    found = []
    spi = options.spi or secrets.randbelow(_MAX_RANDOM_SPI - MIN_SPI) + MIN_SPI
    for kind in options.kind or KINDS:
        one: dict[str, Any] = {"kind": kind, "encryption": encryption}
        if encryption != GCM:
            one["integrity"] = integrity
        if options.format in BY_PROTOCOL and kind != ipsec.PREFIX_DISCOVERY:
            one["selector"] = "protocol"
        for way in ("inbound", "outbound"):
            one[way] = {"spi": spi, **_keys(encryption, integrity)}
            spi += 1
        found.append(one)
    return {"associations": found}


def _keys(encryption: str, integrity: str) -> dict[str, str]:
    keys: dict[str, str] = {}
    if length := ENCRYPTION_KEYS[encryption][0]:
        keys["encryption_key"] = secrets.token_hex(length)
    if encryption != GCM:
        keys["integrity_key"] = secrets.token_hex(INTEGRITY_KEYS[integrity])
    return keys
