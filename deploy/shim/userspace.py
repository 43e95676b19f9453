"""The adapter for OVS's userspace datapath: loads ip6ip6.bpf.c, attaches it to a device, tells what it does.

Everything lives in the kernel. What finds it again is a directory of pins for each device,
``/sys/fs/bpf/mip6/<network namespace>/<device>/``:

==================  =====================================================================================
end_points          map: addresses of tunnel ports, and which of them are home agents'
tunnel_sources      map: bridge MAC and outer source of OVS's GRE -> home agent's address
correspondents      map: prefix -> tunnel end point and bridge MAC of the hosts with these addresses
counters            map: see COUNTERS
limits              map: kind of packets -> rates (limits.py)
known_sources, ...  maps: what has been seen so far, of the sources that the limits are for (sources.h)
build               map: SHA-256 of the object that the attached programs came from
ingress_link        the attached XDP program
egress_link         the attached tcx program (Linux 6.6 and later), else
egress_filter       the program of the clsact filter, and
egress_qdisc        the same again if the clsact qdisc was made here, which is how detach knows
==================  =====================================================================================

The network namespace is in the path (as inode number) because two of them may have devices of the same name. A dot,
which the BPF file system does not allow in a name, is written as a colon, which no device name has.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import socket
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from deploy.shim import libbpf, limits, maps
from deploy.shim.adapter import DEFAULT_LIMITS, AdapterError, AdapterStatus, Correspondents, Endpoint, Limits

OBJECT: Final = Path(__file__).with_name("ip6ip6.bpf.o")
BPF_FILE_SYSTEM: Final = Path("/sys/fs/bpf")

# In the order of `enum counter` in wire.h. All count packets to or from a tunnel end point or a correspondent. Names
# and order are published: new ones go to the end.
COUNTERS: Final = (
    "ingress_tunnel",  # converted: IPv6 right behind the outer header
    "ingress_tunnel_limit",  # converted: behind a Tunnel Encapsulation Limit or other options to be skipped
    "ingress_fragment_passed",  # fragments of a tunnel packet, left to the kernel
    "ingress_options_passed",  # tunnel packets behind other extension headers, left to the kernel
    "ingress_gre_dropped",  # real GRE, which would get around the flows' check of the tunnel's source
    "ingress_truncated_dropped",  # no room for an IPv6 header, or for an extension header
    "ingress_length_dropped",  # a payload length that is larger than what is there
    "ingress_version_dropped",  # inner packet is not IPv6
    "ingress_chain_dropped",  # more extension headers than anybody needs
    "ingress_error_dropped",  # the kernel refused to make room
    "egress_tunnel",  # converted
    "egress_gre_passed",  # somebody else's GRE, forwarded by the bridge
    "egress_gre_dropped",  # the tunnel port's GRE in a form that no flow of ours makes: protocol, key, VLAN tag
    "egress_source_dropped",  # like the tunnel port's GRE, but from an address not known: attach again
    "egress_truncated_dropped",  # payload length that does not fit the frame or an inner IPv6 header
    "egress_offload_dropped",  # a large packet to be cut into segments by the device
    "egress_error_dropped",  # the kernel refused to take the header away
    "ingress_home_address",  # converted: a Home Address option taken off
    "ingress_signalling_passed",  # Home Address option and Mobile IPv6's own messages, AH, a home agent's ESP, ND
    "ingress_home_address_passed",  # a Home Address option twice, in the wrong place, or with options not to be skipped
    "ingress_icmp_error",  # converted: quotes a packet as the correspondent sent it, without the Routing Header
    "ingress_icmp_error_passed",  # quotes too little of such a packet, or points into the Routing Header
    "egress_route_optimization",  # converted: a Type 2 Routing Header put in
    "egress_plain",  # to be route optimised, but has a Routing header or AH: sent as the correspondent made it
    "egress_correspondent_dropped",  # to be route optimised, but from no correspondent of the bridge
    "ingress_signalling_dropped",  # Mobility Headers and ESP: more than the limits, and not from whom is known
    "ingress_newcomer_dropped",  # to be converted, but from sources that are not known, and more than the limits
)

_LIMITS = "limits"
_SEEN = (*limits.SIZED, "admitted_sources", "buckets", "turned_away")
_MAPS = (*maps.CONFIGURED, _LIMITS, *_SEEN, "counters", "build")
_INGRESS_LINK, _EGRESS_LINK = "ingress_link", "egress_link"
_EGRESS_FILTER, _EGRESS_QDISC = "egress_filter", "egress_qdisc"
_OTHERS = (_INGRESS_LINK, _EGRESS_LINK, _EGRESS_FILTER, _EGRESS_QDISC)

_BUILD_KEY = bytes(4)  # the only index of that array

# First among the filters: a program before ours could let raw GRE go. The handle is ours, others may use the priority.
_FILTER_PRIORITY = 1
_FILTER_HANDLE = 0x6D697036

_LONGEST_NAME = 15  # IFNAMSIZ of <linux/if.h>, less the NUL


class UserspaceAdapter:
    """Implements `WireFormatAdapter` for bridges with datapath_type=netdev."""

    mtu_overhead: Final = 8  # OVS sends GRE with a key, and gets it like that
    capabilities: Final = frozenset({"tunnel", "route optimization"})

    def attach(
        self,
        device: str,
        endpoints: Sequence[Endpoint],
        correspondents: Sequence[Correspondents] = (),
        rates: Limits = DEFAULT_LIMITS,
    ) -> AdapterStatus:
        """See `WireFormatAdapter`. XDP native if the device can, else generic; tcx if the kernel can, else clsact."""
        if not endpoints and not correspondents:
            raise AdapterError("attach needs at least one home agent or correspondents' prefix")
        entries = {**maps.entries(endpoints, correspondents), _LIMITS: limits.entries(rates)}
        directory, ifindex = _directory(device), _ifindex(device)
        if ifindex is None:
            raise AdapterError(f"there is no device {device} in this network namespace")
        with _told(device):
            existed = directory.exists()
            try:
                _make_directory(directory)
                self._attach(directory, ifindex, entries, rates.known_sources)
            except OSError:
                if not existed:
                    self.detach(device)
                raise
        return self.status(device)

    def _attach(self, directory: Path, ifindex: int, entries: maps.Entries, known_sources: int) -> None:
        if (build := _build()) is None:
            raise FileNotFoundError(errno.ENOENT, f"{OBJECT} is missing: run deploy/shim/build")
        with libbpf.Object(OBJECT) as program:
            for name in limits.SIZED:
                program.resize_map(name, known_sources)
            reused = _reuse_maps(program, directory)
            program.load()
            # Maps first, so that a program that is attached already knows all it needs; egress before ingress,
            # so that nothing comes in that could not be answered.
            for name, wanted in entries.items():
                _synchronise(program.map_fd(name), wanted)
            _attach_egress(directory, ifindex, program.program_fd("mip6_egress"))
            _attach_ingress(directory, ifindex, program.program_fd("mip6_ingress"))
            libbpf.map_update(program.map_fd("build"), _BUILD_KEY, build)
            for name in _MAPS:
                if name not in reused:
                    _pin(program.map_fd(name), directory / name)
            for path in directory.iterdir():  # what another version of this has left
                if path.name not in (*_MAPS, *_OTHERS):
                    path.unlink()

    def detach(self, device: str) -> bool:
        """See `WireFormatAdapter`. Also clears up after a device that is gone."""
        directory = _directory(device)
        with _told(device):
            if not directory.exists():
                return False
            for name in (_INGRESS_LINK, _EGRESS_LINK):
                with libbpf.pinned(directory / name) as link:
                    if link is not None:
                        libbpf.link_detach(link)
            if (ifindex := _ifindex(device)) is not None:
                _detach_filter(directory, ifindex)
            for path in directory.iterdir():
                path.unlink()
            directory.rmdir()
            with contextlib.suppress(OSError):  # other devices are still there
                directory.parent.rmdir()
                directory.parent.parent.rmdir()
        return True

    def status(self, device: str) -> AdapterStatus:
        """See `WireFormatAdapter`."""
        directory, ifindex = _directory(device), _ifindex(device)
        endpoints: tuple[Endpoint, ...] = ()
        correspondents: tuple[Correspondents, ...] = ()
        counters: dict[str, int] = {}
        rates = None
        problems = []
        ingress = egress = None
        if ifindex is None:
            problems.append("there is no such device in this network namespace")
        with _told(device):
            held = {name: _pinned_items(directory / name) for name in maps.CONFIGURED}
            endpoints, correspondents = maps.served(held)
            if not maps.entries(endpoints, correspondents)["tunnel_sources"].keys() <= held["tunnel_sources"].keys():
                problems.append("a bridge has addresses that were not there: attach again")
            with libbpf.pinned(directory / "counters") as fd:
                if fd is not None:
                    counters = {name: libbpf.per_cpu_sum(fd, index) for index, name in enumerate(COUNTERS)}
            with libbpf.pinned(directory / limits.SIZED[0]) as fd:
                if fd is not None:
                    known_sources = libbpf.map_info(fd).max_entries
                    rates = limits.limits_of(_pinned_items(directory / _LIMITS), known_sources)
            if ifindex is not None:
                ingress, egress = _ingress_mode(directory, ifindex), _egress_mode(directory, ifindex)
                missing = [way for way, mode in (("ingress", ingress), ("egress", egress)) if mode is None]
                if missing and directory.exists():
                    problems.append(f"{' and '.join(missing)} not attached: attach again")
                elif missing:
                    problems.append("nothing is attached")
                elif _build() not in (None, _pinned_items(directory / "build").get(_BUILD_KEY)):
                    problems.append("another version of the adapter is attached: attach again")
        return AdapterStatus(
            device=device,
            ifindex=ifindex,
            attached=not problems,
            ingress=ingress,
            egress=egress,
            endpoints=endpoints,
            correspondents=correspondents,
            limits=rates,
            counters=counters,
            problems=tuple(problems),
        )

    def devices(self) -> list[str]:
        """See `WireFormatAdapter`."""
        directory = _namespace_directory()
        with _told(str(directory)):
            return sorted(path.name.replace(":", ".") for path in directory.iterdir()) if directory.exists() else []


@contextlib.contextmanager
def _told(subject: str) -> Iterator[None]:
    """Errors of the system and of libbpf, as what the caller is promised."""
    try:
        yield
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise AdapterError(f"{subject}: {where}{error.strerror}") from error


# --- pins ---


def _namespace_directory() -> Path:
    # Of this thread, as are its sockets and the device numbers that the kernel gives it.
    return BPF_FILE_SYSTEM / "mip6" / str(os.stat("/proc/thread-self/ns/net").st_ino)


def _directory(device: str) -> Path:
    if "/" in device or not 0 < len(os.fsencode(device)) <= _LONGEST_NAME:
        raise AdapterError(f"{device!r} is not a device name")
    return _namespace_directory() / device.replace(".", ":")


def _make_directory(directory: Path) -> None:
    # The BPF file system is not mounted from here: in a mount namespace that ends with this process (`ip netns exec`
    # makes one) the pins would end with it, and the programs with the pins.
    if not os.path.ismount(BPF_FILE_SYSTEM):
        raise OSError(
            errno.ENODEV,
            f"no BPF file system at {BPF_FILE_SYSTEM}: mount -t bpf bpf {BPF_FILE_SYSTEM} "
            "(and enter network namespaces with nsenter --net, since ip netns exec hides it)",
        )
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)


def _pin(fd: int, path: Path) -> None:
    path.unlink(missing_ok=True)
    libbpf.pin(fd, path)


# --- maps ---


def _reuse_maps(program: libbpf.Object, directory: Path) -> set[str]:
    """Make the programs use the maps pinned already, as far as they are of the same make: counters go on counting."""
    reused = set()
    for name in _MAPS:
        with libbpf.pinned(directory / name) as fd:
            if fd is not None and libbpf.map_info(fd) == program.map_info(name):
                program.reuse_map(name, fd)
                reused.add(name)
    return reused


def _synchronise(fd: int, wanted: Mapping[bytes, bytes]) -> None:
    """Give a map exactly these entries; what stays is there at every moment."""
    for key, value in wanted.items():
        libbpf.map_update(fd, key, value)
    for key in [key for key, _ in libbpf.map_items(fd) if key not in wanted]:
        libbpf.map_delete(fd, key)


def _pinned_items(path: Path) -> dict[bytes, bytes]:
    """The entries of a pinned map; none if there is no such pin."""
    with libbpf.pinned(path) as fd:
        return {} if fd is None else dict(libbpf.map_items(fd))


def _build() -> bytes | None:
    """What tells one build of the object from another; None if there is no object."""
    try:
        return hashlib.sha256(OBJECT.read_bytes()).digest()
    except FileNotFoundError:
        return None


# --- devices ---


def _ifindex(device: str) -> int | None:
    try:
        return socket.if_nametoindex(device)
    except OSError:
        return None


# --- attaching ---


def _attach_link(path: Path, ifindex: int, program_fd: int, create: Callable[[], int]) -> None:
    """Put the program into the pinned link if that still holds the device, else into a new one."""
    with libbpf.pinned(path) as link:
        if link is not None and libbpf.link_info(link).ifindex == ifindex:
            libbpf.link_update(link, program_fd)
            return
    link = create()
    try:
        _pin(link, path)
    finally:
        os.close(link)


def _attach_ingress(directory: Path, ifindex: int, program_fd: int) -> None:
    def create() -> int:
        try:
            return libbpf.link_create(program_fd, ifindex, libbpf.BPF_XDP, libbpf.XDP_FLAGS_DRV_MODE)
        except libbpf.LibbpfError as error:
            if error.errno in (errno.EBUSY, errno.EEXIST):
                raise OSError(error.errno, "another XDP program is attached to this device") from error
        # The driver has no XDP, or not with this MTU.
        return libbpf.link_create(program_fd, ifindex, libbpf.BPF_XDP, libbpf.XDP_FLAGS_SKB_MODE)

    _attach_link(directory / _INGRESS_LINK, ifindex, program_fd, create)


def _ingress_mode(directory: Path, ifindex: int) -> str | None:
    with libbpf.pinned(directory / _INGRESS_LINK) as link:
        program = libbpf.xdp_program(ifindex)
        if link is None or program is None:
            return None
        mode, number = program
        return f"xdp-{mode}" if libbpf.link_info(link) == (number, ifindex) else None


def _attach_egress(directory: Path, ifindex: int, program_fd: int) -> None:
    if not (directory / _EGRESS_FILTER).exists():
        try:
            _attach_link(
                directory / _EGRESS_LINK,
                ifindex,
                program_fd,
                # Before the programs of others, for the same reason as the filter's priority.
                lambda: libbpf.link_create(program_fd, ifindex, libbpf.BPF_TCX_EGRESS, libbpf.BPF_F_BEFORE),
            )
            return
        except libbpf.LibbpfError as error:
            if error.errno != errno.EINVAL:
                raise
    # A kernel before 6.6 does not know the attach type.
    if libbpf.clsact_create(ifindex):
        _pin(program_fd, directory / _EGRESS_QDISC)
    libbpf.filter_attach(program_fd, ifindex, _FILTER_HANDLE, _FILTER_PRIORITY)
    _pin(program_fd, directory / _EGRESS_FILTER)


def _egress_mode(directory: Path, ifindex: int) -> str | None:
    with libbpf.pinned(directory / _EGRESS_LINK) as link:
        if link is not None:
            return "tcx" if libbpf.link_info(link).ifindex == ifindex else None
    return "clsact" if _filter_is_ours(directory, ifindex) else None


def _filter_is_ours(directory: Path, ifindex: int) -> bool:
    with libbpf.pinned(directory / _EGRESS_FILTER) as program:
        number = libbpf.filter_program(ifindex, _FILTER_HANDLE, _FILTER_PRIORITY)
        return program is not None and number == libbpf.program_id(program)


def _detach_filter(directory: Path, ifindex: int) -> None:
    if _filter_is_ours(directory, ifindex):
        libbpf.filter_detach(ifindex, _FILTER_HANDLE, _FILTER_PRIORITY)
        if (directory / _EGRESS_QDISC).exists() and not _has_filters(ifindex):
            libbpf.clsact_destroy(ifindex)


def _has_filters(ifindex: int) -> bool:
    """Whether the clsact qdisc of a device still has filters, in either direction (rtnetlink(7), RTM_GETTFILTER)."""
    request, answer, dump = 46, 44, 0x301  # RTM_GETTFILTER, RTM_NEWTFILTER, NLM_F_REQUEST | NLM_F_DUMP
    for parent in (0xFFFFFFF2, 0xFFFFFFF3):  # TC_H_CLSACT with TC_H_MIN_INGRESS, TC_H_MIN_EGRESS
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as channel:
            channel.send(struct.pack("=IHHIIBxxxiIII", 36, request, dump, 0, 0, 0, ifindex, 0, parent, 0))
            if struct.unpack_from("=IH", channel.recv(65536))[1] == answer:
                return True
    return False
