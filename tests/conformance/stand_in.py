"""A correspondent node that the tester is tried on: RFC 6275 section 9 in little room, in time that need not pass.

It can be given a fault, so that there is something to find.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from tests.conformance import wire
from tests.conformance.wire import Seen

BINDING_UPDATE_FIELDS: Final = slice(6, 12)
SHORTEST: Final = {wire.HOTI: 1, wire.COTI: 1, wire.BU: 1}  # Header Len
ROTATION, MAX_NONCE_LIFETIME = 30, 240  # seconds
MAX_LIFETIME: Final = 105  # units of 4 s
OPTION_LENGTHS: Final = {3: 16, wire.NONCE_INDICES: 4}
NOT_ROUTABLE: Final = ("ff", "fe80", "::")  # how the texts of such addresses begin
PERSISTENT: Final = 3  # errors in a row
_SECRET: Final = b"a secret of twenty o"


@dataclass(frozen=True)
class Binding:
    care_of_address: str
    sequence: int
    expires_at: float
    errors: int = 0


class StandIn:
    """Takes packets, and gives its answers to `deliver`."""

    def __init__(self, hosts: tuple[str, ...], deliver: Callable[[bytes], None], fault: str = "") -> None:
        self.now = 1_000_000.0
        self._hosts = hosts
        self._deliver = deliver
        self._fault = fault
        self._bindings: dict[tuple[str, str], Binding] = {}
        self._used: dict[tuple[str, str, str, bytes], int] = {}  # sequence numbers, by binding and nonces

    def receive(self, octets: bytes) -> None:
        seen = wire.read(octets)
        if seen.destination not in self._hosts:
            return
        if seen.routing is not None and self._fault != "takes a routing header":
            return
        if seen.protocol == wire.MOBILITY:
            self._mobility_header(seen)
        elif seen.home_address is None or self._payload_allowed(seen):
            self._icmpv6(seen)

    def _binding(self, host: str, home_address: str) -> Binding | None:
        found = self._bindings.get((host, home_address))
        if found is not None and found.expires_at <= self.now and self._fault != "never expires":
            del self._bindings[host, home_address]
            return None
        return found

    def _payload_allowed(self, seen: Seen) -> bool:
        assert seen.home_address is not None
        found = self._binding(seen.destination, seen.home_address)
        if self._fault == "learns from options" and found is None:
            self._bindings[seen.destination, seen.home_address] = Binding(seen.source, 0, self.now + 100)
        if found is not None and (found.care_of_address == seen.source or self._fault == "any care-of address"):
            return True
        if not seen.home_address.startswith(NOT_ROUTABLE):
            self._binding_error(seen, 1)
        return False

    def _icmpv6(self, seen: Seen) -> None:
        if seen.protocol != wire.ICMPV6 or (not seen.checksum_right and seen.routing is None):
            return
        peer = seen.home_address or seen.source
        if seen.is_icmpv6(wire.ECHO_REQUEST) and not peer.startswith("ff"):
            self._send(seen.destination, peer, wire.ICMPV6, bytes((wire.ECHO_REPLY, 0, 0, 0)) + seen.upper[4:])
        elif seen.is_icmpv6(1):
            self._unreachable(seen.destination, wire.text(seen.upper[8 + 24 : 8 + 40]))

    def _unreachable(self, host: str, care_of_address: str) -> None:
        for key, found in list(self._bindings.items()):
            if key[0] == host and found.care_of_address == care_of_address:
                self._bindings[key] = found = replace(found, errors=found.errors + 1)
                if found.errors == (1 if self._fault == "impatient" else PERSISTENT):
                    del self._bindings[key]

    def _send(self, host: str, peer: str, protocol: int, upper: bytes) -> None:
        """What upper layers send: by the binding if there is one."""
        found = self._binding(host, peer)
        if found is None or self._fault == "no routing header":
            self._put(host, peer, [], protocol, upper, peer)
        else:
            self._put(host, found.care_of_address, [wire.type_2_routing_header(peer)], protocol, upper, peer)

    def _put(
        self, host: str, destination: str, extensions: list[tuple[int, bytes]], protocol: int, upper: bytes, final: str
    ) -> None:
        at = 2 if protocol == wire.ICMPV6 else 4
        cleared = upper[:at] + bytes(2) + upper[at + 2 :]
        value = wire.checksum(host, final, protocol, cleared)
        upper = upper[:at] + value.to_bytes(2, "big") + upper[at + 2 :]
        self._deliver(wire.extended(host, destination, extensions, protocol, upper))

    def _direct(self, seen: Seen, protocol: int, upper: bytes) -> None:
        """Straight to the source on the wire."""
        if not seen.source.startswith(("ff", "fe80")) or self._fault == "answers anybody":
            self._put(seen.destination, seen.source, [], protocol, upper, seen.source)

    def _binding_error(self, seen: Seen, status: int) -> None:
        home_address = wire.UNSPECIFIED if self._fault == "no home address" else seen.home_address or wire.UNSPECIFIED
        body = bytes((status, 0)) + wire.packed(home_address)
        self._direct(seen, wire.MOBILITY, bytes((59, 2, wire.BE, 0, 0, 0)) + body)

    # --- Mobility Headers ---

    def _mobility_header(self, seen: Seen) -> None:
        header = seen.upper
        if not seen.checksum_right and self._fault != "no checksum":
            return
        kind = header[2]
        if kind > wire.BE:
            self._binding_error(seen, 2)
        elif header[0] != wire.NO_NEXT_HEADER and self._fault != "any payload":
            self._parameter_problem(seen, 0)
        elif header[1] < SHORTEST.get(kind, 0):
            self._parameter_problem(seen, 1)
        elif kind in (wire.HOTI, wire.COTI) and (seen.home_address is None or self._fault == "options in tests"):
            self._test(seen)
        elif kind == wire.BU:
            with contextlib.suppress(wire.Malformed):
                self._binding_update(seen)

    def _parameter_problem(self, seen: Seen, at: int) -> None:
        pointer = len(seen.octets) - len(seen.upper) + at
        if self._fault == "pointer":
            pointer = at
        self._direct(seen, wire.ICMPV6, bytes((4, 0, 0, 0)) + pointer.to_bytes(4, "big") + seen.octets[:1200])

    def _token(self, host: str, address: str, index: int, kind: int) -> bytes:
        message = wire.packed(host) + wire.packed(address) + index.to_bytes(2, "big") + bytes((kind,))
        if self._fault == "same tokens":
            message = message[16:-1]
        return hmac.new(_SECRET, message, hashlib.sha1).digest()[:8]

    def _index(self) -> int:
        return int(self.now) // ROTATION % 65536

    def _known(self, index: int) -> bool:
        age = (int(self.now) // ROTATION - index) % 65536 * ROTATION + self.now % ROTATION
        return age <= (400 if self._fault == "old nonces" else MAX_NONCE_LIFETIME)

    def _test(self, seen: Seen) -> None:
        home = seen.upper[2] == wire.HOTI
        token = self._token(seen.destination, seen.source, self._index(), 0 if home else 1)
        cookie = bytes(8) if self._fault == "cookie" else seen.upper[8:16]
        head = bytes((59, 2, wire.HOT if home else wire.COT, 0, 0, 0)) + self._index().to_bytes(2, "big")
        if self._fault == "tests by the binding":
            self._send(seen.destination, seen.source, wire.MOBILITY, head + cookie + token)
        else:
            self._direct(seen, wire.MOBILITY, head + cookie + token)

    def _binding_update(self, seen: Seen) -> None:
        header, host = seen.upper, seen.destination
        sequence, flags, lifetime = (int.from_bytes(header[at : at + 2], "big") for at in (6, 8, 10))
        options = {option.type: option.data for option in wire.tlv_options(header[12:])}
        if any(len(options.get(kind, bytes(length))) != length for kind, length in OPTION_LENGTHS.items()):
            return
        home_address = seen.home_address or seen.source
        found = self._binding(host, home_address)
        care_of_address = wire.text(options[3]) if 3 in options else seen.source
        if any(one.startswith(NOT_ROUTABLE) for one in (seen.source, home_address, care_of_address)):
            return
        acknowledge = bool(flags & 0x8000) or self._fault == "always acknowledges"
        if flags & 0x4000:
            if wire.NONCE_INDICES not in options:
                self._acknowledge(seen, 139 if found else 131, sequence, 0, None, care_of_address)
            return
        if wire.NONCE_INDICES not in options:
            return
        home_index, care_of_index = (int.from_bytes(options[4][at : at + 2], "big") for at in (0, 2))
        unknown = not self._known(home_index), bool(lifetime) and not self._known(care_of_index)
        if any(unknown):
            status = {(True, False): 136, (False, True): 137, (True, True): 138}[unknown]
            self._acknowledge(seen, status, sequence, 0, None, care_of_address)
            return
        key = self._token(host, home_address, home_index, 0)
        if lifetime:
            key += self._token(host, care_of_address, care_of_index, 1)
        kbm = hashlib.sha1(key).digest()
        registered = care_of_address if lifetime else home_address
        if not self._authorized(header, kbm, registered, host, options):
            return
        used = (host, home_address, care_of_address, options[4])
        last = found.sequence if found else self._used.get(used) if self._fault != "forgets" else None
        if last is not None and not 0 < (sequence - last) % 65536 < 32768 and self._fault != "any sequence":
            self._acknowledge(seen, 135, last, 0, kbm, registered)
            return
        self._used[used] = sequence
        if lifetime:
            granted = lifetime if self._fault == "no cap" else min(lifetime, MAX_LIFETIME)
            self._bindings[host, home_address] = Binding(care_of_address, sequence, self.now + 4 * granted)
        else:
            granted = 0
            if self._fault != "no deletion":
                self._bindings.pop((host, home_address), None)
        if acknowledge:
            self._acknowledge(seen, 0, sequence, granted, kbm, registered)

    def _authorized(self, header: bytes, kbm: bytes, care_of: str, host: str, options: dict[int, bytes]) -> bool:
        if self._fault == "no authorization":
            return True
        right = _authenticator(kbm, care_of, host, header[:-12])
        if self._fault == "authorization anywhere":
            return options.get(5) is not None
        return header[-14:-12] == b"\x05\x0c" and header[-12:] == right

    def _acknowledge(
        self, seen: Seen, status: int, sequence: int, lifetime: int, kbm: bytes | None, registered: str
    ) -> None:
        header = bytes((59, 1, wire.BA, 0, 0, 0, status, 0)) + sequence.to_bytes(2, "big") + lifetime.to_bytes(2, "big")
        if self._fault == "sequence 0":
            header = header[:8] + bytes(2) + header[10:]
        header += b"\x01\x04" + bytes(4) if kbm else b"\x01\x02" + bytes(2)
        if kbm:
            header = header[:1] + b"\x03" + header[2:] + b"\x05\x0c"
            unbound = self._fault == "unbound authenticator"
            header += _authenticator(kbm, seen.source if unbound else registered, seen.destination, header)
        away = seen.home_address is not None and seen.home_address != seen.source
        if self._fault == "routing header at home":
            away = True
        home_address = seen.home_address or seen.source
        extensions = [wire.type_2_routing_header(home_address)] if away else []
        self._put(seen.destination, seen.source, extensions, wire.MOBILITY, header, home_address)


def _authenticator(kbm: bytes, care_of_address: str, host: str, header: bytes) -> bytes:
    data = wire.packed(care_of_address) + wire.packed(host) + header[:4] + bytes(2) + header[6:]
    return hmac.new(kbm, data, hashlib.sha1).digest()[:12]
