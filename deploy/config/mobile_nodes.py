"""The section `security.mobile_nodes`: what the home agent shares with single mobile nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from deploy.config import associations as ipsec
from deploy.config import reading as read
from deploy.config.associations import AssociationConfig, KeyFile
from deploy.config.authentication import AuthenticationConfig, authentication
from mip6core.addresses import Address


@dataclass(frozen=True)
class MobileNodeConfig:
    """One mobile node, known by its home address."""

    home_address: Annotated[Address, read.address]
    authentication: Annotated[AuthenticationConfig | None, read.optional(authentication)] = None
    # Whether Binding Updates and Mobile Prefix Solicitations count that no IPsec has protected. Where the file does not
    # say: as `security` says.
    unprotected_signalling: Annotated[str | None, read.optional(read.choice("accept", "refuse"))] = None
    associations: Annotated[tuple[AssociationConfig, ...], ipsec.associations] = ()
    key_file: Annotated[KeyFile | None, read.optional(ipsec.key_file)] = None  # with more associations

    @property
    def all_associations(self) -> tuple[AssociationConfig, ...]:
        """Those of the entry and those of its key file."""
        return self.associations if self.key_file is None else (*self.associations, *self.key_file.associations)
