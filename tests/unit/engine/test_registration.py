"""Primary care-of address registration (RFC 6275 sections 9.5.1, 9.5.4, 10.3.1)."""

from __future__ import annotations

import pytest
from scapy.layers.inet6 import MIP6MH_BA, IPv6, IPv6ExtHdrRouting

from mip6core.actions import InstallBinding, RefreshBinding, SendDatagram, UnwatchAddress
from mip6core.addresses import Prefix
from mip6core.fsm import State
from mip6core.home_agent import HomePrefix
from tests.unit.engine import wire
from tests.unit.engine.shell import (
    COA1,
    COA2,
    COA3,
    HA,
    HA_MAC,
    HOA,
    MN_MAC,
    Shell,
    home_link,
    of_kind,
    only,
)
from tests.unit.engine.wire import A, H, K, L, address

OTHER_HOA = address("2001:db8:1::77")


@pytest.mark.parametrize("flags", [A | H, H])
def test_a_registration_is_acknowledged_whatever_the_a_bit(flags: int) -> None:
    """Cases HA_2_1_1, HA_2_1_2; checklist 0.7."""
    shell = Shell()
    ba = shell.bind(COA1, 15, flags=flags, lifetime=105)
    assert (ba.status, ba.sequence, ba.lifetime, ba.flags, ba.refresh) == (0, 15, 105, 0, None)
    assert (ba.source, ba.destination, ba.routing, ba.hop_limit) == (HA, COA1, HOA, 64)
    entry = shell.ha.bindings.get(HOA)
    assert entry is not None and entry.state is State.BOUND and entry.bound
    assert (entry.care_of_address, entry.sequence, entry.lifetime, entry.flags) == (COA1, 15, 420, flags)
    assert entry.registered_at == entry.updated_at == shell.now
    assert entry.expires_at == shell.now - 1.0 + 420  # the lifetime counts from the Binding Update
    assert shell.flows == {HOA: (COA1, False)}


def test_the_acknowledgement_as_scapy_reads_it() -> None:
    shell = Shell()
    shell.bind(COA1, 15, lifetime=105)
    packet = IPv6(of_kind(shell.sent, "BA")[0].raw)
    assert (packet.src, packet.dst) == ("2001:db8:1::2", "2001:db8:f1::1")
    routing = packet[IPv6ExtHdrRouting]
    assert (routing.type, routing.len, routing.segleft, routing.addresses) == (2, 2, 1, ["2001:db8:1::99"])
    ba = packet[MIP6MH_BA]
    assert (ba.nh, ba.status, ba.flags, ba.seq, ba.mhtime) == (59, 0, 0, 15, 105)


def test_flows_are_in_before_the_mobile_node_is_told() -> None:
    """10.3.1, and no packet of the mobile node is lost at the tunnel's end."""
    shell = Shell()
    shell.update()
    shell.advance(1.0)
    kinds = [type(action) for action in shell.actions]
    assert kinds == [UnwatchAddress, InstallBinding, SendDatagram, SendDatagram]
    install, ba, na = shell.actions[1:]
    assert isinstance(install, InstallBinding) and install.previous is None
    for sent in (ba, na):
        assert isinstance(sent, SendDatagram) and sent.after_flows
    assert wire.read(ba.packet).kind == "BA"  # type: ignore[union-attr]


def test_on_a_virtual_link_there_is_nobody_to_ask_or_to_tell() -> None:
    """Cases HA_2_1_5, HA_2_1_6: no Duplicate Address Detection, no Neighbor Advertisement, answer at once."""
    shell = Shell(home_link(virtual=True, link_layer_address=b""))
    sent = shell.update(flags=A | H | L)
    assert only(sent).packet.kind == "BA" and only(sent).packet.status == 0
    assert shell.advance(10.0) == []
    assert shell.flows == {HOA: (COA1, False)}


def test_a_refresh_changes_no_flows() -> None:
    shell = Shell()
    shell.bind(lifetime=105)
    shell.advance(100.0)
    sent = only(shell.update(COA1, 16, lifetime=105))
    assert [type(action) for action in shell.actions] == [RefreshBinding, SendDatagram]
    assert (sent.packet.status, sent.packet.sequence, sent.packet.lifetime) == (0, 16, 105)
    entry = shell.ha.bindings.get(HOA)
    assert entry is not None and entry.expires_at == shell.now + 420
    assert entry.registered_at == shell.now - 100.0 and entry.updated_at == shell.now


def test_a_shorter_lifetime_is_honoured() -> None:
    """Case HA_2_1_3."""
    shell = Shell()
    shell.bind(lifetime=105)
    assert only(shell.update(COA1, 16, lifetime=52)).packet.lifetime == 52
    shell.advance(52 * 4)
    assert shell.ha.bindings.get(HOA) is None


def test_a_move_replaces_the_flows_and_says_what_was_there() -> None:
    """10.3.1: the reverse tunnel is accepted from the new care-of address; case HA_6_1_2."""
    shell = Shell()
    shell.bind(COA1, 15)
    sent = only(shell.update(COA2, 16))
    install, ba = shell.actions
    assert isinstance(install, InstallBinding) and isinstance(ba, SendDatagram) and ba.after_flows
    assert (install.previous, install.previous_link_local) == (COA1, False)
    assert install.binding.care_of_address == COA2
    assert (sent.packet.kind, sent.packet.destination, sent.packet.routing) == ("BA", COA2, HOA)
    assert shell.flows == {HOA: (COA2, False)}


def test_the_alternate_care_of_address_is_the_care_of_address() -> None:
    """6.2.5, 9.5.1; the acknowledgement goes to the source address all the same (9.5.4)."""
    shell = Shell()
    ba = shell.bind(COA2, 15, source=COA1)
    assert (ba.destination, ba.routing) == (COA1, HOA)
    assert shell.flows == {HOA: (COA2, False)}


def test_without_that_option_the_source_is() -> None:
    shell = Shell()
    shell.bind(COA1, 15, alternate=b"")
    assert shell.flows == {HOA: (COA1, False)}


def test_k_is_refused_and_reserved_bits_are_ignored() -> None:
    """6.1.7, 10.3.1: no key management protocol moves with the mobile node."""
    shell = Shell()
    ba = shell.bind(flags=A | H | K | 0x0001)
    assert ba.status == 0 and ba.flags == 0
    entry = shell.ha.bindings.get(HOA)
    assert entry is not None and entry.flags == A | H | K


class TestSilence:
    """What section 9.5.1 and 6.1.7 discard without an answer."""

    def silent(self, shell: Shell, reason: str, sequence: int = 16, **more: object) -> None:
        before = str(list(shell.ha.bindings))
        assert shell.update(sequence=sequence, **more) == []  # type: ignore[arg-type]
        assert shell.statistics["dropped_" + reason] == 1
        assert str(list(shell.ha.bindings)) == before

    @pytest.mark.parametrize("bound", [False, True])
    @pytest.mark.parametrize("care_of", ["fe80::1", "ff02::1", "::1", "::", "::ffff:1.2.3.4", "fec0::1"])
    def test_care_of_address_that_is_not_unicast_routable(self, care_of: str, bound: bool) -> None:
        shell = Shell()
        if bound:
            shell.bind()
        self.silent(shell, "care_of_address_not_routable", care_of_address=address(care_of), source=COA1)

    @pytest.mark.parametrize("source", ["fe80::1", "::", "::1"])
    def test_the_source_as_care_of_address(self, source: str) -> None:
        shell = Shell()
        self.silent(shell, "care_of_address_not_routable", care_of_address=address(source), alternate=b"")

    @pytest.mark.parametrize("source", ["::", "::1"])
    def test_source_that_is_not_unicast(self, source: str) -> None:
        """9.5.4: there is nowhere to send the acknowledgement."""
        self.silent(Shell(), "source_not_unicast", source=address(source))

    @pytest.mark.parametrize("source", ["fe80::1", "::"])
    def test_home_address_that_is_not_unicast_routable(self, source: str) -> None:
        """Without a Home Address option the source is the home address."""
        shell = Shell()
        more = {"source": address(source), "home_address_option": False}
        self.silent(shell, "home_address_not_routable", **more)

    def test_nonce_indices_in_a_home_registration(self) -> None:
        option = bytes([4, 4, 0, 1, 0, 2, 0, 0])
        self.silent(Shell(), "nonce_indices", more=option)

    def test_registration_without_a_home_address_option(self) -> None:
        """10.3.1: it MUST be present."""
        shell = Shell()
        self.silent(shell, "no_home_address_option", source=HOA, home_address_option=False)
        assert len(shell.ha.bindings) == 0

    def test_not_a_home_registration(self) -> None:
        self.silent(Shell(), "not_home_registration", flags=A)


class TestRefusal:
    """What is answered with a status of 128 or more; no entry is made."""

    def refused(self, shell: Shell, status: int, **more: object) -> wire.Packet:
        entries = len(shell.ha.bindings)
        sent = only(shell.update(**more))  # type: ignore[arg-type]
        assert (sent.packet.kind, sent.packet.status) == ("BA", status)
        assert sent.packet.lifetime == 0 and sent.packet.refresh is None and not sent.after_flows
        assert len(shell.ha.bindings) == entries
        assert shell.statistics[f"ba_sent_{status}"] == 1
        assert shell.events[-1].kind == "rejected" and shell.events[-1].status == status
        return sent.packet

    def test_131_without_home_prefixes(self) -> None:
        packet = self.refused(Shell(home_link(prefixes=())), 131)
        assert (packet.destination, packet.routing, packet.sequence) == (COA1, HOA, 15)

    def test_132_for_a_home_address_outside_every_home_prefix(self) -> None:
        self.refused(Shell(), 132, home_address=address("2001:db8:2::99"))

    def test_132_without_a_home_address_option_from_anywhere_else(self) -> None:
        """The source is taken for the home address, and for the care-of address as well: no de-registration."""
        packet = self.refused(Shell(), 132, home_address=COA1, home_address_option=False)
        assert (packet.destination, packet.routing) == (COA1, None)

    def test_132_for_a_home_address_of_another_of_our_links(self) -> None:
        """6.1.7: the destination must share the home address's prefix."""
        other = home_link(
            name="other",
            address=address("2001:db8:2::2"),
            prefixes=(HomePrefix(Prefix.parse("2001:db8:2::/64")),),
        )
        shell = Shell(home_link(), other)
        self.refused(shell, 132, link=other)
        shell.bind()
        # Nor can a binding be changed by way of another link, or its sequence number.
        assert only(shell.update(sequence=300, link=other)).packet.status == 132
        assert only(shell.update(sequence=301, link=other, lifetime=0)).packet.status == 133
        assert shell.flows == {HOA: (COA1, False)}
        assert only(shell.update(sequence=16)).packet.status == 0

    def test_any_of_several_home_prefixes_will_do(self) -> None:
        prefixes = tuple(HomePrefix(Prefix.parse(text)) for text in ("2001:db8:1::/64", "2001:db8:1:1::/64"))
        shell = Shell(home_link(prefixes=prefixes))
        assert shell.bind(home_address=address("2001:db8:1:1::99")).status == 0

    def test_128_while_the_switch_is_not_known(self) -> None:
        self.refused(Shell(home_link(link_layer_address=b"")), 128)

    @pytest.mark.parametrize(
        "home_address",
        [
            pytest.param("2001:db8:1::2", id="the home agent's own"),
            pytest.param("2001:db8:1::1", id="the router's"),
            pytest.param("2001:db8:1::", id="subnet-router anycast"),
            pytest.param("2001:db8:1:0:fdff:ffff:ffff:fffe", id="home agents anycast"),
            pytest.param("2001:db8:1:0:fdff:ffff:ffff:ff80", id="reserved anycast"),
        ],
    )
    def test_129_for_addresses_that_are_no_mobile_nodes(self, home_address: str) -> None:
        link = home_link(reserved=frozenset([address("2001:db8:1::1")]))
        self.refused(Shell(link), 129, home_address=address(home_address))

    def test_174_for_a_care_of_address_that_is_bound_elsewhere(self) -> None:
        """Checklist 0.4; 15.1: two mobile nodes with crossed addresses would make a loop."""
        other = home_link(
            name="other",
            address=address("2001:db8:2::2"),
            prefixes=(HomePrefix(Prefix.parse("2001:db8:2::/64")),),
        )
        shell = Shell(home_link(), other)
        there = address("2001:db8:2::99")
        assert shell.bind(care_of_address=there).status == 0  # visiting the other link
        self.refused(shell, 174, home_address=there, care_of_address=HOA, link=other)

    def test_174_for_a_care_of_address_that_waits_for_duplicate_address_detection(self) -> None:
        other = home_link(
            name="other",
            address=address("2001:db8:2::2"),
            prefixes=(HomePrefix(Prefix.parse("2001:db8:2::/64")),),
        )
        shell = Shell(home_link(), other)
        there = address("2001:db8:2::99")
        shell.update(there)
        self.refused(shell, 174, home_address=there, care_of_address=HOA, link=other)

    @pytest.mark.parametrize("care_of", ["2001:db8:1::2", "2001:db8:2::2", "2001:db8:1::55", "2001:db8:3::55"])
    def test_174_for_our_own_addresses_the_home_link_and_virtual_links(self, care_of: str) -> None:
        prefix = (HomePrefix(Prefix.parse("2001:db8:2::/64")),)
        other = home_link(name="other", address=address("2001:db8:2::2"), prefixes=prefix)
        prefix = (HomePrefix(Prefix.parse("2001:db8:3::/64")),)
        virtual = home_link(name="virtual", address=address("2001:db8:9::2"), prefixes=prefix, virtual=True)
        self.refused(Shell(home_link(), other, virtual), 174, care_of_address=address(care_of))

    def test_a_rejected_move_leaves_the_binding_and_counts_its_sequence_number(self) -> None:
        """9.5.1: the number of every valid Binding Update is stored."""
        shell = Shell()
        shell.bind(COA1, 15)
        self.refused(shell, 174, care_of_address=HA, source=COA2, sequence=20)
        assert shell.flows == {HOA: (COA1, False)}
        assert only(shell.update(COA2, 20)).packet.status == 135

    def test_139_for_a_correspondent_registration_over_a_home_registration(self) -> None:
        """9.5.1: the type of a registration cannot change."""
        shell = Shell()
        shell.bind()
        self.refused(shell, 139, sequence=16, flags=A)
        entry = shell.ha.bindings.get(HOA)
        assert entry is not None and entry.flags & H and entry.sequence == 15

    def test_from_the_home_link_it_goes_straight_to_the_sender(self) -> None:
        """10.3.2: the home agent may be defending that very address; checklist 0.3."""
        shell = Shell(home_link(link_layer_address=b""))
        sent = only(shell.update(source=address("2001:db8:1::55"), mac=MN_MAC))
        assert sent.packet.status == 128 and sent.mac == MN_MAC


def test_a_link_local_source_is_answered_on_the_link() -> None:
    """9.5.4: it is unicast; the home address goes along in the routing header."""
    shell = Shell()
    sent = shell.update(COA1, 15, source=address("fe80::99"), mac=MN_MAC)
    ba = only(of_kind(sent + shell.advance(1.0), "BA"))
    assert (ba.packet.status, ba.packet.destination, ba.packet.routing) == (0, address("fe80::99"), HOA)
    assert ba.mac == MN_MAC


class TestSequenceNumber:
    """9.5.1; cases HA_2_5 to HA_2_8."""

    @pytest.mark.parametrize(("first", "second"), [(15, 16), (15, 32782), (32783, 32784), (65535, 0)])
    def test_newer_is_accepted(self, first: int, second: int) -> None:
        shell = Shell()
        shell.bind(COA1, first)
        ba = only(shell.update(COA2, second)).packet
        assert (ba.status, ba.sequence, ba.destination) == (0, second, COA2)

    @pytest.mark.parametrize("flags", [A | H, H])
    @pytest.mark.parametrize(
        ("first", "second"),
        [(15, 14), (15, 15), (15, 32783), (32783, 32782), (32783, 32783), (0, 65535)],
    )
    def test_older_or_equal_is_answered_with_135_and_the_last_number(self, first: int, second: int, flags: int) -> None:
        shell = Shell()
        shell.bind(COA1, first)
        sent = only(shell.update(COA2, second, flags=flags))
        assert (sent.packet.status, sent.packet.sequence) == (135, first)
        assert (sent.packet.destination, sent.packet.routing) == (COA2, HOA)
        assert shell.flows == {HOA: (COA1, False)}

    @pytest.mark.parametrize("number", [0, 15, 65535])
    def test_without_an_entry_every_number_is_accepted(self, number: int) -> None:
        assert Shell().bind(COA1, number).status == 0

    def test_three_moves_over_the_wrap(self) -> None:
        shell = Shell()
        shell.bind(COA1, 65534)
        for care_of, number in ((COA2, 65535), (COA3, 0), (COA1, 1)):
            assert only(shell.update(care_of, number)).packet.status == 0
        assert only(shell.update(COA2, 65535)).packet.status == 135


def test_home_agent_refuses_links_that_share_a_name_or_addresses() -> None:
    with pytest.raises(ValueError, match="named homenet"):
        Shell(home_link(), home_link())
    inside = (HomePrefix(Prefix.parse("2001:db8:1:0:8000::/65")),)
    with pytest.raises(ValueError, match="overlaps"):
        Shell(home_link(), home_link(name="other", prefixes=inside))


def test_events_tell_the_life_of_a_binding() -> None:
    shell = Shell()
    shell.bind(COA1, 15)
    shell.update(COA1, 16)
    shell.update(COA2, 17)
    shell.update(COA2, 17)
    shell.update(COA2, 18, lifetime=0)
    told = [(event.kind, event.care_of_address, event.status) for event in shell.events]
    assert told == [
        ("registered", COA1, 0),
        ("refreshed", COA1, 0),
        ("moved", COA2, 0),
        ("rejected", COA2, 135),
        ("deregistered", COA2, 0),
    ]
    assert {(event.home_address, event.link) for event in shell.events} == {(HOA, "homenet")}
    assert shell.events[0].now == 1001.0


def test_own_link_layer_address_is_read_when_needed() -> None:
    """The switch, and with it the address, may come up after the engine was made."""
    link = home_link(link_layer_address=b"")
    shell = Shell(link)
    assert only(shell.update()).packet.status == 128
    link.link_layer_address = HA_MAC
    assert shell.bind(COA1, 16).status == 0
    assert of_kind(shell.sent, "NA")[0].packet.link_layer_address == HA_MAC


def test_home_addresses_do_not_disturb_each_other() -> None:
    shell = Shell()
    shell.bind(COA1, 15)
    shell.bind(COA1, 3, home_address=OTHER_HOA)
    shell.update(COA1, 16, lifetime=0)
    assert shell.flows == {OTHER_HOA: (COA1, False)}
