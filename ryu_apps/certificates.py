"""TLS of our own servers: a certificate of ours, and whom to believe. Files that change are read again at a reload.

Connections that there are keep what they have begun with.
"""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mip6core.errors import ConfigError

if TYPE_CHECKING:
    from deploy.config.openflow import OpenFlowTls
    from deploy.config.rest import Tls


@dataclass(frozen=True, slots=True)
class _Read:
    """What was in the files."""

    digest: bytes
    context: ssl.SSLContext


class Certificates:
    """Those of one server, in the files that its section of the configuration names."""

    def __init__(self, section: str, certificate: str, key: str, authority: str | None) -> None:
        """With an `authority`, clients need a certificate of it. ConfigError for files that are no good."""
        self.section: Final = section
        self._certificate = certificate
        self._key = key
        self._authority = authority
        self._in_use = self._read()

    @classmethod
    def of_rest(cls, tls: Tls) -> Certificates:
        return cls("rest.tls", tls.certificate, tls.key, tls.client_ca)

    @classmethod
    def of_openflow(cls, tls: OpenFlowTls) -> Certificates:
        return cls("openflow.tls", tls.certificate, tls.key, tls.switch_ca)

    @property
    def context(self) -> ssl.SSLContext:
        """For connections that begin now."""
        return self._in_use.context

    def look(self) -> _Read | None:
        """What is in the files now; None: the same as before. ConfigError if it is no good."""
        found = self._read()
        return None if found.digest == self._in_use.digest else found

    def use(self, found: _Read) -> None:
        """From now on this is `context`."""
        self._in_use = found

    def _read(self) -> _Read:
        try:
            return self._load()
        except OSError as error:  # an SSLError is one
            raise ConfigError(self.section, f"PEM files of a certificate, its key and an authority ({error})") from None

    def _load(self) -> _Read:
        names = [name for name in (self._certificate, self._key, self._authority) if name is not None]
        digest = hashlib.sha256()
        for name in names:
            digest.update(hashlib.sha256(Path(name).read_bytes()).digest())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._certificate, self._key)
        if self._authority is not None:
            context.load_verify_locations(self._authority)
            context.verify_mode = ssl.CERT_REQUIRED
        return _Read(digest.digest(), context)
