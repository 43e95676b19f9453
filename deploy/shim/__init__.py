"""The wire format adapter ("shim"): on the wire IPv6-in-IPv6 (RFC 2473) and route optimisation (RFC 6275) for what OVS
can only do as GRE.

    adapter = adapter_for("netdev")                    # by the bridge's datapath_type
    adapter.attach("uplink0", [Endpoint(home_agent, bridge_mac)])
    adapter.status("uplink0").attached

`python -m deploy.shim` is the same for a person at a terminal. Attach needs root, libbpf.so.1, the object made by
deploy/shim/build, and a BPF file system at /sys/fs/bpf.
"""

from __future__ import annotations

from deploy.shim.adapter import (
    DEFAULT_LIMITS,
    AdapterError,
    AdapterStatus,
    Correspondents,
    Endpoint,
    Limits,
    WireFormatAdapter,
)
from deploy.shim.userspace import UserspaceAdapter

__all__ = [
    "DEFAULT_LIMITS",
    "AdapterError",
    "AdapterStatus",
    "Correspondents",
    "Endpoint",
    "Limits",
    "WireFormatAdapter",
    "adapter_for",
]


def adapter_for(datapath_type: str) -> WireFormatAdapter:
    """The adapter for a bridge with this `datapath_type` (as in OVSDB, where the empty one means "system").

    AdapterError for a datapath that has none.
    """
    if datapath_type == "netdev":
        return UserspaceAdapter()
    if datapath_type in ("", "system"):
        raise AdapterError(
            "the kernel datapath (datapath_type=system) is not supported yet: set the bridge's datapath_type to netdev"
        )
    raise AdapterError(f"datapath_type {datapath_type!r} is not known (supported: netdev)")
