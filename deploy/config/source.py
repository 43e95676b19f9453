"""The YAML of the configuration file: what it holds, and at which line each value is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from mip6core.errors import ConfigError


class _Loader(yaml.SafeLoader):
    """YAML as people read it: `no` is a text, 0010 not octal, and 1:20 no number (addresses look so)."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - this is how PyYAML is told


for _tag, _pattern, _first in (
    ("null", r"(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"[-+]?(?:0|[1-9][0-9]*|0x[0-9a-fA-F]+)$", list("-+0123456789")),
    ("merge", r"<<$", ["<"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)


def read(text: str, lines: dict[str, int]) -> Any:
    """The value of a YAML text; an empty text is an empty mapping. `lines` gets the line of every path in it.

    ConfigError for what is no YAML (with path "" and the line in `lines`), and for a key that is given twice.
    """
    try:
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
            if root is None:
                return {}
            _note_lines(root, "", lines, set())
            return loader.construct_document(root)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        if mark := error.problem_mark or error.context_mark:
            lines[""] = mark.line + 1
        raise ConfigError("", f"valid YAML ({error.problem or error.context})") from error
    except yaml.reader.ReaderError as error:
        raise ConfigError("", f"valid YAML ({error.reason})") from error
    except (ValueError, RecursionError) as error:  # a number or a nesting beyond what Python takes
        raise ConfigError("", f"valid YAML ({error})") from error


def _note_lines(node: yaml.Node, path: str, lines: dict[str, int], seen: set[int]) -> None:
    """Note where each path is, and refuse keys given twice, of which YAML would take the last in silence."""
    lines.setdefault(path, node.start_mark.line + 1)
    if id(node) in seen:  # an alias: YAML allows even circles
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for index, entry in enumerate(node.value):
            _note_lines(entry, f"{path}[{index}]", lines, seen)
    elif isinstance(node, yaml.MappingNode):
        keys: set[str] = set()
        for key, entry in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue  # refused when the value is made
            place = f"{path}.{key.value}" if path else key.value
            lines[place] = key.start_mark.line + 1
            if key.value in keys:
                raise ConfigError(place, "each key once, got it again")
            keys.add(key.value)
            _note_lines(entry, place, lines, seen)


def line(path: str, lines: Mapping[str, int]) -> int | None:
    """The line of a path, or of the nearest section around it that the file has (a key may be missing)."""
    while path and path not in lines:
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return lines.get(path)
