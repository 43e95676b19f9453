"""/v1/openapi.json: the description of the API, which is written in rest/openapi.yaml."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from rest.router import Call


@cache
def document() -> Any:
    """The OpenAPI document."""
    return yaml.safe_load(Path(__file__).parents[1].joinpath("openapi.yaml").read_text(encoding="utf-8"))


def show(call: Call) -> Any:
    call.query.only()
    return document()
