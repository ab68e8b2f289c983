"""The panels in Chromium: nothing fails, nothing is fetched, and all views of a case move together."""

import pytest
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from rfbench.page import panels as page
from rfbench.report.panels import gather
from rfbench.report.reading import read_metrics

from . import chromium, drawn_panels
from .chromium import schemed, shown

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> str:
    """The panels of five pairs on four drawn images, one pair without a run."""
    folder = tmp_path_factory.mktemp("panels")
    drawn_panels.draw(folder, images=4, pairs=5, states={("LIP/Bilinear", 0): ("error", "out of memory")})
    metrics = read_metrics(folder / "metrics.csv")
    page.write(folder / "panels.html", [gather(metrics, folder, drawn_panels.dataset())], "0" * 64)
    return (folder / "panels.html").as_uri()


@pytest.fixture
def browser(browsers, address):
    """The page, opened anew."""
    browsers[True].get("about:blank")
    browsers[True].get(address)
    return browsers[True]


def case(browser):
    """The first case that all pairs are shown in, in sight."""
    found = browser.find_element(By.CSS_SELECTOR, ".case")
    browser.execute_script("arguments[0].scrollIntoView()", found)
    return found


def transforms(one) -> list[list[float]]:
    """Scale and place of every view of a case, as they are drawn."""
    script = "return [...arguments[0].querySelectorAll('.view g')].map(g => getComputedStyle(g).transform)"
    texts = one.parent.execute_script(script, one)
    matrices = [
        [float(number) for number in text.removeprefix("matrix(").removesuffix(")").split(",")] for text in texts
    ]
    return [[matrix[0], matrix[4], matrix[5]] for matrix in matrices]


def test_the_console_is_silent_and_nothing_is_fetched(browser):
    browser.execute_script("document.querySelectorAll('.case').forEach(one => one.scrollIntoView())")
    assert chromium.complaints(browser) == []
    assert {"file"} <= chromium.requested(browser) <= {"file", "about", "data"}


def test_photographs_and_outlines_are_drawn(browser):
    one = case(browser)
    views = one.find_elements(By.CSS_SELECTOR, ".view svg")
    assert len(views) == 2 + 4, "crop, truth, and the pairs that have a run"
    for view in views:
        assert view.rect["width"] > 80
    drawn = browser.execute_script(
        "const box = arguments[0].querySelector('use').getBoundingClientRect(); return [box.width, box.height]", one
    )
    assert min(drawn) > 80, "the photograph behind the outlines"
    assert "Not shown: error: out of memory" in one.text


def test_keys_move_all_views_of_one_case(browser):
    one, other = browser.find_elements(By.CSS_SELECTOR, ".case")[:2]
    views = one.find_element(By.CSS_SELECTOR, ".views")
    browser.execute_script("arguments[0].focus()", views)
    views.send_keys("+", "+", Keys.ARROW_RIGHT)
    found = transforms(one)
    assert len(found) == 6
    assert all(view == found[0] for view in found)
    scale, x, y = found[0]
    assert scale == pytest.approx(2.25)
    side = browser.execute_script("return arguments[0].querySelector('.view svg').viewBox.baseVal.width", one)
    assert x == pytest.approx(-0.5 * side * 1.25 - 0.1 * side, abs=0.1)
    assert y == pytest.approx(-0.5 * side * 1.25, abs=0.1)
    assert transforms(other)[0] == [1, 0, 0], "other cases stay"
    views.send_keys(*[Keys.ARROW_LEFT] * 20)
    assert transforms(one)[0][1] == 0, "the photograph never leaves the frame"
    views.send_keys("0")
    assert transforms(one)[0] == [1, 0, 0]


def test_buttons_and_pointer_do_the_same(browser):
    one = case(browser)
    more, less, whole = one.find_elements(By.CSS_SELECTOR, ".zoom button")
    more.click()
    assert transforms(one)[0][0] == pytest.approx(1.5)
    before = transforms(one)[0]
    view = one.find_elements(By.CSS_SELECTOR, ".view svg")[2]
    ActionChains(browser).drag_and_drop_by_offset(view, -30, -20).perform()
    found = transforms(one)
    assert found[0][1] < before[1]
    assert found[0][2] < before[2]
    assert all(view == found[0] for view in found)
    less.click()
    assert transforms(one)[0] == [1, 0, 0]
    more.click()
    whole.click()
    assert transforms(one)[0] == [1, 0, 0]
    assert more.accessible_name.startswith("Zoom in: EX")


def test_every_case_is_reached_by_keyboard(browser):
    body, reached = browser.find_element(By.TAG_NAME, "body"), []
    for _ in range(16):
        body.send_keys(Keys.TAB)
        body = browser.switch_to.active_element
        reached.append(body.get_attribute("class") or body.text)
    assert reached[0] == "skip"
    for name in ("IDRiD: blind set", "contrast set", "+", "−", "Whole crop", "views"):
        assert name in reached, (name, reached)


def test_without_scripts_every_view_is_there(browsers, address):
    browser = browsers[False]
    browser.get(address)
    cases = browser.find_elements(By.CSS_SELECTOR, ".case")
    assert len(cases) > 20
    assert len(cases[0].find_elements(By.CSS_SELECTOR, ".view svg")) == 6
    assert not browser.find_elements(By.CSS_SELECTOR, ".zoom"), "no button that does nothing"
    assert browser.get_log("browser") == []


@pytest.mark.parametrize(("width", "scale"), [(375, 1), (640, 2)], ids=["phone", "zoomed to 200 %"])
def test_nothing_is_wider_than_a_narrow_window(browser, width, scale):
    metrics = {"width": width, "height": 800, "deviceScaleFactor": scale, "mobile": width == 375}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        browser.refresh()
        wide = browser.execute_script(
            "const parts = [...document.querySelectorAll('section, figure, .strips')];"
            "return [document.documentElement.scrollWidth, ...parts.map(e => e.getBoundingClientRect().right)]"
        )
        assert max(wide) <= width
        assert len({round(view.rect["x"]) for view in shown(browser, ".case:first-of-type .view")}) >= 2, "side by side"
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(browser, scheme):
    try:
        schemed(browser, scheme)
        assert chromium.violations(browser) == []
    finally:
        schemed(browser, "light")
