"""The campus, one a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.flows.campus import Campus, Settings
from topo import lab


@pytest.fixture(scope="module")
def campus(request: pytest.FixtureRequest) -> Iterator[Campus]:
    """A campus of its own for each module, with one bridge unless the module asks for other settings."""
    with lab.Network() as network:
        campus = Campus(network, getattr(request, "param", Settings()))
        try:
            campus.start()
            yield campus
        finally:
            campus.close()
        assert campus.manager.complaints() == []


@pytest.fixture
def registered(campus: Campus) -> Campus:
    """The campus with both mobile nodes registered from their first links."""
    wanted = []
    for node in (campus.mobile, campus.second):
        binding = campus.manager.binding(node.home_address)
        if node.at != node.links[0]:
            node.visit(node.links[0])
        if binding is None or binding["care_of_address"] != node.at.care_of_address:
            wanted.append(node)
    campus.register(*wanted)
    return campus
