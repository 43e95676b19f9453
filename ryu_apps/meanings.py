"""What flows are for, in words for an operator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ryu_apps import cookies
from ryu_apps.cookies import Category
from ryu_apps.pipeline import Punt, Table

CATEGORIES: Final[Mapping[int, str]] = {
    Category.PIPELINE: "of every link: where packets go that concern no binding",
    Category.PUNT: "to the controller",
    Category.TUNNEL: "to a mobile node, into its tunnel",
    Category.REVERSE_TUNNEL: "from a mobile node, out of its tunnel: care-of address and home address fit",
    Category.PROXY_ND: "answers Neighbor Solicitations for a mobile node that is away",
    Category.WATCH: "an address under Duplicate Address Detection",
    Category.NEIGHBOUR: "to a neighbour on the link, or the router",
    Category.HOME_TEST: "return routability that IPsec has to protect",
    Category.ROUTE_OUT: "from a correspondent to a mobile node, with a routing header",
    Category.ROUTE_IN: "from a mobile node to a correspondent, by a Home Address option",
    Category.NARROW_PATH: "to a mobile node whose path is so narrow that the controller makes fragments",
}
# What the flows of every link do, by table.
TABLES: Final[Mapping[int, str]] = {
    Table.CLASSIFY: "which kind of packet it is",
    Table.REVERSE_TUNNEL: "what no binding accepts ends here",
    Table.HOME_ADDRESS_OPTION: "what no binding of the correspondent accepts ends here",
    Table.ROUTE_OPTIMIZATION: "no optimised route for it",
    Table.BINDINGS: "no binding for its destination",
    Table.ENCAPSULATE: "hop limit and size are looked at",
    Table.TUNNEL_OUTPUT: "into the tunnel port",
    Table.FORWARD: "forwarded as a router does",
    Table.DELIVER: "to a neighbour whose link-layer address is not known yet",
    Table.NEIGHBOR_DISCOVERY: "Neighbor Discovery",
}
PUNTS: Final[Mapping[int, str]] = {
    Punt.SIGNALLING: "signalling, which the protocol answers",
    Punt.UNRESOLVED: "the neighbour is resolved first, and gets the packet then",
    Punt.TUNNEL_ERROR: "its sender is told that it is too big, or its hop limit used up",
    Punt.ROUTE_TOO_BIG: "its sender is told that it is too big for a routing header",
    Punt.UNREACHABLE: "its sender is told that the address is unreachable",
    Punt.UNBOUND: "no binding accepts its Home Address option: a Binding Error is the answer",
    Punt.UNBOUND_CORRESPONDENT: "no binding accepts its Home Address option: a Binding Error is the answer",
}


def category(number: int) -> str:
    """The name of a category."""
    return Category(number).name.lower() if number in Category.__members__.values() else f"unknown {number}"


def table(number: int) -> str:
    """Number and name of a table."""
    return f"{number} {Table(number).name.lower()}" if number in Table.__members__.values() else str(number)


def punt(item: int) -> str:
    """The name of a kind of punt."""
    return Punt(item).name.lower() if item in Punt.__members__.values() else f"unknown {item}"


def of_flow(cookie: int, in_table: int) -> str:
    """What a flow of ours does."""
    kind = cookies.category(cookie)
    meaning = CATEGORIES.get(kind, category(kind))
    if kind == Category.PIPELINE:
        return TABLES.get(in_table, meaning)
    if kind == Category.PUNT:
        item = cookies.item(cookie)
        return f"{meaning}: {PUNTS.get(item, punt(item).replace('_', ' '))}"
    return meaning
