"""What the networks that runs take place in have in common: a bridge as an operator runs it, and the tester's wires.

Behind the uplink is one wire, far0, with everything that is not on the link, and the router to it: the tester plays it.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from tests.conformance import wire
from tests.conformance.links import Switchboard, Wire, identifier
from topo import lab
from topo.lab import End, Program, run

ROOT: Final = Path(__file__).resolve().parents[2]
UPLINK: Final = "uplink0"
READY: Final = "http://127.0.0.1:8080/readyz"
COMPLAINTS: Final = ("Traceback", "level=ERROR", "level=CRITICAL", "Exception ignored")

FOREIGN: Final = ("2001:db8:1100::", "2001:db8:2100::")  # /64 each
ROUTER_MAC: Final = "02:01:00:00:00:01"


def address(prefix: str, number: int, role: int) -> str:
    """The address of a machine of case `number` on a link."""
    return wire.text(wire.packed(prefix)[:8] + identifier(number, role))


@dataclass(frozen=True)
class Kind:
    """A kind of link: one site each."""

    name: str
    router: str  # its address on the link

    def site(self, network: lab.Network) -> Site:
        """The site, not yet started."""
        raise NotImplementedError


class Site:
    """A running manager and bridge."""

    def __init__(self, network: lab.Network, kind: Kind, bridge: str) -> None:
        self.router = kind.router
        self.switchboard = Switchboard()
        self._bridge = bridge
        self._network = network
        self._config = network.directory / "mip6.yaml"
        self._wires: list[Wire] = []
        self._managers: list[Program] = []

    def configuration(self) -> dict[str, Any]:
        """The manager's YAML file as a mapping."""
        raise NotImplementedError

    def start(self) -> None:
        """Build, provision and start everything; wait until the manager is in service."""
        self._config.write_text(yaml.safe_dump(self.configuration()))
        self._start_manager()
        self.far = self._wire("far0", "far", UPLINK)
        self.far.own(self.router, ROUTER_MAC, router=True)
        self._ctl("ovs", "setup")
        self._furnish()
        self._wait_for_manager()
        lab.wait_until(lambda: self.router in run("ovs-appctl tnl/neigh/show").stdout, "the tunnel's next hop")

    def _start_manager(self) -> None:
        words = [sys.executable, "-m", "ryu_apps.launcher", "--config", str(self._config), "--log-level", "info"]
        self._managers.append(self._network.background(["env", f"PYTHONPATH={ROOT}", *words]))

    def _wait_for_manager(self) -> None:
        lab.wait_until(self._ready, "the manager to be ready", timeout=20, interval=0.05)

    def restart_manager(self) -> None:
        """End the manager, and start another, which is in service on return."""
        self._managers[-1].stop()
        self._start_manager()
        self._wait_for_manager()

    def _furnish(self) -> None:
        """Put more on the bridge."""

    def resolved(self, address: str) -> str:
        """The link-layer address that the router sends to for a machine on the bridge's link."""
        found = self.far.resolve(address, self.router, ROUTER_MAC)
        if found is None:
            raise lab.LabError(f"nobody answers Neighbor Solicitations of the router for {address}")
        return found

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

    def clock(self) -> float:
        """Seconds of the clock that packets are marked with."""
        return time.time()

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        time.sleep(seconds)

    def log(self) -> str:
        """What the manager has said."""
        return "".join(manager.output() for manager in self._managers)

    def complaints(self) -> list[str]:
        """Lines of its log that tell of bugs."""
        return [line for line in self.log().splitlines() if any(word in line for word in COMPLAINTS)]

    def close(self) -> None:
        """End the tester's threads and take away what setup has made; the rest is the network's."""
        for one in self._wires:
            one.close()
        self._managers[-1].stop()
        self._ctl("ovs", "teardown")


@contextmanager
def running(kind: Kind) -> Iterator[Any]:
    """A site of this kind for the block."""
    with lab.Network() as network:
        site = kind.site(network)
        try:
            site.start()
            yield site
        except lab.LabError as error:
            raise lab.LabError(f"{error}\n{site.log()[-2000:]}") from error
        finally:
            site.close()
