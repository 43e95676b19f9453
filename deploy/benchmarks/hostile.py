"""What strangers send: frames of each kind of flood, many different ones of each."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from deploy.benchmarks.home_link import HOME_AGENT, HOST, HOST_MAC, ROUTER_MAC, HomeLink
from deploy.benchmarks.traffic import IPV6_HEADER, frame, udp_packet
from mip6core import addresses
from mip6core.addresses import Address, multicast_mac, solicited_node
from mip6core.codec import icmpv6, ipv6, mh
from mip6core.codec.icmpv6 import NeighborSolicitation
from mip6core.codec.options import AlternateCareOfAddress
from mip6core.constants import ESP, FRAGMENT, ICMPV6, MOBILITY_HEADER, ND_HOP_LIMIT

FRAMES: Final = 100_000  # different ones where something is random
ATTACKER: Final = addresses.parse("2001:db8:bad:1::666")
ATTACKER_NETWORK: Final = ATTACKER[:8]
HOME_NETWORK: Final = addresses.parse("2001:db8:1::")[:8]
IPV6: Final = 41
GRE: Final = 47
UDP: Final = 17
ANYWHERE, ONE_NETWORK, FIXED = 4, 8, 16  # `Flood.varying`
GRE_IPV6: Final = bytes.fromhex("200086dd00000000")  # with a key, as between the tunnel port and the adapter
LIFETIME_UNITS: Final = 100


@dataclass(frozen=True)
class Flood:
    """Where it comes in, and what it is."""

    ns: str
    device: str
    frames: tuple[bytes, ...]
    varying: int = 16  # octet of the source from where on it is another one each time; 16: it stays as it is


def floods(
    link: HomeLink, homes: Sequence[Address], networks: Sequence[int], rng: random.Random
) -> dict[str, Callable[[], Flood]]:
    """By name; `homes` are registered home addresses, `networks` those (64 bits) from where somebody is registered.

    Made when they are needed, since they are large.
    """
    mac = link.bridge_mac

    def everywhere() -> Address:
        return (0x2 << 60 | rng.getrandbits(61)).to_bytes(8, "big") + rng.randbytes(8)

    def one_network() -> Address:
        return ATTACKER_NETWORK + rng.randbytes(8)

    def known_network() -> Address:
        return rng.choice(networks).to_bytes(8, "big") + rng.randbytes(8)

    def any_home() -> Address:
        return HOME_NETWORK + rng.randbytes(8)

    def by_uplink(packet: Callable[[], bytes], varying: int = ANYWHERE, count: int = FRAMES) -> Callable[[], Flood]:
        return lambda: Flood(
            "router", "router0", tuple(frame(mac, ROUTER_MAC, packet()) for _ in range(count)), varying
        )

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

    def error() -> bytes:
        source = everywhere()
        message = icmpv6.DestinationUnreachable(0, ipv6.build(HOME_AGENT, everywhere(), IPV6, inner()))
        return ipv6.build(source, HOME_AGENT, ICMPV6, icmpv6.build(message, source, HOME_AGENT))

    def fragment() -> bytes:
        header = bytes((MOBILITY_HEADER, 0, 0, 1)) + rng.randbytes(4)  # the first of several
        return ipv6.build(everywhere(), HOME_AGENT, FRAGMENT, header + rng.randbytes(64))

    def optimized() -> bytes:
        home_address = any_home()
        upper = udp_packet(home_address, HOME_AGENT, 100)[IPV6_HEADER:]
        return ipv6.build(everywhere(), HOME_AGENT, UDP, upper, home_address=home_address)

    return {
        "binding updates, one source": by_uplink(lambda: binding_update(ATTACKER), FIXED, 1000),
        "binding updates, one network": by_uplink(lambda: binding_update(one_network()), ONE_NETWORK),
        "binding updates, random sources": by_uplink(lambda: binding_update(everywhere())),
        "binding updates, random sources that come again": by_uplink(lambda: binding_update(everywhere()), FIXED),
        "binding updates, known networks": by_uplink(lambda: binding_update(known_network()), ONE_NETWORK),
        "home test inits, random sources": by_uplink(
            lambda: signalling(everywhere(), None, mh.HomeTestInit(rng.randbytes(8)))
        ),
        "care-of test inits, random sources": by_uplink(
            lambda: signalling(everywhere(), None, mh.CareOfTestInit(rng.randbytes(8)))
        ),
        "ESP, random sources": by_uplink(lambda: ipv6.build(everywhere(), HOME_AGENT, ESP, rng.randbytes(88))),
        "fragments, random sources": by_uplink(fragment),
        "ICMPv6 errors, random sources": by_uplink(error),
        "unbound Home Address options, random sources": by_uplink(optimized),
        "unbound home addresses": by_uplink(lambda: udp_packet(everywhere(), any_home(), 100)),
        "solicitations, registered addresses": solicitations(lambda: rng.choice(homes)),
        "solicitations, random addresses": solicitations(any_home),
        "tunnel, one source": by_uplink(lambda: ipv6.build(ATTACKER, HOME_AGENT, IPV6, inner()), FIXED, 1000),
        "tunnel, random sources": by_uplink(lambda: ipv6.build(everywhere(), HOME_AGENT, IPV6, inner())),
        "GRE, random sources": by_uplink(lambda: ipv6.build(everywhere(), HOME_AGENT, GRE, GRE_IPV6 + inner())),
    }
