"""The server of the REST API: connections, TLS, and who may do what."""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING, Any, Final

from rest.access import AccessControl, Scope
from rest.wsgi import make_app
from ryu_apps.northbound import Northbound
from ryu_apps.of_compat import eventlet
from ryu_apps.turns import Turns

if TYPE_CHECKING:
    from deploy.config.rest import Rest
    from ryu_apps.app import HomeAgentApp
    from ryu_apps.certificates import Certificates
    from ryu_apps.reload import Reloader

LOG = logging.getLogger(__name__)

REQUEST_TIMEOUT: Final = 30  # seconds a client may take to send a request


class _Protocol(eventlet.wsgi.HttpProtocol):
    """Who breaks off, or speaks no TLS, fills no log."""

    def handle(self) -> None:
        try:
            super().handle()
        except OSError as error:  # an SSLError is one
            LOG.debug("connection failed peer=%s error=%r", self.client_address, error)
            self.close_connection = True


class _TlsListener:
    """Puts TLS, with the certificates of that moment, around each connection that it accepts.

    eventlet's own wrap_ssl never asks for client certificates, whatever it is told. The handshake is not made here,
    where everybody would wait for it.
    """

    def __init__(self, listener: Any, certificates: Certificates) -> None:
        self._listener = listener
        self._certificates = certificates
        self.family = listener.family
        self.getsockname = listener.getsockname
        self.close = listener.close

    def accept(self) -> tuple[Any, Any]:
        while True:
            connection, address = self._listener.accept()
            context = self._certificates.context
            try:
                return context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address
            except OSError as error:  # it has gone already; the server would end at that
                LOG.debug("connection failed peer=%s error=%r", address, error)
                connection.close()


def serve(
    app: HomeAgentApp, config: Rest, access: AccessControl, reloader: Reloader, certificates: Certificates | None
) -> None:
    """Serve the API for ever, with certificates by HTTPS."""
    family = socket.AF_INET6 if ":" in config.listen else socket.AF_INET
    listener = eventlet.listen((config.listen, config.port), family)
    if certificates is not None:
        listener = _TlsListener(listener, certificates)
    LOG.info("listening rest=%s:%d tls=%s", config.listen, config.port, "no" if certificates is None else "yes")
    turns = Turns()
    app.metrics.cooperate = turns.cooperate
    eventlet.wsgi.server(
        listener,
        make_app(Northbound(app, reloader, turns.cooperate), access, turns.cooperate),
        protocol=_Protocol,
        log_output=False,
        custom_pool=app.rest_connections,
        socket_timeout=REQUEST_TIMEOUT,
        debug=False,
    )


def access_control(config: Rest) -> AccessControl:
    """The rules of the configuration."""
    scopes = {"read": Scope.READ, "admin": Scope.ADMIN, None: Scope.OPEN}
    tokens = {token.sha256: scopes[token.scope] for token in config.tokens}
    return AccessControl(tokens, scopes[config.anonymous_scope])


def change_access(access: AccessControl, config: Rest) -> None:
    """Have the rules of the configuration count where `access` does, from the next request on."""
    rules = access_control(config)
    access.tokens, access.anonymous = rules.tokens, rules.anonymous
