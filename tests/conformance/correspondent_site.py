"""The networks of the correspondent node's cases.

    host0 (a host with the kernel's own TCP, UDP and ICMPv6) ---+
                                                                [ bridge ] uplink0 --- far0
    near0 (other machines on the link) -------------------------+

The host knows nothing of mobility. Behind far0 are the router and the foreign links. On a link of the kind `edge` the
mobile nodes' home links with their home agents are there as well; one of the kind `both` is their home link. `full` is
an `edge` that has room for two bindings, where cases take turns.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from tests.conformance.links import Switchboard, Wire
from tests.conformance.site import ROUTER_MAC, UPLINK, Kind, Site
from tests.conformance.turns import Turns
from topo import lab
from topo.lab import End, run

HOST_NS: Final = "host"
HOST_DEVICE: Final = "host0"
ROUTER_LINK_LOCAL: Final = "fe80::1"


@dataclass(frozen=True)
class CorrespondentKind(Kind):
    """A kind of link with correspondents."""

    prefix: str  # /64, the link's
    home: str  # /64, where the mobile nodes are at home
    max_bindings: int | None = None  # for all correspondents; None: plenty

    @property
    def bridge(self) -> str:
        """The address of the bridge itself."""
        return f"{self.prefix}2"

    @property
    def hosts(self) -> tuple[str, str]:
        """Addresses of one machine."""
        return f"{self.prefix}10", f"{self.prefix}11"

    @property
    def is_home(self) -> bool:
        return self.prefix == self.home

    def site(self, network: lab.Network) -> CorrespondentSite:
        return CorrespondentSite(network, self)


EDGE: Final = CorrespondentKind("edge", "2001:db8:c::1", "2001:db8:c::", "2001:db8:104::")
FULL: Final = replace(EDGE, name="full", max_bindings=2)
BOTH: Final = CorrespondentKind("both", "2001:db8:100::1", "2001:db8:100::", "2001:db8:100::")


class CorrespondentSite(Site):
    """A running correspondent."""

    def __init__(self, network: lab.Network, kind: CorrespondentKind) -> None:
        super().__init__(network, kind, f"br-{kind.name}")
        self.kind = kind
        self.bridge = kind.bridge
        self.hosts = kind.hosts
        self.macs: dict[str, str] = {}  # as the router has resolved them
        self.at_host = Switchboard()  # what the host gets
        self.turns = Turns()  # for cases that need the site for themselves, on a link of the kind `full`

    @property
    def host_mac(self) -> str:
        return self.macs[self.hosts[0]]

    def start(self) -> None:
        super().start()
        for machine in (self.bridge, *self.hosts):
            self.macs[machine] = self.resolved(machine)

    def _furnish(self) -> None:
        self._network.namespace(HOST_NS)
        self._network.veth(End("host-port", switch_port=True), End(HOST_DEVICE, HOST_NS))
        for host in self.hosts:
            run(f"ip address add {host}/64 dev {HOST_DEVICE}", HOST_NS)
        # As hosts have it from Router Advertisements; they heed Redirects of such a router only.
        self.far.own(ROUTER_LINK_LOCAL, ROUTER_MAC, router=True)
        run(f"ip route add default via {ROUTER_LINK_LOCAL} dev {HOST_DEVICE}", HOST_NS)
        program = Path(__file__).with_name("host.py")
        self._network.background([sys.executable, str(program), self.hosts[0]], HOST_NS)
        self._wires.append(Wire(HOST_DEVICE, HOST_NS, self.at_host))
        self.near = self._wire("near0", "near", "near-port")
        for port in ("host-port", "near-port"):
            run(f"ovs-vsctl add-port {self._bridge} {port}")

    def configuration(self) -> dict[str, Any]:
        prefixes = [f"{self.kind.prefix}/64"]
        link = {"bridge": self._bridge, "prefixes": prefixes}
        own = {"address": self.bridge, "router": self.router, "uplinks": [UPLINK]}
        if not self.kind.is_home:
            limits = {"max_correspondent_bindings": self.kind.max_bindings} if self.kind.max_bindings else {}
            return {"correspondent_links": [{"name": "office", **link, **own}], "limits": limits}
        return {
            "home_links": [{"name": "home", **link, **own}],
            "correspondent_links": [{"name": "office", **link}],
            "security": {"unprotected_signalling": "accept"},
        }
