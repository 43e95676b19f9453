"""Prefix tries for the tables that have a flow for each binding.

Without one, Open vSwitch's cache of decisions (megaflows) gets an entry for each address that a table has been asked
about, since only a comparison with the whole address tells that there is no flow for it. A scan of a prefix fills the
cache then. With tries the entries are for prefixes between the addresses that do have flows.
"""

from __future__ import annotations

from typing import Final

# Numbers of ryu_apps.pipeline: classify, reverse tunnel, Home Address option, route optimisation, bindings,
# encapsulate, forward, deliver, punt.
TABLES: Final = (0, 10, 11, 15, 20, 30, 40, 41, 60)
FIELDS: Final = ("ipv6_dst", "ipv6_src")
COLUMN: Final = f"[{','.join(FIELDS)}]"  # as ovs-vsctl takes them
