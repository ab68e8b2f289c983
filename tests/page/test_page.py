"""The page without a browser: it parses, says what the tables say, leads nowhere else, and is the same twice."""

import base64
import gzip
import itertools
import json
import math
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import vl_convert
from scipy import stats

from rfbench.errors import RFBenchError
from rfbench.names import BASELINE_ROW
from rfbench.page import findings, render
from rfbench.page.grids import ROW, Hole
from rfbench.page.measures import LESIONS, PIXELS
from rfbench.page.model import Page, build
from rfbench.page.strips import by_lesion, of_examples
from rfbench.report.examples import Contrast
from rfbench.report.reading import read_metrics

from . import drawn_results

PANELS = "panels.html"  # beside the page: the only file that it leads to
VOID = {"meta", "input", "br"}
CLOSED_BY_NEXT = {"th": {"th", "td", "tr", "tbody", "table"}, "td": {"th", "td", "tr", "tbody", "table"},
                  "tr": {"tr", "tbody", "table"}}  # fmt: skip


class Document(HTMLParser):
    """The page's elements: ids, links, tables; and what is not closed as HTML asks."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids, self.links, self.attributes, self.problems = [], [], [], []
        self.tables: dict[str, list[list[str]]] = {}
        self.open: list[str] = []
        self._table = self._row = self._cell = None
        self._silent = 0
        self.feed(text)
        self.close()

    def handle_startendtag(self, tag, attrs):
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_starttag(self, tag, attrs):
        while self.open and tag in CLOSED_BY_NEXT.get(self.open[-1], ()):
            self._end(self.open.pop())
        own = dict(attrs)
        self.attributes += [(tag, name, value) for name, value in attrs]
        self.ids += [own["id"]] if "id" in own else []
        self.links += [own["href"]] if tag == "a" else []
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self._table = self.tables.setdefault(own.get("id", ""), [])
        elif tag == "tr" and self._table is not None:
            self._table.append([])
        elif tag in ("td", "th") and self._table is not None:
            self._cell = ""
        self._silent += tag in ("sup", "small")

    def handle_endtag(self, tag):
        while self.open and self.open[-1] != tag and tag in CLOSED_BY_NEXT.get(self.open[-1], ()):
            self._end(self.open.pop())
        if not self.open or self.open[-1] != tag:
            self.problems.append(f"</{tag}> in {'/'.join(self.open)} at {self.getpos()}")
            return
        self._end(self.open.pop())

    def _end(self, tag):
        if tag in ("td", "th") and self._cell is not None:
            self._table[-1].append(self._cell.strip())
            self._cell = None
        elif tag == "table":
            self._table = None
        self._silent -= tag in ("sup", "small")

    def handle_data(self, data):
        if self._cell is not None and not self._silent:
            self._cell += data

    def frame(self, table: str) -> pd.DataFrame:
        """A table by its headings; rows that head a group are left out."""
        head, *lines = self.tables[table]
        return pd.DataFrame([line for line in lines if len(line) == len(head)], columns=head)


def page_of(folder: Path) -> str:
    """The page of a results folder, as text."""
    return render.render(build(read_metrics(folder / "metrics.csv"), folder, Path("reports/tables")))


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """Five rows on real images, one of them with a hole."""
    folder = tmp_path_factory.mktemp("results")
    drawn_results.draw(folder, pairs=5, states={("LIP/Bilinear", 1): ("diverged", "loss was <infinite> & more")})
    return folder


@pytest.fixture(scope="module")
def page(results) -> Page:
    """What its page shows."""
    return build(read_metrics(results / "metrics.csv"), results, Path("reports/tables"))


@pytest.fixture(scope="module")
def text(page) -> str:
    """Its page."""
    return render.render(page)


@pytest.fixture(scope="module")
def document(text) -> Document:
    """Its page, parsed."""
    return Document(text)


def test_it_parses(document):
    assert not document.problems
    assert not document.open
    assert len(document.ids) == len(set(document.ids))


def test_every_number_of_the_main_table_is_that_of_metrics_csv(results, document):
    metrics = pd.read_csv(results / "metrics.csv")
    done = metrics[(metrics["state"] == "done") & (metrics["lesion"] == "mean")]
    shown = document.frame("IDRiD.table").set_index(ROW)
    for heading, metric in (("mAUPR (11 thresholds)", "aupr11"), ("mAP (exact)", "ap"), ("mF", "f"), ("mIoU", "iou")):
        for row in done["row"].unique():
            values = 100 * done.loc[(done["row"] == row) & (done["metric"] == metric), "value"].to_numpy()
            assert shown.loc[row, heading] == f"{np.mean(values):.2f} ± {np.std(values, ddof=1):.2f}", (row, heading)
    assert shown.loc["LIP/Bilinear", "n"] == "2/3"


def test_every_number_by_metric_lesion_and_size_is_that_of_metrics_csv(results, document):
    metrics = pd.read_csv(results / "metrics.csv")
    done = metrics[metrics["state"] == "done"]
    seen = 0
    for metric in [*PIXELS, *LESIONS]:
        group = ""
        for line in document.tables[f"IDRiD.{metric}"][1:]:
            if len(line) == 1:
                group = line[0]
                continue
            lesion, _, size = group.partition(", ")
            lesion = "mean" if group == "mean of the lesions" else lesion
            suffix = {"": "", "all sizes": "", "< 74 px": "_lt74", "74–255 px": "_74_255", "256–1920 px": "_256_1920",
                      "> 1920 px": "_gt1920"}[size]  # fmt: skip
            own = done[(done["row"] == line[0]) & (done["metric"] == metric + suffix) & (done["lesion"] == lesion)]
            values = own.sort_values("seed")["value"].dropna() * (1 if metric == "fp_per_image" else 100)
            if values.empty:
                assert line[2] == "3.0 of 4", "too few lesions for a share: the counts"
                continue
            assert line[2:4] == [f"{values.mean():.2f}", f"{values.std():.2f}"], (metric, group, line)
            assert line[-1] == ", ".join(f"{value:.2f}" for value in values)
            seen += 1
    assert seen == 5 * (6 * 5 + 4 * 9 - 1)


def test_differences_are_those_of_differences_csv(results, document):
    stored = pd.read_csv(results / "differences.csv").set_index(["metric", "lesion", "pair"])
    shown = document.tables["IDRiD.ap"]
    at = next(k for k, line in enumerate(shown) if line == ["MA"])
    for line in shown[at + 1 : at + 6]:
        if line[0] == BASELINE_ROW:
            assert line[4:7] == ["–", "–", "–"]
            continue
        record = stored.loc["ap", "MA", drawn_results.pair_of(line[0])]
        spans = [(record["low"], record["high"]), (record["population_low"], record["population_high"])]
        assert line[4] == f"{record['difference']:+.2f}"
        assert line[5:7] == ["–" if math.isnan(low) else f"{low:+.2f} to {high:+.2f}" for low, high in spans]


def test_stale_differences_are_not_shown(tmp_path):
    metrics = drawn_results.draw(tmp_path, pairs=3, points=20)
    changed = (metrics["pair"] == "lip_bilinear") & (metrics["metric"] == "ap")
    metrics["value"] = metrics["value"].astype(float) * np.where(changed, 0.5, 1)
    metrics.to_csv(tmp_path / "metrics.csv", index=False)
    page = build(read_metrics(tmp_path / "metrics.csv"), tmp_path, Path("tables"))
    lines = {line.pair: line for line in page.datasets[0].measures["ap|EX"].lines}
    assert lines["lip_bilinear"].difference is None
    assert lines["maxpool_bilinear"].difference is not None


def test_the_intervals_of_the_charts_are_t_intervals(page):
    measure = page.datasets[0].measures["iou|HE"]
    points = {point["row"]: point for point in page.datasets[0].figures["tradeoff"].choices["iou|HE"]}
    for line in measure.lines:
        values = [value for _, value in line.values]
        point = points[line.row]
        assert point["y"] == pytest.approx(np.mean(values), rel=1e-4)
        if len(values) < 3:
            assert "low" not in point
        else:
            low, high = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
            assert (point["low"], point["high"]) == pytest.approx((low, high), rel=1e-4)


@pytest.mark.parametrize(("cost", "better"), [("params", -1), ("fps", 1)])
def test_the_front_is_what_no_other_row_beats(page, cost, better):
    for key in ("ap|mean", "fp_per_image|MA"):
        points = page.datasets[0].figures["tradeoff"].choices[key]
        more = -1 if key.startswith("fp_") else 1
        for one in points:
            beaten = any(
                better * other[cost] >= better * one[cost] and more * other["y"] >= more * one["y"] and other is not one
                for other in points
            )
            assert one[f"{cost}_front"] == int(not beaten), (key, one["row"])


def test_every_link_has_its_target(document):
    assert len(document.links) > 40
    assert {link[1:] for link in document.links if link != PANELS} <= set(document.ids)
    for fragment in ("IDRiD.lip_bilinear", "IDRiD.lip_bilinear.mAUPR", "IDRiD.lip_bilinear.FPS"):
        assert fragment in document.ids


def test_nothing_leads_out_of_the_file(text, document):
    assert {link for link in document.links if not link.startswith("#")} == {PANELS}
    for tag, name, value in document.attributes:
        assert name not in ("src", "srcset", "action", "data", "poster", "xlink:href"), (tag, name, value)
        assert name == "content" or "//" not in (value or ""), (tag, name, value)
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)[1]
    assert "url(" not in style
    assert "@import" not in style
    policy = next(
        value for tag, name, value in document.attributes if tag == "meta" and (value or "").startswith("def")
    )
    assert policy.startswith("default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:")


def test_no_photograph(text, document):
    assert not [tag for tag, _, _ in document.attributes if tag in ("img", "image", "picture", "canvas", "video")]
    assert "data:image" not in text


def unpacked(text: str, name: str) -> str:
    """What the page's script unpacks."""
    return gzip.decompress(base64.b64decode(re.search(rf'id="{name}">(.*?)</script>', text)[1])).decode()


def test_every_specification_becomes_svg(text, document):
    specs = json.loads(unpacked(text, "specs"))
    assert len(specs["panels"]) == 2 + 4 + 4 + 1 + 1
    assert set(specs["panels"]) <= set(document.ids)
    for name, panel in specs["panels"].items():
        svg = vl_convert.vegalite_to_svg({**panel["spec"], "width": 300}, vl_version=render.VEGA_LITE)
        assert svg.startswith("<svg"), name
        assert len(re.findall(r"<path|<line", svg)) > 10, name
    for choices in specs["choices"].values():
        assert {"ap|mean", "aupr11|EX", "lesion_recall|MA|lt74", "fp_per_image|HE"} <= set(choices)


def test_the_libraries_are_the_ones_named(text):
    script = unpacked(text, "vega")
    assert script.startswith("(()=>{")
    assert script.endswith("})()")
    for name, version in render.LIBRARIES:
        assert f"{name} {version}" in text
        assert name == "Vega-Embed" or f'"{version}' in script  # whose script does not say it


def test_the_date_is_that_of_the_newest_evaluation(text, results, tmp_path):
    assert 'Newest evaluation <time datetime="2026-03-03">2026-03-03</time>' in text
    shutil.copytree(results, tmp_path / "results")
    for path in (tmp_path / "results").rglob("evaluation_times.json"):
        path.write_text('{"seconds": 1.5}')  # of an earlier version
    assert "No record says when its run was evaluated." in page_of(tmp_path / "results")


def test_strips_show_the_images_that_the_table_counts(document):
    """A line a lesion, of the first pair; their words are the table's numbers."""
    labels = [value for tag, name, value in document.attributes if (tag, name) == ("svg", "aria-label")]
    lines = document.tables["IDRiD.contrast"]
    for lesion in ("EX", "HE", "SE", "MA"):
        row, images, left_out, low, _, middle, _, high = lines[lines.index([lesion]) + 1]
        assert row == "MaxPool/Bilinear"
        low, middle, high = (text.split()[0] for text in (low, middle, high))
        assert f"{lesion}: {images} images, {low} to {high}, median {middle}; {left_out} left out" in labels


def at(path: str, first: str, others: str) -> list[int]:
    """Where the ticks of a path stand, of which the first ends so, and the others."""
    start, *steps = re.fullmatch(rf"M(\d+) {first}((?:m\d+{others})*)", path).groups()
    return list(itertools.accumulate([int(start), *map(int, re.findall(rf"m(\d+){others}", steps[0]))]))


def test_ticks_stand_where_the_differences_are():
    gaps = tuple((f"i{k}", gap) for k, gap in enumerate((-12.0, -3.0, 0.0, 0.01, 6.0, 8.0, 15.5)))
    compared = [Contrast("MA", "A", "a", 0, 2, gaps), Contrast("MA", "B", "b", 0, 9, ())]
    plot = by_lesion(compared)["MA"]
    assert plot.end == 20
    assert of_examples(compared).strips[0].ticks == plot.strips[0].ticks
    assert [(strip.label, strip.words) for strip in plot.strips[1:]] == [("B", "no image, 9 left out")]
    places = [200 + 10 * gap for _, gap in gaps if gap != 0.01]
    ticks = at(plot.strips[0].ticks, "4v8", "-8v8")
    assert ticks == sorted({round(place) for place in places})
    picked = at(plot.strips[0].picked, "1v14", "-14v14")
    assert picked == sorted(round(200 + 10 * gaps[place][1]) for place in (0, 2, 3, 4, 6) if place != 3)


def test_reasons_are_told_and_escaped(text):
    assert "loss was &lt;infinite&gt; &amp; more" in text
    assert "14 of 15 runs" in text


@pytest.mark.slow
def test_same_input_same_bytes(results, tmp_path):
    command = [sys.executable, "-m", "rfbench", "page", "--results", results, "--output"]
    for name in ("one.html", "two.html"):
        subprocess.run([*command, tmp_path / name, "--tables", "reports/tables"], check=True)
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()


@pytest.mark.slow
def test_the_largest_configuration_fits(tmp_path):
    drawn_results.draw(tmp_path, pairs=18, datasets=("IDRiD", "DDR"), seeds=3)
    size = len(page_of(tmp_path).encode())
    assert size <= render.MOST_BYTES == 1_500_000


def test_a_larger_page_is_refused(page, monkeypatch, tmp_path):
    monkeypatch.setattr(render, "MOST_BYTES", 600_000)
    with pytest.raises(RFBenchError, match=r"The page has 0\.\d+ MB.*at most 0\.6 MB"):
        render.write(tmp_path / "page.html", page)
    assert not list(tmp_path.iterdir())


def test_synthetic_data_say_so_and_rank_nothing(tmp_path):
    drawn_results.draw(tmp_path, pairs=3, synthetic=True, points=20)
    text = page_of(tmp_path)
    document = Document(text)
    head = text[: text.index("<main")]
    assert "Every image of this page is drawn" in head
    assert "rank no operator" in head
    assert "best in" not in text
    table = text[text.index('id="SYN-IDRiD.table"') :].partition("</table>")[0]
    assert "<sup>" not in table
    assert "mAUPR, published" not in document.frame("SYN-IDRiD.table")
    assert "on a front" not in document.frame("SYN-IDRiD.tradeoff.table")
    assert "Pareto" not in text
    assert not re.search(r'"\w+_front":1', unpacked(text, "specs"))


def test_whatever_is_missing_is_a_hole_with_its_reason(tmp_path, capsys):
    drawn_results.draw(tmp_path, pairs=2, points=20)
    for name in ("profile.json", "differences.csv"):
        (tmp_path / name).unlink()
    for name in ("pr_curves.csv", "curve.csv", "evaluation.json"):
        for file in tmp_path.rglob(name):
            file.unlink()
    page = build(read_metrics(tmp_path / "metrics.csv"), tmp_path, Path("tables"))
    figures = page.datasets[0].figures
    assert [name for name, figure in figures.items() if isinstance(figure, Hole)] == ["tradeoff", "pr", "training"]
    assert isinstance(page.costs, Hole)
    assert isinstance(page.datasets[0].statistics, Hole)
    text = render.render(page)
    for reason in ("no finished run is profiled", "no run has left its curves", "no differences.csv", "probe.csv"):
        assert reason in text


def test_too_few_lesions_for_any_share_leave_their_counts(tmp_path):
    metrics = drawn_results.draw(tmp_path, pairs=2, points=20)
    few = metrics["metric"].str.startswith("lesion_recall_") & (metrics["lesion"] == "MA")
    metrics.loc[few, "value"] = np.nan
    metrics.to_csv(tmp_path / "metrics.csv", index=False)
    document = Document(page_of(tmp_path))
    assert "IDRiD.sizes.EX" in document.ids
    assert "IDRiD.sizes.MA" not in document.ids
    lines = document.tables["IDRiD.sizes.table"]
    assert lines[-1] == ["MaxPool/Bilinear", "3/3", *["27.0 of 36"] * 4]


def test_no_run_done(tmp_path):
    states = {
        (row, seed): ("missing", "not trained yet") for row in drawn_results.rows_of_paper(2) for seed in range(3)
    }
    drawn_results.draw(tmp_path, pairs=2, states=states)
    text = page_of(tmp_path)
    assert "No run is done, so nothing is known yet." in text
    assert not Document(text).problems


def test_the_probe_is_shown_where_it_was_run(tmp_path):
    drawn_results.draw(tmp_path, pairs=2, points=20)
    names = ["tiny", "large", "gain_tiny", "gain_large"]
    line = {"arm": "fusion", "network": "m2mrf_c", "row": "M2MRF-C", "n": 20, "H1": "", "H2": "supported"}
    line |= {f"{name}{end}": value for name in names for end, value in (("", 0.25), ("_low", 0.125), ("_high", 0.5))}
    line |= {"gain_large": "", "gain_large_low": "", "gain_large_high": "", "void": "A/A", "open": ""}
    (tmp_path / "probe.csv").write_text(pd.DataFrame([line]).to_csv(index=False))
    page = build(read_metrics(tmp_path / "metrics.csv"), tmp_path, tmp_path)
    assert "VOID, failed controls: A/A" in page.probe.caption
    shown = Document(render.render(page)).frame("probe").to_numpy().tolist()
    gain = "+25.0 (+12.5 to +50.0)"
    assert shown == [["M2MRF-C", "20", *["25.0 (12.5 to 50.0)"] * 2, gain, "–", "–", "supported"]]
    no_number = pd.DataFrame([line | {"tiny": "x"}]).to_csv(index=False).encode()
    for content in (b"pair,seed\nm2mrf_c,0\n", b"", b"\xff\xfe", no_number):
        (tmp_path / "probe.csv").write_bytes(content)
        hole = build(read_metrics(tmp_path / "metrics.csv"), tmp_path, tmp_path).probe
        assert isinstance(hole, Hole)
        assert "probe.csv" in hole.reason


def row(name: str, mean: float, letters: str, mark: str = "", ranked: bool = True) -> dict:
    """A row of a table, as far as sentences look at it."""
    cell = type("Cell", (), {"mean": mean, "letters": letters, "mark": mark, "text": f"{mean:.2f} ± 0.10"})
    return {"row": name, "cells": {"mAP": cell}, "ranked": ranked, "n": 3, "configured": 3, "differences": {}}


def test_sentences_claim_what_is_resolved():
    rows = [row("A", 50, "a", "best"), row("B", 48, "b", "second"), row(BASELINE_ROW, 40, "c")]
    answer, against, *_ = findings.sentences("IDRiD", False, rows, None, 9)
    assert answer == "A is best in mAP, 50.00 ± 0.10; B follows with 48.00 ± 0.10. The difference is resolved."
    assert against.startswith("Of the 2 other complete rows, 2 lie resolved above and 0 below")


def test_sentences_claim_nothing_that_is_not():
    rows = [row("A", 50, "a"), row("B", 49, "ab"), row(BASELINE_ROW, 48, "b"), row("C", 60, "", ranked=False)]
    answer, against, *_ = findings.sentences("IDRiD", False, rows, None, 9)
    assert answer.startswith("No best row is resolved: A has the highest mAP")
    assert answer.endswith("1 of the 2 others cannot be told from it.")
    assert "1 lie resolved above and 0 below" in against
    assert "1 cannot be told from it" in against
    assert findings.sentences("IDRiD", False, rows[:1], None, 3)[0].startswith("Nothing is ranked")


@pytest.mark.slow
def test_whole_methods_stand_beside_the_pairs_and_have_a_table_of_their_own(tmp_path):
    metrics = drawn_results.draw(tmp_path, pairs=3)
    method, other = metrics["row"].unique()[1:]
    whole = metrics["row"] == method
    pair = metrics.loc[whole, "pair"].iloc[0]
    metrics["method"] = np.where(whole, "Somebody et al.; depth not identified", "")
    metrics.loc[whole, ["row", "downsample", "upsample"]] = ["PSPNet", "", ""]
    metrics.to_csv(tmp_path / "metrics.csv", index=False)
    document = Document(page_of(tmp_path))
    main = document.frame("IDRiD.table").set_index(ROW)
    assert {"PSPNet", other} <= set(main.index)
    assert main.index.tolist().count("PSPNet") == 1
    own = metrics[(metrics["pair"] == pair) & (metrics["metric"] == "aupr11") & (metrics["lesion"] == "mean")]
    mean = f"{100 * own['value'].mean():.2f}"
    assert main.loc["PSPNet"].astype(str).str.startswith(mean).any()
    table = document.frame("IDRiD.methods")
    rows = table[table["method"] == "PSPNet"]
    assert len(rows) == 3  # AUPR, F, IoU
    assert rows["mean"].iloc[0].startswith(mean)
    assert rows["mean, published"].iloc[0] == "58.73"
    assert set(table["method"]) >= {"VRT", "HRNetV2", "M2MRF-D"}
    assert set(table.loc[table["method"] == "VRT", "n"]) == {"published only"}
    text = page_of(tmp_path)
    assert "PSPNet: Somebody et al.; depth not identified." in text
    exudates = (metrics["pair"] == pair) & (metrics["metric"] == "aupr11") & (metrics["lesion"] == "EX")
    of_runs = 100 * metrics.loc[exudates, "value"]
    told = f"mean {of_runs.mean():.4f}, SD {of_runs.std():.4f}, n = 3; seed 0: {of_runs.iloc[0]:.4f}"
    assert f"<dt>AUPR EX</dt><dd>{told}" in text, "a cell by lesion comes from runs, too"
    assert "not ranked: WFDENet" in text
    assert "IDRiD.methods" not in page_of(_without_methods(tmp_path))


def _without_methods(folder: Path) -> Path:
    metrics = pd.read_csv(folder / "metrics.csv", keep_default_na=False)
    metrics[metrics["method"] == ""].to_csv(folder / "metrics.csv", index=False)
    return folder
