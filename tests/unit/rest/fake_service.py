"""An application for the API to talk to: a dictionary of bindings."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Callable, Iterator
from typing import Any

from mip6core.addresses import Address, Prefix
from mip6core.errors import ConfigError
from rest.service import (
    BindingView,
    Busy,
    CorrespondentView,
    EventView,
    FlowView,
    HomeAgentView,
    NonceView,
    PortView,
    PrefixView,
    SwitchView,
)


def packed(text: str) -> Address:
    return ipaddress.IPv6Address(text).packed


def view(home_address: str, care_of_address: str = "2001:db8:f::100", home_link: str = "homenet") -> BindingView:
    return BindingView(
        home_address=packed(home_address),
        care_of_address=packed(care_of_address),
        home_link=home_link,
        sequence=7,
        lifetime=420,
        remaining_lifetime=419.7,
        flags=0xC000,  # A and H: the two highest bits of the word that holds the flags (RFC 6275 section 6.1.7)
        registered_at=1_000_000_000.25,
        updated_at=1_000_000_001.0,
        state="bound",
        datapath_id=0xA1,
    )


def route(correspondent: str, home_address: str, link: str = "office", **fields: Any) -> CorrespondentView:
    values: dict[str, Any] = {
        "care_of_address": packed("2001:db8:f::100"),
        "sequence": 9,
        "lifetime": 420,
        "remaining_lifetime": 400.9,
        "registered_at": 1_000_000_000.25,
        "updated_at": 1_000_000_001.0,
        "state": "bound",
        "packets_out": 3,
        "bytes_out": 300,
        "packets_in": 4,
        "bytes_in": 400,
        "home_nonce_index": 65535,
        "care_of_nonce_index": None,
        "unreachable_errors": 2,
        "datapath_id": 0xA1,
    }
    values |= fields
    return CorrespondentView(packed(correspondent), packed(home_address), correspondent_link=link, **values)


class FakeCapture:
    """A file in two parts."""

    closed = False

    def __iter__(self) -> Iterator[bytes]:
        yield b"one"
        yield b"two"

    def close(self) -> None:
        self.closed = True


class FakeFlows:
    """25 of them."""

    def keys(self) -> list[bytes]:
        return [bytes(18) + bytes((number,)) for number in range(25)]

    def view(self, key: bytes) -> FlowView:
        number = key[-1]
        return FlowView(
            *("br-home", "10 reverse_tunnel", 100, "reverse_tunnel", "out of its tunnel", 3),
            *(f"ipv6,ipv6_src=2001:db8:1::{number:x}", "goto 20 bindings", number, 100 * number),
            *(math.inf if number == 0 else 89.9, 7, "signalling" if number == 1 else None),
        )


class FakeService:
    """Implements rest.service.Service."""

    def __init__(self, *bindings: BindingView) -> None:
        self.bindings = {binding.home_address: binding for binding in bindings}
        self.routes: dict[tuple[Address, Address], CorrespondentView] = {}
        self.healthy = self.is_ready = True
        self.shown_configuration: dict[str, Any] = {"limits": {"max_bindings": 5}}
        self.topics = {"signalling": False, "flows": True}
        self.file: FakeCapture | None = FakeCapture()
        self.statistics_cleared = False
        self.switch_is_busy = False
        self.bad_file: ConfigError | None = None
        self.asked_about: list[Address | None] = []  # whose counters have been asked for; None: all
        self.on_binding: Callable[[], None] = lambda: None  # called before a binding is looked up

    def add(self, *bindings: BindingView) -> None:
        self.bindings.update((binding.home_address, binding) for binding in bindings)

    def home_addresses(self) -> list[Address]:
        return list(self.bindings)

    def binding(self, home_address: Address) -> BindingView | None:
        self.on_binding()
        return self.bindings.get(home_address)

    def count(self, home_address: Address | None) -> None:
        self.asked_about.append(home_address)
        for binding in self.bindings.values():
            if home_address in (None, binding.home_address):
                binding.packets_out, binding.bytes_out, binding.packets_in, binding.bytes_in = 5, 500, 6, 600
                binding.counted_at = 1_000_000_002.0

    def put(self, home_address: Address, care_of_address: Address, home_link: str, lifetime: int | None) -> None:
        if home_link != "homenet":
            raise ValueError(f"there is no home link {home_link}")
        made = view(str(ipaddress.IPv6Address(home_address)), str(ipaddress.IPv6Address(care_of_address)))
        made.state, made.lifetime, made.version = "static", lifetime, f"{len(self.bindings)} {care_of_address!r}"
        made.remaining_lifetime = lifetime
        self.bindings[home_address] = made

    def clear(self, home_address: Address) -> bool:
        return self.bindings.pop(home_address, None) is not None

    def clear_prefix(self, prefix: Prefix) -> int:
        return sum(self.clear(address) for address in list(self.bindings) if prefix.contains(address))

    def add_routes(self, *views: CorrespondentView) -> None:
        self.routes.update(((view.correspondent, view.home_address), view) for view in views)

    def correspondents(self) -> list[tuple[Address, Address]]:
        return list(self.routes)

    def correspondent(self, correspondent: Address, home_address: Address) -> CorrespondentView | None:
        return self.routes.get((correspondent, home_address))

    def clear_correspondent(self, correspondent: Address, home_address: Address) -> bool:
        return self.routes.pop((correspondent, home_address), None) is not None

    def switches(self) -> list[SwitchView]:
        return [
            SwitchView(
                datapath_id=0xA1,
                home_link="homenet",
                correspondent_link="office",
                bridge="br-home",
                connected=True,
                address="127.0.0.1:40000",
                role="equal",
                ports=[PortView(1, "uplink0"), PortView(2, "mip6-br-home")],
            ),
            SwitchView(None, "labnet", None, "br-lab", connected=False),
        ]

    def flows(self, link: str | None, table: str | None, category: str | None, home_address: Address | None) -> Any:
        self.flows_asked = (link, table, category, home_address)
        if table == "nowhere":
            raise ValueError("table: one of classify")
        if self.switch_is_busy:
            raise Busy("a switch has just been asked for many flows")
        return FakeFlows()

    def home_agents(self) -> list[HomeAgentView]:
        return [
            HomeAgentView("homenet", None, [packed("2001:db8:1::2")], 10, None),
            HomeAgentView("homenet", packed("fe80::3"), [packed("2001:db8:1::3")], 0, 1799.9),
            HomeAgentView("labnet", None, [packed("2001:db8:2::2")], 0, None),
        ]

    def prefixes(self) -> list[PrefixView]:
        anycast = packed("2001:db8:1:0:fdff:ffff:ffff:fffe")
        return [
            PrefixView("homenet", Prefix.parse("2001:db8:1::/64"), math.inf, 3600.5, anycast),
            PrefixView("labnet", Prefix.parse("2001:db8:2::/124"), 10.0, -1.0, None),
        ]

    def configuration(self) -> dict[str, Any]:
        return self.shown_configuration

    def reload(self) -> dict[str, Any]:
        if self.bad_file is not None:
            raise self.bad_file
        change = {"setting": "limits.max_bindings", "change": "changed", "before": 5, "after": 6}
        applied = {**change, "warm": True, "ovs_setup": False}
        return {
            "result": "applied",
            "applied": [applied],
            "needs_restart": [],
            "certificates": [],
            "hash": "0123456789abcdef",
        }

    def statistics(self) -> dict[str, Any]:
        return {"homenet": {"bu_received": 3, "ba_sent_0": 2}}

    def events(self) -> Iterator[EventView]:
        home, care_of = packed("2001:db8:1::a"), packed("2001:db8:f::1")
        yield EventView("switch_connected", "homenet", datapath_id=0xA1, id=1, time=1e9)
        yield EventView("registered", "homenet", home, care_of, status=0, id=2, time=1e9 + 1)
        yield EventView("registered", "homenet", packed("2001:db8:1::b"), care_of, status=0, id=3, time=1e9 + 2)
        yield EventView("moved", "homenet", home, packed("2001:db8:e::1"), status=0, id=4, time=1e9 + 3)
        yield EventView("registered", "office", home, care_of, packed("2001:db8:c::7"), 0, id=5, time=1e9 + 4)

    def watch(self, after: int | None) -> None:
        return None

    def knows_all_behind(self, number: int) -> bool:
        return number >= 0

    def clear_statistics(self) -> None:
        self.statistics_cleared = True

    def nonces(self) -> list[NonceView]:
        return [NonceView(65535, 29.5, 210.5), NonceView(0, 1.0, 239.0)]

    def debug_topics(self) -> dict[str, bool]:
        return dict(self.topics)

    def debug(self, topic: str, on: bool) -> None:
        self.topics[topic] = on

    def capture(self, home_addresses: Prefix | None, seconds: int) -> FakeCapture | None:
        self.captured = (home_addresses, seconds)
        return self.file

    def metrics(self) -> tuple[str, bytes]:
        return "text/plain; version=0.0.4; charset=utf-8", b"mip6_bindings 3\n"

    def health(self) -> tuple[bool, dict[str, Any]]:
        return self.healthy, {"timer": "running" if self.healthy else "dead"}

    def ready(self) -> tuple[bool, dict[str, Any]]:
        return self.is_ready, {"homenet": "connected" if self.is_ready else "no switch"}
