"""The test bed of `topo.campus` with everything running on it: the home agent, the mobile node, its correspondents."""

from __future__ import annotations

import contextlib
import json
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from mininet.log import setLogLevel
from mininet.net import Mininet
from mininet.node import Node

from topo import campus, lab
from topo.scenarios import capture

REST: Final = "http://127.0.0.1:8080"
CONFIGURATION: Final = f"""\
home_links:
  - name: homenet
    bridge: {campus.HOME_BRIDGE}
    address: {campus.HOME_AGENT}
    prefixes: ["{campus.HOME_PREFIX}"]
    router: {campus.ROUTER}
    uplinks: [{campus.UPLINK}]
    uplink_bridge: %s
security:
  unprotected_signalling: accept
"""
CORRESPONDENT_LINK: Final = f"""\
correspondent_links:
  - name: remotenet
    bridge: {campus.EDGE_BRIDGE}
    address: {campus.EDGE_ADDRESS}
    prefixes: ["{campus.REMOTE_PREFIX}"]
    router: {campus.REMOTE_ROUTER}
    uplinks: [{campus.EDGE_UPLINK}]
"""
PATIENCE: Final = 3.0  # seconds through the home agent, so that people see the difference, before routes are optimised
MOST_HOPS: Final = 8
PUNTED: Final = "punted_"  # how the names of these counters begin
CORRESPONDENTS: Final = {"local": campus.LOCAL_CORRESPONDENT, "remote": campus.REMOTE_CORRESPONDENT}


class ScenarioError(Exception):
    """The scenario cannot go on; the text says why, for a person to read."""


class Lines:
    """A program whose standard output is lines of JSON."""

    def __init__(self, process: subprocess.Popen[bytes], name: str, watch: Callable[[dict[str, Any]], None]) -> None:
        assert process.stdout is not None
        self.process = process
        self.name = name
        self._watch = watch
        self._new: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, args=(process.stdout,), daemon=True)
        self._reader.start()

    def wait(self, wanted: Callable[[dict[str, Any]], bool], timeout: float) -> dict[str, Any] | None:
        """The next line that is wanted; None if none comes in time, or the program has ended."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                line = self._new.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return None
            if line is None or wanted(line):
                return line

    def must(self, key: str, timeout: float) -> dict[str, Any]:
        """The next line with this key. ScenarioError if there is none."""
        line = self.wait(lambda line: key in line, timeout)
        if line is None:
            raise ScenarioError(f"{self.name}: no {key} within {timeout:g} s")
        return line

    def close(self) -> None:
        """Take in what is left, when the program has ended."""
        self._reader.join(5.0)

    def _read(self, output: IO[bytes]) -> None:
        with output:
            for text in output:
                line = json.loads(text)
                self._watch(line)
                self._new.put(line)
        self._new.put(None)


@dataclass(frozen=True)
class Flow:
    """A flow of a binding, as `ovs-ofctl dump-flows` tells it."""

    packets: int
    text: str


class Testbed:
    """Build with `start`, leave with `close`: everything that was made goes, and nothing else."""

    def __init__(
        self, two_bridges: bool, lifetime: int, say: Callable[[str], None], route_optimization: bool = False
    ) -> None:
        self._two_bridges = two_bridges
        self._route_optimization = route_optimization
        self._lifetime = lifetime
        self._say = say
        self._undo = contextlib.ExitStack()
        self.directory = Path(tempfile.mkdtemp(prefix="roaming-"))
        self._undo.callback(lab.run, ["rm", "-r", str(self.directory)])
        self.manager_log = self.directory / "mip6-manager.log"
        self.events: list[dict[str, Any]] = []  # of the mobile node
        self._programs: list[Lines] = []

    def close(self) -> None:
        """Take everything away, latest first."""
        self._undo.close()
        for program in self._programs:
            program.close()

    def start(self) -> None:
        """The network, the home agent, the mobile node."""
        setLogLevel("output")
        Mininet.inited = True  # or it would change kernel settings of the whole machine
        name = "campus-two-bridges" if self._two_bridges else "campus"
        if self._route_optimization:
            name = "campus-route-optimization"
        self.net = Mininet(topo=campus.topos[name](), controller=None, waitConnected=False)
        self._undo.callback(self.net.stop)
        self.net.start()
        configuration = self.directory / "mip6.yaml"
        text = CONFIGURATION % (campus.UPLINK_BRIDGE if self._two_bridges else "null")
        configuration.write_text(text + CORRESPONDENT_LINK if self._route_optimization else text)
        self._say("$ mip6ctl ovs setup --config mip6.yaml")
        self.mip6ctl("ovs", "setup", "--config", str(configuration))
        # Before the bridge goes: the wire format adapter is held by more than the device
        self._undo.callback(self.mip6ctl, "ovs", "teardown", "--config", str(configuration))
        self._say("$ mip6-manager --config mip6.yaml")
        log = self._undo.enter_context(self.manager_log.open("wb"))
        self.manager = self._background([_program("mip6-manager"), "--config", str(configuration)], None, log, log)
        self._wait_for_manager()
        self._pcap = self.directory / "switch.pcap"
        words = f"tcpdump -i any -y LINUX_SLL2 -s {capture.SNAPSHOT_LENGTH} -U --immediate-mode -Z root -w {self._pcap}"
        self._tcpdump([*words.split(), capture.EXPRESSION], None)
        self.wire_pcap = self.directory / "wire.pcap"
        words = f"tcpdump -i r-home -s {capture.SNAPSHOT_LENGTH} -U --immediate-mode -Z root -w {self.wire_pcap}"
        self._tcpdump([*words.split(), f"{capture.EXPRESSION} or ip6 proto 47"], "r")
        optimize: list[str] = []
        if self._route_optimization:
            self.edge_pcap = self.directory / "edge.pcap"
            words = f"tcpdump -i r-remote -s {capture.SNAPSHOT_LENGTH} -U --immediate-mode -Z root -w {self.edge_pcap}"
            self._tcpdump([*words.split(), f"{capture.EXPRESSION} or ip6 proto 47 or tcp"], "r", "edge")
            optimize = ["--correspondent-patience", str(PATIENCE)]
            for address in CORRESPONDENTS.values():
                optimize += ["--correspondent", address]
        self.mobile_node = self._module(
            "mobile_node",
            *("--interface", campus.MOBILE_DEVICE, "--home-address", f"{campus.HOME_ADDRESS}/64"),
            *("--home-agent", campus.HOME_AGENT, "--lifetime", str(self._lifetime)),
            *optimize,
            host=campus.MOBILE_NODE,
        )
        lab.wait_until(self._home_address_ready, "the home address on the home link", timeout=10.0)

    def start_traffic(self) -> None:
        """A TCP connection and pings from each correspondent to the home address."""
        count = str(len(CORRESPONDENTS))
        self.server = self._module(
            "traffic", "serve", "--bind", campus.HOME_ADDRESS, "--connections", count, host=campus.MOBILE_NODE
        )
        self.server.must("ready", 10.0)
        self.talkers = {
            name: self._module("traffic", "talk", "--bind", address, "--to", campus.HOME_ADDRESS, host=name)
            for name, address in CORRESPONDENTS.items()
        }
        for talker in self.talkers.values():
            talker.must("ready", 15.0)

    def traffic(self) -> dict[str, dict[str, Any]]:
        """What all that makes traffic has seen so far: for each correspondent its end, the mobile node's, the pings."""
        programs = [self.server, *self.talkers.values()]
        for program in programs:
            program.process.send_signal(signal.SIGUSR1)
        return self._collect(programs)

    def end_traffic(self) -> dict[str, dict[str, Any]]:
        """Let all connections end in order; what has been seen."""
        for talker in self.talkers.values():
            talker.process.terminate()
        return self._collect([self.server, *self.talkers.values()])

    def _collect(self, programs: Sequence[Lines]) -> dict[str, dict[str, Any]]:
        server, *talkers = (program.wait(lambda line: "ready" not in line, 25.0) for program in programs)
        if server is None or None in talkers:
            raise ScenarioError("the traffic programs do not answer")
        mobile_ends = {end["peer"]: end for end in server["connections"]}
        return {
            name: {
                "correspondent": talker["connection"],
                "mobile": mobile_ends[CORRESPONDENTS[name]],
                "pings": talker["pings"],
            }
            for name, talker in zip(self.talkers, talkers, strict=True)
            if talker is not None
        }

    # --- the operator's view ---

    def mip6ctl(self, *words: str) -> str:
        """Run mip6ctl; what it prints."""
        result = subprocess.run([_program("mip6ctl"), *words], capture_output=True, text=True)
        if result.returncode != 0:
            raise ScenarioError(f"mip6ctl {' '.join(words)}: {(result.stderr or result.stdout).strip()}")
        return result.stdout

    def bindings(self) -> list[dict[str, Any]]:
        """All bindings of the home agent."""
        result: list[dict[str, Any]] = json.loads(self.mip6ctl("show", "bindings", "-o", "json"))["bindings"]
        return result

    def correspondents(self) -> list[dict[str, Any]]:
        """All bindings that are kept for correspondents."""
        result: list[dict[str, Any]]
        result = json.loads(self.mip6ctl("show", "correspondents", "-o", "json"))["correspondents"]
        return result

    def punted(self) -> dict[str, int]:
        """Packets that the switch has handed to the controller so far, by kind."""
        shell = json.loads(self.mip6ctl("show", "statistics", "-o", "json"))["shell"]
        return {name.removeprefix(PUNTED): count for name, count in shell.items() if name.startswith(PUNTED)}

    def flows(self, bridge: str = campus.HOME_BRIDGE) -> list[Flow]:
        """The flows of the mobile node's binding, on the home link's bridge or another one."""
        dump = lab.run(["ovs-ofctl", "-O", "OpenFlow13", "dump-flows", bridge]).stdout
        pattern = re.compile(r"cookie=0x6d36\w+,.* n_packets=(\d+),")
        found = []
        for line in dump.splitlines():
            match = pattern.search(line)
            if match and re.search(rf"=(::ffff:)?{re.escape(campus.HOME_ADDRESS)}\b(?!:)", line):
                found.append(Flow(int(match[1]), line.strip()))
        return found

    def captured(self) -> list[capture.Captured]:
        """All signalling and tunnelled packets that went through the switch so far."""
        return list(capture.read(self._pcap))

    def wire(self) -> dict[str, int]:
        """Packets at the router's end of the uplink, where tunnelled ones are to look as RFC 2473 says."""
        expressions = {
            "tunnelled_out": f"ip6 proto 41 and src host {campus.HOME_AGENT}",
            "tunnelled_in": f"ip6 proto 41 and dst host {campus.HOME_AGENT}",
            "gre": "ip6 proto 47",
        }
        return _count(self.wire_pcap, expressions)

    def edge(self) -> list[capture.Captured]:
        """Signalling, tunnelled packets and TCP segments between the router and the edge switch so far."""
        return list(capture.read(self.edge_pcap))

    def edge_wire(self) -> dict[str, int]:
        """Packets between the router and the edge switch, where optimised ones are to look as RFC 6275 says."""
        expressions = {
            "type_2_routing": f"ip6 proto 43 and src host {campus.REMOTE_CORRESPONDENT}",
            "home_address_option": f"ip6 proto 60 and dst host {campus.REMOTE_CORRESPONDENT}",
            "gre": "ip6 proto 47",
        }
        return _count(self.edge_pcap, expressions)

    def hops(self, host: str, source: str, target: str) -> list[str]:
        """The nodes that pings with hop limits of 1, 2 ... from `source` get to, up to the target, by name.

        "?" where none has told.
        """
        words = f"ping -6 -n -c 1 -W 1 -I {source} {target} -t".split()
        pipe: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
        pings = [self.net[host].popen([*words, str(limit)], **pipe) for limit in range(1, MOST_HOPS + 1)]
        names = self._names()
        found: list[str] = []
        for ping in pings:
            printed = ping.communicate(timeout=10.0)[0]
            match = re.search(r"[Ff]rom ([0-9a-f:]+?):? icmp_seq", printed)
            found.append("?" if match is None else names.get(match[1], match[1]))
        last = names.get(target, target)
        return found[: found.index(last) + 1] if last in found else found

    def _names(self) -> dict[str, str]:
        """Node of each address."""
        names = {campus.HOME_AGENT: "home agent"}
        for node in self.net.hosts:
            for line in node.pexec("ip -6 -o address show scope global")[0].splitlines():
                names[line.split()[3].split("/")[0]] = node.name
        return names

    def reaches_directly(self, care_of_address: str) -> bool:
        """Whether the mobile node gets an answer from the remote correspondent to pings from its care-of address."""
        words = ["ping", "-6", "-c", "2", "-i", "0.2", "-W", "1", "-I", care_of_address, campus.REMOTE_CORRESPONDENT]
        return self.net[campus.MOBILE_NODE].popen(words).wait() == 0

    def manager_complaints(self) -> list[str]:
        """Errors in the log of mip6-manager, and its end if it has ended."""
        text = self.manager_log.read_text(errors="replace")
        found = [line for line in text.splitlines() if "level=ERROR" in line or "Traceback" in line]
        if self.manager.poll() is not None:
            found.append(f"mip6-manager has ended: {text[-2000:]}")
        return found

    # --- programs ---

    def _wait_for_manager(self) -> None:
        def ready() -> bool:
            if self.manager.poll() is not None:
                raise ScenarioError(f"mip6-manager has ended:\n{self.manager_log.read_text(errors='replace')}")
            try:
                with urllib.request.urlopen(f"{REST}/readyz", timeout=2.0) as answer:
                    return bool(answer.status == 200)
            except urllib.error.URLError:
                return False

        lab.wait_until(ready, "mip6-manager and its switch", timeout=15.0, interval=0.1)

    def _home_address_ready(self) -> bool:
        shown = self.net[campus.MOBILE_NODE].pexec(f"ip -6 -o address show dev {campus.MOBILE_DEVICE} -tentative")[0]
        return f" {campus.HOME_ADDRESS}/" in shown

    def _module(self, name: str, *words: str, host: str) -> Lines:
        """Run one of our modules on a host."""
        errors = self._undo.enter_context((self.directory / f"{name}-{host}.log").open("wb"))
        process = self._background([sys.executable, "-m", f"topo.{name}", *words], host, subprocess.PIPE, errors)
        watch = self.events.append if name == "mobile_node" else lambda line: None
        self._programs.append(Lines(process, f"{name} on {host}", watch))
        return self._programs[-1]

    def _tcpdump(self, words: list[str], host: str | None, name: str | None = None) -> None:
        log = self.directory / f"tcpdump-{name or host or 'switch'}.log"
        with log.open("wb") as errors:
            self._background(words, host, subprocess.DEVNULL, errors)
        lab.wait_until(lambda: "listening on" in log.read_text(), "tcpdump")

    def _background(
        self, words: list[str], host: str | None, output: int | IO[bytes], errors: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        if host is None:
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=output, stderr=errors)
        else:
            node: Node = self.net[host]
            process = node.popen(words, stdin=subprocess.DEVNULL, stdout=output, stderr=errors)
        self._undo.callback(_end, process)
        return process


def _count(pcap: Path, expressions: Mapping[str, str]) -> dict[str, int]:
    """How many packets of a capture match."""
    return {
        name: len(lab.run(["tcpdump", "-n", "-r", str(pcap), expression]).stdout.splitlines())
        for name, expression in expressions.items()
    }


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(5.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _program(name: str) -> str:
    """A program of this checkout's virtual environment."""
    return str(Path(sys.executable).with_name(name))
