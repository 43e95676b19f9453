"""mip6ctl completion: what a shell needs to complete its words, made from the command line itself."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from typing import Final

from rest.cli.failure import Exit

_BASH: Final = """\
# bash completion of mip6ctl; made by `mip6ctl completion bash`
_mip6ctl() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} place=mip6ctl word
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case "$place $word" in
@PLACES@
        esac
    done
    case "$place:$previous" in
@VALUES@
    esac
    case $place in
@WORDS@
    esac
}
complete -o default -F _mip6ctl mip6ctl
"""


def bash(options: argparse.Namespace) -> Exit:
    """Print a script for bash."""
    from rest.cli.main import parser

    places: list[str] = []  # which words lead on to which place
    values: list[str] = []  # what an option takes
    words: list[str] = []  # what there is at a place
    for place, one in _tree(parser(), "mip6ctl"):
        names: list[str] = []
        for action in one._actions:
            names += action.option_strings
            pattern = "|".join(f"'{place}:{name}'" for name in action.option_strings)
            if isinstance(action, argparse._SubParsersAction):
                names += action.choices
                places += [f"            '{place} {name}') place='{place} {name}' ;;" for name in action.choices]
            elif not action.option_strings:
                names += [str(choice) for choice in action.choices or ()]
            elif action.choices:
                values.append(f"        {pattern}) {_words(map(str, action.choices))}; return ;;")
            elif action.nargs != 0:  # what only its user knows, or a file
                values.append(f"        {pattern}) return ;;")
        words.append(f"        '{place}') {_words(names)} ;;")
    script = _BASH.replace("@PLACES@", "\n".join(places)).replace("@VALUES@", "\n".join(values))
    print(script.replace("@WORDS@", "\n".join(words)), end="")
    return Exit.OK


def _words(words: Iterable[str]) -> str:
    return f"""COMPREPLY=($(compgen -W '{" ".join(words)}' -- "$current"))"""


def _tree(parser: argparse.ArgumentParser, place: str) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command by the words that lead to it."""
    yield place, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                yield from _tree(inner, f"{place} {name}")
