"""The configuration of the real manager is read again: by signal, over REST, by mip6ctl."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.manager.conftest import HOME_LINK, free_port
from tests.manager.test_metrics import scrape

Start = Callable[..., Any]
TOKEN = "a-token-that-nobody-guesses"
DIGEST = hashlib.sha256(TOKEN.encode()).hexdigest()


def reload(running: Any, **headers: str) -> Any:
    status, answer = running.call("POST", "/v1/config:reload", **headers)
    assert status == 200, answer
    return answer


def settings(changes: list[dict[str, Any]]) -> list[str]:
    return [change["setting"] for change in changes]


def test_nothing_has_changed(manager: Start) -> None:
    running = manager()
    answer = reload(running)
    assert answer == {
        "result": "unchanged",
        "applied": [],
        "needs_restart": [],
        "certificates": [],
        "hash": hashlib.sha256(running.config.read_bytes()).hexdigest()[:16],
    }


def test_what_can_be_applied_is_and_the_rest_is_told(manager: Start) -> None:
    running = manager()
    running.sections["limits"] = {"max_bindings": 5, "punt_rates": {"esp": 7}}
    running.sections["rest"]["port"] += 1
    running.sections["home_links"] = [
        {**running.sections["home_links"][0], "prefixes": ["2001:db8:1::/64", "2001:db8:11::/64"], "max_lifetime": 60}
    ]
    running.write()
    answer = reload(running)
    assert answer["result"] == "partly_applied"
    assert set(settings(answer["applied"])) == {
        "limits.max_bindings",
        "limits.punt_rates.esp",
        "home_links[homenet].prefixes",
        "home_links[homenet].max_lifetime",
    }
    assert settings(answer["needs_restart"]) == ["rest.port"]
    shown = running.call("GET", "/v1/config")[1]
    assert shown["limits"]["max_bindings"] == 5
    assert shown["rest"]["port"] == running.port
    prefixes = running.call("GET", "/v1/prefixes")[1]["prefixes"]
    assert [entry["prefix"] for entry in prefixes] == ["2001:db8:1::/64", "2001:db8:11::/64"]
    metrics = scrape(running)
    assert metrics["mip6_bindings_limit"] == {(): 5}
    assert metrics["mip6_table_limit"][(("table", "bindings"),)] == 5
    again = reload(running)  # what waits for a restart is told each time
    assert (again["result"], again["applied"], settings(again["needs_restart"])) == ("needs_restart", [], ["rest.port"])


def test_certificates_are_read_again(manager: Start, authority: Callable[[str], Any]) -> None:
    """New connections get the new one, and others are believed; what is no good changes nothing."""
    ours, others = authority("ours"), authority("others")
    certificate, key = ours.issue("server")
    trusted = ours.path.with_name("clients.pem")
    trusted.write_bytes(ours.path.read_bytes())
    tls = {"certificate": str(certificate), "key": str(key), "client_ca": str(trusted)}
    openflow = {name: value for name, value in tls.items() if name != "client_ca"} | {"switch_ca": str(trusted)}
    running = manager({"tls": tls}, openflow={"port": free_port(), "tls": openflow})

    def presented(port: int, client: Any) -> bytes:
        """The server's certificate, where it lets this client in."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.load_cert_chain(*client.issue("client"))
        with socket.create_connection(("127.0.0.1", port)) as plain, context.wrap_socket(plain) as channel:
            channel.settimeout(10)
            channel.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
            assert channel.recv(8)  # TLS 1.3 tells that it refuses us only now
            found = channel.getpeercert(binary_form=True)
            assert found is not None
            return found

    def told(result: str, certificates: list[str]) -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.load_cert_chain(*believed.issue("client"))
        status, answer = running.call("POST", "/v1/config:reload", context)
        assert (status, answer["result"], answer["certificates"]) == (200, result, certificates)

    believed = ours
    first = presented(running.port, ours)
    told("unchanged", [])
    ours.issue("server")  # in its place
    assert presented(running.port, ours) == first
    told("applied", ["openflow.tls", "rest.tls"])
    second = presented(running.port, ours)
    assert second != first
    assert presented(running.openflow_port, ours) == second

    key.write_text("no key")
    context = ssl._create_unverified_context()
    context.load_cert_chain(*ours.issue("client"))
    status, answer = running.call("POST", "/v1/config:reload", context)
    assert status == 409 and "openflow.tls" in answer["detail"]
    assert presented(running.port, ours) == second

    ours.issue("server")
    trusted.write_bytes(others.path.read_bytes())
    told("applied", ["openflow.tls", "rest.tls"])
    believed = others
    presented(running.port, others)
    with pytest.raises(ssl.SSLError):
        presented(running.port, ours)


def test_a_certificate_that_does_not_fit_its_key_is_told_at_the_start(
    authority: Callable[[str], Any], tmp_path: Path
) -> None:
    ours = authority("ours")
    certificate, _ = ours.issue("server")
    _, other_key = ours.issue("other")
    config = tmp_path / "mip6.yaml"
    tls = {"certificate": str(certificate), "key": str(other_key)}
    rest = {"port": free_port(), "tls": tls}
    config.write_text(yaml.safe_dump({"openflow": {"port": free_port()}, "rest": rest, "home_links": [HOME_LINK]}))
    words = [sys.executable, "-m", "ryu_apps.launcher", "--config", config]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 2
    assert "rest.tls" in ended.stderr and "Traceback" not in ended.stderr


def test_a_reload_under_a_condition(manager: Start) -> None:
    running = manager()
    connection = running.connect()
    connection.request("GET", "/v1/config")
    answer = connection.getresponse()
    answer.read()
    tag = answer.headers["ETag"]
    connection.close()
    running.sections["limits"] = {"max_bindings": 5}
    running.write()
    assert running.call("POST", "/v1/config:reload", **{"If-Match": '"another"'})[0] == 412
    assert running.call("GET", "/v1/config")[1]["limits"]["max_bindings"] != 5
    assert settings(reload(running, **{"If-Match": tag})["applied"]) == ["limits.max_bindings"]
    assert running.call("POST", "/v1/config:reload", **{"If-Match": tag})[0] == 412


def test_a_link_of_which_anything_needs_a_restart_stays_as_it_is(manager: Start) -> None:
    running = manager()
    link = {**running.sections["home_links"][0], "router": "2001:db8:1::9", "max_lifetime": 60}
    running.sections["home_links"] = [link]
    running.write()
    answer = reload(running)
    assert (answer["result"], answer["applied"]) == ("needs_restart", [])
    assert set(settings(answer["needs_restart"])) == {"home_links[homenet].router", "home_links[homenet].max_lifetime"}
    assert running.call("GET", "/v1/config")[1]["home_links"][0]["router"] == "2001:db8:1::1"


def test_links_come_and_go(manager: Start) -> None:
    running = manager()
    first = running.sections["home_links"][0]
    second = {
        **first,
        **{"name": "labnet", "bridge": "br-lab", "address": "2001:db8:2::2", "prefixes": ["2001:db8:2::/64"]},
        **{"router": "2001:db8:2::1", "uplinks": ["eth2"]},
    }
    office = {
        **{"name": "office", "bridge": "br-office", "address": "2001:db8:c::2", "prefixes": ["2001:db8:c::/64"]},
        **{"router": "2001:db8:c::1", "uplinks": ["eth3"]},
    }
    running.sections.update(home_links=[first, second], correspondent_links=[office])
    running.write()
    answer = reload(running)
    assert settings(answer["applied"]) == ["home_links[labnet]", "correspondent_links[office]"]
    assert all(change["ovs_setup"] for change in answer["applied"])
    assert set(running.call("GET", "/readyz")[1]["checks"]["home_links"]) == {"homenet", "labnet"}
    # The prefix moves to the link that stays.
    running.sections.update(
        home_links=[{**first, "prefixes": ["2001:db8:1::/64", "2001:db8:2::/64"]}], correspondent_links=[]
    )
    running.write()
    assert reload(running)["result"] == "applied"
    assert set(running.call("GET", "/readyz")[1]["checks"]["home_links"]) == {"homenet"}
    prefixes = running.call("GET", "/v1/prefixes")[1]["prefixes"]
    assert {(entry["home_link"], entry["prefix"]) for entry in prefixes} == {
        ("homenet", "2001:db8:1::/64"),
        ("homenet", "2001:db8:2::/64"),
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("home_links: [", "mip6.yaml"),
        ("limits: {max_bindigs: 5}\n", "did you mean max_bindings?"),
        ("", "mip6.yaml"),
    ],
)
def test_a_bad_file_leaves_the_running_configuration(manager: Start, text: str, said: str) -> None:
    running = manager()
    before = running.call("GET", "/v1/config")[1]
    good = running.config.read_text()
    running.config.write_text(text + (good if "limits" in text else ""))
    status, answer = running.call("POST", "/v1/config:reload")
    assert status == 409
    assert said in answer["detail"]
    assert running.call("GET", "/v1/config")[1] == before
    assert "configuration not reloaded" in running.log.read_text()
    metrics = scrape(running)
    assert metrics["mip6_config_last_reload_successful"] == {(): 0}
    assert metrics["mip6_config_reloads_total"][(("result", "rejected"),)] == 1
    running.config.write_text(good)  # it recovers
    assert reload(running)["result"] == "unchanged"
    metrics = scrape(running)
    assert metrics["mip6_config_last_reload_successful"] == {(): 1}
    assert metrics["mip6_config_reloads_total"][(("result", "unchanged"),)] == 1
    assert metrics["mip6_config_info"] == {(("hash", hashlib.sha256(running.config.read_bytes()).hexdigest()[:16]),): 1}


def test_tokens_change_without_a_restart(manager: Start) -> None:
    running = manager()
    running.sections["rest"]["tokens"] = [{"name": "ops", "scope": "admin", "sha256": DIGEST}]
    running.write()
    reload(running)
    assert running.call("GET", "/v1/bindings")[0] == 401
    assert running.call("GET", "/v1/bindings", Authorization=f"Bearer {TOKEN}")[0] == 200
    running.sections["rest"]["tokens"][0]["scope"] = "read"
    running.write()
    answer = reload(running, Authorization=f"Bearer {TOKEN}")
    assert DIGEST not in str(answer)
    assert running.call("POST", "/v1/config:reload", Authorization=f"Bearer {TOKEN}")[0] == 403


def test_who_may_do_what_waits_with_where_it_is_served(manager: Start) -> None:
    """On loopback everybody may be an administrator; where it is still served for others, nobody becomes one."""
    running = manager({"listen": "::", "tokens": [{"name": "ops", "scope": "admin", "sha256": DIGEST}]})
    running.sections["rest"].update(listen="127.0.0.1", anonymous="admin", tokens=[])
    running.write()
    answer = reload(running, Authorization=f"Bearer {TOKEN}")
    assert (answer["result"], answer["applied"]) == ("needs_restart", [])
    assert running.call("GET", "/v1/bindings")[0] == 401
    assert running.call("GET", "/v1/bindings", Authorization=f"Bearer {TOKEN}")[0] == 200


def test_what_contradicts_what_waits_for_a_restart_is_not_applied(manager: Start) -> None:
    """A prefix moves away from a link that stays as it is."""
    first = dict(HOME_LINK, prefixes=["2001:db8:1::/64", "2001:db8:2::/64"])
    second = {
        **HOME_LINK,
        **{"name": "labnet", "bridge": "br-lab", "address": "2001:db8:3::2", "prefixes": ["2001:db8:3::/64"]},
        **{"router": "2001:db8:3::1", "uplinks": ["eth2"]},
    }
    running = manager(home_links=[first, second])
    running.sections["home_links"] = [
        {**first, "prefixes": ["2001:db8:1::/64"], "router": "2001:db8:1::9"},
        {**second, "prefixes": ["2001:db8:3::/64", "2001:db8:2::/64"]},
    ]
    running.write()
    before = running.call("GET", "/v1/config")[1]
    status, answer = running.call("POST", "/v1/config:reload")
    assert status == 409 and "before a restart" in answer["detail"]
    assert running.call("GET", "/v1/config")[1] == before


@pytest.fixture
def notifications(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """What a systemd would hear."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listener


def test_a_hangup_reloads_and_the_service_manager_is_told(manager: Start, notifications: socket.socket) -> None:
    running = manager()
    assert notifications.recv(4096).startswith(b"READY=1")
    running.sections["limits"] = {"max_bindings": 5}
    running.write()
    os.kill(running.process.pid, signal.SIGHUP)
    assert notifications.recv(4096).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
    assert notifications.recv(4096) == b"READY=1\nSTATUS=configuration read again: applied"
    assert running.call("GET", "/v1/config")[1]["limits"]["max_bindings"] == 5
    running.config.write_text("x: 1")
    os.kill(running.process.pid, signal.SIGHUP)
    assert notifications.recv(4096).startswith(b"RELOADING=1")
    told = notifications.recv(4096)
    assert told.startswith(b"READY=1\nSTATUS=the configuration file is not good: ")
    assert running.process.poll() is None


def test_mip6ctl_config_reload(manager: Start) -> None:
    running = manager()
    running.sections["limits"] = {"max_bindings": 5}
    running.sections["openflow"]["port"] += 1
    running.write()
    done = mip6ctl(running, "config", "reload")
    assert done.returncode == 0, done.stderr
    applied, waiting = (next(line for line in done.stdout.splitlines() if name in line) for name in ("limits", "port"))
    assert "while it runs" in applied
    assert "needs a restart" in waiting
    running.config.write_text("x: 1")
    failed = mip6ctl(running, "config", "reload")
    assert failed.returncode == 1
    assert "x: expected a known key" in failed.stderr


def mip6ctl(running: Any, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rest.cli.main", *words, f"--server=http://127.0.0.1:{running.port}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_thousands_of_mobile_nodes_are_read_without_holding_up_others(manager: Start) -> None:
    running = manager()
    rules = [{"home_addresses": [f"2001:db8:1::{index:x}"]} for index in range(1, 3000)]
    running.sections["access"] = {"rules": rules}
    running.write()
    connection = running.connect()
    connection.request("POST", "/v1/config:reload")
    answered = 0
    reader = connection.sock
    reader.settimeout(0.001)
    while True:
        try:
            reader.recv(1, socket.MSG_PEEK)
            break
        except TimeoutError:
            assert running.call("GET", "/healthz")[0] == 200
            answered += 1
    assert answered >= 3
    reader.settimeout(20)
    assert connection.getresponse().status == 200
    connection.close()
