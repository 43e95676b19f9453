"""RFC 4861 section 7.2 and 7.3 with a moved clock."""

from collections import defaultdict

from ryu_apps import neighbours
from ryu_apps.neighbours import NeighbourTable

HOST = bytes(15) + b"\x0c"
ROUTER = bytes(15) + b"\x01"
MAC = b"\x02\0\0\0\0\x0c"
OTHER_MAC = b"\x02\0\0\0\0\x0d"


class Recorder:
    def __init__(self) -> None:
        self.statistics: dict[str, int] = defaultdict(int)
        self.solicited: list[tuple[bytes, bytes | None]] = []
        self.resolved_: list[tuple[bytes, bytes, list[bytes]]] = []
        self.unreachable_: list[tuple[bytes, list[bytes]]] = []

    def solicit(self, address: bytes, link_layer_address: bytes | None) -> None:
        self.solicited.append((address, link_layer_address))

    def resolved(self, address: bytes, link_layer_address: bytes, waiting: list[bytes]) -> None:
        self.resolved_.append((address, link_layer_address, waiting))

    def unreachable(self, address: bytes, waiting: list[bytes]) -> None:
        self.unreachable_.append((address, waiting))


def _table() -> tuple[NeighbourTable, Recorder]:
    recorder = Recorder()
    return NeighbourTable(recorder, recorder.statistics), recorder


def test_packets_wait_for_the_answer() -> None:
    table, recorder = _table()
    table.resolve(HOST, 0.0, waiting=b"a")
    table.resolve(HOST, 0.1, waiting=b"b")
    assert recorder.solicited == [(HOST, None)]
    table.advertisement(HOST, MAC, solicited=True, override=True, now=0.2)
    assert recorder.resolved_ == [(HOST, MAC, [b"a", b"b"])]
    assert table.lookup(HOST) == MAC


def test_three_tries_a_second_apart_then_unreachable() -> None:
    table, recorder = _table()
    table.resolve(HOST, 0.0, waiting=b"a")
    for now in (0.5, 1.0, 2.0):
        table.tick(now)
    assert len(recorder.solicited) == 3
    table.tick(3.0)
    assert recorder.unreachable_ == [(HOST, [b"a"])]
    assert len(table) == 0


def test_a_router_is_asked_for_ever() -> None:
    table, recorder = _table()
    table.resolve(ROUTER, 0.0, permanent=True)
    for second in range(1, 20):
        table.tick(float(second))
    assert len(recorder.solicited) > 6
    table.advertisement(ROUTER, MAC, solicited=True, override=True, now=20.0)
    assert table.lookup(ROUTER) == MAC


def test_a_neighbour_is_probed_while_in_use_and_lost_if_silent() -> None:
    table, recorder = _table()
    table.resolve(HOST, 0.0)
    table.advertisement(HOST, MAC, solicited=True, override=True, now=0.0)
    table.tick(29.0)
    assert len(recorder.solicited) == 1
    for now in (30.0, 31.0, 32.0, 33.0):
        table.tick(now)
    # unicast first; the last try finds a node with a new link-layer address
    assert [mac for _address, mac in recorder.solicited] == [None, MAC, MAC, None]
    assert recorder.unreachable_ == [(HOST, [])]


def test_a_new_link_layer_address_needs_the_override_flag() -> None:
    table, recorder = _table()
    table.resolve(HOST, 0.0)
    table.advertisement(HOST, MAC, solicited=True, override=True, now=0.0)
    table.advertisement(HOST, OTHER_MAC, solicited=False, override=False, now=1.0)
    assert table.lookup(HOST) == MAC
    table.tick(1.0)
    assert recorder.solicited[-1] == (HOST, MAC)  # STALE: asked at once
    table.advertisement(HOST, OTHER_MAC, solicited=False, override=True, now=2.0)
    assert table.lookup(HOST) == OTHER_MAC
    assert recorder.resolved_[-1] == (HOST, OTHER_MAC, [])


def test_advertisements_nobody_asked_for_make_no_entry() -> None:
    table, _recorder = _table()
    table.advertisement(HOST, MAC, solicited=True, override=True, now=0.0)
    assert len(table) == 0


def test_an_idle_neighbour_is_forgotten() -> None:
    table, _recorder = _table()
    table.resolve(HOST, 0.0)
    table.advertisement(HOST, MAC, solicited=True, override=True, now=0.0)
    table.forget(HOST)
    assert len(table) == 0


def test_bounds() -> None:
    table, recorder = _table()
    for index in range(neighbours.MAX_UNRESOLVED + 50):
        table.resolve(index.to_bytes(16, "big"), 0.0, waiting=b"x")
    assert len(table) == neighbours.MAX_UNRESOLVED == len(recorder.solicited)
    assert recorder.statistics["neighbours_refused"] == 50


def test_the_newest_packets_wait_for_a_neighbour() -> None:
    table, recorder = _table()
    packets = [index.to_bytes(2, "big") for index in range(neighbours.MAX_WAITING + 10)]
    for packet in packets:
        table.resolve(HOST, 0.0, waiting=packet)
    assert recorder.statistics["packets_for_neighbours_dropped"] == 10
    table.advertisement(HOST, MAC, solicited=True, override=True, now=0.1)
    assert recorder.resolved_[0][2] == packets[10:]


def test_the_packets_that_wait_for_all_neighbours_are_bounded() -> None:
    table, recorder = _table()
    hosts = [index.to_bytes(16, "big") for index in range(neighbours.MAX_UNRESOLVED)]
    for host in hosts:
        for _ in range(neighbours.MAX_WAITING):
            table.resolve(host, 0.0, waiting=b"x")
    for host in hosts:
        table.advertisement(host, MAC, solicited=True, override=True, now=0.1)
    assert sum(len(waiting) for _, _, waiting in recorder.resolved_) == neighbours.MAX_ALL_WAITING
    # What has been handed back makes room.
    table.forget(HOST)
    table.resolve(HOST, 1.0, waiting=b"y")
    table.advertisement(HOST, MAC, solicited=True, override=True, now=1.1)
    assert recorder.resolved_[-1][2] == [b"y"]
