"""An uplink device with the adapter attached, and both of its sides: the network's and Open vSwitch's."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from deploy.shim.userspace import UserspaceAdapter
from tests.shim.uplink import (
    BRIDGE_MAC,
    DEVICE,
    HOME_AGENT,
    ROUTER_MAC,
    SHIM,
    Side,
    Uplink,
    attach,
    correspondents,
)
from topo import lab

HOME_LINK = correspondents("2001:db8:1::/64", HOME_AGENT, BRIDGE_MAC)


@pytest.fixture(scope="session", autouse=True)
def compiled() -> None:
    """The object that is tested is made from the source that is there."""
    subprocess.run([SHIM / "build"], check=True)


@pytest.fixture(scope="module")
def link() -> Iterator[lab.Network]:
    """The cable: uplink0 here, wire0 in namespace "wire", for frames of up to 9000 bytes; nothing else talks on it."""
    with lab.Network() as network:
        network.namespace("wire")
        network.veth(
            lab.End(DEVICE, switch_port=True), lab.End("wire0", "wire", mac=ROUTER_MAC, switch_port=True), mtu=9000
        )
        yield network


@pytest.fixture(scope="module", params=["best way", "old way"])
def uplink(request: pytest.FixtureRequest, link: lab.Network) -> Iterator[Uplink]:
    """The uplink, attached in each of the ways that kernels and drivers allow."""
    adapter = UserspaceAdapter()
    try:
        attach(adapter, request.param, [correspondents(), HOME_LINK])
        sides = Side(DEVICE, None), Side("wire0", "wire")
        yield Uplink(adapter, *sides)
        for side in sides:
            side.close()
    finally:
        adapter.detach(DEVICE)
