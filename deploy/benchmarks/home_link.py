"""The network of the data path benchmark: a home link with a real switch, shim and controller.

    host --- br-home (home agent) --- uplink0 === shim === router --- (care-of addresses)

One-armed: the home agent's address, the home link and the way to everywhere else are on one bridge.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import sys
import urllib.request
from pathlib import Path
from typing import Any, Final

from deploy import ovs
from deploy.benchmarks.traffic import frame
from deploy.config import load
from mip6core import addresses
from mip6core.addresses import Address
from mip6core.codec import ipv6, mh
from mip6core.codec.options import AlternateCareOfAddress
from mip6core.constants import MOBILITY_HEADER
from ryu_apps.cookies import CATEGORY_MASK, Category, cookie
from topo import lab
from topo.lab import End, Network

BRIDGE: Final = "br-home"
HOST_MAC: Final = bytes.fromhex("02000000000c")
ROUTER_MAC: Final = bytes.fromhex("0200000000fe")
HOST: Final = addresses.parse("2001:db8:1::c")
ROUTER: Final = addresses.parse("2001:db8:1::1")
HOME_AGENT: Final = addresses.parse("2001:db8:1::2")
CARE_OF_PREFIX: Final = "2001:db8:f::/64"
LIFETIME_UNITS: Final = 900  # an hour
BURST: Final = 64  # Binding Updates sent at once; the switch's socket for a device takes about 200 small packets
RETRANSMIT: Final = 1.0  # seconds, INITIAL_BINDACK_TIMEOUT of RFC 6275 section 12
API: Final = "http://127.0.0.1:8080"

CONFIG: Final = f"""
limits: {{punt_rates: {{signalling: 1000000}}}}
security: {{unprotected_signalling: accept}}
home_links:
  - name: bench
    bridge: {BRIDGE}
    address: {addresses.text(HOME_AGENT)}
    prefixes: ["2001:db8:1::/64"]
    router: {addresses.text(ROUTER)}
    uplinks: [uplink0]
correspondent_links:
  - {{name: hosts, bridge: {BRIDGE}, prefixes: ["2001:db8:1::/64"]}}
"""


def home_address(index: int) -> Address:
    """Of mobile node number `index`."""
    return _numbered("2001:db8:1", index)


def care_of_address(index: int) -> Address:
    """Of mobile node number `index`."""
    return _numbered("2001:db8:f", index)


def elsewhere(index: int) -> Address:
    """Correspondent number `index` behind the router: nobody's home address."""
    return _numbered("2001:db8:3", index)


def _numbered(network: str, index: int) -> Address:
    return addresses.parse(f"{network}::1:{index >> 16:x}:{index & 0xFFFF:x}")


class HomeLink:
    """The network with everything running; `register` makes bindings."""

    def __init__(self, network: Network, configuration: str = CONFIG, log_level: str = "warning") -> None:
        """`configuration` is the controller's, for this network."""
        network.namespace("host")
        network.namespace("router", forwarding=True)
        network.veth(End("host-port", switch_port=True), End("host0", "host", HOST_MAC.hex(":")))
        network.veth(End("uplink0"), End("router0", "router", ROUTER_MAC.hex(":")))
        lab.run(f"ip addr add {addresses.text(HOST)}/64 dev host0 nodad", "host")
        lab.run(f"ip addr add {addresses.text(ROUTER)}/64 dev router0 nodad", "router")
        lab.run(f"ip -6 route add blackhole {CARE_OF_PREFIX}", "router")  # where acknowledgements end
        config = network.directory / "config.yaml"
        config.write_text(configuration)
        self.config = load(config)
        ovs.apply(ovs.plan(self.config))
        lab.run(["ovs-vsctl", "add-port", BRIDGE, "host-port"])
        self.bridge_mac = bytes.fromhex(Path(f"/sys/class/net/{BRIDGE}/address").read_text().strip().replace(":", ""))
        self.controller = network.background(
            [sys.executable, "-m", "ryu_apps.launcher", "--config", str(config), "--log-level", log_level]
        )
        lab.wait_until(lambda: api("/readyz"), "the controller", timeout=20)
        # NORMAL must have learnt where host and router are, or it floods.
        lab.run(["ping", "-c", "1", "-W", "5", addresses.text(ROUTER)], "host")

    def close(self) -> None:
        """Take away what setup has made, where the lab is used again; the rest is the network's."""
        ovs.apply(ovs.plan_teardown(self.config))

    def register(self, count: int) -> None:
        """Have mobile nodes 0 to `count` - 1 send Binding Updates from the router's side, until all are bound."""
        with lab.inside("router"):
            sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        with sender:
            sender.bind(("router0", 0))
            for start in range(0, count, BURST):
                self._register_some(sender, range(start, min(start + BURST, count)))
        lab.wait_until(lambda: _bindings()["bound"] == count, f"{count} bindings")

    def _register_some(self, sender: socket.socket, nodes: range) -> None:
        """Send the nodes' Binding Updates, again where one got lost, until the controller knows all of them."""
        updates = [self._binding_update(index) for index in nodes]

        def known() -> bool:
            for update in updates:
                sender.send(update)
            with contextlib.suppress(lab.LabError):
                return lab.wait_until(lambda: sum(_bindings().values()) >= nodes.stop, "", RETRANSMIT)
            return False

        lab.wait_until(known, f"the controller to know mobile node {nodes.stop - 1}", timeout=20)

    def _binding_update(self, index: int) -> bytes:
        home, care_of = home_address(index), care_of_address(index)
        flags = mh.BU_ACKNOWLEDGE | mh.BU_HOME_REGISTRATION
        update = mh.BindingUpdate(1, flags, LIFETIME_UNITS, (AlternateCareOfAddress(care_of),))
        upper = mh.build(update, home, HOME_AGENT)
        packet = ipv6.build(care_of, HOME_AGENT, MOBILITY_HEADER, upper, home_address=home)
        return frame(self.bridge_mac, ROUTER_MAC, packet)


def flow_packets(category: Category) -> int:
    """Packets that the flows of one kind have carried; the switch may be some seconds behind."""
    match = f"cookie={cookie(category, 0):#x}/{CATEGORY_MASK:#x}"
    counted = lab.run(["ovs-ofctl", "-O", "OpenFlow13", "dump-aggregate", BRIDGE, match]).stdout
    found = re.search(r"packet_count=(\d+)", counted)
    if found is None:
        raise lab.LabError(f"ovs-ofctl dump-aggregate: {counted}")
    return int(found[1])


def _bindings() -> dict[str, int]:
    """How many bindings there are, by state."""
    found: dict[str, int] = api("/v1/statistics")["bindings"]
    return found


def api(path: str) -> Any:
    """What the controller's REST API answers."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # it is near: no proxy of the environment
    with opener.open(API + path, timeout=5) as answer:
        return json.load(answer)
