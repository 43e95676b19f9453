"""The effective configuration: what counts, with all defaults filled in."""

from __future__ import annotations

from typing import Any

from deploy.config import Config
from deploy.config import reading as read
from deploy.config.inheritance import SHARED


def effective(config: Config) -> dict[str, Any]:
    """The configuration as plain values, ready for YAML or JSON: a good file itself, but that secrets are hidden.

    What a correspondent link has from its home link is not repeated.
    """
    shown = read.shown(config)
    for entry, link in zip(shown["correspondent_links"], config.correspondent_links, strict=True):
        if config.home_link_of(link) is not None:
            for key in SHARED:
                del entry[key]
    return shown
