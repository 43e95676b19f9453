"""ETag, If-Match and If-None-Match (RFC 9110 sections 8.8.3 and 13.1): writes that do not overwrite unseen changes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from rest.problem import Problem, bad_request

_TAG: Final = re.compile(r'(W/)?"([\x21\x23-\x7e]*)"')


def etag(version: str) -> str:
    """The tag of a version."""
    return f'"{hashlib.sha256(version.encode()).hexdigest()[:16]}"'


def check(headers: Mapping[str, str], version: str | None) -> None:
    """Problem 412 unless what the request says about the version is true; None: there is no such thing."""
    wanted, unwanted = headers.get("If-Match"), headers.get("If-None-Match")
    if wanted is not None and not _fits(wanted, version, "If-Match"):
        raise Problem(HTTPStatus.PRECONDITION_FAILED, "it is not what If-Match says: look at it again")
    if unwanted is not None and _fits(unwanted, version, "If-None-Match"):
        raise Problem(HTTPStatus.PRECONDITION_FAILED, "it is what If-None-Match says it must not be")


def _fits(tags: str, version: str | None, name: str) -> bool:
    if tags.strip() == "*":
        return version is not None
    found = _TAG.findall(tags)
    if not found:
        raise bad_request(f'{name}: * or tags in quotes are needed, such as "0123456789abcdef"')
    # Weak tags do not fit where something is written (13.1.1).
    return version is not None and etag(version) in [f'"{tag}"' for weak, tag in found if not weak]
