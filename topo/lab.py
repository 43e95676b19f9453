"""The private lab: a world of its own for demos, system tests and benchmarks.

``python -m topo.lab [--no-ovs] COMMAND...`` runs COMMAND as root in new network, mount and process
namespaces: an empty network with ``lo`` up, a private ``/run`` (so also ``/run/netns`` and
``/run/openvswitch``), ``/sys/fs/bpf``, ``/etc/openvswitch`` and ``/var/log/openvswitch``, and an Open vSwitch
of its own. When COMMAND ends, the kernel ends every process that is left in the lab, and with them go its
namespaces: nothing survives and nothing outside is touched. Any number of labs may run at the same time.

Code that runs in a lab builds its network with `Network`.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

T = TypeVar("T")

MARKER: Final = Path("/run/mip6-lab")  # exists in the private /run of a lab only

_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNS: Final = 0x00020000
_CLONE_NEWPID: Final = 0x20000000
_CLONE_NEWNET: Final = 0x40000000
_PR_SET_PDEATHSIG: Final = 1
_SI_USER: Final = 0  # siginfo: sent by a process, not by the terminal or the kernel
_DAEMON: Final = "--detach --no-chdir --pidfile --log-file -vconsole:off"
_FORWARDED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class LabError(Exception):
    """Something in the lab did not work; the text says what, for a person to read."""


# --- making a lab ---


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command in a new lab; the exit status is the command's (128 + number if a signal ended it)."""
    parser = argparse.ArgumentParser("python -m topo.lab", description="Runs a command in a private lab.")
    parser.add_argument("--no-ovs", action="store_true", help="do not start Open vSwitch in the lab")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND...")
    options = parser.parse_args(arguments)
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        parser.error("a command is missing")
    try:
        return enter(command, ovs=not options.no_ovs)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1


def enter(command: Sequence[str], ovs: bool = True) -> int:
    """Make a lab, run `command` in it, return its exit status. LabError if this process may not make one."""
    if os.geteuid() != 0:
        raise LabError("must run as root")
    signal.pthread_sigmask(signal.SIG_BLOCK, [*_FORWARDED, signal.SIGCHLD])
    _call(_libc.unshare, _CLONE_NEWNS | _CLONE_NEWNET | _CLONE_NEWPID, what="cannot make namespaces")
    sys.stdout.flush()
    init = os.fork()
    if init == 0:
        os._exit(_init(command, ovs))
    return _supervise(init)


def _init(command: Sequence[str], ovs: bool) -> int:
    """Process 1 of the lab: prepares it, starts the command, takes in orphans. Its end is the lab's end."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # which for process 1 means: ignored
    signal.pthread_sigmask(signal.SIG_SETMASK, [])  # daemons started here must not inherit blocked signals
    try:
        _call(_libc.prctl, _PR_SET_PDEATHSIG, signal.SIGKILL, what="cannot tie the lab to its parent")
        _mount_private()
        run("ip link set lo up")
        if ovs:
            start_ovsdb()
            start_vswitchd()
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    signal.pthread_sigmask(signal.SIG_BLOCK, [*_FORWARDED, signal.SIGCHLD])
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        try:
            os.execvp(command[0], list(command))
        except OSError as error:
            print(f"lab: {command[0]}: {error.strerror}", file=sys.stderr)
            os._exit(127)
    return _supervise(child)


def _supervise(child: int) -> int:
    """Wait for `child` to end, reap any other, and pass on signals that were sent to this process alone."""
    while True:
        info = signal.sigwaitinfo([*_FORWARDED, signal.SIGCHLD])
        if info.si_signo != signal.SIGCHLD:
            if info.si_code == _SI_USER:  # from the terminal (Ctrl-C) the child has got it itself
                os.kill(child, info.si_signo)
            continue
        for pid, status in _reap():
            if pid == child:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code


def _reap() -> Iterator[tuple[int, int]]:
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0] != 0:
            yield ended


def _mount_private() -> None:
    """Give this mount namespace its own version of every directory that labs would otherwise share."""
    run("mount --make-rprivate /")
    run("mount -t proc proc /proc")
    run("mount -t sysfs sysfs /sys")  # /sys/class/net shows the network namespace it was mounted in
    run("mount -t bpf bpf /sys/fs/bpf")
    run("mount -t tmpfs -o mode=755 tmpfs /run")
    for directory in ("/run/lock", "/run/netns", "/run/openvswitch"):
        os.mkdir(directory)
    for directory in ("/etc/openvswitch", "/var/log/openvswitch"):
        if os.path.isdir(directory):  # not there without Open vSwitch
            run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", directory])
    MARKER.touch()


def start_ovsdb() -> None:
    """Start this lab's ovsdb-server with an empty database, unless there is one already."""
    database = Path("/etc/openvswitch/conf.db")
    if not database.exists():
        run(["ovsdb-tool", "create", str(database), "/usr/share/openvswitch/vswitch.ovsschema"])
    # Started directly and not by ovs-ctl: that one loads kernel modules, which is no lab's business.
    run(f"ovsdb-server {_DAEMON} --remote=punix:/run/openvswitch/db.sock")
    version = run("ovs-vswitchd --version").stdout.split()[3]
    run(["ovs-vsctl", "--no-wait", "init", "--", "set", "Open_vSwitch", ".", f"ovs-version={version}"])


def start_vswitchd() -> None:
    """Start this lab's ovs-vswitchd; it makes what the database describes."""
    run(f"ovs-vswitchd {_DAEMON}")


def stop_vswitchd() -> None:
    """End this lab's ovs-vswitchd, for tests of a restart. Its userspace datapath and flows go with it."""
    process = Path("/proc", Path("/run/openvswitch/ovs-vswitchd.pid").read_text().strip())
    run("ovs-appctl -t ovs-vswitchd exit")
    wait_until(lambda: not process.exists(), "the end of ovs-vswitchd")


def inside_lab() -> bool:
    """Whether this process runs in a lab."""
    return MARKER.exists() and os.geteuid() == 0


def _call(function: Callable[..., int], *arguments: int, what: str) -> None:
    if function(*arguments) != 0:
        raise LabError(f"{what}: {os.strerror(ctypes.get_errno())}")


# --- working in a lab ---


def run(
    command: str | Sequence[str],
    ns: str | None = None,
    *,
    check: bool = True,
    timeout: float = 30.0,
    stdin: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run a command (a string is split like a shell does, no shell is involved) in namespace `ns` of the lab.

    The result has `stdout`, `stderr` and `returncode`. LabError, with everything that the command printed, if
    it fails (unless `check` is false) or takes longer than `timeout` seconds.
    """
    words = _words(command, ns)
    try:
        result = subprocess.run(words, input=stdin, capture_output=True, text=True, timeout=timeout)
    except FileNotFoundError as error:
        raise LabError(f"{words[0]}: command not found") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{shlex.join(words)}: no end after {timeout:g} s") from error
    if check and result.returncode != 0:
        printed = (result.stdout + result.stderr).rstrip()
        raise LabError(f"{shlex.join(words)}: exit status {result.returncode}\n{printed}")
    return result


def _words(command: str | Sequence[str], ns: str | None) -> list[str]:
    words = shlex.split(command) if isinstance(command, str) else list(command)
    # Not `ip netns exec`: that mounts a new /sys, where pinned BPF objects are out of sight.
    return words if ns is None else ["nsenter", f"--net=/run/netns/{ns}", *words]


@contextlib.contextmanager
def inside(ns: str) -> Iterator[None]:
    """Be in network namespace `ns` during the block (this thread only): a socket made there stays there."""
    with open("/proc/thread-self/ns/net") as outside, open(f"/run/netns/{ns}") as target:
        _call(_libc.setns, target.fileno(), _CLONE_NEWNET, what=f"cannot enter namespace {ns}")
        try:
            yield
        finally:
            _call(_libc.setns, outside.fileno(), _CLONE_NEWNET, what=f"cannot leave namespace {ns}")


def sysctl(name: str, value: object, ns: str | None = None) -> None:
    """Set a sysctl of a namespace. `name` has slashes (``net/ipv6/conf/all/...``): device names hold dots."""
    with inside(ns) if ns else contextlib.nullcontext():
        Path("/proc/sys", name).write_text(f"{value}\n")


def wait_until(condition: Callable[[], T], what: str, timeout: float = 5.0, interval: float = 0.02) -> T:
    """Call `condition` until its result is true, return that; LabError naming `what` after `timeout` seconds.

    A LabError or OSError from `condition` means "not yet"; the last one is part of the final error.
    """
    deadline = time.monotonic() + timeout
    while True:
        reason = ""
        try:
            if result := condition():
                return result
        except (LabError, OSError) as error:
            reason = f" ({error})"
        if time.monotonic() >= deadline:
            raise LabError(f"waited {timeout:g} s in vain for {what}{reason}")
        time.sleep(interval)


def wait_for_addresses(ns: str | None = None, timeout: float = 5.0) -> None:
    """Wait until no IPv6 address of the namespace is tentative: Duplicate Address Detection is over."""
    what = f"Duplicate Address Detection in {ns or 'the lab'}"
    wait_until(lambda: not run("ip -6 -o addr show tentative", ns).stdout, what, timeout)


def wait_for_port(host: str, port: int, ns: str | None = None, timeout: float = 5.0) -> None:
    """Wait until something accepts TCP connections at `host`, `port`, seen from the namespace."""

    def connect() -> bool:
        with inside(ns) if ns else contextlib.nullcontext():
            socket.create_connection((host, port), timeout=1.0).close()
        return True

    wait_until(connect, f"a listener at {host} port {port}", timeout)


@dataclass(frozen=True)
class End:
    """One end of a veth pair."""

    device: str
    ns: str | None = None  # None: the lab's own namespace, where Open vSwitch runs
    mac: str | None = None  # None: the kernel chooses
    switch_port: bool = False  # Open vSwitch will own it: no IPv6 here, or its ND and RS disturb the bridge


@dataclass(frozen=True)
class Program:
    """A program running in the background."""

    process: subprocess.Popen[bytes]
    log: Path  # its standard output and standard error

    def output(self) -> str:
        """What it has printed so far."""
        return self.log.read_text(errors="replace")

    def stop(self, timeout: float = 5.0) -> int:
        """End it (SIGTERM, and SIGKILL after `timeout` seconds) if it still runs; its exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


class Network:
    """What one test builds in the lab: namespaces, links, bridges, programs. ``close`` takes it all away.

    Use it as a context manager. Names must be new in the lab. Files go to `directory`, which lives as long.
    """

    def __init__(self) -> None:
        if not inside_lab():
            raise LabError("not in a lab: start this with python -m topo.lab COMMAND, as root")
        self.directory = Path(tempfile.mkdtemp(prefix="network-", dir="/run"))
        self._undo = contextlib.ExitStack()
        self._undo.callback(shutil.rmtree, self.directory)
        self._programs = 0

    def __enter__(self) -> Network:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take away everything that was made, latest first."""
        self._undo.close()

    def namespace(self, name: str, *, forwarding: bool = False, dad: bool = False) -> str:
        """Make a network namespace with lo up; Duplicate Address Detection is off, as it takes a second."""
        run(["ip", "netns", "add", name])
        self._undo.callback(run, ["ip", "netns", "delete", name])
        run("ip link set lo up", name)
        for scope in ("all", "default"):
            sysctl(f"net/ipv6/conf/{scope}/forwarding", int(forwarding), name)
            sysctl(f"net/ipv6/conf/{scope}/accept_dad", int(dad), name)
        return name

    def veth(self, a: End, b: End, mtu: int = 1500) -> None:
        """Make a veth pair, both ends up, checksums computed at once: bridges and captures see real ones."""
        run(["ip", "link", "add", *_link_words(a, mtu), "type", "veth", "peer", *_link_words(b, mtu)])
        # Gone already if a test took it away or its namespace is deleted.
        self._undo.callback(run, ["ip", "link", "delete", a.device], a.ns, check=False)
        for end in (a, b):
            if end.switch_port:
                sysctl(f"net/ipv6/conf/{end.device}/disable_ipv6", 1, end.ns)
            run(["ethtool", "-K", end.device, "tx", "off"], end.ns)
            run(["ip", "link", "set", end.device, "up"], end.ns)

    def bridge(self, name: str, *ports: str, fail_mode: str = "secure") -> None:
        """Make a bridge of the userspace datapath; devices `ports` are its ports 1, 2, ... in that order."""
        words = ["ovs-vsctl", "add-br", name, "--", "set", "bridge", name, "datapath_type=netdev"]
        words += [f"fail_mode={fail_mode}", "protocols=OpenFlow13,OpenFlow15"]
        for number, port in enumerate(ports, start=1):
            words += ["--", "add-port", name, port]
            words += ["--", "set", "interface", port, f"ofport_request={number}"]
        run(words)
        self._undo.callback(run, ["ovs-vsctl", "--if-exists", "del-br", name])

    def background(self, command: str | Sequence[str], ns: str | None = None) -> Program:
        """Start a program that runs until it ends by itself, is stopped, or the network is closed."""
        self._programs += 1
        log = self.directory / f"{self._programs}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                _words(command, ns), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        program = Program(process, log)
        self._undo.callback(program.stop)
        return program

    def capture(self, pcap: Path, device: str, ns: str | None = None, expression: str = "ip6") -> Program:
        """Start tcpdump on a device, writing to `pcap`; it is capturing on return. Stop it before reading."""
        words = f"tcpdump -i {device} -U --immediate-mode -Z root -w {shlex.quote(str(pcap))} {expression}"
        program = self.background(words, ns)
        wait_until(lambda: "listening on" in program.output(), f"tcpdump on {device}")
        return program


def _link_words(end: End, mtu: int) -> list[str]:
    words = ["name", end.device, "mtu", str(mtu)]
    if end.mac:
        words += ["address", end.mac]
    if end.ns:
        words += ["netns", end.ns]
    return words


if __name__ == "__main__":
    sys.exit(main())
