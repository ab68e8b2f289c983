"""The page in Chromium: nothing fails, nothing is fetched, and a reader can choose, sort, filter and follow."""

import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from rfbench.page import render
from rfbench.page.grids import ROW
from rfbench.page.model import build
from rfbench.report.reading import read_metrics

from . import chromium, drawn_results
from .chromium import schemed, shown

pytestmark = pytest.mark.slow  # a minute or two in all


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> str:
    """A page of two data sets, one with a hole, with recalls by size."""
    folder = tmp_path_factory.mktemp("results")
    states = {("LIP/Bilinear", 1): ("error", "out of memory")}
    drawn_results.draw(folder, pairs=5, datasets=("IDRiD", "DDR"), points=40, states=states)
    page = build(read_metrics(folder / "metrics.csv"), folder, Path("reports/tables"))
    render.write(folder / "report.html", page)
    return (folder / "report.html").as_uri()


@pytest.fixture
def browser(browsers, address):
    """The page, opened anew, its charts drawn."""
    return opened(browsers[True], address)


def opened(browser, address: str):
    """Open a page and wait for its charts."""
    browser.get("about:blank")
    browser.get(address)
    drawn(browser)
    return browser


def drawn(browser) -> None:
    """Wait until every chart that is in sight of a reader is drawn."""
    WebDriverWait(browser, 60).until(
        lambda b: b.execute_script(
            "return document.documentElement.dataset.charts === 'drawn' && "
            "[...document.querySelectorAll('.chart')].every(c => c.offsetParent === null || c.querySelector('svg'))"
        )
    )


def choose(browser, **choices: str) -> None:
    """Use the selectors."""
    for name, value in choices.items():
        Select(browser.find_element(By.NAME, name)).select_by_value(value)
    drawn(browser)


def column(browser, table: str, place: int) -> list[str]:
    """The texts of a column, as they are shown."""
    rows = shown(browser, f"[id='{table}'] tbody tr:not(.head)")
    return [row.find_elements(By.CSS_SELECTOR, "th, td")[place].text for row in rows]


def test_the_console_is_silent_and_nothing_is_fetched(browser):
    choose(browser, dataset="DDR", metric="lesion_recall", lesion="MA", size="lt74")
    for summary in shown(browser, "#more > details > summary"):
        summary.click()
    drawn(browser)
    assert chromium.complaints(browser) == []
    assert {"file"} <= chromium.requested(browser) <= {"file", "about"}


def test_the_first_screen_answers(browser):
    seen = " ".join(element.text for element in shown(browser, "header h1, #state, .answer, .finding h3"))
    for word in ("Feature-reassembly operators", "28", "done", "2", "error", "IDRiD", "DDR", "mAP"):
        assert word in seen
    assert browser.find_element(By.ID, "select").rect["y"] < 900


def test_selectors_choose_what_is_shown_and_the_address_keeps_it(browser, address):
    choose(browser, dataset="DDR", metric="lesion_recall", lesion="MA", size="lt74")
    assert [set_.get_attribute("data-dataset") for set_ in shown(browser, "#tables .set")] == ["DDR"]
    assert [one.get_attribute("data-metric") for one in shown(browser, "details.metric")] == ["lesion_recall"]
    heads = [head.text for head in shown(browser, "details.metric tr.head")]
    assert heads == ["MA, < 74 px"]
    assert [panel.get_attribute("data-lesion") for panel in shown(browser, "#sizes .panel, #pr .panel")] == ["MA", "MA"]
    fragment = browser.current_url.partition("#")[2]
    assert fragment == "dataset=DDR&metric=lesion_recall&lesion=MA&size=lt74"
    opened(browser, f"{address}#{fragment}")
    assert [head.text for head in shown(browser, "details.metric tr.head")] == heads
    assert Select(browser.find_element(By.NAME, "metric")).first_selected_option.text == "lesions found (at 0.5)"
    choose(browser, metric="ap")
    assert not browser.find_element(By.NAME, "size").is_enabled()
    assert "size" not in browser.current_url


def test_an_address_of_something_unknown_shows_the_page(browser, address):
    opened(browser, f"{address}#dataset=Nowhere&metric=none")
    assert len(shown(browser, "#tables .set")) == 1
    assert len(shown(browser, "details.metric")) == 1


def test_charts_follow_the_metric(browser):
    before = browser.find_element(By.ID, "IDRiD.params").get_attribute("innerHTML")
    choose(browser, metric="fp_per_image", lesion="HE")
    after = browser.find_element(By.ID, "IDRiD.params").get_attribute("innerHTML")
    assert before != after
    assert "false regions per image (at 0.5), HE" in browser.find_element(By.ID, "IDRiD.params").text


def test_columns_sort_numbers_and_words(browser):
    def press(name):
        next(b for b in shown(browser, "[id='IDRiD.ap'] thead button") if b.text.startswith(name)).click()

    press("mean")
    values = [float(text.split()[0].rstrip("abcdefgh¹²")) for text in column(browser, "IDRiD.ap", 2)]
    numbers = browser.execute_script(
        "return [...document.querySelectorAll('[id=\"IDRiD.ap\"] tbody:not([hidden]) td:nth-child(3)')]"
        ".map(c => parseFloat(c.textContent))"
    )
    assert numbers == sorted(numbers, reverse=True)
    assert len(values) == 5
    assert (
        browser.find_element(By.CSS_SELECTOR, "[id='IDRiD.ap'] th:nth-child(3)").get_attribute("aria-sort")
        == "descending"
    )
    press("mean")
    assert column(browser, "IDRiD.ap", 0) == ["StrideConv/Bilinear", *column(browser, "IDRiD.ap", 0)[1:]]
    press("− baseline")
    assert column(browser, "IDRiD.ap", 4)[-1] == "–", "what has no number stays below"
    press("− baseline")
    assert column(browser, "IDRiD.ap", 4)[-1] == "–"
    press(ROW)
    names = column(browser, "IDRiD.ap", 0)
    assert names == sorted(names, key=str.lower)


def test_rows_are_filtered_and_columns_hidden(browser):
    tools = browser.find_element(By.XPATH, "//table[@id='IDRiD.table']/../preceding-sibling::div[@class='tools']")
    field = tools.find_element(By.CSS_SELECTOR, "input[type=search]")
    field.send_keys("cArAfE")
    assert {name.partition("/")[0] for name in column(browser, "IDRiD.table", 0)} == {"CARAFE++"}
    field.clear()
    field.send_keys(" ", Keys.BACKSPACE)
    everything = column(browser, "IDRiD.table", 0)
    assert len(everything) > 5
    headings = lambda: [h.text.split("\n")[0] for h in shown(browser, "[id='IDRiD.table'] thead th")]  # noqa: E731
    assert "mF" in headings()
    assert "mF, published" not in headings()
    tools.find_element(By.TAG_NAME, "summary").click()
    boxes = {label.text: label for label in tools.find_elements(By.TAG_NAME, "label")}
    boxes["mF"].click()
    boxes["mF, published"].click()
    assert "mF" not in headings()
    assert "mF, published" in headings()


def test_csv_is_what_the_table_says(browser):
    text = browser.execute_async_script(
        """const done = arguments[0], create = URL.createObjectURL;
        URL.createObjectURL = (blob) => { blob.text().then(done); return create(blob); };
        document.getElementById("IDRiD.ap").parentElement.previousElementSibling.querySelector("button").click();"""
    )
    head, *lines = text.splitlines()
    assert head.startswith(f"group,{ROW},n,mean,SD,− baseline,")
    assert len(lines) == 5
    assert lines[0].startswith("mean of the lesions,StrideConv/Bilinear,3/3,")
    assert all(len(line.split(",")) >= 10 for line in lines)


def test_a_number_leads_to_its_runs(browser, address):
    link = browser.find_element(By.CSS_SELECTOR, "a[href='#IDRiD.lip_bilinear.mAUPR']")
    assert not shown(browser, "[id='IDRiD.lip_bilinear.mAUPR']")
    link.click()
    WebDriverWait(browser, 10).until(lambda b: shown(b, "[id='IDRiD.lip_bilinear.mAUPR']"))
    told = browser.find_element(By.ID, "IDRiD.lip_bilinear").text
    assert "error: out of memory" in told
    assert "rfbench trace reports/tables/table5.csv --pair lip_bilinear --metric mAUPR --dataset IDRiD" in told
    assert browser.switch_to.active_element.get_attribute("id") == "IDRiD.lip_bilinear.mAUPR"
    opened(browser, f"{address}#DDR.maxpool_bilinear.mAP")
    assert shown(browser, "[id='DDR.maxpool_bilinear.mAP']"), "the other data set is chosen with it"
    assert Select(browser.find_element(By.NAME, "dataset")).first_selected_option.text == "DDR"


def test_without_scripts_there_are_tables_and_pictures(browsers, address):
    browser = browsers[False]
    browser.get(f"{address}#IDRiD.lip_bilinear.mAUPR")
    assert len(shown(browser, "table.grid")) >= 2
    assert {set_.get_attribute("data-dataset") for set_ in shown(browser, "#tables .set")} == {"IDRiD", "DDR"}
    assert not shown(browser, "#select, .tools")
    assert len(shown(browser, "noscript svg")) == 2 * (2 + 4 + 4 + 1)
    assert shown(browser, "[id='IDRiD.lip_bilinear.mAUPR']"), "the fragment opens the details around it"
    assert browser.get_log("browser") == []


@pytest.mark.parametrize(("width", "scale"), [(375, 1), (640, 2)], ids=["phone", "zoomed to 200 %"])
def test_nothing_is_wider_than_a_narrow_window(browser, width, scale):
    metrics = {"width": width, "height": 800, "deviceScaleFactor": scale, "mobile": width == 375}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        browser.refresh()
        drawn(browser)
        wide = browser.execute_script(
            "return [document.documentElement.scrollWidth, ...[...document.querySelectorAll('main > section, figure')]"
            ".map(e => e.getBoundingClientRect().right)]"
        )
        assert max(wide) <= width
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_dark_is_dark_with_charts_that_can_be_read(browser):
    def light(colour):
        red, green, blue = (int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(",")[:3])
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    get = "return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]"
    before = browser.find_element(By.ID, "IDRiD.params").get_attribute("innerHTML")
    try:
        schemed(browser, "dark")
        assert light(browser.execute_script(get, "main > section", "backgroundColor")) < 60
        assert light(browser.execute_script(get, "body", "color")) > 180
        WebDriverWait(browser, 30).until(
            lambda b: b.find_element(By.ID, "IDRiD.params").get_attribute("innerHTML") not in ("", before)
        )
        drawn(browser)
        label = browser.execute_script(get, "[id='IDRiD.params'] .role-axis-label text", "fill")
        assert light(label) > 180
    finally:
        schemed(browser, "light")


def test_everything_is_reached_by_keyboard(browser):
    reached = []
    body = browser.find_element(By.TAG_NAME, "body")
    for _ in range(40):
        body.send_keys(Keys.TAB)
        active = browser.switch_to.active_element
        reached.append((active.tag_name, active.get_attribute("name") or active.text.partition("\n")[0]))
        body = active
    names = [name for _, name in reached]
    assert names[0] == "Skip to the tables"
    for name in ("dataset", "metric", "lesion", "Tables", "Columns", "CSV", "StrideConv/Bilinear"):
        assert name in names, (name, names)
    heading = next(b for b in shown(browser, "[id='IDRiD.table'] thead button") if b.text.startswith("mIoU"))
    heading.send_keys(Keys.ENTER)
    assert heading.find_element(By.XPATH, "..").get_attribute("aria-sort") == "descending"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(browser, scheme):
    try:
        schemed(browser, scheme)
        for summary in shown(
            browser, "#more > details > summary, details.all > summary, #published > details > summary"
        ):
            summary.click()
        drawn(browser)
        assert chromium.violations(browser) == []
    finally:
        schemed(browser, "light")


def test_snakemakes_own_report_shows_it(browsers, address, tmp_path):
    shutil.copy(Path(address.removeprefix("file://")), tmp_path / "page.html")
    (tmp_path / "Snakefile").write_text(
        textwrap.dedent(
            """
            rule page:
                input: "page.html"
                output: report("report.html", category="Results")
                shell: "cp {input} {output}"
            """
        )
    )
    snakemake = [sys.executable, "-m", "snakemake", "--quiet"]
    subprocess.run([*snakemake, "--cores", "1"], cwd=tmp_path, check=True)
    subprocess.run([*snakemake, "--report", "all.html"], cwd=tmp_path, check=True)
    browser = browsers[True]
    browser.get((tmp_path / "all.html").as_uri())
    WebDriverWait(browser, 30).until(lambda b: shown(b, "#app a"))
    browser.find_element(By.XPATH, "//*[text()='Results']").click()
    WebDriverWait(browser, 10).until(lambda b: shown(b, "a[iconname=eye]"))[0].click()
    browser.switch_to.frame(WebDriverWait(browser, 10).until(lambda b: b.find_element(By.TAG_NAME, "iframe")))
    drawn(browser)
    choose(browser, dataset="DDR", metric="iou")
    assert [one.get_attribute("data-metric") for one in shown(browser, "details.metric")] == ["iou"]
    browser.find_element(By.CSS_SELECTOR, "a[href='#DDR.lip_bilinear.mF']").click()
    WebDriverWait(browser, 10).until(lambda b: shown(b, "[id='DDR.lip_bilinear.mF']"))
