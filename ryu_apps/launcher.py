"""`mip6-manager --config FILE`: the controller with the REST API, in one process.

Nobody starts `ryu-manager` by hand: Ryu needs `of_compat` before anything else of it is imported.
"""

from __future__ import annotations

import argparse
import gc
import logging
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from deploy.config import Config, load
from mip6core import addresses
from mip6core.errors import ConfigError
from ryu_apps import adapter_report
from ryu_apps.log_limit import LogLimit

if TYPE_CHECKING:
    from ryu_apps.reload import Reloader

EXIT_FAILURE = 1
EXIT_BAD_CONFIG = 2
GC_THRESHOLD = 50_000  # new objects between two looks for garbage
GOODBYE: Final = 0.05  # seconds for the last packets to leave

LOG = logging.getLogger("mip6")


def main(argv: Sequence[str] | None = None) -> int:
    """Run until a signal ends it. Exit status: 0, 1 if it cannot serve, 2 if the configuration is wrong."""
    arguments = _parser().parse_args(argv)
    try:
        config = load(arguments.config)
    except ConfigError as error:
        print(f"mip6-manager: {error}", file=sys.stderr)
        return EXIT_BAD_CONFIG
    for what, listen, port in (
        ("openflow", config.openflow.listen, config.openflow.port),
        ("rest", config.rest.listen, config.rest.port),
    ):
        problem = _cannot_listen(listen, port)
        if problem is not None:
            print(f"mip6-manager: {what}: cannot listen on {listen} port {port}: {problem}", file=sys.stderr)
            return EXIT_FAILURE
    _set_up_logging(arguments.log_level)
    return _serve(config, arguments.config, arguments.adapter_counters)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mip6-manager", description="Mobile IPv6 home agent for OpenFlow switches (RFC 6275)."
    )
    parser.add_argument("--config", required=True, metavar="FILE", help="the YAML configuration file")
    parser.add_argument(
        "--log-level",
        default="info",
        choices=("debug", "info", "warning", "error"),
        help="how much is logged to standard error (default: info)",
    )
    parser.add_argument(
        "--adapter-counters",
        type=Path,
        default=adapter_report.FILE,
        metavar="FILE",
        help="what `mip6ctl ovs counters --write` leaves for /metrics (default: %(default)s)",
    )
    return parser


def _cannot_listen(listen: str, port: int) -> str | None:
    """Why a server could not be opened there; Ryu and eventlet would tell only by a traceback."""
    family = socket.AF_INET6 if ":" in listen else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((listen, port))
        except OSError as error:
            return error.strerror
    return None


def _set_up_logging(level: str) -> None:
    logging.basicConfig(
        stream=sys.stderr,
        level=level.upper(),
        format="%(asctime)s level=%(levelname)s logger=%(name)s %(message)s",
    )
    for handler in logging.getLogger().handlers:
        handler.addFilter(LogLimit())
    for chatty in ("ryu", "ofp_event", "stevedore", "eventlet"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLogger().level))


def _warn(config: Config) -> None:
    """Tell the operator what may not be meant: that everybody can register, or nobody."""
    security = config.security
    if security.unprotected_signalling == "accept":
        LOG.warning("signalling is accepted without protection: anyone who can send to the home agent can register")
    elif config.home_links and not security.mobile_nodes:
        LOG.warning("nobody can register: there are no security.mobile_nodes, and the rest is refused")
    for node in security.mobile_nodes:
        if node.unprotected_signalling == "accept":
            LOG.warning("signalling is accepted without protection hoa=%s", addresses.text(node.home_address))


def _serve(config: Config, path: str, adapter_counters: Path) -> int:
    # First of all: what is imported from here on must find the patched modules.
    from ryu_apps.of_compat import eventlet

    eventlet.monkey_patch(thread=False)

    from ryu_apps import connection, rest_server
    from ryu_apps.app import HomeAgentApp
    from ryu_apps.certificates import Certificates
    from ryu_apps.of_compat import AppManager, cfg
    from ryu_apps.reload import Reloader
    from ryu_apps.service_manager import ServiceManager

    cfg.CONF(
        args=["--ofp-listen-host", config.openflow.listen, "--ofp-tcp-listen-port", str(config.openflow.port)],
        project="ryu",
        default_config_files=[],
    )
    tls = config.openflow.tls, config.rest.tls
    try:
        of_switches = None if tls[0] is None else Certificates.of_openflow(tls[0])
        of_rest = None if tls[1] is None else Certificates.of_rest(tls[1])
    except ConfigError as error:
        print(f"mip6-manager: {error}", file=sys.stderr)
        return EXIT_BAD_CONFIG
    connections = connection.install(of_switches)
    manager = AppManager.get_instance()
    manager.load_apps(["ryu_apps.app"])
    services = manager.instantiate_apps(config=config)
    app = next(found for found in manager.applications.values() if isinstance(found, HomeAgentApp))
    app.connections = connections
    _warn(config)
    transport = "tcp" if config.openflow.tls is None else "tls"
    LOG.info("listening openflow=%s:%d transport=%s", config.openflow.listen, config.openflow.port, transport)
    # What the imports have made lives for ever, and bindings for long: looking for garbage among them at Python's
    # usual rate costs up to a quarter of the time that a Binding Update takes.
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    main_thread = eventlet.greenthread.getcurrent()
    _end_on_signals(eventlet, main_thread)
    service_manager = ServiceManager()
    access = rest_server.access_control(config.rest)
    certificates = [found for found in (of_switches, of_rest) if found is not None]
    reloader = Reloader(app, path, service_manager, lambda rest: rest_server.change_access(access, rest), certificates)
    app.metrics.reloader = reloader
    app.metrics.adapter_report = adapter_counters
    _reload_on_hangup(eventlet, reloader)
    try:
        app.loops.spawn("rest", rest_server.serve, app, config.rest, access, reloader, of_rest)
        app.loops.spawn("watchdog", service_manager.keep_alive, lambda: not app.loops.died, eventlet.sleep)
        service_manager.ready(f"OpenFlow on {config.openflow.listen} port {config.openflow.port}")
        for service in services:
            service.wait()
    except SystemExit:
        service_manager.stopping()
        LOG.info("ending; flows stay until their bindings' lifetimes end")
        app.say_goodbye()
        eventlet.sleep(GOODBYE)
    finally:
        manager.close()
    return 0


def _end_on_signals(eventlet: Any, thread: Any) -> None:
    def end(_signal: int, _frame: object) -> None:
        eventlet.hubs.get_hub().schedule_call_global(0, thread.throw, SystemExit)

    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, end)


def _reload_on_hangup(eventlet: Any, reloader: Reloader) -> None:
    def reload(_signal: int, _frame: object) -> None:
        eventlet.hubs.get_hub().schedule_call_global(0, eventlet.spawn, reloader.reload_for_signal)

    signal.signal(signal.SIGHUP, reload)


if __name__ == "__main__":
    sys.exit(main())
