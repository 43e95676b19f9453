"""What strangers send: frames of each kind of flood, many different ones of each."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from deploy.benchmarks.home_link import HOME_AGENT, HOST, HOST_MAC, ROUTER_MAC, HomeLink
from deploy.benchmarks.traffic import frame, udp_packet
from mip6core import addresses
from mip6core.addresses import Address, multicast_mac, solicited_node
from mip6core.codec import icmpv6, ipv6, mh
from mip6core.codec.icmpv6 import NeighborSolicitation
from mip6core.codec.options import AlternateCareOfAddress
from mip6core.constants import ESP, ICMPV6, MOBILITY_HEADER, ND_HOP_LIMIT

FRAMES: Final = 100_000  # different ones where something is random
ATTACKER: Final = addresses.parse("2001:db8:bad:1::666")
ATTACKER_NETWORK: Final = ATTACKER[:8]
HOME_NETWORK: Final = addresses.parse("2001:db8:1::")[:8]
IPV6: Final = 41
GRE: Final = 47
GRE_IPV6: Final = bytes.fromhex("200086dd00000000")  # with a key, as between the tunnel port and the adapter
LIFETIME_UNITS: Final = 100


@dataclass(frozen=True)
class Flood:
    """Where it comes in, and what it is."""

    ns: str
    device: str
    frames: tuple[bytes, ...]


def floods(link: HomeLink, homes: Sequence[Address], rng: random.Random) -> dict[str, Callable[[], Flood]]:
    """By name; `homes` are registered home addresses. Made when they are needed, since they are large."""
    mac = link.bridge_mac

    def everywhere() -> Address:
        return (0x2 << 60 | rng.getrandbits(61)).to_bytes(8, "big") + rng.randbytes(8)

    def one_network() -> Address:
        return ATTACKER_NETWORK + rng.randbytes(8)

    def any_home() -> Address:
        return HOME_NETWORK + rng.randbytes(8)

    def by_uplink(packet: Callable[[], bytes], count: int = FRAMES) -> Callable[[], Flood]:
        return lambda: Flood("router", "router0", tuple(frame(mac, ROUTER_MAC, packet()) for _ in range(count)))

    def signalling(source: Address, home_address: Address | None, message: mh.Message) -> bytes:
        upper = mh.build(message, home_address or source, HOME_AGENT)
        return ipv6.build(source, HOME_AGENT, MOBILITY_HEADER, upper, home_address=home_address)

    def binding_update(source: Address) -> bytes:
        flags = mh.BU_ACKNOWLEDGE | mh.BU_HOME_REGISTRATION
        options = (AlternateCareOfAddress(source),)
        return signalling(source, any_home(), mh.BindingUpdate(rng.getrandbits(16), flags, LIFETIME_UNITS, options))

    def solicitation(target: Address) -> bytes:
        group = solicited_node(target)
        source = HOME_NETWORK + rng.randbytes(8)
        upper = icmpv6.build(NeighborSolicitation(target, HOST_MAC), source, group)
        return frame(multicast_mac(group), HOST_MAC, ipv6.build(source, group, ICMPV6, upper, hop_limit=ND_HOP_LIMIT))

    def solicitations(target: Callable[[], Address]) -> Callable[[], Flood]:
        return lambda: Flood("host", "host0", tuple(solicitation(target()) for _ in range(FRAMES)))

    def inner() -> bytes:
        return udp_packet(rng.choice(homes), HOST, 100)

    return {
        "binding updates, one source": by_uplink(lambda: binding_update(ATTACKER), 1000),
        "binding updates, one network": by_uplink(lambda: binding_update(one_network())),
        "binding updates, random sources": by_uplink(lambda: binding_update(everywhere())),
        "home test inits, random sources": by_uplink(
            lambda: signalling(everywhere(), None, mh.HomeTestInit(rng.randbytes(8)))
        ),
        "ESP, random sources": by_uplink(lambda: ipv6.build(everywhere(), HOME_AGENT, ESP, rng.randbytes(88))),
        "solicitations, registered addresses": solicitations(lambda: rng.choice(homes)),
        "solicitations, random addresses": solicitations(any_home),
        "tunnel, one source": by_uplink(lambda: ipv6.build(ATTACKER, HOME_AGENT, IPV6, inner()), 1000),
        "tunnel, random sources": by_uplink(lambda: ipv6.build(everywhere(), HOME_AGENT, IPV6, inner())),
        "GRE, random sources": by_uplink(lambda: ipv6.build(everywhere(), HOME_AGENT, GRE, GRE_IPV6 + inner())),
    }
