"""Provisioning of Open vSwitch: what is missing or differs from the configuration is made so, the rest is left alone.

    commands = plan(config)              # none: everything is in place
    apply(commands, say=print)

Each link gets its bridge, uplinks, tunnel port, controller, the bridge's own address, its way out, and the wire format
adapter on its uplinks. A correspondent link on a home link's bridge shares all of that. The bridge is in fail mode
"secure": without a controller it forwards nothing. Addresses, routes, MTU and adapter do not outlive a reboot, nor
routes in OVS a restart of ovs-vswitchd: then setup runs again.
"""

from __future__ import annotations

from deploy.ovs.commands import Command, ProvisionError, apply
from deploy.ovs.setup import plan
from deploy.ovs.status import status
from deploy.ovs.teardown import plan_teardown

__all__ = ["Command", "ProvisionError", "apply", "plan", "plan_teardown", "status"]
