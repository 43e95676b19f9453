"""The section `openflow`: where switches find the controller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from deploy.config import reading as read


@dataclass(frozen=True)
class OpenFlowTls:
    """Switches must show a certificate of `switch_ca`; they know the controller by its own (`ovs-vsctl set-ssl`)."""

    certificate: Annotated[str, read.file_name]  # PEM, with the chain
    key: Annotated[str, read.file_name]  # PEM
    switch_ca: Annotated[str, read.file_name]  # PEM


@dataclass(frozen=True)
class OpenFlow:
    """Where switches find the controller."""

    listen: Annotated[str, read.listen] = "127.0.0.1"
    port: Annotated[int, read.integer(1, 65_535)] = 6653
    tls: Annotated[OpenFlowTls | None, read.optional(read.section(OpenFlowTls))] = None


DEFAULT: Final = OpenFlow()
