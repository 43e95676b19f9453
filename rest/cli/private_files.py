"""Files with secrets in them."""

from __future__ import annotations

import os
from pathlib import Path

from rest.cli.failure import Exit, Failure


def write_private(files: list[tuple[Path, str]]) -> None:
    """Files that their owner alone can read, all or none of them."""
    made: list[Path] = []
    try:
        for path, text in files:
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
                made.append(path)
                file.write(text)
    except OSError as error:
        for path in made:
            path.unlink()
        raise Failure(Exit.FAILURE, f"cannot write {error.filename}: {error.strerror}") from None


def make_private_directory(path: Path) -> None:
    """A directory that its owner alone can look into."""
    try:
        path.mkdir(mode=0o700)
    except OSError as error:
        raise Failure(Exit.FAILURE, f"cannot make {path}: {error.strerror}") from None
