"""OpenFlow over TLS: a real Open vSwitch connects with a certificate of the right authority, and with no other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.manager.conftest import ROOT, free_port
from tests.ovs_setup.site import HOME, Site, vsctl
from topo import lab

pytestmark = pytest.mark.lab


def test_a_switch_needs_a_certificate_of_the_authority(site: Site, tmp_path: Path) -> None:
    ours, others = Authority(tmp_path, "ours"), Authority(tmp_path, "others")
    certificate, key = ours.issue("controller")
    port = free_port()
    tls = {"certificate": str(certificate), "key": str(key), "switch_ca": str(ours.path)}
    site.configure(HOME, openflow={"port": port, "tls": tls}, rest={"port": free_port()})
    assert "set-ssl" in site.ctl("setup", status=1)[0]
    # The controller's files may be on the controller's machine only.
    site.configure(HOME, openflow={"port": port, "tls": {key: f"/nowhere/{name}" for key, name in tls.items()}})
    assert "set-ssl" in site.ctl("setup", status=1)[0]
    site.configure(HOME, openflow={"port": port, "tls": tls}, rest={"port": free_port()})

    good, bad = ours.issue("switch"), others.issue("stranger")
    vsctl("set-ssl", str(bad[1]), str(bad[0]), str(ours.path))
    site.setup()
    assert vsctl("get-controller", HOME["bridge"]).strip() == f"ssl:127.0.0.1:{port}"
    log = tmp_path / "log"
    with log.open("wb") as output:
        manager = subprocess.Popen(
            [sys.executable, "-m", "ryu_apps.launcher", "--config", str(site.file)], cwd=ROOT, stderr=output
        )
    try:
        lab.wait_until(lambda: "transport=tls" in log.read_text(), "the controller to listen")
        lab.wait_until(
            lambda: log.read_text().count("without a right certificate") > 1,
            "the switch to be refused twice",
            timeout=20,
        )
        assert "switch connected" not in log.read_text()
        vsctl("set-ssl", str(good[1]), str(good[0]), str(ours.path))
        lab.wait_until(lambda: "switch synchronised" in log.read_text(), "the switch to be connected", timeout=20)
    finally:
        manager.terminate()
        assert manager.wait(10) == 0
        vsctl("del-ssl")
    assert "Traceback" not in log.read_text()
