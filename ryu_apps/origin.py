"""Where a punted packet came from: what the match of a packet-in tells beside the frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mip6core.addresses import Address
from mip6core.codec.ipv6 import HOME_ADDRESS_OPTION
from mip6core.constants import DESTINATION_OPTIONS
from ryu_apps import oxm

_PADDED_OPTION: Final = b"\x01\x02\0\0" + bytes((HOME_ADDRESS_OPTION, 16))  # PadN, for the alignment of 8n + 6


@dataclass(frozen=True, slots=True)
class Origin:
    """What the flows have matched on before they punted the packet."""

    in_port: int = 0
    tunnel_source: Address | None = None  # of a packet that the tunnel port has taken apart
    from_tunnel: bool = False  # out of the reverse tunnel; also a packet that was held up on its way from there

    @classmethod
    def of(cls, fields: bytes) -> Origin:
        """From the OXM fields of a packet-in's match."""
        found = dict(oxm.fields(fields))
        return cls(
            int.from_bytes(found.get(oxm.IN_PORT, b""), "big"),
            found.get(oxm.TUN_IPV6_SRC),
            bool(int.from_bytes(found.get(oxm.FROM_TUNNEL, b""), "big")),
        )


def with_home_address_option(packet: bytes, care_of_address: Address) -> bytes:
    """A packet as it was before the adapter put the home address in its source (section 6.3)."""
    length = int.from_bytes(packet[4:6], "big") + 24
    option = packet[6:7] + b"\x02" + _PADDED_OPTION + packet[8:24]
    head = packet[:4] + length.to_bytes(2, "big") + bytes((DESTINATION_OPTIONS,)) + packet[7:8]
    return head + care_of_address + packet[24:40] + option + packet[40:]
