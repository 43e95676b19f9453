"""The IPsec boundary of the home agent: what arrives is unwrapped and checked, what leaves is wrapped.

For IPsec the home address is the mobile node's address: the one in a Home Address option counts as the source, the one
in a Type 2 Routing header as the destination (RFC 3776 section 4.2). Both stay outside the Encapsulating Security
Payload. In tunnel mode the outer addresses are those of the binding (RFC 3776 section 4.3).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from deploy.config.associations import BINDING, RETURN_ROUTABILITY
from mip6core import addresses
from mip6core.addresses import Address
from mip6core.codec import ipv6
from mip6core.codec.ipv6 import Datagram
from mip6core.constants import ESP, ICMPV6, IPV6, MOBILITY_HEADER, ROUTING
from ryu_apps.ipsec.esp import Exhausted, Rejected, spi_of
from ryu_apps.ipsec.policy import Association, MobileNode, RandomOctets, request_kind

if TYPE_CHECKING:
    from deploy.config import Security

LOG = logging.getLogger(__name__)

IPV6_HEADER: Final = 40
TYPE_2_HEADER: Final = 24


class Gateway:
    """All mobile nodes' associations and policies: the SAD, by SPI, and the SPD, by home address."""

    def __init__(self, security: Security, random: RandomOctets, sequence: int, statistics: dict[str, int]) -> None:
        """`sequence` is one that no packet has had before under these keys; they outlive this process."""
        self.statistics = statistics
        self._random = random
        self._nodes: dict[Address, MobileNode] = {}
        self.configure(security, sequence)

    def configure(self, security: Security, sequence: int) -> None:
        """Have these associations and policies. One that was there before goes on with its counts."""
        known = {
            (home_address, kind): association
            for home_address, node in self._nodes.items()
            for kind, association in node.associations.items()
        }
        self._accepts_clear = security.unprotected_signalling == "accept"
        self._nodes = {}
        self._by_spi: dict[int, Association] = {}
        for config in security.mobile_nodes:
            home_address = config.home_address
            associations: dict[str, Association] = {}
            for given in config.all_associations:
                association = known.get((home_address, given.kind))
                if association is None or association.config != given:
                    association = Association(home_address, given, self._random, sequence)
                associations[given.kind] = association
                self._by_spi[association.inbound.spi] = association
            said = config.unprotected_signalling
            accepts = self._accepts_clear if said is None else said == "accept"
            self._nodes[home_address] = MobileNode(associations, accepts, config.authentication is not None)
        self.active = bool(self._by_spi)  # there is some association, so that ESP concerns us
        self.admits_all = self._accepts_clear and not self._nodes  # whatever comes in clear, see `admits`

    @property
    def with_return_routability(self) -> frozenset[Address]:
        """The home addresses whose Home Tests are protected."""
        return frozenset(home for home, node in self._nodes.items() if RETURN_ROUTABILITY in node.associations)

    def return_routability(self, home_address: Address) -> Association | None:
        """The association for Home Test Init and Home Test of a mobile node."""
        node = self._nodes.get(home_address)
        return None if node is None else node.associations.get(RETURN_ROUTABILITY)

    # From mobile nodes

    def admits(self, datagram: Datagram) -> bool:
        """Whether the policy lets a packet to the home agent in that came in clear. If not, it is counted."""
        protocol = datagram.upper_protocol
        if protocol not in (MOBILITY_HEADER, ICMPV6):
            return True
        upper = datagram.upper
        node = self._nodes.get(datagram.home_address or datagram.source)
        if node is None and self._accepts_clear:
            return True
        kind = request_kind(protocol, upper)
        if node is None:
            if kind is None:
                return True
            self._count_unprotected(kind)
            return False
        for association in node.associations.values():
            if not association.tunnel and association.covers_request(protocol, upper):
                if node.accepts_clear:
                    association.in_clear = True
                    return True
                self._count_unprotected(association.kind)
                return False
        if kind is None or node.accepts_clear or (node.authenticated and kind == BINDING):
            return True
        self._count_unprotected(kind)
        return False

    def admits_from_tunnel(self, datagram: Datagram) -> bool:
        """The same for a Mobility Header out of the reverse tunnel, to somebody else."""
        association = self.return_routability(datagram.source)
        if association is None:
            return True
        fragment = bool(datagram.fragment_offset or datagram.more_fragments)
        if not fragment and not association.covers_request(datagram.upper_protocol, datagram.upper):
            return True
        if self._nodes[datagram.source].accepts_clear:
            association.in_clear = True
            return True
        self._count_unprotected(RETURN_ROUTABILITY)
        return False

    def unwrap(self, datagram: Datagram) -> tuple[Association, Datagram]:
        """The packet inside of one whose upper layer is ESP, and what it came under.

        In transport mode the packet inside has the headers of the one around it; in tunnel mode it is one of its own.
        Raises Rejected where it has to be dropped, and ParseError.
        """
        association = self._by_spi.get(spi_of(datagram.upper))
        if association is None:
            raise Rejected("esp_unknown_spi")
        if association.tunnel:
            inner = self._unwrap_tunnel(datagram, association)
        else:
            inner = self._unwrap_transport(datagram, association)
        association.in_clear = False
        self.statistics["esp_received"] += 1
        return association, inner

    def _unwrap_transport(self, datagram: Datagram, association: Association) -> Datagram:
        # RFC 6275 section 5.1: nobody uses his association on behalf of another mobile node.
        if (datagram.home_address or datagram.source) != association.home_address:
            raise Rejected("esp_home_address")
        next_header, payload = association.inbound.open(datagram.upper)
        inner = ipv6.parse(_replaced(datagram, next_header, payload))
        # Section 6.3: a Home Address option comes before ESP. One behind it would undo the check above.
        if inner.home_address != datagram.home_address or inner.type2_home_address != datagram.type2_home_address:
            raise Rejected("esp_home_address")
        if inner.fragment_id is not None or not association.covers_request(inner.upper_protocol, inner.upper):
            raise Rejected("esp_selector")
        inner.protected = True
        return inner

    def _unwrap_tunnel(self, datagram: Datagram, association: Association) -> Datagram:
        if datagram.home_address is not None or datagram.type2_home_address is not None:
            raise Rejected("esp_selector")
        next_header, payload = association.inbound.open(datagram.upper)
        if next_header != IPV6:
            raise Rejected("esp_selector")
        inner = ipv6.parse(payload)
        if inner.source != association.home_address or inner.home_address is not None:
            raise Rejected("esp_home_address")
        if inner.fragment_id is not None or not association.covers_request(inner.upper_protocol, inner.upper):
            raise Rejected("esp_selector")
        return inner

    def _count_unprotected(self, kind: str) -> None:
        self.statistics[f"dropped_unprotected_{kind}"] += 1

    # To mobile nodes

    def wrap(self, packet: bytes) -> bytes | None:
        """A packet of the home agent as its policy wants it to leave; None: it must not leave."""
        if not self.active:
            return packet
        end = IPV6_HEADER
        protocol, destination = packet[6], packet[24:40]
        if protocol == ROUTING:  # a Type 2 one: the home agent sends no other
            end += TYPE_2_HEADER
            protocol, destination = packet[IPV6_HEADER], packet[48:64]
        node = self._nodes.get(destination)
        if node is None:
            return packet
        upper = packet[end:]
        for association in node.associations.values():
            if not association.tunnel and association.covers_reply(protocol, upper):
                break
        else:
            return packet
        if association.in_clear:
            return packet
        sealed = self._seal(association, protocol, upper)
        if sealed is None:
            return None
        length = (end - IPV6_HEADER + len(sealed)).to_bytes(2, "big")
        if end == IPV6_HEADER:
            return packet[:4] + length + bytes((ESP,)) + packet[7:IPV6_HEADER] + sealed
        return packet[:4] + length + packet[6:IPV6_HEADER] + bytes((ESP,)) + packet[41:end] + sealed

    def wrap_tunnel(
        self, association: Association, inner: bytes, source: Address, care_of_address: Address
    ) -> bytes | None:
        """A packet to a mobile node inside a protected tunnel to its care-of address; None: it must not leave."""
        sealed = self._seal(association, IPV6, inner)
        traffic_class = (inner[0] << 4 | inner[1] >> 4) & 0xFF  # RFC 4301 section 5.1.2.2
        return sealed and ipv6.build(source, care_of_address, ESP, sealed, traffic_class=traffic_class)

    def _seal(self, association: Association, next_header: int, payload: bytes) -> bytes | None:
        try:
            sealed = association.outbound.seal(next_header, payload)
        except Exhausted:
            self.statistics["dropped_esp_exhausted"] += 1
            where = addresses.text(association.home_address)
            LOG.error("sequence numbers used up, replace the keys hoa=%s kind=%s", where, association.kind)
            return None
        self.statistics["esp_sent"] += 1
        return sealed


def _replaced(datagram: Datagram, next_header: int, payload: bytes) -> bytes:
    """The packet with `payload` in place of its upper layer."""
    packet, upper_offset = datagram.packet, datagram.upper_offset
    named_at, offset = 6, IPV6_HEADER
    while offset < upper_offset:  # neither AH nor a Fragment header: 8 octets are the unit of all others
        named_at = offset
        offset += 8 + packet[offset + 1] * 8
    head = bytearray(packet[:upper_offset])
    head[named_at] = next_header
    head[4:6] = (upper_offset - IPV6_HEADER + len(payload)).to_bytes(2, "big")
    return bytes(head) + payload
