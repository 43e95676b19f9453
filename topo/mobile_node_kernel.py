"""The mobile node's kernel: where its home address is, and its end of the tunnel.

The home address is always configured, so that connections live through every move. At home it is an address of the
device that roams. Elsewhere it is on `lo`, and a routing rule takes what comes from it to a table of its own: to the
tunnel if there is one, to nowhere if not, and for correspondents that have the binding to the device of
`topo.direct_path`. What comes from the care-of address is not concerned.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Protocol

from mip6core import addresses
from mip6core.addresses import Address
from mip6core.constants import ICMPV6, IPV6
from topo.mobile_node_engine import Settings

# Numbers of routing tables and of rules; the kernel's own are 0 (local), 32766 and 32767
HOME_TABLE: Final = 2700  # for packets from the home address
DECAPSULATION_TABLE: Final = 2741
LOCAL_TABLE: Final = 255
RULE_DECAPSULATION: Final = 10
RULE_HOME: Final = 20
RULE_LOCAL: Final = 100
# A kernel without Mobile IPv6 answers a Mobility Header or a Type 2 Routing header with a Parameter Problem, though the
# program reads them before routing. The ICMPv6 type and code, 4 and 0 to 2, are where rules look for a port.
NO_PARAMETER_PROBLEMS: Final = f"pref 9 ipproto {ICMPV6} dport {4 << 8}-{4 << 8 | 2} blackhole"
TUNNEL_DEVICE: Final = "mip6"
DIRECT_DEVICE: Final = "mip6-direct"  # the program is behind it


class KernelError(Exception):
    """The kernel refused a change; the text says which."""


class TunnelEnd(Protocol):
    """A way to make the kernel an end point of an IPv6-in-IPv6 tunnel (RFC 2473). Commands are those of `ip -6`."""

    kind: str

    def open(self, care_of_address: str) -> list[str]:
        """Accept packets from the home agent."""

    def use(self) -> list[str]:
        """Send packets to it by HOME_TABLE."""

    def close(self, care_of_address: str) -> list[str]:
        """Undo `open`; the route of `use` is taken away by the caller."""


class Ip6TunnelEnd:
    """The kernel's own tunnel device."""

    kind = "ip6tnl"

    def __init__(self, device: str, home_agent: str) -> None:
        self._device = device
        self._home_agent = home_agent

    def open(self, care_of_address: str) -> list[str]:
        return [
            f"link add {TUNNEL_DEVICE} type ip6tnl mode ip6ip6 local {care_of_address} remote {self._home_agent} "
            f"dev {self._device} encaplimit none",
            f"link set {TUNNEL_DEVICE} addrgenmode none up",
        ]

    def use(self) -> list[str]:
        return [f"route replace default dev {TUNNEL_DEVICE} table {HOME_TABLE} metric 1"]

    def close(self, care_of_address: str) -> list[str]:
        return [f"link delete {TUNNEL_DEVICE}"]


class Seg6TunnelEnd:
    """Segment routing's lightweight tunnels, for kernels without ip6tnl.

    With one segment and reduced encapsulation (RFC 8986 section 5.2) there is no routing header: what is left is
    RFC 2473. Decapsulation needs a rule before the one of the local table.
    """

    kind = "seg6"

    def __init__(self, device: str, home_agent: str) -> None:
        self._device = device
        self._home_agent = home_agent

    def open(self, care_of_address: str) -> list[str]:
        return [
            f"route replace {care_of_address}/128 table {DECAPSULATION_TABLE} "
            f"encap seg6local action End.DT6 table {LOCAL_TABLE} dev {self._device}",
            f"rule add {self._rule(care_of_address)}",
            f"sr tunsrc set {care_of_address}",
        ]

    def use(self) -> list[str]:
        return [
            f"route replace default table {HOME_TABLE} metric 1 "
            f"encap seg6 mode encap.red segs {self._home_agent} dev {self._device}"
        ]

    def close(self, care_of_address: str) -> list[str]:
        return [f"rule del {self._rule(care_of_address)}"]

    @staticmethod
    def _rule(care_of_address: str) -> str:
        return f"pref {RULE_DECAPSULATION} to {care_of_address} ipproto {IPV6} lookup {DECAPSULATION_TABLE}"


class Kernel:
    """The mobile node's network namespace. All methods raise KernelError."""

    def __init__(self, device: str, settings: Settings) -> None:
        """Prepare rules and settings; the home address goes to `lo`, silent."""
        self._device = device
        self._home_address = addresses.text(settings.home_address)
        self._home_agent = addresses.text(settings.home_agent)
        self._prefix_length = settings.home_prefix.length
        self._tunnel = self._find_tunnel()
        self._open: str | None = None  # care-of address of the tunnel
        self._used = False
        self._silent = False
        self._optimized: set[str] = set()  # correspondents
        # A host that roams configures itself, and checks its addresses while it uses them (RFC 4429): plain
        # Duplicate Address Detection costs a second at each move.
        self.optimistic = True
        for name, value in (("accept_ra", 1), ("accept_dad", 1), ("optimistic_dad", 1), ("use_optimistic", 1)):
            setting = self._setting(name)
            if setting.exists():
                setting.write_text(f"{value}\n")
            else:
                self.optimistic = False  # a kernel without it
        self._ip(
            [
                # The local table comes later, so that rules about packets to this node can come first
                f"rule add pref {RULE_LOCAL} lookup local",
                "rule del pref 0 lookup local",
                f"rule add {NO_PARAMETER_PROBLEMS}",
                f"route add unreachable default table {HOME_TABLE} metric 4096",
            ]
        )
        self.detach()

    @property
    def tunnel_kind(self) -> str:
        """What the tunnel end is made of: ip6tnl or seg6."""
        return self._tunnel.kind

    def detach(self) -> None:
        """Silence the home address and start the device's IPv6 anew, as a network manager does on carrier loss."""
        commands = self._silence()
        if self._open is not None:
            commands += self._close()
        self._ip(commands)
        disable = self._setting("disable_ipv6")
        disable.write_text("1\n")  # addresses, routes (also the tunnel's), neighbors: all gone
        disable.write_text("0\n")

    def open_tunnel(self, care_of_address: Address) -> None:
        """Accept what the home agent tunnels to a care-of address."""
        commands = self._close() if self._open is not None else []
        self._open = addresses.text(care_of_address)
        self._ip(commands + self._tunnel.open(self._open))

    def use_tunnel(self) -> None:
        """Send what comes from the home address through the tunnel."""
        self._used = True
        self._ip(self._tunnel.use())

    def close_tunnel(self) -> None:
        """The home address is silent again; what the home agent still sends is accepted."""
        self._ip(self._unuse())

    def prepare_direct_path(self, mtu: int) -> None:
        """Set up DIRECT_DEVICE, which exists already and ends by itself; `mtu` in octets."""
        self._ip([f"link set {DIRECT_DEVICE} addrgenmode none mtu {mtu} up"])

    def optimize(self, correspondent: Address) -> None:
        """Send what goes from the home address to a correspondent by DIRECT_DEVICE."""
        text = addresses.text(correspondent)
        self._optimized.add(text)
        self._ip([f"route replace {text}/128 dev {DIRECT_DEVICE} table {HOME_TABLE} metric 1"])

    def end_optimization(self, correspondent: Address) -> None:
        """Send it through the tunnel again."""
        text = addresses.text(correspondent)
        self._optimized.discard(text)
        self._ip([f"route flush {text}/128 table {HOME_TABLE}"])

    def go_home(self, home_addresses: Iterable[Address], duplicate_address_detection: bool) -> None:
        """The home address becomes an ordinary one of the device."""
        nodad = "" if duplicate_address_detection else "nodad"
        commands = [
            f"address replace {addresses.text(address)}/{self._prefix_length} dev {self._device} {nodad}"
            for address in home_addresses
        ]
        if self._silent:
            self._silent = False
            commands += [f"rule del {self._home_rule()}", f"address del {self._home_address}/128 dev lo"]
        if self._open is not None:
            commands += self._close()
        self._ip(commands)

    def set_neighbor(self, address: Address, link_layer_address: bytes) -> None:
        """Enter a neighbor as REACHABLE."""
        mac = link_layer_address.hex(":")
        self._ip([f"neighbor replace {addresses.text(address)} lladdr {mac} dev {self._device} nud reachable"])

    def restore(self) -> None:
        """Take away all that was made but the addresses of the device."""
        commands = self._close() if self._open is not None else []
        if self._silent:
            commands += [f"rule del {self._home_rule()}", f"address del {self._home_address}/128 dev lo"]
        commands += [
            f"route del unreachable default table {HOME_TABLE} metric 4096",
            f"rule del {NO_PARAMETER_PROBLEMS}",
        ]
        self._ip([*commands, "rule add pref 0 lookup local", f"rule del pref {RULE_LOCAL} lookup local"])

    def _silence(self) -> list[str]:
        if self._silent:
            return []
        self._silent = True
        return [f"rule add {self._home_rule()}", f"address add {self._home_address}/128 dev lo nodad"]

    def _close(self) -> list[str]:
        assert self._open is not None
        commands = self._unuse() + self._tunnel.close(self._open)
        self._open = None
        return commands

    def _unuse(self) -> list[str]:
        # A route is gone already if its device has lost all of its: `flush` does not mind
        commands = [f"route flush {correspondent}/128 table {HOME_TABLE}" for correspondent in self._optimized]
        self._optimized.clear()
        if self._used:
            self._used = False
            commands.append(f"route flush default table {HOME_TABLE} metric 1")
        return commands

    def _home_rule(self) -> str:
        return f"pref {RULE_HOME} from {self._home_address} lookup {HOME_TABLE}"

    def _find_tunnel(self) -> TunnelEnd:
        probe = ["ip", "link", "add", TUNNEL_DEVICE, "type", "ip6tnl", "remote", self._home_agent]
        if subprocess.run(probe, capture_output=True).returncode != 0:
            return Seg6TunnelEnd(self._device, self._home_agent)
        subprocess.run(["ip", "link", "delete", TUNNEL_DEVICE], capture_output=True, check=True)
        return Ip6TunnelEnd(self._device, self._home_agent)

    def _setting(self, name: str) -> Path:
        return Path("/proc/sys/net/ipv6/conf", self._device, name)

    def _ip(self, commands: list[str]) -> None:
        """Run commands of `ip -6` in one process: each process would cost milliseconds of a handover."""
        if not commands:
            return
        text = "\n".join(commands) + "\n"
        result = subprocess.run(["ip", "-6", "-batch", "-"], input=text, capture_output=True, text=True)
        if result.returncode != 0:
            raise KernelError(f"{result.stderr.strip()} ({'; '.join(commands)})")
