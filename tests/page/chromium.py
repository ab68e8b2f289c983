"""Chromium for the tests of pages; whoever imports this is skipped, with the reason, where there is none."""

import json
import os
import shutil

import pytest
from axe_core_python.base import AXE_SCRIPT
from selenium import webdriver
from selenium.webdriver.common.by import By

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
if not (CHROMIUM and DRIVER):
    pytest.skip("no chromium and chromedriver (apt install chromium chromium-driver)", allow_module_level=True)


def start(*, scripts: bool = True):
    """A browser of 1280x900 px that logs its console and its requests."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1280,900"):
        options.add_argument(argument)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # which root cannot have
    if not scripts:
        options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))


def shown(browser, query: str) -> list:
    """What a reader sees of the elements."""
    return [element for element in browser.find_elements(By.CSS_SELECTOR, query) if element.is_displayed()]


def schemed(browser, scheme: str) -> None:
    """Ask for light or dark."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def complaints(browser) -> list[dict]:
    """Warnings and errors of the console since the last call."""
    return [entry for entry in browser.get_log("browser") if entry["level"] != "INFO"]


def requested(browser) -> set[str]:
    """The schemes of all addresses that were asked for since the last call."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [one["params"]["request"]["url"] for one in messages if one["method"] == "Network.requestWillBeSent"]
    return {url.partition(":")[0] for url in asked}


def violations(browser) -> list[tuple]:
    """What axe-core finds: rule, help and the first elements."""
    browser.set_script_timeout(120)
    browser.execute_script(AXE_SCRIPT)
    found = browser.execute_async_script(
        "const done = arguments[0]; axe.run({resultTypes: ['violations']}).then(r => done(r.violations))"
    )
    return [(one["id"], one["help"], [node["html"][:200] for node in one["nodes"][:3]]) for one in found]
