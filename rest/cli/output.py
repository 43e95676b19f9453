"""Printing: tables for people, JSON for programs. Both have the field names of the REST API."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any

GAP = "  "


def print_data(options: argparse.Namespace, value: Any) -> None:
    """For programs: JSON, or YAML if that is asked for."""
    if options.output == "yaml":
        import yaml  # most commands do without it

        print(yaml.safe_dump(value, sort_keys=False, allow_unicode=True), end="")
    else:
        print(json.dumps(value, indent=2, ensure_ascii=False))


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Rows below a header. On a terminal that is too narrow, a block of lines for each row instead."""
    cells = [[text(row.get(column)) for column in columns] for row in rows]
    header = [column.replace("_", " ").upper() for column in columns]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    if sys.stdout.isatty() and sum(widths) + len(GAP) * (len(widths) - 1) > shutil.get_terminal_size().columns:
        return "\n\n".join(pairs(list(zip(columns, row, strict=True))) for row in cells)
    lines = [header, *cells]
    return "\n".join(
        GAP.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def pairs(entries: Sequence[tuple[str, str]]) -> str:
    """Names and values, one pair a line."""
    width = max((len(name) for name, _ in entries), default=0)
    return "\n".join(f"{name.ljust(width)}{GAP}{value}" for name, value in entries)


def flatten(value: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested groups as pairs with dotted names."""
    found: list[tuple[str, str]] = []
    for name, entry in value.items():
        if isinstance(entry, Mapping):
            found += flatten(entry, f"{prefix}{name}.")
        else:
            found.append((prefix + name, text(entry)))
    return found


def text(value: Any) -> str:
    """One cell. Flags are their set ones."""
    if value is None or value == [] or value == {}:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return text([name for name, entry in value.items() if entry is True])
    if isinstance(value, list):
        return ", ".join(map(text, value))
    return str(value)
