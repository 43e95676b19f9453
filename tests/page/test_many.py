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

from rest.access import AccessControl, Scope
from rest.wsgi import make_app
from tests.page.conftest import Page
from tests.unit.rest.fake_service import FakeService, view


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


class Threads(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Waiting:
    """A watch in which nothing happens."""

    def __init__(self) -> None:
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[None]:
        while not self._closed.wait(0.2):
            yield None

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
