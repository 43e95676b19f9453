"""Debug logging by topic, switched on and off while everything runs.

Packets and flows are told as they cross the connections to the switches, so nothing on their way has to log them. Who
switches a topic on wants to see everything of it: its lines are as many as the meters of the switches let through.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from mip6core import addresses
from mip6core.codec.icmpv6 import HAAddressDiscoveryRequest, MobilePrefixAdvertisement
from mip6core.codec.mh import MHType
from mip6core.constants import ESP, ICMPV6, IPV6, MOBILITY_HEADER
from ryu_apps import cookies, packets
from ryu_apps.cookies import Category
from ryu_apps.pipeline import Table
from ryu_apps.tap import Seen, Tap

LOG: Final = logging.getLogger("mip6.debug")

PACKETS: Final = {  # topics of packets
    "signalling": "Mobility Headers",
    "ipsec": "ESP",
    "neighbours": "Neighbor Discovery",
    "discovery": "home agents and prefixes, router advertisements",
    "errors": "ICMPv6 errors, and packets that draw them",
}
FLOWS: Final = "flows"
LOGGERS: Final = {"signalling": ("ryu_apps.app",), "rest": ("rest", "ryu_apps.rest_server")}
TOPICS: Final = (*PACKETS, FLOWS, "rest")

_MESSAGES: Final = {kind.value: kind.name for kind in MHType}
_NEIGHBOR_DISCOVERY: Final = {133: "RS", 134: "RA", 135: "NS", 136: "NA", 137: "Redirect"}
_ROUTERS: Final = (133, 134)
_HOME_DISCOVERY: Final = range(HAAddressDiscoveryRequest.icmp_type, MobilePrefixAdvertisement.icmp_type + 1)
_COMMANDS: Final = {0: "add", 1: "modify", 2: "modify", 3: "delete", 4: "delete"}
_COMMAND, _TABLE = 25, 24  # offsets in a flow-mod


class Debug:
    """Which topics are on."""

    def __init__(self, tap: Tap) -> None:
        self._tap = tap
        self._on: set[str] = set()

    @property
    def topics(self) -> dict[str, bool]:
        return {topic: topic in self._on for topic in TOPICS}

    def switch(self, topic: str, on: bool) -> None:
        """`topic` is one of TOPICS."""
        looked = self._looks()
        (self._on.add if on else self._on.discard)(topic)
        LOG.setLevel(logging.DEBUG if self._looks() else logging.NOTSET)
        for name in LOGGERS.get(topic, ()):
            logging.getLogger(name).setLevel(logging.DEBUG if on else logging.NOTSET)
        if self._looks() and not looked:
            self._tap.add(self)
        elif looked and not self._looks():
            self._tap.remove(self)
        logging.getLogger("mip6").info("debug topic=%s on=%s", topic, on)

    def _looks(self) -> bool:
        return bool(self._on & {*PACKETS, FLOWS})

    def packet(self, seen: Seen) -> None:
        """See `tap.Listener`."""
        topic, text = describe(seen.frame)
        if topic in self._on:
            way = "sent" if seen.punt is None else f"received punt={seen.punt}"
            LOG.debug("topic=%s %s dpid=%016x %s", topic, way, seen.datapath.id or 0, text)

    def flow_mod(self, datapath: Any, message: bytes) -> None:
        """See `tap.Listener`."""
        if FLOWS not in self._on or len(message) <= _COMMAND:
            return
        cookie, table = int.from_bytes(message[8:16], "big"), message[_TABLE]
        known = {member.value: member.name.lower() for member in Table}
        categories = {member.value: member.name.lower() for member in Category}
        LOG.debug(
            "topic=flows %s dpid=%016x table=%s category=%s cookie=%016x message=%s",
            _COMMANDS.get(message[_COMMAND], "?"),
            datapath.id or 0,
            known.get(table, str(table)),
            categories.get(cookies.category(cookie), "-"),
            cookie,
            message[48:].hex(),
        )


def describe(frame: bytes) -> tuple[str, str]:
    """The topic of a packet, and what it is, in the words of a log line."""
    found = packets.look(frame)
    if found is None:
        return "errors", f"octets={len(frame)} unreadable=yes"
    ends = f"src={addresses.text(found.source)} dst={addresses.text(found.destination)}"
    if found.home_address is not None:
        ends += f" hoa={addresses.text(found.home_address)}"
    upper = found.upper
    if found.protocol == MOBILITY_HEADER and len(upper) > 2:
        return "signalling", f"{ends} message={_MESSAGES.get(upper[2], upper[2])}"
    if found.protocol == ESP:
        return "ipsec", f"{ends} message=ESP spi={upper[:4].hex()} octets={len(upper)}"
    if found.protocol == ICMPV6 and upper:
        kind = upper[0]
        if kind in _NEIGHBOR_DISCOVERY:
            target = f" target={addresses.text(upper[8:24])}" if kind not in _ROUTERS and len(upper) >= 24 else ""
            topic = "discovery" if kind in _ROUTERS else "neighbours"
            return topic, f"{ends} message={_NEIGHBOR_DISCOVERY[kind]}{target}"
        if kind in _HOME_DISCOVERY:
            return "discovery", f"{ends} message=ICMPv6 type={kind}"
        return "errors", f"{ends} message=ICMPv6 type={kind}"
    what = "IPv6" if found.protocol == IPV6 else str(found.protocol)
    return "errors", f"{ends} protocol={what} octets={len(frame)}"
