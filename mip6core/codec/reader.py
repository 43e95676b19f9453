"""A cursor over bytes that fails by itself on short input, so that no caller counts octets."""

from __future__ import annotations

import struct

from mip6core.addresses import Address
from mip6core.errors import ParseError

_U16 = struct.Struct("!H")
_U32 = struct.Struct("!I")


class Reader:
    """Reads `data` from `start` on; methods raise ParseError("truncated") instead of reading past the end."""

    __slots__ = ("_data", "_end", "_offset")

    def __init__(self, data: bytes, start: int = 0) -> None:
        self._data = data
        self._offset = start
        self._end = len(data)

    @property
    def remaining(self) -> int:
        """Octets that are left."""
        return self._end - self._offset

    def _advance(self, count: int) -> int:
        start = self._offset
        if count > self._end - start:
            raise ParseError("truncated")
        self._offset = start + count
        return start

    def u8(self) -> int:
        """The next octet."""
        return self._data[self._advance(1)]

    def u16(self) -> int:
        """The next two octets, network byte order."""
        value: int = _U16.unpack_from(self._data, self._advance(2))[0]
        return value

    def u32(self) -> int:
        """The next four octets, network byte order."""
        value: int = _U32.unpack_from(self._data, self._advance(4))[0]
        return value

    def take(self, count: int) -> bytes:
        """The next `count` octets."""
        start = self._advance(count)
        return self._data[start : start + count]

    def skip(self, count: int) -> None:
        """Pass over `count` octets."""
        self._advance(count)

    def address(self) -> Address:
        """The next 16 octets."""
        return self.take(16)

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(self._end - self._offset)
