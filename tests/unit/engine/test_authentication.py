"""The authentication option (RFC 4285) at the home agent. HMAC is computed here from RFC 2104, not by the library."""

from __future__ import annotations

import hashlib
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mip6core.authentication import MobilitySecurityAssociation
from mip6core.home_agent import HomeAgent, Limits
from tests.unit.engine import wire
from tests.unit.engine.shell import COA1, COA2, HA, HOA, MN_MAC, Sent, Shell, home_link, no_randomness, of_kind, only
from tests.unit.engine.wire import A, H, Packet, address

KEY = bytes(range(0x30, 0x40))
SPI = 0x01020304
NAI = b"mn@example.org"
WALL = 1_700_000_000.0  # what the wall clock shows at 0 of the shell's clock
NTP_EPOCH = 2_208_988_800  # seconds from 1900 to 1970
PLAIN_HOA = address("2001:db8:1::77")  # of a mobile node that shares no key


def hmac_sha1(key: bytes, message: bytes) -> bytes:
    """RFC 2104, for keys of at most 64 octets."""
    padded = key + bytes(64 - len(key))
    inner = hashlib.sha1(bytes(octet ^ 0x36 for octet in padded) + message).digest()
    return hashlib.sha1(bytes(octet ^ 0x5C for octet in padded) + inner).digest()


def ntp(seconds: float) -> int:
    """Seconds since 1970 as a 64-bit timestamp."""
    return int((seconds + NTP_EPOCH) * 2**32) % 2**64


def mn_id(identifier: bytes = NAI, subtype: int = 1) -> bytes:
    return bytes([8, len(identifier) + 1, subtype]) + identifier


def message_id(timestamp: int) -> bytes:
    return b"\x0a\x08" + struct.pack("!Q", timestamp)


def authentication(data: bytes = bytes(12), spi: int = SPI, subtype: int = 1) -> bytes:
    return bytes([9, 5 + len(data), subtype]) + struct.pack("!I", spi) + data


def update(
    *options: bytes,
    sequence: int = 15,
    care_of_address: bytes = COA1,
    home_address: bytes = HOA,
    source: bytes | None = None,
    alternate: bytes = b"",
    lifetime: int = 105,
    key: bytes | None = KEY,
    signed_care_of: bytes | None = None,
    behind: bytes = b"",
) -> bytes:
    """A Binding Update with these options, padded in front of the last one to end at 8n, then signed in that one.

    `behind` comes behind the authentication option, with the padding it needs. `key` None signs nothing.
    """
    *first, last = options
    body = struct.pack("!HHH", sequence, A | H, lifetime)
    if alternate:
        body += b"\x01\0\x03\x10" + alternate
    body += b"".join(first)
    body += bytes(-(6 + len(body) + len(last)) % 8) + last
    behind += bytes(-len(behind) % 8)
    signed = struct.pack("!BBBBH", 59, (6 + len(body) + len(behind)) // 8 - 1, 5, 0, 0) + body
    if key is not None:
        assert last[0] == 9
        covered = signed[: -len(last) + 7]
        where = signed_care_of or alternate or care_of_address
        authenticator = hmac_sha1(key, where + home_address + covered)[: len(last) - 7]
        body = body[: len(body) - len(authenticator)] + authenticator
    at_home = source == home_address
    upper = wire.mobility_header(5, body + behind, home_address, HA)
    return wire.ipv6(source or care_of_address, HA, 135, upper, home_address=None if at_home else home_address)


def association(**changes: object) -> MobilitySecurityAssociation:
    values: dict[str, object] = {"home_address": HOA, "spi": SPI, "key": KEY, "mn_id": NAI, "timestamps": False}
    return MobilitySecurityAssociation(**(values | changes))  # type: ignore[arg-type]


def shell(**changes: object) -> Shell:
    """A virtual link, where answers come at once, and one mobile node with a key."""
    return Shell(home_link(virtual=True), associations=[association(**changes)], wall_clock_ahead=WALL)


def stamped(shell: Shell, offset: float = 0.0, **more: object) -> bytes:
    """A Binding Update with the wall clock's time and an offset to it in seconds."""
    stamp = ntp(shell.now + WALL + offset)
    return update(mn_id(), pad_to_8n_2(stamp), authentication(), **more)  # type: ignore[arg-type]


def pad_to_8n_2(stamp: int) -> bytes:
    """The replay protection option behind the 12 octets of a Binding Update and the Mobile Node Identifier."""
    return bytes((2 - 12 - len(mn_id())) % 8) + message_id(stamp)


def authentic(sent: list[Sent], care_of_address: bytes = COA1, home_address: bytes = HOA) -> Packet:
    """The one acknowledgement, after its authenticator has been checked (5.1)."""
    packet = only(of_kind(sent, "BA")).packet
    expected = hmac_sha1(KEY, care_of_address + home_address + packet.covered)[:12]
    assert packet.authenticator == expected and packet.spi == SPI
    assert packet.mn_id == b"\x01" + NAI
    assert packet.options[-1] == 9 and packet.options.count(9) == 1
    return packet


def test_the_judge_computes_hmac_as_rfc_2202_does() -> None:
    assert hmac_sha1(b"\x0b" * 20, b"Hi There").hex() == "b617318655057264e28bc0b6fb378c8ef146be00"
    assert hmac_sha1(b"Jefe", b"what do ya want for nothing?").hex() == "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"


def test_a_signed_binding_update_is_accepted_and_answered_signed() -> None:
    one = shell()
    packet = authentic(one.receive(update(mn_id(), authentication())))
    assert (packet.status, packet.sequence, packet.options) == (0, 15, [8, 9])
    assert one.flows == {HOA: (COA1, False)}
    packet = authentic(one.receive(update(mn_id(), authentication(), sequence=16, care_of_address=COA2)), COA2)
    assert packet.status == 0 and one.flows == {HOA: (COA2, False)}


def test_the_alternate_care_of_address_is_the_one_that_is_signed() -> None:
    one = shell()
    packet = update(mn_id(), authentication(), alternate=COA2)
    assert authentic(one.receive(packet), COA2).status == 0
    assert one.flows == {HOA: (COA2, False)}
    packet = update(mn_id(), authentication(), alternate=COA2, signed_care_of=COA1, sequence=16)
    assert authentic(one.receive(packet), COA2).status == 146


def test_refresh_advice_stands_before_the_authentication() -> None:
    one = Shell(home_link(virtual=True, refresh_interval=60), associations=[association()])
    packet = authentic(one.receive(update(mn_id(), authentication())))
    assert packet.options == [2, 8, 9] and packet.refresh == 15


def test_deregistration_is_signed_too() -> None:
    one = Shell(associations=[association()])
    one.receive(update(mn_id(), authentication()))
    one.advance(1.0)
    assert HOA in one.flows
    sent = one.receive(update(mn_id(), authentication(), sequence=16, lifetime=0, key=bytes(16)))
    assert authentic(sent).status == 146 and HOA in one.flows
    at_home = update(mn_id(), authentication(), sequence=17, lifetime=0, care_of_address=HOA, source=HOA)
    sent = one.receive(at_home, MN_MAC)
    assert authentic(sent, HOA).status == 0 and one.flows == {}
    assert only(of_kind(sent, "BA")).mac == MN_MAC


@pytest.mark.parametrize(
    "packet",
    [
        update(mn_id(), authentication(), key=bytes(16)),
        update(mn_id(), authentication(), signed_care_of=COA2),
        update(mn_id(), authentication(bytes(11))),
        update(mn_id(), authentication(bytes(20))),  # all of SHA-1, where the RFC wants the first 96 bits
        update(mn_id(), authentication(b""), key=None),
        update(authentication()),  # 4: it identifies itself
        update(mn_id(b"other@example.org"), authentication()),
        update(mn_id(subtype=2), authentication()),
    ],
)
def test_146_where_authentication_fails(packet: bytes) -> None:
    one = shell()
    answer = authentic(one.receive(packet))
    assert (answer.status, answer.lifetime, answer.sequence) == (146, 0, 15)
    assert len(one.ha.bindings) == 0 and one.statistics["ba_sent_146"] == 1
    assert authentic(one.receive(update(mn_id(), authentication()))).status == 0


def test_every_octet_up_to_the_spi_is_covered() -> None:
    """Flags, lifetime, sequence number, options: with any bit changed, the update is not believed."""
    good = update(mn_id(), authentication())
    upper = good[64:]
    start, end = 6, len(upper) - 12
    for position in range(start, end):
        changed = bytearray(upper)
        changed[position] ^= 0x01
        body = bytes(changed[6:])
        one = shell()
        one.receive(wire.ipv6(COA1, HA, 135, wire.mobility_header(5, body, HOA, HA), home_address=HOA))
        assert len(one.ha.bindings) == 0 and one.flows == {}, position


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (update(mn_id(), authentication(spi=SPI + 1)), "no_mobility_security_association"),
        (update(mn_id(), authentication(), home_address=PLAIN_HOA), "no_mobility_security_association"),
        (update(mn_id(), authentication(subtype=2), home_address=PLAIN_HOA), "no_mobility_security_association"),
        (wire.binding_update(HA, HOA, COA1, 15), "no_authentication"),
        (update(mn_id(), authentication(subtype=2)), "no_authentication"),
        (update(mn_id(), authentication(subtype=3)), "no_authentication"),
        (update(mn_id(), authentication(), behind=b"\xc8\x02\0\0"), "authentication_not_last"),
        (update(authentication(), behind=mn_id()), "authentication_not_last"),
        (update(authentication(), behind=message_id(1)), "authentication_not_last"),
        (update(mn_id(), authentication(), authentication()), "authentication_twice"),
        (update(mn_id(), authentication(), behind=authentication()), "authentication_twice"),
        (update(mn_id(), authentication(subtype=2), authentication()), "authentication_order"),
    ],
)
def test_silence(packet: bytes, reason: str) -> None:
    """5, 5.1, 5.2, 5.3: no association for it, not signed though there is one, or options in the wrong order."""
    one = shell()
    assert one.receive(packet) == []
    assert len(one.ha.bindings) == 0 and one.statistics["dropped_" + reason] == 1


def test_padding_behind_the_last_option_is_no_option() -> None:
    one = shell()
    for sequence, behind in ((15, bytes(8)), (16, b"\x01\x06" + bytes(6))):
        assert authentic(one.receive(update(mn_id(), authentication(), behind=behind, sequence=sequence))).status == 0


def test_mn_aaa_behind_mn_ha_is_left_alone() -> None:
    one = shell()
    sent = one.receive(update(mn_id(), authentication(), behind=authentication(b"?" * 20, 3, subtype=2)))
    assert authentic(sent).status == 0  # and the answer has no MN-AAA option (5.2)


def test_others_register_as_before() -> None:
    one = shell()
    packet = only(one.update(home_address=PLAIN_HOA)).packet
    assert packet.status == 0 and packet.options == []


@pytest.mark.parametrize("status", [128, 129, 130, 131, 132, 133, 135])
def test_rejections_are_signed(status: int) -> None:
    home = {132: address("2001:db8:7::99"), 129: address("2001:db8:1::")}.get(status, HOA)
    link = home_link(virtual=True)
    if status == 128:
        link = home_link(link_layer_address=b"")
    elif status == 131:
        link = home_link(prefixes=())
    limits = Limits(max_bindings=1)
    one = Shell(link, associations=[association(home_address=home)], limits=limits)
    sequence, lifetime = 15, 105
    if status == 130:
        one.update(home_address=PLAIN_HOA)
    elif status == 133:
        lifetime = 0
    elif status == 135:
        one.receive(update(mn_id(), authentication()))
    packet = update(mn_id(), authentication(), home_address=home, sequence=sequence, lifetime=lifetime)
    assert authentic(one.receive(packet), home_address=home).status == status


def test_answers_that_come_later_are_signed() -> None:
    """134 after Duplicate Address Detection, and 130 where the switch refuses the flows."""
    one = Shell(associations=[association()])
    one.receive(update(mn_id(), authentication()))
    sent = one.receive(wire.neighbor_advertisement(HOA, HOA), MN_MAC)
    assert authentic(sent).status == 134
    one = shell()
    one.receive(update(mn_id(), authentication()))
    assert authentic(one.fail_installation()).status == 130


def test_an_adopted_binding_is_answered_signed() -> None:
    one = shell()
    assert one.ha.adopt(one.link, HOA, COA1, 15, A | H, 100.0, one.now)
    one.flows[HOA] = (COA1, False)
    assert authentic(one.fail_installation()).status == 130


def test_sequence_numbers_count_without_timestamps() -> None:
    one = shell()
    one.receive(update(mn_id(), authentication()))
    packet = authentic(one.receive(update(mn_id(), authentication(), sequence=14)))
    assert (packet.status, packet.sequence) == (135, 15)


# Section 6


def test_a_good_timestamp_is_copied() -> None:
    one = shell(timestamps=True)
    one.advance(10.0)
    stamp = ntp(one.now + WALL + 1.5)
    packet = authentic(one.receive(update(mn_id(), pad_to_8n_2(stamp), authentication())))
    assert (packet.status, packet.timestamp, packet.options) == (0, stamp, [8, 10, 9])


def test_the_option_is_echoed_without_being_asked_for() -> None:
    """6: "it MUST include"; it is not checked where the association does not have it."""
    packet = authentic(shell().receive(update(mn_id(), pad_to_8n_2(42), authentication())))
    assert (packet.status, packet.timestamp) == (0, 42)


def test_145_where_the_timestamp_is_missing() -> None:
    one = shell(timestamps=True)
    packet = authentic(one.receive(update(mn_id(), authentication())))
    assert (packet.status, packet.timestamp) == (145, None) and len(one.ha.bindings) == 0


def test_authentication_comes_first() -> None:
    """6: the timestamp is looked at after the authenticator, so nobody else can use it up."""
    one = shell(timestamps=True)
    one.advance(10.0)
    assert authentic(one.receive(stamped(one, 6.0, key=bytes(16)))).status == 146
    assert authentic(one.receive(update(mn_id(), authentication(), key=bytes(16)))).status == 146
    assert authentic(one.receive(stamped(one))).status == 0


@pytest.mark.parametrize(
    ("window", "offset", "status"),
    [(7.0, 6.9, 0), (7.0, 7.1, 144), (7.0, -6.9, 0), (7.0, -7.1, 144), (30.0, -29.0, 0), (30.0, 1e8, 144)],
)
def test_144_outside_the_window(window: float, offset: float, status: int) -> None:
    one = shell(timestamps=True, window=window)
    one.advance(100.0)
    sent = ntp(one.now + WALL + offset)
    packet = authentic(one.receive(update(mn_id(), pad_to_8n_2(sent), authentication())))
    assert packet.status == status
    ours = ntp(one.now + WALL) >> 32
    assert packet.timestamp == (sent if status == 0 else ours << 32 | sent & 0xFFFFFFFF)
    assert (HOA in one.flows) == (status == 0)


def test_144_for_a_timestamp_that_is_not_later() -> None:
    one = shell(timestamps=True)
    one.advance(100.0)
    first = stamped(one, 3.0)
    assert authentic(one.receive(first)).status == 0
    for offset in (3.0, 2.999, -5.0):
        assert authentic(one.receive(stamped(one, offset, sequence=20))).status == 144
    assert authentic(one.receive(stamped(one, 3.001, sequence=20))).status == 0
    one.clear()
    assert authentic(one.receive(first)).status == 144, "a replay must not bring a binding back"


def test_timestamps_of_mobile_nodes_are_apart() -> None:
    other = address("2001:db8:1::98")
    associations = [association(timestamps=True), association(timestamps=True, home_address=other)]
    one = Shell(home_link(virtual=True), associations=associations, wall_clock_ahead=WALL)
    one.advance(10.0)
    assert authentic(one.receive(stamped(one, 5.0))).status == 0
    assert authentic(one.receive(stamped(one, 1.0, home_address=other)), home_address=other).status == 0


def test_nothing_from_before_the_start_is_accepted() -> None:
    """What was accepted then is forgotten, and may have been this."""
    one = shell(timestamps=True)
    one.advance(1.0)
    assert authentic(one.receive(stamped(one, -1.5))).status == 144
    assert authentic(one.receive(stamped(one, -0.5))).status == 0


def test_with_a_timestamp_the_sequence_number_does_not_count() -> None:
    """7: "The sequence number field in the Binding Update is not used if this mechanism is used"."""
    one = shell(timestamps=True)
    for seconds, sequence in enumerate((500, 500, 3)):
        one.advance(1.0)
        packet = authentic(one.receive(stamped(one, sequence=sequence)))
        assert (packet.status, packet.sequence) == (0, sequence), seconds


def test_a_doubled_packet_during_duplicate_address_detection_is_not_answered_twice() -> None:
    one = Shell(associations=[association(timestamps=True)], wall_clock_ahead=WALL)
    one.advance(1.0)
    packet = stamped(one)
    one.receive(packet)
    assert one.receive(packet) == [] and one.statistics["bu_duplicate"] == 1
    assert authentic(one.advance(1.0)).status == 0


def test_the_era_of_the_timestamps_may_change() -> None:
    """The seconds begin anew on 7 February 2036."""
    change = 2**32 - NTP_EPOCH
    one = Shell(
        home_link(virtual=True), associations=[association(timestamps=True)], now=1.0, wall_clock_ahead=change - 3.0
    )
    for ahead, status in ((0.5, 0), (3.0, 0), (2.9, 144)):
        stamp = ntp(one.now + change - 3.0 + ahead)
        assert authentic(one.receive(update(mn_id(), pad_to_8n_2(stamp), authentication()))).status == status
    one.advance(5.0)
    stamp = ntp(one.now + change - 3.0)
    assert stamp < 2**40
    packet = authentic(one.receive(update(mn_id(), pad_to_8n_2(stamp), authentication(), sequence=16)))
    assert (packet.status, packet.timestamp) == (0, stamp)


def test_keys_are_not_shown() -> None:
    one = shell()
    one.receive(update(mn_id(), authentication()))
    (entry,) = one.ha.bindings
    for text in (repr(association()), str(association()), repr(entry), repr(entry.request), repr(one.events)):
        assert "0123456789:;" not in text and KEY.hex() not in text and repr(KEY) not in text


def test_what_cannot_work_is_refused() -> None:
    with pytest.raises(ValueError, match="two security associations"):
        Shell(associations=[association(), association(spi=SPI + 1)])
    with pytest.raises(ValueError, match="clock"):
        HomeAgent([home_link()], Limits(), no_randomness, associations=[association(timestamps=True)])


any_option = st.one_of(
    st.binary(max_size=40),
    st.builds(mn_id, st.sampled_from([NAI, b"", b"x"]), st.integers(0, 3)),
    st.builds(message_id, st.one_of(st.integers(0, 2**64 - 1), st.just(ntp(1000.0 + WALL)))),
    st.builds(authentication, st.binary(max_size=24), st.sampled_from([SPI, 0, 3, 2**32 - 1]), st.integers(0, 3)),
)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.lists(any_option, max_size=5), st.sampled_from([HOA, PLAIN_HOA]), st.booleans())
def test_any_options_do_no_harm(options: list[bytes], home_address: bytes, timestamps: bool) -> None:
    """Whatever stands in the options: no exception, and no binding for the mobile node without its key."""
    one = shell(timestamps=timestamps)
    body = struct.pack("!HHH", 15, A | H, 105) + b"".join(options)
    body += bytes(-(6 + len(body)) % 8)
    upper = wire.mobility_header(5, body, home_address, HA)
    sent = one.receive(wire.ipv6(COA1, HA, 135, upper, home_address=home_address))
    assert HOA not in one.flows
    for answer in of_kind(sent, "BA"):
        if home_address == HOA:
            assert answer.packet.status == 146
            expected = hmac_sha1(KEY, COA1 + HOA + answer.packet.covered)[:12]
            # An Alternate Care-of Address may have come out of the random octets.
            assert answer.packet.authenticator == expected or b"\x03\x10" in body
        else:
            assert answer.packet.options == []
