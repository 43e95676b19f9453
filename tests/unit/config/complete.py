"""A configuration in which every kind of value occurs, secrets included."""

from __future__ import annotations

import copy
from typing import Any

SECRET = "5ec2e7"  # occurs in every key and digest

_HOME: dict[str, Any] = {
    "name": "homenet",
    "bridge": "br-home",
    "address": "2001:db8:1::2",
    "router": "fe80::1",
    "uplinks": ["uplink0", "uplink1"],
    "uplink_bridge": "br-up",
    "datapath_id": "00000000000000a1",
    "next_table": 100,
    "tunnel_port": "tun",
    "tunnel_mtu": 1400,
    "max_lifetime": 600,
    "prefixes": [
        "2001:db8:1::/64",
        {"prefix": "2001:db8:11::/64", "valid_lifetime": 100, "preferred_lifetime": 50},
        {"prefix": "2001:db8:12::/64", "preferred_lifetime": 0},
    ],
    "router_advertisement": {"enabled": True, "max_interval": 1.5, "preference": 10, "managed": True},
    "mobile_prefix": {"unsolicited": False, "max_interval": 600, "dhcpv6": True},
}
_VIRTUAL: dict[str, Any] = {
    "name": "roaming",
    "bridge": "br-roaming",
    "address": "2001:db8:9::2",
    "router": "2001:db8:9::1",
    "uplinks": ["uplink2"],
    "virtual": True,
    "prefixes": ["2001:db8:8000::/64"],
}
_OFFICE: dict[str, Any] = {
    "name": "office",
    "bridge": "br-office",
    "address": "2001:db8:c::2",
    "prefixes": ["2001:db8:c::/64", "2001:db8:cc::/56"],
    "router": "2001:db8:c::1",
    "uplinks": ["uplink3"],
    "mtu": 9000,
    "max_lifetime": 60,
}


def _association(kind: str, spi: int) -> dict[str, Any]:
    def direction(number: int) -> dict[str, Any]:
        return {"spi": number, "encryption_key": f"{SECRET}{number:026x}", "integrity_key": f"{SECRET}{number:034x}"}

    return {
        "kind": kind,
        "encryption": "aes-cbc",
        "integrity": "hmac-sha1-96",
        "inbound": direction(spi),
        "outbound": direction(spi + 1),
    }


def complete() -> dict[str, Any]:
    """A fresh mapping, as YAML would make it."""
    return copy.deepcopy(
        {
            "openflow": {"listen": "::", "port": 6633},
            "rest": {
                "listen": "::1",
                "port": 8000,
                "tokens": [{"name": "ops", "scope": "admin", "sha256": f"{SECRET}{1:058x}"}],
                "tls": {"certificate": "/dev/null", "key": "/dev/null"},
                "anonymous": "read",
            },
            "store": {},
            "security": {
                "unprotected_signalling": "accept",
                "mobile_nodes": [
                    {
                        "home_address": "2001:db8:1::100",
                        "unprotected_signalling": "refuse",
                        "associations": [_association("binding", 300), _association("return_routability", 400)],
                    },
                    {
                        "home_address": "2001:db8:1::200",
                        "authentication": {
                            "spi": 4096,
                            "key": f"{SECRET}{2:026x}",
                            "mn_id": "user@example.org",
                            "replay": "none",
                        },
                    },
                ],
            },
            "limits": {"max_bindings": 5, "max_bindings_per_link": 4, "punt_rates": {"unbound": 7}},
            "access": {
                "rules": [
                    {"home_addresses": ["2001:db8:1::99", "2001:db8:11::/64"], "max_lifetime": 60},
                    {"care_of_prefixes": ["2001:db8:f0::/44", "2001:db8:a::1"], "action": "deny", "status": 130},
                ],
                "default": "allow",
            },
            "home_links": [_HOME, _VIRTUAL],
            "correspondent_links": [
                _OFFICE,
                {"name": "locals", "bridge": "br-home", "prefixes": ["2001:db8:1::/64"]},
            ],
        }
    )
