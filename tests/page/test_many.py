"""The page with ten thousand bindings, and behind a token."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from rest.access import AccessControl, Scope
from rest.service import EventView
from rest.wsgi import make_app
from tests.page.conftest import Page
from tests.unit.rest.fake_service import FakeService, packed, view


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


class Threads(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Waiting:
    """A watch in which nothing happens."""

    def __init__(self) -> None:
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[list[EventView]]:
        while not self._closed.wait(0.2):
            yield []

    def close(self) -> None:
        self._closed.set()


class Watched(FakeService):
    def watch(self, after: int | None) -> Any:
        return Waiting()


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    servers = []

    def start(service: FakeService, access: AccessControl | None = None) -> str:
        app = make_app(service, access) if access else make_app(service)
        server = make_server("127.0.0.1", 0, app, server_class=Threads, handler_class=Quiet)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}/"

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def test_ten_thousand_bindings(serve: Callable[..., str], page: Page) -> None:
    bindings = (view(f"2001:db8:1::{number:x}", f"2001:db8:f{number % 5}::{number:x}") for number in range(1, 10_001))
    page.open(serve(Watched(*bindings)))
    page.until(lambda: page.text("#count") == "10000")
    assert page.rows() == 100
    assert page.text("#page") == "page 1 of 100"
    page.find("#next").click()
    page.until(lambda: page.text("#page") == "page 2 of 100")
    page.find("#search").send_keys("2001:db8:1::2710")
    page.until(lambda: page.rows() == 1)
    assert page.text("#count") == "1 of 10000"
    page.find("#search").clear()
    page.find("#search").send_keys("2001:db8:f3::/64")
    page.until(lambda: page.text("#count") == "2000 of 10000")
    assert len(page.driver.find_elements(By.CSS_SELECTOR, "#map .network")) == 5


def test_counters_of_what_is_in_the_table(serve: Callable[..., str], page: Page) -> None:
    """The switch is asked for the bindings that are shown, not for each by itself."""
    service = Watched(*(view(f"2001:db8:1::{number:x}", f"2001:db8:f::{number:x}") for number in range(1, 301)))
    page.open(serve(service))
    page.until(lambda: page.text("tr[data-address='2001:db8:1::1'] td[data-name='packets in']") == "6")
    assert service.asked_about == [None]
    page.driver.execute_script("document.querySelector('#bindings tr').click()")
    page.until(lambda: "5, 500 octets" in page.text("#node-fields"))
    assert service.asked_about == [None, packed("2001:db8:1::1")]


def test_the_cursor_that_the_page_makes_is_one_of_the_api(serve: Callable[..., str], page: Page) -> None:
    service = Watched(*(view(f"2001:db8:1::{number:x}", f"2001:db8:f::{number:x}") for number in range(1, 301)))
    page.open(serve(service))
    page.until(lambda: page.text("#count") == "300")
    page.find("#next").click()
    page.find("#next").click()
    page.until(lambda: page.text("#page") == "page 3 of 3")
    page.until(lambda: len(service.asked_about) == 2)
    page.until(lambda: page.text("tr[data-address='2001:db8:1::12c'] td[data-name='packets in']") == "6")


def test_static_bindings_and_networks_that_have_no_room(serve: Callable[..., str], page: Page) -> None:
    bindings = [view(f"2001:db8:1::{number:x}", f"2001:db8:f{number:x}::1") for number in range(1, 14)]
    bindings[0].state, bindings[0].lifetime, bindings[0].remaining_lifetime = "static", None, None
    page.open(serve(Watched(*bindings)))
    page.until(lambda: page.rows() == 13)
    assert page.text("#elsewhere") == "3 more networks with 3 mobile nodes"
    assert page.text("tr[data-address='2001:db8:1::1'] td[data-name='ends in']") == "for ever"
    choose(page, "#which", "static")
    page.until(lambda: page.rows() == 1)


def choose(page: Page, selector: str, text: str) -> None:
    Select(page.find(selector)).select_by_visible_text(text)


def test_a_network_is_chosen_with_the_keyboard(serve: Callable[..., str], page: Page) -> None:
    page.open(serve(Watched(view("2001:db8:1::a", "2001:db8:f1::1"), view("2001:db8:1::b", "2001:db8:f2::1"))))
    page.until(lambda: page.rows() == 2)
    page.driver.execute_script("document.querySelector('#map [data-network=\"2001:db8:f2::/64\"]').focus()")
    page.driver.switch_to.active_element.send_keys(Keys.ENTER)
    page.until(lambda: page.rows() == 1)
    assert page.text("#bindings").startswith("2001:db8:1::b")


def test_events_of_one_kind(serve: Callable[..., str], page: Page) -> None:
    page.open(serve(Watched()))
    page.until(lambda: "switch connected" in page.text("#events"))
    choose(page, "#kind", "moved")
    page.until(lambda: "switch connected" not in page.text("#events"))
    assert "2001:db8:e::1" in page.text("#events")


def test_a_token_is_asked_for_and_kept_in_the_tab(serve: Callable[..., str], page: Page) -> None:
    digest = hashlib.sha256(b"secret-token").hexdigest()
    url = serve(Watched(view("2001:db8:1::a")), AccessControl({digest: Scope.READ}))
    page.driver.get(url)
    page.until(lambda: page.find("#login").is_displayed())
    page.find("#token-value").send_keys("wrong")
    page.find("#login-form button").click()
    page.until(lambda: page.find("#login").is_displayed())
    page.find("#token-value").send_keys("secret-token")
    page.find("#login-form button").click()
    page.until(lambda: page.state() == "live")
    page.until(lambda: page.rows() == 1)
    # The refusals are in the console, as they should be.
    assert all("401" in message for message in page.complaints())


def test_nothing_may_come_from_elsewhere(serve: Callable[..., str], page: Page) -> None:
    page.open(serve(Watched()))
    blocked = page.driver.execute_async_script(
        """
        const done = arguments[0];
        document.addEventListener("securitypolicyviolation", (event) => done(event.effectiveDirective));
        const script = document.createElement("script");
        script.textContent = "window.injected = true";
        document.body.append(script);
        """
    )
    assert blocked.startswith("script-src")
    assert not page.driver.execute_script("return window.injected === true")
    page.complaints()
