"""A real browser (Debian's Chromium), and the campus of tests/flows for it to look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from tests.flows.conftest import campus, registered

__all__ = ["campus", "registered"]

T = TypeVar("T")
PATIENCE = 20.0  # seconds
CHROMIUM, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"


class Page:
    """The page in the browser."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, url: str) -> None:
        self.driver.get(url)
        self.until(lambda: self.state() == "live")
        self.driver.execute_script("window.here = true")

    def state(self) -> str | None:
        return self.find("#state").get_attribute("data-state")

    def reloaded(self) -> bool:
        return not self.driver.execute_script("return window.here === true")

    def find(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        return self.driver.execute_script("return document.querySelector(arguments[0])?.textContent ?? ''", selector)

    def rows(self) -> int:
        return self.driver.execute_script("return document.querySelectorAll('#bindings tr').length")

    def until(self, condition: Callable[[], T]) -> T:
        """What the condition gives once it is true."""
        return WebDriverWait(self.driver, PATIENCE, 0.1).until(lambda _: condition())

    def complaints(self) -> list[str]:
        """What the browser's console says; that nobody answered is what the page is to live with."""
        said = [entry["message"] for entry in self.driver.get_log("browser") if "chrome://" not in entry["message"]]
        return [message for message in said if "ERR_CONNECTION" not in message and "ERR_INCOMPLETE" not in message]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    if not Path(CHROMIUM).exists():
        pytest.skip("no Chromium: `deploy/install --tests` installs it, but not on Ubuntu, which has it as a snap only")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('chromium')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, Service(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture
def page(browser: webdriver.Chrome) -> Iterator[Page]:
    browser.set_window_size(1280, 900)
    page = Page(browser)
    yield page
    complaints = page.complaints()
    browser.get("about:blank")
    assert complaints == []
