"""A TCP connection of the mobile node, as much of it as the cases need: it listens, and acknowledges."""

from __future__ import annotations

from typing import Final

from scapy.layers.inet import TCP
from scapy.packet import Packet

from tests.conformance import wire
from tests.conformance.correspondent_tester import CorrespondentTester
from tests.conformance.host import PORT
from tests.conformance.player import Deviation
from tests.conformance.wire import Seen

_INITIAL: Final = 1000  # sequence number


class Connection:
    """To the host's TCP server, which sends line after line."""

    def __init__(self, tester: CorrespondentTester, port: int) -> None:
        self.care_of_address: str | None = None  # of the binding that there is
        self.destinations: set[str] = set()  # addresses on the wire that the last `follow` has got data at
        self._tester = tester
        self._port = port
        self._expected = 0  # the next sequence number of the host
        self._looked = tester.mark()

    def open(self) -> None:
        """Shake hands."""
        self._send("S", sequence=_INITIAL)
        answer = self._tester.expect(self._is_ours, "SYN, ACK", self._looked)
        if answer.upper[13] & 0x3F != 0x12:
            raise Deviation(f"TCP flags {answer.upper[13]:#x} instead of SYN, ACK")
        self._expected = int.from_bytes(answer.upper[4:8], "big") + 1
        self._looked = answer.at
        self._send("A")

    def follow(self, seconds: float) -> None:
        """Take in and acknowledge what comes for some time; something must, without a gap."""
        tester = self._tester
        self.destinations = set()
        before, end = self._expected, tester.mark() + seconds
        since = tester.mark()
        while (left := end - tester.mark()) > 0:
            seen = tester.inbox.find(self._is_new, since, left)
            if seen is None:
                break
            self.destinations.add(seen.destination)
            tester.check(seen.checksum_right, "wrong checksum in a TCP segment")
            if seen.destination != tester.home_address:
                tester.routed(seen, "a TCP segment")
            header = (seen.upper[12] >> 4) * 4
            self._expected += len(seen.upper) - header
            self._send("A")
        tester.check(self._expected > before, f"the TCP connection stands still for {seconds} s")

    def close(self) -> None:
        self._send("RA")

    def _is_ours(self, seen: Seen) -> bool:
        return seen.protocol == wire.TCP and seen.upper[2:4] == self._port.to_bytes(2, "big")

    def _is_new(self, seen: Seen) -> bool:
        """The segment that is next."""
        return self._is_ours(seen) and int.from_bytes(seen.upper[4:8], "big") == self._expected

    def _send(self, flags: str, sequence: int = _INITIAL + 1) -> None:
        tester = self._tester
        segment: Packet = TCP(sport=self._port, dport=PORT, flags=flags, seq=sequence, ack=self._expected, window=65535)
        upper = wire.upper_octets(tester.home_address, tester.correspondent, segment, wire.TCP)
        if self.care_of_address is None:
            tester.from_home_address(wire.TCP, upper)
        else:
            tester.from_care_of_address(self.care_of_address, wire.TCP, upper)
