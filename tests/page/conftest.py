"""Browsers, started once for the tests of a file."""

import pytest


@pytest.fixture(scope="module")
def browsers():
    """One browser with scripts and one without."""
    from .chromium import start

    found = {scripts: start(scripts=scripts) for scripts in (True, False)}
    yield found
    for browser in found.values():
        browser.quit()
