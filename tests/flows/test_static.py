"""Static bindings through the real switch."""

from __future__ import annotations

import json
import os
import signal

import pytest

from ryu_apps import cookies
from tests.flows.campus import LOCAL, REMOTE, SECOND_HOME_ADDRESS, Campus
from tests.flows.test_restart import generations, wait_for_sweep
from topo import lab

pytestmark = pytest.mark.lab

REFUSED = 129


def test_the_operator_speaks_for_a_mobile_node(campus: Campus) -> None:
    node = campus.second
    words = ("set", "binding", SECOND_HOME_ADDRESS, "--care-of-address", node.at.care_of_address)
    made = json.loads(campus.ctl(*words, "--home-link", "homenet", "-o", "json"))
    assert (made["state"], made["lifetime"]) == ("static", None)
    flows = campus.switch.flows_of(SECOND_HOME_ADDRESS)
    assert len(flows) == 3 and {flow.hard_timeout for flow in flows} == {0}
    assert all(cookies.is_static(flow.cookie) for flow in flows)
    lab.wait_until(lambda: LOCAL.ping(SECOND_HOME_ADDRESS) == 3, "the tunnel")
    assert node.ping(REMOTE.address) == 3
    assert node.register() == node.register(lifetime=0) == REFUSED
    kept = campus.manager.binding(SECOND_HOME_ADDRESS)
    assert campus.manager.program is not None
    os.kill(campus.manager.program.process.pid, signal.SIGHUP)
    lab.wait_until(lambda: "configuration reloaded" in campus.manager.log(), "the reload")
    assert campus.manager.binding(SECOND_HOME_ADDRESS) == kept
    # The switch keeps it, too.
    old = generations(campus)
    campus.manager.kill()
    campus.manager.start()
    wait_for_sweep(campus, old)
    adopted = campus.manager.binding(SECOND_HOME_ADDRESS)
    assert adopted is not None and kept is not None
    same = ("care_of_address", "state", "lifetime")
    assert [adopted[name] for name in same] == [kept[name] for name in same]
    assert LOCAL.ping(SECOND_HOME_ADDRESS) == 3
    campus.ctl("clear", "bindings", SECOND_HOME_ADDRESS)
    assert campus.switch.flows_of(SECOND_HOME_ADDRESS) == []
    assert node.register() == 0
