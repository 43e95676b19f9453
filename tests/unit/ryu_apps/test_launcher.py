"""What the launcher tells the operator about who can register."""

from __future__ import annotations

from typing import Any

import pytest

from deploy import config
from ryu_apps import launcher

LINK = {
    "name": "homenet",
    "bridge": "br-home",
    "address": "2001:db8:1::2",
    "prefixes": ["2001:db8:1::/64"],
    "router": "2001:db8:1::1",
    "uplinks": ["uplink0"],
}
CORRESPONDENTS = {"name": "office", **{key: value for key, value in LINK.items() if key != "name"}}
NODE = {"home_address": "2001:db8:1::100"}


@pytest.mark.parametrize(
    ("file", "warnings"),
    [
        ({}, ["nobody can register"]),
        ({"security": {}}, ["nobody can register"]),
        ({"security": {"mobile_nodes": [NODE]}}, []),
        ({"security": {"unprotected_signalling": "accept"}}, ["anyone who can send"]),
        ({"security": {"mobile_nodes": [{**NODE, "unprotected_signalling": "accept"}]}}, ["hoa=2001:db8:1::100"]),
        ({"home_links": [], "correspondent_links": [CORRESPONDENTS]}, []),
    ],
)
def test_warnings(file: dict[str, Any], warnings: list[str], caplog: pytest.LogCaptureFixture) -> None:
    launcher._warn(config.parse({"home_links": [LINK], **file}))
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == len(warnings)
    assert all(part in message for part, message in zip(warnings, messages, strict=True))
