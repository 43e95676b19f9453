"""The mobile node's registrations with its home agent (RFC 6275 section 11.7.1), and their retransmission."""

from __future__ import annotations

from scapy.layers.inet6 import (
    HAO,
    MIP6MH_BU,
    IPv6,
    IPv6ExtHdrDestOpt,
    MIP6OptAltCoA,
)

from mip6core import addresses
from tests.demo.bench import (
    FIRST,
    FIRST_NET,
    HOME_ADDRESS,
    HOME_AGENT,
    LINK_LOCAL,
    SECOND,
    SECOND_NET,
    SEQUENCE,
    Bench,
    kinds,
)
from topo.mobile_node_effects import (
    OpenTunnel,
    Send,
)


def test_a_new_care_of_address_is_registered(bench: Bench) -> None:
    effects = bench.arrive(FIRST_NET, FIRST)
    assert kinds(effects)[-2:] == [Send, OpenTunnel]  # the Binding Update does not wait for the tunnel
    ((_, packet, effect),) = bench.sent(MIP6MH_BU)
    assert (packet.src, packet.dst) == (FIRST, HOME_AGENT)
    assert effect.link_layer_destination is None
    (option,) = [option for option in packet[IPv6ExtHdrDestOpt].options if isinstance(option, HAO)]
    assert option.hoa == HOME_ADDRESS
    update = packet[MIP6MH_BU]
    assert (update.seq, str(update.flags), update.mhtime) == (SEQUENCE + 1, "HA", 15)
    (alternate,) = [option for option in update.options if isinstance(option, MIP6OptAltCoA)]
    assert alternate.acoa == FIRST


def test_a_binding_update_is_what_scapy_makes_of_the_same_contents(bench: Bench) -> None:
    bench.arrive(FIRST_NET, FIRST)
    ((_, _, effect),) = bench.sent(MIP6MH_BU)
    message = MIP6MH_BU(seq=SEQUENCE + 1, flags="HA", mhtime=15, options=[MIP6OptAltCoA(acoa=FIRST)])
    packet = IPv6(src=FIRST, dst=HOME_AGENT, hlim=64) / IPv6ExtHdrDestOpt(options=[HAO(hoa=HOME_ADDRESS)]) / message
    assert effect.packet == bytes(packet)  # also the checksum, which is made with the home address (6.1.1)


def test_the_order_in_which_kernel_and_router_are_heard_does_not_matter(bench: Bench) -> None:
    bench.do(bench.node.link_up(bench.now))
    bench.do(bench.node.address_usable(addresses.parse(FIRST), bench.now))
    assert bench.updates() == []
    bench.advertise(FIRST_NET)
    assert len(bench.updates()) == 1


def test_other_addresses_are_no_care_of_addresses(bench: Bench) -> None:
    bench.do(bench.node.link_up(bench.now))
    bench.advertise(FIRST_NET)
    for address in (LINK_LOCAL, SECOND, HOME_ADDRESS):
        bench.do(bench.node.address_usable(addresses.parse(address), bench.now))
    assert bench.updates() == []


def test_first_registration_is_retransmitted_with_the_long_timeout(bench: Bench) -> None:
    bench.arrive(FIRST_NET, FIRST)
    bench.keep_router(FIRST_NET, 112)
    # InitialBindackTimeoutFirstReg 1.5 s, doubled up to MAX_BINDACK_TIMEOUT 32 s (11.8, 12, 13)
    assert bench.update_times() == [0, 1.5, 4.5, 10.5, 22.5, 46.5, 78.5, 110.5]
    assert [update.seq for update in bench.updates()] == list(range(SEQUENCE + 1, SEQUENCE + 9))


def test_the_first_timeout_can_be_configured() -> None:
    bench = Bench(first_timeout=0.5)
    bench.arrive(FIRST_NET, FIRST)
    bench.keep_router(FIRST_NET, 4)
    assert bench.update_times() == [0, 0.5, 1.5, 3.5]


def test_a_move_with_a_binding_is_retransmitted_with_the_short_timeout() -> None:
    bench = Bench(lifetime=600).bound()
    bench.done.clear()
    bench.arrive(SECOND_NET, SECOND)
    bench.keep_router(SECOND_NET, 96)
    assert bench.update_times() == [0, 1, 3, 7, 15, 31, 63, 95]  # INITIAL_BINDACK_TIMEOUT 1 s


def test_sequence_numbers_wrap() -> None:
    bench = Bench(sequence=0xFFFF)
    bench.arrive(FIRST_NET, FIRST)
    assert bench.updates()[0].seq == 0


def test_no_more_than_three_updates_a_second(bench: Bench) -> None:
    bench.arrive(FIRST_NET, FIRST)
    for _ in range(40):
        bench.acknowledge(status=135, sequence=bench.updates()[-1].seq)
        bench.wait(0.05)
    times = bench.update_times()
    assert len(times) >= 6
    assert all(later - earlier >= 1.0 for earlier, later in zip(times, times[3:], strict=False))
