"""The classic Mobile IPv6 test bed as Mininet topologies.

    sudo mn --custom topo/campus.py --topo campus --controller none

                       remote                              mn (at home)   local
                         | 3000::/64                          |           |
                         r ------------------------- uplink0 [ br-home ]     home link 2700::/64, home agent ::2
              11::/64 /     \\ 10::/64
              visitnet     visitnet2         access routers
          1100::/64 |          | 1000::/64
            [ br-visit ]   [ br-visit2 ]     visited links, plain switches

All prefixes begin with 2001:db8:106:. r and both access routers send Router Advertisements with radvd. The home
agent is to be the LOCAL port of `br-home`. That bridge forwards nothing until `mip6ctl ovs setup` and
`mip6-manager` have run: the controller is ours, and Mininet starts none. The topology `campus-two-bridges` has
uplink0 on a bridge of its own, `br-uplink`, which setup joins to `br-home`.

In `campus-route-optimization` home is far away, and `remote` is behind an edge switch of its own, `br-edge`, which is
to do route optimisation for it; the tunnel end point 3000::2 is to be its LOCAL port:

                       remote
                         |
                     [ br-edge ] edge0 ---- r ---- line, 5 ms ---- uplink0 [ br-home ]

This file imports nothing of ours: Mininet executes it by itself.
"""

from __future__ import annotations

import logging
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from mininet.node import Node, OVSSwitch
from mininet.topo import Topo

logging.setLoggerClass(logging.Logger)  # that import has made Mininet's own the class of everybody's loggers

HOME_PREFIX: Final = "2001:db8:106:2700::/64"
HOME_AGENT: Final = "2001:db8:106:2700::2"
HOME_ADDRESS: Final = "2001:db8:106:2700::100"
ROUTER: Final = "2001:db8:106:2700::1"
LOCAL_CORRESPONDENT: Final = "2001:db8:106:2700::3"
REMOTE_CORRESPONDENT: Final = "2001:db8:106:3000::3"
REMOTE_PREFIX: Final = "2001:db8:106:3000::/64"
REMOTE_ROUTER: Final = "2001:db8:106:3000::1"
EDGE_ADDRESS: Final = "2001:db8:106:3000::2"  # of the edge switch
VISITED_PREFIXES: Final = {"visitnet": "2001:db8:106:1100::/64", "visitnet2": "2001:db8:106:1000::/64"}

HOME_BRIDGE: Final = "br-home"
UPLINK_BRIDGE: Final = "br-uplink"  # of the variant with two bridges
UPLINK: Final = "uplink0"
EDGE_BRIDGE: Final = "br-edge"  # of the variant for route optimisation
EDGE_UPLINK: Final = "edge0"
LINE_DELAY: Final = 5  # milliseconds one way, in that variant
BRIDGES: Final = {"home": HOME_BRIDGE, "visitnet": "br-visit", "visitnet2": "br-visit2"}
MOBILE_NODE: Final = "mn"
MOBILE_DEVICE: Final = "mn-eth0"
MOBILE_PORT: Final = "mn-port"  # the switch's end of the mobile node's link: this one moves

HOME_AGENT_MAC: Final = "02:00:00:00:27:02"
EDGE_MAC: Final = "02:00:00:00:30:02"

# RFC 6275 section 7.5 lets routers that serve mobile nodes advertise every 0.03 to 0.07 s, and section 13 wants the
# least delay to follow: with its default of 3 s, radvd would be silent that long after each Router Solicitation.
RADVD_INTERFACE: Final = """interface {device} {{
    AdvSendAdvert on;
    MinRtrAdvInterval 0.03;
    MaxRtrAdvInterval 0.07;
    MinDelayBetweenRAs 0.03;
    AdvDefaultLifetime 10;
    AdvIntervalOpt on;
    prefix {prefix} {{ AdvOnLink on; AdvAutonomous on; AdvValidLifetime 600; AdvPreferredLifetime 300; }};
}};
"""


class CampusNode(Node):
    """A host that is configured with IPv6 only.

    Duplicate Address Detection is off: it takes a second for addresses that are known to be unique. The program
    of the mobile node turns it on again for the device that roams.
    """

    forwarding = 0

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, **params)
        for scope in ("all", "default"):
            self.must(f"sysctl -qw net.ipv6.conf.{scope}.forwarding={self.forwarding}")
            self.must(f"sysctl -qw net.ipv6.conf.{scope}.accept_dad=0")

    def config(
        self, addresses: Mapping[str, str] | None = None, routes: Sequence[str] = (), **params: Any
    ) -> dict[str, Any]:
        """Configure `addresses` (device: address with prefix length) and `routes` (as `ip route` has them)."""
        result: dict[str, Any] = super().config(**params)
        for device in self.intfNames():
            self.must(f"ethtool -K {device} tx off")
        for device, address in (addresses or {}).items():
            self.must(f"ip -6 address replace {address} dev {device} nodad")
        for route in routes:
            self.must(f"ip -6 route replace {route}")
        return result

    def must(self, command: str) -> None:
        """Run a command in the node; RuntimeError with what it printed if it fails."""
        printed, complained, status = self.pexec(shlex.split(command))
        if status:
            raise RuntimeError(f"{self.name}: {command}: {(complained or printed).strip()}")


class CampusRouter(CampusNode):
    """A router, with radvd on the links where it advertises a prefix."""

    forwarding = 1
    _radvd: subprocess.Popen[bytes] | None = None
    _directory: Path | None = None

    def config(
        self,
        addresses: Mapping[str, str] | None = None,
        routes: Sequence[str] = (),
        advertise: Mapping[str, str] | None = None,
        **params: Any,
    ) -> dict[str, Any]:
        """As for a host, and advertise prefixes: device to prefix."""
        result = super().config(addresses, routes, **params)
        if advertise:
            self._directory = Path(tempfile.mkdtemp(prefix="radvd-"))
            configuration = self._directory / "radvd.conf"
            configuration.write_text("".join(RADVD_INTERFACE.format(device=d, prefix=p) for d, p in advertise.items()))
            log = self._directory / "log"
            words = f"radvd -n -C {configuration} -p {self._directory}/pid -m logfile -l {log}"
            self._radvd = self.popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return result

    def terminate(self) -> None:
        """End radvd, and the node."""
        if self._radvd is not None:
            self._radvd.terminate()
            self._radvd.wait()
            self._radvd = None
        if self._directory is not None:
            shutil.rmtree(self._directory)
            self._directory = None
        super().terminate()


class LongLine(CampusNode):
    """Joins its two devices; everything takes LINE_DELAY from one to the other."""

    _program: subprocess.Popen[bytes] | None = None

    def config(self, **params: Any) -> dict[str, Any]:  # type: ignore[override]
        """Called by Mininet."""
        result = super().config(**params)
        for device in self.intfNames():
            self.must(f"sysctl -qw net.ipv6.conf.{device}.disable_ipv6=1")
        here = type(self).config.__code__.co_filename  # the `mn` command gives no __file__
        program = str(Path(here).resolve().with_name("delay_line.py"))
        words = [sys.executable, program, *self.intfNames(), str(LINE_DELAY)]
        self._program = self.popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return result

    def terminate(self) -> None:
        """End the program, and the node."""
        if self._program is not None:
            self._program.terminate()
            self._program.wait()
            self._program = None
        super().terminate()


class CampusSwitch(OVSSwitch):
    """A bridge of the userspace datapath without a controller of Mininet's; a plain switch by default."""

    def __init__(self, name: str, fail_mode: str = "standalone", **params: Any) -> None:
        params.update(failMode=fail_mode, datapath="user", batch=False, protocols="OpenFlow13,OpenFlow15")
        super().__init__(name, **params)

    def start(self, controllers: Sequence[Any]) -> None:
        """Make the bridge; `controllers` are not ours and are left out."""
        for device in self.data_ports():
            # An address here would answer Neighbor Discovery past the switch
            _root(f"sysctl -qw net.ipv6.conf.{device}.disable_ipv6=1")
            _root(f"ethtool -K {device} tx off")
        super().start([])

    def data_ports(self) -> list[str]:
        """The devices that are ports of the bridge."""
        return [name for name in self.intfNames() if name != "lo"]


class HomeBridge(CampusSwitch):
    """The home link's bridge as it is before `mip6ctl ovs setup` makes it a home agent."""

    mac = HOME_AGENT_MAC

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, fail_mode="secure", **params)

    def start(self, controllers: Sequence[Any]) -> None:
        """Make the bridge. Its LOCAL port keeps its link-layer address and does not configure itself."""
        super().start(controllers)
        _root(f"ovs-vsctl set bridge {self} other_config:hwaddr='\"{self.mac}\"'")
        _root(f"sysctl -qw net.ipv6.conf.{self}.accept_ra=0")


class EdgeBridge(HomeBridge):
    """The remote correspondent's bridge, as it is before setup, too."""

    mac = EDGE_MAC


class CampusTopo(Topo):
    """The test bed with the home link and its uplink on one bridge."""

    def build(self) -> None:
        """Called by Mininet."""
        home = self.addSwitch(HOME_BRIDGE, cls=HomeBridge, dpid="2700")
        self._host(MOBILE_NODE)
        self._host("local", addresses={"local-eth0": f"{LOCAL_CORRESPONDENT}/64"})
        self._host(
            "remote",
            addresses={"remote-eth0": f"{REMOTE_CORRESPONDENT}/64"},
            routes=[f"default via {REMOTE_ROUTER}"],
        )
        self._host(
            "r",
            cls=CampusRouter,
            addresses={
                "r-home": f"{ROUTER}/64",
                "r-remote": f"{REMOTE_ROUTER}/64",
                "r-visitnet": "2001:db8:106:11::1/64",
                "r-visitnet2": "2001:db8:106:10::1/64",
            },
            routes=[
                f"{VISITED_PREFIXES['visitnet']} via 2001:db8:106:11::2",
                f"{VISITED_PREFIXES['visitnet2']} via 2001:db8:106:10::2",
            ],
            advertise={"r-home": HOME_PREFIX},
        )
        # Link-layer addresses tell the link and the node, so that people can read captures
        self.uplink("r-home", "27:01", home)
        self.link("local", "local-eth0", "27:03", home, "local-port")
        self.link(MOBILE_NODE, MOBILE_DEVICE, "01:00", home, MOBILE_PORT)
        self.remote_link("remote-eth0", "30:03", "r-remote", "30:01")
        self._visited("visitnet", "11")
        self._visited("visitnet2", "10")

    def uplink(self, device: str, mac: str, home: str) -> None:
        """From r's device to the home link's bridge."""
        self.link("r", device, mac, home, UPLINK)

    def remote_link(self, device: str, mac: str, router_device: str, router_mac: str) -> None:
        """From the remote correspondent's device to r's."""
        self.link("remote", device, mac, "r", router_device)

    def _visited(self, name: str, link: str) -> None:
        """An access router, its way to r, and its link."""
        bridge = self.addSwitch(BRIDGES[name], cls=CampusSwitch, dpid=f"{link}00")
        prefix = VISITED_PREFIXES[name]
        self._host(
            name,
            cls=CampusRouter,
            addresses={
                f"{name}-up": f"2001:db8:106:{link}::2/64",
                f"{name}-link": prefix.replace("::", "::1"),
            },
            routes=[f"default via 2001:db8:106:{link}::1"],
            advertise={f"{name}-link": prefix},
        )
        self.link(name, f"{name}-up", f"{link}:02", "r", f"r-{name}")
        self.link(name, f"{name}-link", f"{link}:fe", bridge, f"{name}-port")

    def _host(self, name: str, cls: type[Node] = CampusNode, **params: Any) -> None:
        self.addHost(name, cls=cls, ip=None, **params)

    def link(self, node: str, device: str, mac: str, other: str, other_device: str) -> None:
        """Join two nodes; `mac` is the end of the first one's link-layer address."""
        self.addLink(node, other, intfName1=device, intfName2=other_device, addr1=f"02:00:00:00:{mac}")


class TwoBridgeCampusTopo(CampusTopo):
    """The test bed with uplink0 on a bridge of its own."""

    def uplink(self, device: str, mac: str, home: str) -> None:
        """To the second bridge. `mip6ctl ovs setup` joins it to the home link."""
        self.link("r", device, mac, self.addSwitch(UPLINK_BRIDGE, cls=CampusSwitch, dpid="2701"), UPLINK)


class RouteOptimizationCampusTopo(CampusTopo):
    """The test bed where the way through the home agent is long and the remote correspondent has an edge switch."""

    def uplink(self, device: str, mac: str, home: str) -> None:
        """By a long line."""
        self._host("line", cls=LongLine)
        self.link("r", device, mac, "line", "line-r")
        self.addLink("line", home, intfName1="line-home", intfName2=UPLINK)

    def remote_link(self, device: str, mac: str, router_device: str, router_mac: str) -> None:
        """Through the edge switch."""
        edge = self.addSwitch(EDGE_BRIDGE, cls=EdgeBridge, dpid="3000")
        self.link("remote", device, mac, edge, "remote-port")
        self.link("r", router_device, router_mac, edge, EDGE_UPLINK)


def move(place: str) -> None:
    """Plug the mobile node in at `place` (a key of BRIDGES): carrier down, other bridge, carrier up."""
    bridge = BRIDGES[place]
    _root(f"ip link set {MOBILE_PORT} down")
    _root(f"ovs-vsctl --if-exists del-port {MOBILE_PORT} -- add-port {bridge} {MOBILE_PORT}")
    _root(f"ip link set {MOBILE_PORT} up")


def _root(command: str) -> None:
    """Run a command where the switches are; RuntimeError with what it printed if it fails."""
    result = subprocess.run(shlex.split(command), capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"{command}: {(result.stderr or result.stdout).strip()}")


topos = {
    "campus": CampusTopo,
    "campus-two-bridges": TwoBridgeCampusTopo,
    "campus-route-optimization": RouteOptimizationCampusTopo,
}
