"""The network of the home agent's cases.

    real home link                                       virtual home link

    home0 --- [ br-home, home agent ] uplink0 --- far0   [ br-home, home agent ] uplink0 --- far0

Behind far0 are the router, the foreign links, the correspondents.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from tests.conformance.cases import CASES
from tests.conformance.links import MOBILE_NODE
from tests.conformance.protection import Protection
from tests.conformance.site import UPLINK, Kind, Site, address
from tests.conformance.turns import Turns
from topo import lab
from topo.lab import run

BRIDGE: Final = "br-home"
HOME: Final = "2001:db8:100::"  # /64, the home prefix
ANYCAST: Final = "2001:db8:100:0:fdff:ffff:ffff:fffe"  # RFC 2526: the home agents of the home prefix
CORRESPONDENTS: Final = ("2001:db8:3100::", "2001:db8:4100::")  # /64 each
PREFERENCE: Final = 10  # of the home agent


@dataclass(frozen=True)
class HomeLinkKind(Kind):
    """A kind of home link."""

    home_agent: str

    @property
    def virtual(self) -> bool:
        return self.name == "virtual"

    def site(self, network: lab.Network) -> HomeAgentSite:
        return HomeAgentSite(network, self)


REAL: Final = HomeLinkKind("real", "2001:db8:100::1", "2001:db8:100::a")
# No link carries the home prefix: the home agent sits on another one, and the router sends it what is for it.
VIRTUAL: Final = HomeLinkKind("virtual", "2001:db8:101::1", "2001:db8:101::a")


def home_address(number: int) -> str:
    return address(HOME, number, MOBILE_NODE)


class HomeAgentSite(Site):
    """A running home agent."""

    def __init__(self, network: lab.Network, kind: HomeLinkKind) -> None:
        super().__init__(network, kind, BRIDGE)
        self.kind = kind
        self.home_agent = kind.home_agent
        self.home_agents_list = Turns()
        self.home_agent_mac = ""  # as the router has resolved it
        self.protections = {
            case.number: Protection(case.number, home_address(case.number), kind.home_agent)
            for case in CASES.values()
            if case.protected and kind.name in case.links
        }

    def start(self) -> None:
        super().start()
        self.home_agent_mac = self.resolved(self.home_agent)

    def _furnish(self) -> None:
        if not self.kind.virtual:
            self.home = self._wire("home0", "home", "home-port")
            run(f"ovs-vsctl add-port {BRIDGE} home-port")

    def configuration(self) -> dict[str, Any]:
        kind = self.kind
        link: dict[str, Any] = {
            "name": f"{kind.name}-home",
            "bridge": BRIDGE,
            "address": kind.home_agent,
            "prefixes": [f"{HOME}/64"],
            "router": kind.router,
            "uplinks": [UPLINK],
        }
        if kind.virtual:
            link["virtual"] = True
        else:
            link["router_advertisement"] = {"enabled": True, "preference": PREFERENCE}
        security = {
            "unprotected_signalling": "accept",  # of mobile nodes that are not named
            "mobile_nodes": [protection.configuration() for protection in self.protections.values()],
        }
        return {"home_links": [link], "security": security}
