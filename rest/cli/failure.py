"""How mip6ctl ends: one line on standard error and an exit status."""

from __future__ import annotations

import enum


class Exit(enum.IntEnum):
    """Exit statuses of mip6ctl."""

    OK = 0
    FAILURE = 1  # it did not work, or there is no such thing
    USAGE = 2  # wrong command line or configuration file
    UNREACHABLE = 3  # no answer from the server


class Failure(Exception):
    """Ends the program; the text is one line for a person to read."""

    def __init__(self, status: Exit, text: str) -> None:
        super().__init__(text)
        self.status = status
