"""The page in a real browser, on the real controller and switch."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.keys import Keys

from tests.flows.campus import REST, Campus
from tests.page.conftest import Page

pytestmark = pytest.mark.lab


def row(campus: Campus) -> str:
    return f"tr[data-address='{campus.mobile.home_address}']"


def test_it_follows_a_handover_without_being_loaded_again(registered: Campus, page: Page) -> None:
    campus = registered
    page.open(REST)
    first = campus.mobile.at.care_of_address
    page.until(lambda: first in page.text(row(campus)))
    assert "switch" in page.text("#switches")
    assert "connected" in page.text("#map")

    campus.mobile.visit(campus.mobile.links[1])
    campus.register(campus.mobile)
    moved = campus.mobile.at.care_of_address
    assert moved != first
    page.until(lambda: moved in page.text(row(campus)))
    page.until(lambda: f"at {moved}" in page.text("#events li"))
    assert not page.reloaded()


def test_it_survives_a_restart_of_the_controller(registered: Campus, page: Page) -> None:
    campus = registered
    page.open(REST)
    page.until(lambda: campus.mobile.at.care_of_address in page.text(row(campus)))
    assert campus.manager.stop() == 0
    page.until(lambda: page.state() == "away")
    campus.manager.start()
    campus.manager.wait_ready()
    page.until(lambda: page.state() == "live")
    page.until(lambda: campus.mobile.at.care_of_address in page.text(row(campus)))
    campus.mobile.visit(campus.mobile.links[0])
    campus.register(campus.mobile)
    page.until(lambda: campus.mobile.at.care_of_address in page.text(row(campus)))
    assert not page.reloaded()


def test_keys_reach_everything_and_a_node_has_its_history(registered: Campus, page: Page) -> None:
    campus = registered
    campus.mobile.visit(campus.mobile.links[1])
    campus.register(campus.mobile)
    page.open(REST)
    page.until(lambda: page.rows() == 2)
    page.driver.execute_script("document.querySelector('#bindings tr').focus()")
    page.driver.switch_to.active_element.send_keys(Keys.ARROW_DOWN)
    assert page.driver.switch_to.active_element.get_attribute("data-address") == campus.second.home_address
    page.driver.switch_to.active_element.send_keys(Keys.ARROW_UP)
    page.driver.switch_to.active_element.send_keys(Keys.ENTER)
    page.until(lambda: page.text("#node-title") == campus.mobile.home_address)
    assert campus.mobile.at.care_of_address in page.text("#node-fields")
    page.until(lambda: "moved" in page.text("#node-events"))
    page.find("#node").send_keys(Keys.ESCAPE)
    page.until(lambda: not page.find("#node").is_displayed())


def test_a_binding_can_be_cleared_and_comes_back(registered: Campus, page: Page) -> None:
    campus = registered
    page.open(REST)
    page.until(lambda: page.rows() == 2)
    page.find(row(campus)).click()
    page.find("#clear").click()
    page.driver.switch_to.alert.accept()
    page.until(lambda: campus.manager.binding(campus.mobile.home_address) is None)
    page.until(lambda: page.rows() == 1)
    assert "cleared" in page.text("#events li")
    page.find("#node").send_keys(Keys.ESCAPE)
    campus.register(campus.mobile)
    page.until(lambda: page.rows() == 2)


def test_a_narrow_screen_needs_no_scrolling_sideways(registered: Campus, page: Page) -> None:
    page.driver.set_window_size(500, 800)
    page.open(REST)
    page.until(lambda: page.rows() == 2)
    page.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    )
    try:
        wide, there = page.driver.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
        assert wide <= there <= 360
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
