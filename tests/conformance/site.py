"""The network that a run takes place in: the home agent as an operator runs it, and the tester's wires around it.

    real home link                                       virtual home link

    home0 --- [ br-home, home agent ] uplink0 --- far0   [ br-home, home agent ] uplink0 --- far0

Behind far0 is everything else: the router, the foreign links, the correspondents; the tester plays them all.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from tests.conformance import wire
from tests.conformance.cases import CASES
from tests.conformance.links import MOBILE_NODE, Switchboard, Wire, identifier
from tests.conformance.protection import Protection
from tests.conformance.turns import Turns
from topo import lab
from topo.lab import End, run

ROOT: Final = Path(__file__).resolve().parents[2]
BRIDGE: Final = "br-home"
UPLINK: Final = "uplink0"
READY: Final = "http://127.0.0.1:8080/readyz"
COMPLAINTS: Final = ("Traceback", "level=ERROR", "level=CRITICAL", "Exception ignored")

HOME: Final = "2001:db8:100::"  # /64, the home prefix
ANYCAST: Final = "2001:db8:100:0:fdff:ffff:ffff:fffe"  # RFC 2526: the home agents of the home prefix
FOREIGN: Final = ("2001:db8:1100::", "2001:db8:2100::")  # /64 each
CORRESPONDENTS: Final = ("2001:db8:3100::", "2001:db8:4100::")
PREFERENCE: Final = 10  # of the home agent
ROUTER_MAC: Final = "02:01:00:00:00:01"


@dataclass(frozen=True)
class Kind:
    """A real or a virtual home link."""

    name: str
    home_agent: str
    router: str

    @property
    def virtual(self) -> bool:
        return self.name == "virtual"


REAL: Final = Kind("real", "2001:db8:100::a", "2001:db8:100::1")
# No link carries the home prefix: the home agent sits on another one, and the router sends it what is for it.
VIRTUAL: Final = Kind("virtual", "2001:db8:101::a", "2001:db8:101::1")
KINDS: Final = {kind.name: kind for kind in (REAL, VIRTUAL)}


def address(prefix: str, number: int, role: int) -> str:
    """The address of a machine of case `number` on a link."""
    return wire.text(wire.packed(prefix)[:8] + identifier(number, role))


def home_address(number: int) -> str:
    return address(HOME, number, MOBILE_NODE)


class Site:
    """A running home agent."""

    def __init__(self, network: lab.Network, kind: Kind) -> None:
        self.kind = kind
        self.home_agent = kind.home_agent
        self.router = kind.router
        self.switchboard = Switchboard()
        self.home_agents_list = Turns()
        self.home_agent_mac = ""  # as the router has resolved it
        self._network = network
        self.protections = {
            case.number: Protection(case.number, home_address(case.number), kind.home_agent)
            for case in CASES.values()
            if case.protected and kind.name in case.links
        }
        self._config = network.directory / "mip6.yaml"
        self._config.write_text(yaml.safe_dump(configuration(kind, self.protections)))
        self._wires: list[Wire] = []

    def start(self) -> None:
        """Build, provision and start everything; wait until the home agent is in service."""
        words = [sys.executable, "-m", "ryu_apps.launcher", "--config", str(self._config), "--log-level", "info"]
        self._manager = self._network.background(["env", f"PYTHONPATH={ROOT}", *words])
        self.far = self._wire("far0", "far", UPLINK)
        self.far.own(self.router, ROUTER_MAC, router=True)
        self._ctl("ovs", "setup")
        if not self.kind.virtual:
            self.home = self._wire("home0", "home", "home-port")
            run(f"ovs-vsctl add-port {BRIDGE} home-port")
        lab.wait_until(self._ready, "the manager to be ready", timeout=20, interval=0.05)
        lab.wait_until(lambda: self.router in run("ovs-appctl tnl/neigh/show").stdout, "the tunnel's next hop")
        resolved = self.far.resolve(self.home_agent, self.router, ROUTER_MAC)
        if resolved is None:
            raise lab.LabError("the home agent does not answer Neighbor Solicitations of the router")
        self.home_agent_mac = resolved

    def _wire(self, device: str, ns: str, port: str) -> Wire:
        self._network.namespace(ns)
        self._network.veth(End(port, switch_port=True), End(device, ns, switch_port=True))
        made = Wire(device, ns, self.switchboard)
        self._wires.append(made)
        return made

    def _ctl(self, *words: str) -> None:
        ctl = [sys.executable, "-m", "rest.cli.main"]
        run(["env", f"PYTHONPATH={ROOT}", *ctl, *words, "--config", str(self._config)])

    def _ready(self) -> bool:
        with urllib.request.urlopen(READY, timeout=5) as answer:
            return answer.status == 200 and bool(json.loads(answer.read()))

    def log(self) -> str:
        """What the manager has said."""
        return self._manager.output()

    def complaints(self) -> list[str]:
        """Lines of its log that tell of bugs."""
        return [line for line in self.log().splitlines() if any(word in line for word in COMPLAINTS)]

    def close(self) -> None:
        """End the tester's threads and take away what setup has made; the rest is the network's."""
        for one in self._wires:
            one.close()
        self._manager.stop()
        self._ctl("ovs", "teardown")


def configuration(kind: Kind, protections: Mapping[int, Protection]) -> dict[str, Any]:
    """The YAML file as a mapping."""
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
        "mobile_nodes": [protection.configuration() for protection in protections.values()],
    }
    return {"home_links": [link], "security": security}


@contextmanager
def running(kind: Kind) -> Iterator[Site]:
    """A site for the block."""
    with lab.Network() as network:
        site = Site(network, kind)
        try:
            site.start()
            yield site
        except lab.LabError as error:
            raise lab.LabError(f"{error}\n{site.log()[-2000:]}") from error
        finally:
            site.close()
