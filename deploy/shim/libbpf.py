"""The part of libbpf.so.1 that the loader uses, through ctypes. Every function raises `LibbpfError` when it fails.

File descriptors are plain ints; whoever gets one closes it. libbpf.so.1 is loaded at first use, so that a machine
without it can still import this package.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import errno
import functools
import os
import sys
from collections.abc import Iterator
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_uint32, c_uint64, c_void_p, sizeof
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

BPF_XDP: Final = 37  # enum bpf_attach_type of <linux/bpf.h>
BPF_TCX_EGRESS: Final = 47  # not in libbpf 1.1, which hands unknown attach types on to the kernel
BPF_F_BEFORE: Final = 1 << 3
XDP_FLAGS_SKB_MODE: Final = 1 << 1
XDP_FLAGS_DRV_MODE: Final = 1 << 2

_XDP_ATTACHED_DRV, _XDP_ATTACHED_SKB = 1, 2
_TC_INGRESS, _TC_EGRESS = 1, 2
_TC_REPLACE = 1
_INFO_SIZE = 256  # larger than any struct bpf_*_info; the kernel fills what it knows
_LAST_LOG_LINES = 12  # the verifier's log can be thousands of lines long, and ends with the reason


class LibbpfError(OSError):
    """A libbpf call failed; the text says which and why."""


class MapInfo(NamedTuple):
    """What a map is: two maps with the same values hold the same kind of data."""

    map_type: int
    key_size: int
    value_size: int
    max_entries: int


class LinkInfo(NamedTuple):
    """What a BPF link holds."""

    program_id: int
    ifindex: int  # 0 if the device is gone


class _LinkCreateOptions(ctypes.Structure):
    _fields_ = (("size", c_size_t), ("flags", c_uint32), ("padding", c_uint32))


class _XdpQueryOptions(ctypes.Structure):
    _fields_ = (
        *(("size", c_size_t), ("program_id", c_uint32), ("driver_program_id", c_uint32)),
        *(("hardware_program_id", c_uint32), ("skb_program_id", c_uint32)),
        *(("attach_mode", ctypes.c_uint8), ("padding", ctypes.c_uint8 * 7)),
    )


class _TcHook(ctypes.Structure):
    _fields_ = (("size", c_size_t), ("ifindex", c_int), ("attach_point", c_int), ("parent", c_uint32))


class _TcOptions(ctypes.Structure):
    _fields_ = (
        *(("size", c_size_t), ("program_fd", c_int), ("flags", c_uint32)),
        *(("program_id", c_uint32), ("handle", c_uint32), ("priority", c_uint32)),
    )


_PROTOTYPES: Final[dict[str, tuple[Any, list[Any]]]] = {
    "bpf_object__open_file": (c_void_p, [c_char_p, c_void_p]),
    "bpf_object__load": (c_int, [c_void_p]),
    "bpf_object__close": (None, [c_void_p]),
    "bpf_object__find_program_by_name": (c_void_p, [c_void_p, c_char_p]),
    "bpf_object__find_map_by_name": (c_void_p, [c_void_p, c_char_p]),
    "bpf_program__fd": (c_int, [c_void_p]),
    "bpf_map__fd": (c_int, [c_void_p]),
    "bpf_map__type": (c_int, [c_void_p]),
    "bpf_map__key_size": (c_uint32, [c_void_p]),
    "bpf_map__value_size": (c_uint32, [c_void_p]),
    "bpf_map__max_entries": (c_uint32, [c_void_p]),
    "bpf_map__set_max_entries": (c_int, [c_void_p, c_uint32]),
    "bpf_map__reuse_fd": (c_int, [c_void_p, c_int]),
    "bpf_map_update_elem": (c_int, [c_int, c_char_p, c_char_p, c_uint64]),
    "bpf_map_lookup_elem": (c_int, [c_int, c_char_p, c_void_p]),
    "bpf_map_delete_elem": (c_int, [c_int, c_char_p]),
    "bpf_map_get_next_key": (c_int, [c_int, c_char_p, c_void_p]),
    "bpf_obj_pin": (c_int, [c_int, c_char_p]),
    "bpf_obj_get": (c_int, [c_char_p]),
    "bpf_obj_get_info_by_fd": (c_int, [c_int, c_void_p, POINTER(c_uint32)]),
    "bpf_link_create": (c_int, [c_int, c_int, c_int, POINTER(_LinkCreateOptions)]),
    "bpf_link_update": (c_int, [c_int, c_int, c_void_p]),
    "bpf_link_detach": (c_int, [c_int]),
    "bpf_xdp_query": (c_int, [c_int, c_int, POINTER(_XdpQueryOptions)]),
    "bpf_tc_hook_create": (c_int, [POINTER(_TcHook)]),
    "bpf_tc_hook_destroy": (c_int, [POINTER(_TcHook)]),
    "bpf_tc_attach": (c_int, [POINTER(_TcHook), POINTER(_TcOptions)]),
    "bpf_tc_query": (c_int, [POINTER(_TcHook), POINTER(_TcOptions)]),
    "bpf_tc_detach": (c_int, [POINTER(_TcHook), POINTER(_TcOptions)]),
    "libbpf_num_possible_cpus": (c_int, []),
    "libbpf_set_print": (c_void_p, [c_void_p]),
}

_log: collections.deque[str] = collections.deque(maxlen=_LAST_LOG_LINES)  # what libbpf said in the last call


@ctypes.CFUNCTYPE(c_int, c_int, c_char_p, c_void_p)
def _print(level: int, form: bytes, arguments: int) -> int:
    """libbpf's messages: kept for the exception instead of printed. Level 0 is a warning, the rest is chatter."""
    if level == 0:
        text = ctypes.create_string_buffer(1 << 20)
        ctypes.CDLL(None).vsnprintf(text, c_size_t(sizeof(text)), c_char_p(form), c_void_p(arguments))
        _log.extend(text.value.decode(errors="replace").splitlines())
    return 0


@functools.cache
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libbpf.so.1", use_errno=True)
    except OSError as error:
        raise LibbpfError(errno.ENOENT, "libbpf.so.1 is missing (Debian, Ubuntu: apt install libbpf1)") from error
    for name, (result, arguments) in _PROTOTYPES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    library.libbpf_set_print(ctypes.cast(_print, c_void_p))
    return library


def _call(what: str, name: str, *arguments: Any) -> Any:
    """Call function `name`; its result, or LibbpfError naming `what`: NULL or a negative error number is failure."""
    _log.clear()
    result = getattr(_library(), name)(*arguments)
    if result is not None and result >= 0:
        return result
    code = ctypes.get_errno() if result is None else -result
    said = "".join(f"\n  {line}" for line in _log)
    raise LibbpfError(code, f"{what}: {os.strerror(code)}{said}")


class Object:
    """An ELF file with programs and maps. A context manager: what is not attached or pinned by then is freed."""

    def __init__(self, path: Path) -> None:
        self._pointer = _call(f"cannot open {path}", "bpf_object__open_file", os.fsencode(path), None)
        self._path = path

    def __enter__(self) -> Object:
        return self

    def __exit__(self, *_: object) -> None:
        _library().bpf_object__close(self._pointer)

    def _map(self, name: str) -> Any:
        what = f"{self._path} has no map {name}: it is of another version, run deploy/shim/build"
        return _call(what, "bpf_object__find_map_by_name", self._pointer, name.encode())

    def map_info(self, name: str) -> MapInfo:
        """What the file says about a map."""
        library, pointer = _library(), self._map(name)
        return MapInfo(
            library.bpf_map__type(pointer),
            library.bpf_map__key_size(pointer),
            library.bpf_map__value_size(pointer),
            library.bpf_map__max_entries(pointer),
        )

    def resize_map(self, name: str, entries: int) -> None:
        """Give a map room for as many entries; before `load`."""
        _call(f"cannot resize map {name}", "bpf_map__set_max_entries", self._map(name), entries)

    def reuse_map(self, name: str, fd: int) -> None:
        """Make the programs use an existing map; before `load`. libbpf keeps a duplicate of `fd`."""
        _call(f"cannot reuse map {name}", "bpf_map__reuse_fd", self._map(name), fd)

    def load(self) -> None:
        """Create the maps and hand the programs to the kernel's verifier."""
        _call(f"cannot load {self._path}", "bpf_object__load", self._pointer)

    def map_fd(self, name: str) -> int:
        """The map's file descriptor; it belongs to the object."""
        return int(_call(f"map {name}", "bpf_map__fd", self._map(name)))

    def program_fd(self, name: str) -> int:
        """The program's file descriptor; it belongs to the object."""
        what = f"{self._path} has no program {name}"
        pointer = _call(what, "bpf_object__find_program_by_name", self._pointer, name.encode())
        return int(_call(f"program {name}", "bpf_program__fd", pointer))


# --- what every BPF object has: pins and information ---


def pin(fd: int, path: Path) -> None:
    """Give an object a name in the BPF file system; it lives on without this process."""
    _call(f"cannot pin {path}", "bpf_obj_pin", fd, os.fsencode(path))


@contextlib.contextmanager
def pinned(path: Path) -> Iterator[int | None]:
    """The file descriptor of a pinned object during the block; None if there is no such pin."""
    fd = -1
    if path.exists():
        fd = _call(f"cannot open {path}", "bpf_obj_get", os.fsencode(path))
    try:
        yield fd if fd >= 0 else None
    finally:
        if fd >= 0:
            os.close(fd)


def _info(fd: int) -> tuple[int, ...]:
    """The first words of struct bpf_map_info, bpf_prog_info or bpf_link_info."""
    buffer = (c_uint32 * (_INFO_SIZE // 4))()
    _call("cannot inspect a BPF object", "bpf_obj_get_info_by_fd", fd, buffer, byref(c_uint32(_INFO_SIZE)))
    return tuple(buffer)


def map_info(fd: int) -> MapInfo:
    """What an existing map is."""
    map_type, _, key_size, value_size, max_entries = _info(fd)[:5]
    return MapInfo(map_type, key_size, value_size, max_entries)


def program_id(fd: int) -> int:
    """The kernel's number of a program."""
    return _info(fd)[1]


def link_info(fd: int) -> LinkInfo:
    """What a link of an XDP or tcx program holds; the kernel's union begins at byte 16."""
    words = _info(fd)
    return LinkInfo(program_id=words[2], ifindex=words[4])


# --- maps ---


def map_items(fd: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a hash map."""
    library, info = _library(), map_info(fd)
    key, value = None, ctypes.create_string_buffer(info.value_size)
    following = ctypes.create_string_buffer(info.key_size)
    while library.bpf_map_get_next_key(fd, key, following) == 0:
        key = following.raw
        if library.bpf_map_lookup_elem(fd, key, value) == 0:  # else it has just been deleted
            yield key, value.raw


def map_update(fd: int, key: bytes, value: bytes) -> None:
    """Set an entry."""
    _call("cannot update a map", "bpf_map_update_elem", fd, key, value, 0)


def map_delete(fd: int, key: bytes) -> None:
    """Delete an entry that is there."""
    _call("cannot delete from a map", "bpf_map_delete_elem", fd, key)


def per_cpu_sum(fd: int, index: int) -> int:
    """The sum over all processors of one 64-bit entry of a per-CPU array."""
    values = (c_uint64 * _call("cannot count processors", "libbpf_num_possible_cpus"))()
    _call("cannot read a counter", "bpf_map_lookup_elem", fd, index.to_bytes(4, sys.byteorder), values)
    return sum(values)


# --- attaching: links (XDP, tcx) ---


def link_create(program_fd: int, ifindex: int, attach_type: int, flags: int) -> int:
    """Attach a program to a device; the new link's file descriptor. The program is attached as long as the link is."""
    options = _LinkCreateOptions(sizeof(_LinkCreateOptions), flags, 0)
    return int(_call("cannot attach", "bpf_link_create", program_fd, ifindex, attach_type, byref(options)))


def link_update(fd: int, program_fd: int) -> None:
    """Replace a link's program: every packet meets the old one or the new one."""
    _call("cannot replace the program", "bpf_link_update", fd, program_fd, None)


def link_detach(fd: int) -> None:
    """Detach a link's program now, whoever else holds the link."""
    _call("cannot detach", "bpf_link_detach", fd)


def xdp_program(ifindex: int) -> tuple[Literal["native", "generic"], int] | None:
    """Mode and number of a device's XDP program; None if it has none (or only one offloaded to hardware)."""
    options = _XdpQueryOptions(size=sizeof(_XdpQueryOptions))
    _call("cannot query XDP", "bpf_xdp_query", ifindex, 0, byref(options))
    if options.attach_mode == _XDP_ATTACHED_DRV:
        return "native", options.driver_program_id
    if options.attach_mode == _XDP_ATTACHED_SKB:
        return "generic", options.skb_program_id
    return None


# --- attaching: clsact, for kernels without tcx ---


def _egress_hook(ifindex: int, points: int = _TC_EGRESS) -> _TcHook:
    return _TcHook(size=sizeof(_TcHook), ifindex=ifindex, attach_point=points)


def clsact_create(ifindex: int) -> bool:
    """Make sure that the device has a clsact qdisc; whether this made it."""
    try:
        _call("cannot make the clsact qdisc", "bpf_tc_hook_create", byref(_egress_hook(ifindex)))
    except LibbpfError as error:
        if error.errno != errno.EEXIST:
            raise
        return False
    return True


def clsact_destroy(ifindex: int) -> None:
    """Take the clsact qdisc away, with every filter in it."""
    hook = _egress_hook(ifindex, _TC_INGRESS | _TC_EGRESS)
    _call("cannot take the clsact qdisc away", "bpf_tc_hook_destroy", byref(hook))


def filter_attach(program_fd: int, ifindex: int, handle: int, priority: int) -> None:
    """Attach a program as egress filter, replacing the one with this handle and priority."""
    options = _TcOptions(sizeof(_TcOptions), program_fd, _TC_REPLACE, 0, handle, priority)
    _call("cannot attach the egress filter", "bpf_tc_attach", byref(_egress_hook(ifindex)), byref(options))


def filter_program(ifindex: int, handle: int, priority: int) -> int | None:
    """Number of the program of the egress filter with this handle and priority; None if there is no such filter."""
    options = _TcOptions(size=sizeof(_TcOptions), handle=handle, priority=priority)
    try:
        _call("cannot query the egress filter", "bpf_tc_query", byref(_egress_hook(ifindex)), byref(options))
    except LibbpfError as error:
        if error.errno in (errno.ENOENT, errno.EINVAL):  # no such filter; no clsact qdisc
            return None
        raise
    return int(options.program_id)


def filter_detach(ifindex: int, handle: int, priority: int) -> None:
    """Take the egress filter with this handle and priority away."""
    options = _TcOptions(size=sizeof(_TcOptions), handle=handle, priority=priority)
    _call("cannot detach the egress filter", "bpf_tc_detach", byref(_egress_hook(ifindex)), byref(options))
