"""ESP against scapy's, both ways, and against tshark's, for every pair of algorithms."""

from __future__ import annotations

import logging
import os
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from scapy.utils import wrpcap

from deploy.config.associations import ENCRYPTION_KEYS, INTEGRITY_KEYS, Key
from ryu_apps.ipsec import transforms
from ryu_apps.ipsec.esp import Exhausted, Inbound, Outbound, Rejected, ReplayWindow
from tests.unit.ipsec.esp_peer import SUITES, Suite, direction, keys, peer

SPI = 0x111
# Ours: Wireshark's
TSHARK_ENCRYPTION = {
    "aes-gcm": "AES-GCM with 16 octet ICV [RFC4106]",
    "aes-cbc": "AES-CBC [RFC3602]",
    "3des-cbc": "TripleDES-CBC [RFC2451]",
    "null": "NULL",
}
TSHARK_INTEGRITY = {
    None: "NULL",
    "hmac-sha1-96": "HMAC-SHA-1-96 [RFC2404]",
    "hmac-sha256-128": "HMAC-SHA-256-128 [RFC4868]",
    "hmac-sha384-192": "HMAC-SHA-384-192 [RFC4868]",
    "hmac-sha512-256": "HMAC-SHA-512-256 [RFC4868]",
}


def transform(suite: Suite, given: dict) -> transforms.Transform:
    return transforms.make(
        suite.encryption,
        bytes.fromhex(given.get("encryption_key", "")),
        suite.integrity,
        bytes.fromhex(given.get("integrity_key", "")),
        os.urandom,
    )


def pair(suite: Suite = SUITES[0], anti_replay: bool = False) -> tuple[Outbound, Inbound]:
    """Both ends."""
    one = direction(suite, SPI)
    return Outbound(SPI, transform(suite, one), 0, not anti_replay), Inbound(SPI, transform(suite, one), anti_replay)


suites = pytest.mark.parametrize("suite", SUITES, ids=str)


@suites
@pytest.mark.parametrize("length", [0, 1, 13, 14, 15, 16, 32, 1400])
def test_scapy_opens_what_we_seal(suite: Suite, length: int) -> None:
    one = direction(suite, SPI)
    payload = os.urandom(length)
    outbound = Outbound(SPI, transform(suite, one), 7, wraps=True)
    packet = IPv6(src="2001:db8::1", dst="2001:db8::2", nh=50) / Raw(outbound.seal(253, payload))
    opened = peer(suite, one).decrypt(IPv6(bytes(packet)))
    assert opened.nh == 253
    assert bytes(opened.payload) == payload


@suites
@pytest.mark.parametrize("length", [1, 13, 14, 15, 16, 32, 1400])
def test_we_open_what_scapy_seals(suite: Suite, length: int) -> None:
    one = direction(suite, SPI)
    payload = os.urandom(length)
    packet = IPv6(src="2001:db8::1", dst="2001:db8::2", nh=253) / Raw(payload)
    sealed = bytes(peer(suite, one).encrypt(IPv6(bytes(packet)), seq_num=9))[40:]
    assert sealed[:8] == SPI.to_bytes(4, "big") + (9).to_bytes(4, "big")
    assert Inbound(SPI, transform(suite, one), False).open(sealed) == (253, payload)


def test_tshark_opens_what_we_seal(tmp_path: Path) -> None:
    """Wireshark computes with another library (libgcrypt)."""
    words = ["tshark", "-r", str(tmp_path / "esp.pcap"), "-T", "fields", "-e", "udp.srcport", "-e", "esp.icv_good"]
    words += ["-e", "data.data", "-o", "esp.enable_encryption_decode:TRUE"]
    words += ["-o", "esp.enable_authentication_check:TRUE"]
    packets = []
    for number, suite in enumerate(SUITES):
        spi = SPI + number
        one = direction(suite, spi)
        udp = struct.pack("!4H", 40000 + number, 40999, 12, 0) + bytes.fromhex("deadbeef")
        sealed = Outbound(spi, transform(suite, one), 0, wraps=True).seal(17, udp)
        packets.append(Ether(dst="02:00:00:00:00:01") / IPv6(src="2001:db8::1", dst="2001:db8::2", nh=50) / Raw(sealed))
        record = ["IPv6", "*", "*", hex(spi), TSHARK_ENCRYPTION[suite.encryption], _hex(one, "encryption_key")]
        record += [TSHARK_INTEGRITY[suite.integrity], _hex(one, "integrity_key")]
        words += ["-o", "uat:esp_sa:" + ",".join(f'"{value}"' for value in record)]
    wrpcap(str(tmp_path / "esp.pcap"), packets)
    printed = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    assert printed == [f"{40000 + number}\t1\tdeadbeef" for number in range(len(SUITES))]


def _hex(one: dict, name: str) -> str:
    return f"0x{one[name]}" if name in one else ""


def test_key_lengths_are_those_of_the_configuration() -> None:
    """Each pair of algorithms that the file may name, with each length of key, makes a transform."""
    assert {suite.encryption for suite in SUITES} == set(ENCRYPTION_KEYS)
    for suite in SUITES:
        encryption_key, integrity_key = keys(suite)
        assert len(integrity_key) == (INTEGRITY_KEYS[suite.integrity] if suite.integrity else 0)
        made = transforms.make(suite.encryption, encryption_key, suite.integrity, integrity_key, os.urandom)
        assert made.open(b"header", made.seal(b"header", bytes(16))) == bytes(16)


@suites
def test_every_octet_is_protected(suite: Suite) -> None:
    outbound, inbound = pair(suite)
    sealed = outbound.seal(135, b"a Binding Update")
    for index in range(len(sealed)):
        wrong = sealed[:index] + bytes((sealed[index] ^ 1,)) + sealed[index + 1 :]
        with pytest.raises(Rejected, match="esp_bad_integrity"):
            inbound.open(wrong)
    assert inbound.open(sealed) == (135, b"a Binding Update")


@suites
def test_truncated(suite: Suite) -> None:
    outbound, inbound = pair(suite)
    sealed = outbound.seal(135, b"a Binding Update")
    for length in range(len(sealed)):
        with pytest.raises(Rejected, match="esp_bad_integrity"):
            inbound.open(sealed[:length])


@suites
def test_two_packets_with_one_content_differ(suite: Suite) -> None:
    outbound, _inbound = pair(suite)
    first, second = outbound.seal(135, bytes(64)), outbound.seal(135, bytes(64))
    assert first[8:] != second[8:]


@pytest.mark.parametrize(
    "plain",
    [b"", b"\x00", b"\x00" * 6 + b"\x09\x87", b"\x01\x03\x02\x03\x00\x00\x03\x87"],
    ids=["empty", "one octet", "longer than the packet", "not 1, 2, 3"],
)
def test_bad_padding(plain: bytes) -> None:
    """RFC 4303 section 2.4, from a sender who has the keys."""
    suite = Suite("null", 0, "hmac-sha1-96")
    one = direction(suite, SPI)
    header = SPI.to_bytes(4, "big") + (1).to_bytes(4, "big")
    sealed = header + transform(suite, one).seal(header, plain)
    with pytest.raises(Rejected, match="esp_bad_padding"):
        Inbound(SPI, transform(suite, one), False).open(sealed)


def test_dummy_packets_are_dropped() -> None:
    """RFC 4303 section 2.6."""
    outbound, inbound = pair()
    with pytest.raises(Rejected, match="esp_dummy"):
        inbound.open(outbound.seal(59, bytes(40)))


@given(st.binary(max_size=200), st.sampled_from(SUITES))
def test_any_octets_are_rejected(octets: bytes, suite: Suite) -> None:
    with pytest.raises(Rejected):
        pair(suite, anti_replay=True)[1].open(octets)


def test_replayed_packets() -> None:
    outbound, inbound = pair(anti_replay=True)
    packets = [outbound.seal(135, bytes((number,))) for number in range(70)]
    assert inbound.open(packets[0]) == (135, b"\x00")
    for late in (packets[0], packets[0]):
        with pytest.raises(Rejected, match="esp_replayed"):
            inbound.open(late)
    assert inbound.open(packets[69]) == (135, bytes((69,)))
    with pytest.raises(Rejected, match="esp_replayed"):  # 64 behind the latest
        inbound.open(packets[5])
    assert inbound.open(packets[6]) == (135, b"\x06")  # 63 behind
    with pytest.raises(Rejected, match="esp_replayed"):
        inbound.open(packets[6])


def test_a_forged_packet_does_not_move_the_window() -> None:
    outbound, inbound = pair(anti_replay=True)
    sealed = outbound.seal(135, b"first")
    forged = SPI.to_bytes(4, "big") + (0xFFFFFFF0).to_bytes(4, "big") + sealed[8:]
    with pytest.raises(Rejected, match="esp_bad_integrity"):
        inbound.open(forged)
    assert inbound.open(sealed) == (135, b"first")


def test_without_a_window_packets_count_twice() -> None:
    """RFC 3776 section 4.4: no anti-replay with static keys, unless the operator says that the peer counts."""
    outbound, inbound = pair()
    sealed = outbound.seal(135, b"twice")
    assert inbound.open(sealed) == inbound.open(sealed) == (135, b"twice")


@given(st.lists(st.integers(0, 400), max_size=300))
def test_window_accepts_each_number_once(numbers: list[int]) -> None:
    window, seen = ReplayWindow(), set()
    for number in numbers:
        wanted = number > 0 and number not in seen and number > max(seen, default=0) - 64
        assert window.fresh(number) == wanted
        if wanted:
            window.accept(number)
            seen.add(number)


def test_sequence_numbers_on_the_wire() -> None:
    """32 bits of a counter of 64; where the receiver counts, it may not begin anew (RFC 4303 section 3.3.3)."""
    suite = SUITES[0]
    one = direction(suite, SPI)
    outbound = Outbound(SPI, transform(suite, one), 0xFFFFFFFE, wraps=True)
    numbers = [outbound.seal(135, b"")[4:8].hex() for _ in range(3)]
    assert numbers == ["ffffffff", "00000000", "00000001"]
    counted = Outbound(SPI, transform(suite, one), 0xFFFFFFFE, wraps=False)
    assert counted.seal(135, b"")[4:8].hex() == "ffffffff"
    with pytest.raises(Exhausted):
        counted.seal(135, b"")


def test_keys_do_not_show(caplog: pytest.LogCaptureFixture) -> None:
    key = Key(b"a secret")
    logging.getLogger("test").warning("%s %r %s", key, key, [key])
    shown = f"{key} {key!r} {key:>10} {caplog.text}"
    assert "secret" not in shown and key.hex() not in shown
    for suite in SUITES:
        one = direction(suite, SPI)
        made = transform(suite, one)
        for shown in (repr(made), repr(Inbound(SPI, made, True)), repr(Outbound(SPI, made, 0, True))):
            assert "key" not in shown and "object at" in shown
