"""A home agent on a link with other home agents: the shell of the engine's tests, with the messages of discovery."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from mip6core.actions import Action, SendDatagram
from mip6core.home_link import HomeLink, MobilePrefixSettings, RouterAdvertisementSettings
from tests.unit.discovery import messages
from tests.unit.discovery.messages import Discovery
from tests.unit.engine.shell import COA1, HA, HOA, ROUTER_MAC, Sent, Shell, home_link
from tests.unit.engine.wire import address

ANYCAST = address("2001:db8:1:0:fdff:ffff:ffff:fffe")  # RFC 2526 section 2, identifier 126
OTHER_MAC = bytes.fromhex("0200000000f0")
PREFERENCE = 10  # the home agent's own, as in the conformance catalogue


def link(
    advertise: dict[str, Any] | None = None, prefixes_told: dict[str, Any] | None = None, **changes: Any
) -> HomeLink:
    advertisement = replace(RouterAdvertisementSettings(preference=PREFERENCE), **(advertise or {}))
    told = replace(MobilePrefixSettings(), **(prefixes_told or {}))
    return home_link(router_advertisement=advertisement, mobile_prefix=told, **changes)


class Link(Shell):
    """Its packets of discovery are in `discoveries` with their times; the others where the engine's tests look."""

    def __init__(self, *links: HomeLink, seed: int = 1, **more: Any) -> None:
        super().__init__(*(links or (link(),)), rng=random.Random(seed).randbytes, **more)
        self.discoveries: list[tuple[float, Discovery, bytes | None]] = []
        self.raw: list[bytes] = []

    def _carry_out(self, action: Action, sent: list[Sent]) -> None:
        found = messages.read(action.packet) if isinstance(action, SendDatagram) else None
        if found is None:
            super()._carry_out(action, sent)
        else:
            assert isinstance(action, SendDatagram) and not action.after_flows
            self.discoveries.append((self.now, found, action.link_layer_destination))
            self.raw.append(action.packet)

    def of_kind(self, kind: str) -> list[Discovery]:
        return [found for _, found, _ in self.discoveries if found.kind == kind]

    def times(self, kind: str) -> list[float]:
        return [at for at, found, _ in self.discoveries if found.kind == kind]

    def heard(self, source: str, *options: bytes, mac: bytes = OTHER_MAC, **more: Any) -> None:
        """A Router Advertisement of another node."""
        assert self.receive(messages.router_advertisement(source, *options, **more), mac) == []

    def asked(self, destination: bytes = ANYCAST, source: bytes = COA1, identifier: int = 7) -> list[bytes] | None:
        """The addresses in the reply to a request, or None without a reply."""
        before = len(self.discoveries)
        assert self.receive(messages.address_request(source, destination, identifier)) == []
        replies = self.discoveries[before:]
        if not replies:
            return None
        ((_, reply, mac),) = replies
        assert (reply.kind, reply.source, reply.destination) == ("DHAAD", self.link.address, source)
        assert (reply.identifier, reply.routing, mac) == (identifier, None, None)
        assert reply.size <= 1280
        return reply.addresses

    def solicit(
        self,
        identifier: int = 77,
        care_of_address: bytes = COA1,
        home_address: bytes | None = HOA,
        destination: bytes = HA,
        **more: Any,
    ) -> list[Sent]:
        packet = messages.prefix_solicitation(care_of_address, destination, home_address, identifier, **more)
        return self.receive(packet, ROUTER_MAC)
