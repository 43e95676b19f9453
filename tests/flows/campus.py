"""The campus of these tests: the real switch, controller and adapter between real network stacks.

              local       neighbour     stranger                 remote
                |             |            |                        | 2001:db8:9::/64
              [ br-home, home agent         ] uplink0 ===== home0 router ---+
                 2001:db8:1::/64                                   |  |  |
                                                    2001:db8:f1::/64, f2  f3
                                                            mobile 1      mobile 2

The remote correspondent may be behind a switch of its own, `br-edge`, whose uplink is edge0.

In the layout with two bridges the stranger and uplink0 are on `br-uplink`, joined to `br-home` by a patch pair.
"""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any, Final

import yaml

from deploy.shim import libbpf
from tests.flows.stations import MobileNode, Station, VisitedLink
from tests.flows.switch import Switch
from topo import lab
from topo.lab import End, Program, run

ROOT: Final = Path(__file__).resolve().parents[2]

BRIDGE: Final = "br-home"
UPLINK: Final = "uplink0"
HOME_AGENT: Final = "2001:db8:1::2"
HOME_PREFIX: Final = "2001:db8:1::/64"
ROUTER: Final = Station("router", "home0", "02:00:00:00:01:01", "2001:db8:1::1")
LOCAL: Final = Station("local", "local0", "02:00:00:00:01:0c", "2001:db8:1::c")
NEIGHBOUR: Final = Station("neighbour", "neighbour0", "02:00:00:00:01:0e", "2001:db8:1::e")
STRANGER: Final = Station("stranger", "stranger0", "02:00:00:00:01:0f", "2001:db8:1::f")
REMOTE_GATEWAY_MAC: Final = "02:00:00:00:09:01"
REMOTE: Final = Station("remote", "remote0", "02:00:00:00:09:09", "2001:db8:9::9")
LINKS: Final = tuple(
    VisitedLink(
        f"visited{number}",
        f"02:00:00:00:f{number}:10",
        f"2001:db8:f{number}::100",
        f"2001:db8:f{number}::1",
        f"02:00:00:00:f{number}:01",
    )
    for number in (1, 2, 3)
)
HOME_ADDRESS: Final = "2001:db8:1::100"
SECOND_HOME_ADDRESS: Final = "2001:db8:1::200"
EDGE: Final = "br-edge"  # where there is a switch in front of the remote correspondent
EDGE_ADDRESS: Final = "2001:db8:9::2"
TUNNEL_MTU: Final = 1460  # 1500 on the wire, less an IPv6 header
COUNTERS: Final = ("packets_out", "bytes_out", "packets_in", "bytes_in", "counted_at")  # of a binding
REST: Final = "http://127.0.0.1:8080"

# What no test may leave in the manager's log.
COMPLAINTS: Final = ("Traceback", "level=ERROR", "level=CRITICAL", "Exception ignored")


@dataclass(frozen=True)
class Settings:
    """What differs between campuses."""

    name: str = "one-armed"
    link: dict[str, Any] = field(default_factory=dict)  # more keys of the home link in the configuration file
    correspondents: dict[str, Any] | None = None  # the correspondent link, if there is one
    limits: dict[str, Any] = field(default_factory=dict)
    security: dict[str, Any] = field(default_factory=lambda: {"unprotected_signalling": "accept"})
    operators_flows: tuple[str, ...] = ()  # on the home link's bridge, beside ours


TWO_BRIDGES: Final = Settings("two-bridges", link={"uplink_bridge": "br-uplink"})


class Manager:
    """The controller as a process, asked over REST."""

    def __init__(self, network: lab.Network, config: Path) -> None:
        self._network = network
        self._config = config
        self.program: Program | None = None
        self.logs: list[Path] = []
        self.excused: list[str] = []  # complaints that a test has asked for

    def start(self) -> None:
        """Start it, and do not wait."""
        words = [sys.executable, "-m", "ryu_apps.launcher", "--config", str(self._config), "--log-level", "info"]
        self.program = self._network.background(["env", f"PYTHONPATH={ROOT}", *words])
        self.logs.append(self.program.log)

    def wait_ready(self) -> None:
        """Wait until the switch has its flows."""
        lab.wait_until(lambda: self.ready(), "the manager to be ready", timeout=15, interval=0.05)

    def ready(self) -> bool:
        return self.request("/readyz")[0] == 200

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        assert self.program is not None
        return self.program.stop()

    def kill(self) -> None:
        """SIGKILL: no chance to say good-bye."""
        assert self.program is not None
        self.program.process.kill()
        self.program.process.wait()

    def request(self, path: str, method: str = "GET") -> tuple[int, Any]:
        """Status and JSON body (None if empty) of an answer. OSError if nobody answers."""
        try:
            with urllib.request.urlopen(urllib.request.Request(REST + path, method=method), timeout=5) as answer:
                body = answer.read()
                return answer.status, json.loads(body) if body else None
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def get(self, path: str) -> Any:
        status, body = self.request(path)
        assert status == 200, body
        return body

    def binding(self, home_address: str) -> dict[str, Any] | None:
        """The binding of a home address, without what changes by itself."""
        status, body = self.request(f"/v1/bindings/{home_address}")
        assert status in (200, 404), body
        return None if status == 404 else {k: v for k, v in body.items() if k not in ("remaining_lifetime", *COUNTERS)}

    def statistics(self, group: str = "shell") -> dict[str, int]:
        found: dict[str, int] = self.get("/v1/statistics")[group]
        return found

    def punted(self) -> dict[str, int]:
        """How many packets came to the controller, by kind."""
        prefix = "punted_"
        statistics = self.statistics()
        return {name[len(prefix) :]: count for name, count in statistics.items() if name.startswith(prefix)}

    def log(self) -> str:
        return "".join(log.read_text(errors="replace") for log in self.logs)

    def complaints(self) -> list[str]:
        """Lines of the log that tell of bugs."""
        lines = [line for line in self.log().splitlines() if any(word in line for word in COMPLAINTS)]
        return [line for line in lines if not any(excuse in line for excuse in self.excused)]


class Campus:
    """The whole network and the controller. The mobile nodes are away, and not registered at first."""

    def __init__(self, network: lab.Network, settings: Settings) -> None:
        self.settings = settings
        self.network = network
        self.switch = Switch(BRIDGE)
        self.config = network.directory / "mip6.yaml"
        self.config.write_text(yaml.safe_dump(configuration(settings)))
        self.manager = Manager(network, self.config)
        self.mobile = MobileNode("mobile1", HOME_ADDRESS, HOME_AGENT, LINKS[:2])
        self.second = MobileNode("mobile2", SECOND_HOME_ADDRESS, HOME_AGENT, LINKS[2:])
        self.tunnel_port = f"mip6-{BRIDGE}"
        self.bridge_mac = ""  # known when the bridge is there

    def start(self) -> None:
        """Build, provision and start everything."""
        self.manager.start()  # takes a second
        self._build()
        self._provision()
        self.bridge_mac = Path(f"/sys/class/net/{BRIDGE}/address").read_text().strip()
        self.manager.wait_ready()
        # Reachability of the router is the tunnel's business too: OVS learns its MAC address from what it sees.
        lab.wait_until(lambda: ROUTER.address in run("ovs-appctl tnl/neigh/show").stdout, "OVS to know the router")

    @property
    def has_edge(self) -> bool:
        """The remote correspondent is behind a switch of its own."""
        correspondents = self.settings.correspondents
        return correspondents is not None and correspondents["bridge"] == EDGE

    def _build(self) -> None:
        network = self.network
        for station in (LOCAL, NEIGHBOUR, STRANGER, REMOTE, ROUTER):
            network.namespace(station.ns, forwarding=station is ROUTER)
        network.veth(End(UPLINK, switch_port=True), End(ROUTER.device, ROUTER.ns, ROUTER.mac))
        if self.has_edge:
            network.veth(End("edge0", switch_port=True), End("to-remote", ROUTER.ns, REMOTE_GATEWAY_MAC))
            network.veth(End("remote-port", switch_port=True), End(REMOTE.device, REMOTE.ns, REMOTE.mac))
        else:
            network.veth(End("to-remote", ROUTER.ns, REMOTE_GATEWAY_MAC), End(REMOTE.device, REMOTE.ns, REMOTE.mac))
        run(f"ip addr add {ROUTER.address}/64 dev {ROUTER.device} nodad", ROUTER.ns)
        run("ip addr add 2001:db8:9::1/64 dev to-remote nodad", ROUTER.ns)
        run(f"ip addr add {REMOTE.address}/64 dev {REMOTE.device} nodad", REMOTE.ns)
        run("ip -6 route add default via 2001:db8:9::1", REMOTE.ns)
        for station in (LOCAL, NEIGHBOUR, STRANGER):
            port = f"{station.ns}-port"
            network.veth(End(port, switch_port=True), End(station.device, station.ns, station.mac))
            run(f"ip addr add {station.address}/64 dev {station.device} nodad", station.ns)
            run(f"ip -6 route add default via {ROUTER.address}", station.ns)
        for node in (self.mobile, self.second):
            network.namespace(node.ns)
            for link in node.links:
                device = f"to-{link.device}"
                network.veth(End(device, ROUTER.ns, link.router_mac), End(link.device, node.ns, link.mac))
                run(f"ip addr add {link.router}/64 dev {device} nodad", ROUTER.ns)
            node.configure()

    def _provision(self) -> None:
        self.ctl("ovs", "setup", "--config", str(self.config))
        run("ovs-vsctl set Open_vSwitch . other_config:max-revalidator=100")  # ms until counters are up to date
        for station in (LOCAL, NEIGHBOUR):
            run(f"ovs-vsctl add-port {BRIDGE} {station.ns}-port")
        if self.has_edge:
            run(f"ovs-vsctl add-port {EDGE} remote-port")
        run(f"ovs-vsctl add-port {self.settings.link.get('uplink_bridge', BRIDGE)} {STRANGER.ns}-port")
        for flow in self.settings.operators_flows:
            self.switch.ofctl("add-flow", flow)
        lab.wait_for_addresses()

    def close(self) -> None:
        """Take away what setup has made; the rest is the network's."""
        self.ctl("ovs", "teardown", "--config", str(self.config))

    def ctl(self, *words: str) -> str:
        """Run mip6ctl."""
        return run(["env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "rest.cli.main", *words]).stdout

    def register(self, *nodes: MobileNode, **fields: Any) -> None:
        """Register mobile nodes where they are; Duplicate Address Detection runs for all at once."""
        with ExitStack() as recorders:
            sent = []
            for node in nodes:
                recorder = recorders.enter_context(node.recording())
                update = node.binding_update(**fields)
                recorder.send(update)
                sent.append((node, recorder, update))
            assert [node.status(recorder, update) for node, recorder, update in sent] == [0] * len(nodes)


def known_sources() -> set[str]:
    """Of whom the adapter on the uplink knows that somebody is registered there."""
    (pin,) = Path("/sys/fs/bpf/mip6").glob(f"*/{UPLINK}/known_sources")
    with libbpf.pinned(pin) as fd:
        assert fd is not None
        return {str(IPv6Address(key)) for key, _ in libbpf.map_items(fd)}


def configuration(settings: Settings) -> dict[str, Any]:
    """The YAML file as a mapping."""
    link: dict[str, Any] = {
        "name": "homenet",
        "bridge": BRIDGE,
        "address": HOME_AGENT,
        "prefixes": [HOME_PREFIX],
        "router": ROUTER.address,
        "uplinks": [UPLINK],
    }
    links: dict[str, Any] = {"home_links": [{**link, **settings.link}]}
    if settings.correspondents is not None:
        links["correspondent_links"] = [settings.correspondents]
    return {**links, "limits": settings.limits, "security": settings.security}
