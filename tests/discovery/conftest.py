"""A campus whose home agent advertises itself, one a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml

from tests.flows.campus import Campus, Settings
from topo import lab

# Router Advertisements are so rare that an early one is an answer. Prefix discovery works in seconds rather than days,
# so that silence is short enough to be waited for.
SETTINGS = Settings(
    link={
        "router_advertisement": {"enabled": True, "max_interval": 1800, "min_delay": 0.1, "preference": 10},
        "mobile_prefix": {"min_interval": 1, "max_interval": 6},
    }
)


@pytest.fixture(scope="module")
def campus(request: pytest.FixtureRequest) -> Iterator[Campus]:
    """A campus for each module, with other settings if the module asks for them. Signalling is not protected."""
    with lab.Network() as network:
        campus = Campus(network, getattr(request, "param", SETTINGS))
        configuration = yaml.safe_load(campus.config.read_text())
        configuration["security"] = {"unprotected_signalling": "accept"}
        campus.config.write_text(yaml.safe_dump(configuration))
        try:
            campus.start()
            yield campus
        finally:
            campus.close()
        assert campus.manager.complaints() == []
