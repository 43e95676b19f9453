"""What the kernel says about one network device: its carrier and its IPv6 addresses (rtnetlink)."""

from __future__ import annotations

import errno
import socket
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mip6core.addresses import Address

_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_LINK = struct.Struct("=BxHiII")  # ifinfomsg: family, device type, index, flags, change mask
_ADDRESS = struct.Struct("=BBBBi")  # ifaddrmsg: family, prefix length, flags, scope, index
_ATTRIBUTE = struct.Struct("=HH")  # rtattr: length, type

_RTMGRP_LINK: Final = 0x1
_RTMGRP_IPV6_IFADDR: Final = 0x100
_RTM_NEWLINK: Final = 16
_RTM_DELLINK: Final = 17
_RTM_GETLINK: Final = 18
_RTM_NEWADDR: Final = 20
_RTM_DELADDR: Final = 21
_RTM_GETADDR: Final = 22
_NLM_F_REQUEST: Final = 0x1
_NLM_F_DUMP: Final = 0x300
_IFF_RUNNING: Final = 0x40  # up, and with a carrier
_IFLA_CARRIER_DOWN_COUNT: Final = 48
_IFA_ADDRESS: Final = 1
_IFA_FLAGS: Final = 8
_IFA_F_OPTIMISTIC: Final = 0x04
_IFA_F_DADFAILED: Final = 0x08
_IFA_F_TENTATIVE: Final = 0x40


@dataclass(frozen=True, slots=True)
class LinkState:
    """The device has a carrier, or not."""

    up: bool


@dataclass(frozen=True, slots=True)
class AddressState:
    """An address of the device came, changed, or went."""

    address: Address
    present: bool
    usable: bool  # not tentative, or usable while it is (RFC 4429)
    duplicate: bool  # Duplicate Address Detection has failed


class LinkGone(Exception):
    """The device does not exist any more."""


class Monitor:
    """A subscription to the kernel's announcements about one device of the current network namespace."""

    def __init__(self, device: str) -> None:
        """OSError if there is no such device."""
        self._index = socket.if_nametoindex(device)
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
        self._socket.bind((0, _RTMGRP_LINK | _RTMGRP_IPV6_IFADDR))
        self._losses: int | None = None  # of the carrier so far

    def fileno(self) -> int:
        """The socket: readable when there is something to read."""
        return self._socket.fileno()

    def request(self) -> None:
        """Ask for the present state; it comes like any change."""
        link = _LINK.pack(socket.AF_UNSPEC, 0, self._index, 0, 0)
        self._socket.send(_HEADER.pack(_HEADER.size + len(link), _RTM_GETLINK, _NLM_F_REQUEST, 1, 0) + link)
        family = _ADDRESS.pack(socket.AF_INET6, 0, 0, 0, 0)
        flags = _NLM_F_REQUEST | _NLM_F_DUMP
        self._socket.send(_HEADER.pack(_HEADER.size + len(family), _RTM_GETADDR, flags, 2, 0) + family)

    def read(self) -> Iterator[LinkState | AddressState]:
        """All that is there now, in the kernel's order. LinkGone if the device has been deleted."""
        while True:
            try:
                data = self._socket.recv(65_536)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self.request()  # announcements were lost
                continue
            yield from self._parse(data)

    def close(self) -> None:
        """End the subscription."""
        self._socket.close()

    def _parse(self, data: bytes) -> Iterator[LinkState | AddressState]:
        offset = 0
        while offset + _HEADER.size <= len(data):
            length, kind, *_ = _HEADER.unpack_from(data, offset)
            body = data[offset + _HEADER.size : offset + length]
            offset += (length + 3) & ~3
            if kind in (_RTM_NEWLINK, _RTM_DELLINK):
                family, _, index, flags, _ = _LINK.unpack_from(body)
                if index == self._index and family == socket.AF_UNSPEC:
                    if kind == _RTM_DELLINK:
                        raise LinkGone
                    yield from self._link(bool(flags & _IFF_RUNNING), dict(_attributes(body[_LINK.size :])))
            elif kind in (_RTM_NEWADDR, _RTM_DELADDR):
                *_, flags, _, index = _ADDRESS.unpack_from(body)
                attributes = dict(_attributes(body[_ADDRESS.size :]))
                if index == self._index and _IFA_ADDRESS in attributes:
                    if _IFA_FLAGS in attributes:
                        flags = int.from_bytes(attributes[_IFA_FLAGS], sys.byteorder)
                    yield _address(attributes[_IFA_ADDRESS], kind == _RTM_NEWADDR, flags)

    def _link(self, up: bool, attributes: dict[int, bytes]) -> Iterator[LinkState]:
        """The kernel makes one announcement of a short loss and the return: only its counter tells."""
        losses = int.from_bytes(attributes.get(_IFLA_CARRIER_DOWN_COUNT, b""), sys.byteorder)
        if up and self._losses is not None and losses != self._losses:
            yield LinkState(False)
        self._losses = losses
        yield LinkState(up)


def _address(address: Address, present: bool, flags: int) -> AddressState:
    duplicate = bool(flags & _IFA_F_DADFAILED)
    waiting = bool(flags & _IFA_F_TENTATIVE) and not flags & _IFA_F_OPTIMISTIC
    return AddressState(address, present, present and not waiting and not duplicate, duplicate)


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < _ATTRIBUTE.size:
            return
        yield kind & 0x3FFF, data[offset + _ATTRIBUTE.size : offset + length]
        offset += (length + 3) & ~3
