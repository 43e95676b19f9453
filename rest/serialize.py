"""Views to JSON: the only place that decides what a field looks like. Names are those of the views."""

from __future__ import annotations

import json
import math
from datetime import datetime, timezone
from typing import Any, Final

from mip6core import addresses
from mip6core.codec import mh
from rest.service import (
    BindingView,
    CorrespondentView,
    EventView,
    FlowView,
    HomeAgentView,
    NonceView,
    PrefixView,
    SwitchView,
)

FLAGS: Final = {
    "acknowledge": mh.BU_ACKNOWLEDGE,
    "home_registration": mh.BU_HOME_REGISTRATION,
    "link_local": mh.BU_LINK_LOCAL,
    "key_management": mh.BU_KEY_MANAGEMENT,
}


def octets(value: Any) -> bytes:
    """JSON, without white space."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def binding(view: BindingView) -> dict[str, Any]:
    return {
        "home_address": addresses.text(view.home_address),
        "care_of_address": addresses.text(view.care_of_address),
        "home_link": view.home_link,
        "sequence": view.sequence,
        "lifetime": view.lifetime,
        "remaining_lifetime": None if view.remaining_lifetime is None else max(0, int(view.remaining_lifetime)),
        "flags": {name: bool(view.flags & bit) for name, bit in FLAGS.items()},
        "registered_at": timestamp(view.registered_at),
        "updated_at": timestamp(view.updated_at),
        "state": view.state,
        "packets_out": view.packets_out,
        "bytes_out": view.bytes_out,
        "packets_in": view.packets_in,
        "bytes_in": view.bytes_in,
        "counted_at": None if view.counted_at is None else timestamp(view.counted_at),
        "datapath_id": datapath_id(view.datapath_id),
    }


def correspondent(view: CorrespondentView) -> dict[str, Any]:
    return {
        "correspondent": addresses.text(view.correspondent),
        "home_address": addresses.text(view.home_address),
        "care_of_address": addresses.text(view.care_of_address),
        "correspondent_link": view.correspondent_link,
        "sequence": view.sequence,
        "lifetime": view.lifetime,
        "remaining_lifetime": max(0, int(view.remaining_lifetime)),
        "registered_at": timestamp(view.registered_at),
        "updated_at": timestamp(view.updated_at),
        "state": view.state,
        "packets_out": view.packets_out,
        "bytes_out": view.bytes_out,
        "packets_in": view.packets_in,
        "bytes_in": view.bytes_in,
        "home_nonce_index": view.home_nonce_index,
        "care_of_nonce_index": view.care_of_nonce_index,
        "unreachable_errors": view.unreachable_errors,
        "datapath_id": datapath_id(view.datapath_id),
    }


def nonce(view: NonceView) -> dict[str, Any]:
    return {
        "index": view.index,
        "age": int(view.age),
        "remaining_lifetime": max(0, int(view.remaining_lifetime)),
    }


def switch(view: SwitchView) -> dict[str, Any]:
    return {
        "datapath_id": datapath_id(view.datapath_id),
        "home_link": view.home_link,
        "correspondent_link": view.correspondent_link,
        "bridge": view.bridge,
        "connected": view.connected,
        "address": view.address,
        "role": view.role,
        "ports": [{"number": port.number, "name": port.name} for port in view.ports],
    }


def flow(view: FlowView) -> dict[str, Any]:
    """Only what concerns it."""
    shown: dict[str, Any] = {
        "bridge": view.bridge,
        "table": view.table,
        "priority": view.priority,
        "category": view.category,
        "meaning": view.meaning,
        "generation": view.generation,
        "match": view.match,
        "actions": view.actions,
        "packets": view.packets,
        "bytes": view.bytes,
        "remaining_lifetime": lifetime(view.remaining_lifetime),
    }
    if view.sequence is not None:
        shown["sequence"] = view.sequence
    if view.punt is not None:
        shown["punt"] = view.punt
    return shown


def home_agent(view: HomeAgentView) -> dict[str, Any]:
    link_local, remaining = view.link_local_address, view.remaining_lifetime
    return {
        "home_link": view.home_link,
        "link_local_address": None if link_local is None else addresses.text(link_local),
        "addresses": [addresses.text(address) for address in view.addresses],
        "preference": view.preference,
        "remaining_lifetime": None if remaining is None else max(0, int(remaining)),
        "own": link_local is None,
    }


def prefix(view: PrefixView) -> dict[str, Any]:
    anycast = view.home_agents_anycast_address
    return {
        "home_link": view.home_link,
        "prefix": str(view.prefix),
        "valid_lifetime": lifetime(view.valid_lifetime),
        "preferred_lifetime": lifetime(view.preferred_lifetime),
        "home_agents_anycast_address": None if anycast is None else addresses.text(anycast),
    }


def event(view: EventView) -> dict[str, Any]:
    """Only what concerns it."""
    shown: dict[str, Any] = {"id": view.id, "time": timestamp(view.time), "kind": view.kind, "link": view.link}
    for name in ("home_address", "care_of_address", "correspondent"):
        value = getattr(view, name)
        if value is not None:
            shown[name] = addresses.text(value)
    if view.status is not None:
        shown["status"] = view.status
    if view.datapath_id is not None:
        shown["datapath_id"] = datapath_id(view.datapath_id)
    return shown


def lifetime(seconds: float) -> int | None:
    """Whole seconds; null for a lifetime without an end, which JSON has no number for."""
    return None if seconds == math.inf else max(0, int(seconds))


def datapath_id(value: int | None) -> str | None:
    """16 hexadecimal digits, as OVS writes it."""
    return None if value is None else f"{value:016x}"


def timestamp(seconds: float) -> str:
    """Seconds since 1970 in the form of RFC 3339, in UTC."""
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
