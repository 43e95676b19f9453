"""The JSON Schema (draft 2020-12) of the configuration file, for editors and other programs.

It is made from what reads the file, so it takes whatever is a good file. The reverse is not so: what values must hold
between each other, and that an address is a routable one, only reading the file finds out. docs/mip6.schema.json is a
copy, which `mip6ctl config schema` prints.
"""

from __future__ import annotations

from typing import Any

from deploy.config import Config
from deploy.config import reading as read
from deploy.config.inheritance import SHARED


def file_schema() -> dict[str, Any]:
    """The schema of the whole file."""
    schema = read.section_schema(Config)
    properties = schema["properties"]
    entry = properties["correspondent_links"]["items"]
    inherited = [key for key in entry["required"] if key in SHARED]
    entry["required"] = [key for key in entry["required"] if key not in SHARED]
    # On a home link's bridge these are left out; elsewhere all are needed.
    entry["dependentRequired"] = {key: [other for other in inherited if other != key] for key in inherited}
    some = [
        {"required": [kind], "properties": {kind: {"minItems": 1}}} for kind in ("home_links", "correspondent_links")
    ]
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Configuration of mip6-manager"}
    return {**head, **schema, "anyOf": some}
