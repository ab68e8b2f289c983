"""The panels: their list against its rule, what is drawn against the masks, what may be shown, size and bytes."""

import base64
import csv
import dataclasses
import hashlib
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib.text import Text

from rfbench.cli import main
from rfbench.data.manifest import read_manifest
from rfbench.errors import RFBenchError
from rfbench.evaluation.ground_truth import lesions_of
from rfbench.lesions import masks, truth
from rfbench.names import LESIONS
from rfbench.page import panels as page
from rfbench.report import examples, panel_figures
from rfbench.report.panels import Panels, gather
from rfbench.report.plotting import STYLE, plt
from rfbench.report.reading import read_metrics
from rfbench.runs import manifest_path, run_folder

from . import drawn_panels
from .test_page import Document

BASELINE, OWN = "strideconv_bilinear", "maxpool_bilinear"


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """Four pairs on seven drawn images, one of them without a finished run of the lowest seed."""
    folder = tmp_path_factory.mktemp("results")
    drawn_panels.draw(folder, states={("LIP/Bilinear", 0): ("oom", "needed 99 GB & more")})
    return folder


def gathered(results: Path, **more) -> Panels:
    """The examples of a results folder."""
    metrics = read_metrics(results / "metrics.csv")
    return gather(metrics, results, drawn_panels.dataset(**more))


@pytest.fixture(scope="module")
def panels(results) -> Panels:
    return gathered(results)


@pytest.fixture(scope="module")
def text(panels) -> str:
    return page.render([panels], "0" * 64)


def test_the_list_is_that_of_its_rule_and_its_digest_that_of_the_file(results, panels, tmp_path):
    """Written out slowly, from the manifest, the label maps and per_image.csv."""
    digest = examples.write(tmp_path / "panels.csv", [case.example for case in panels.cases])
    assert digest == hashlib.sha256((tmp_path / "panels.csv").read_bytes()).hexdigest()
    with (tmp_path / "panels.csv").open() as file:
        listed = list(csv.DictReader(file))
    manifest = manifest_path(results, "IDRiD")
    code = hashlib.sha256(manifest.read_bytes()).hexdigest()
    blind = []
    for value, lesion in enumerate(LESIONS, start=1):
        strata = {name: [] for name in ("lt74", "74_255", "256_1920", "gt1920")}
        for row in read_manifest(manifest, "test", LESIONS).itertuples():
            label = cv2.imread(str(manifest.parent / row.label), cv2.IMREAD_GRAYSCALE)
            _, _, stats, _ = cv2.connectedComponentsWithStats((label == value).view(np.uint8), connectivity=4)
            for left, top, width, height, area in stats[1:].tolist():
                size = "lt74" if area < 74 else "74_255" if area < 256 else "256_1920" if area <= 1920 else "gt1920"
                name = f"{code}|{row.stem}|{lesion}|{left},{top},{width},{height}"
                strata[size].append((hashlib.sha256(name.encode()).hexdigest(), row.stem))
        for size, regions in strata.items():
            taken = {}
            for found, stem in sorted(regions):
                taken.setdefault(stem, found)
            blind += [(lesion, size, stem, found) for stem, found in list(taken.items())[:3]]
    assert [
        (row["lesion"], row["size"], row["stem"], row["digest"]) for row in listed if row["set"] == "blind"
    ] == blind
    contrast = []
    for lesion in LESIONS:
        gaps = []
        both = [pd.read_csv(run_folder(results, "IDRiD", pair, 0) / "per_image.csv") for pair in (OWN, BASELINE)]
        for own, base in zip(*(frame[frame["lesion"] == lesion].to_dict("records") for frame in both), strict=True):
            if own["positives"] and own["predicted"] + base["predicted"]:
                f = [2 * one["tp"] / (one["predicted"] + one["positives"]) for one in (own, base)]
                gaps.append((100 * (f[0] - f[1]), own["stem"]))
        gaps.sort()
        places = [round(share * (len(gaps) - 1)) for share in (0, 0.25, 0.5, 0.75, 1)]
        contrast += [(lesion, gaps[place][1], round(gaps[place][0], 4)) for place in dict.fromkeys(places)]
    found = [(row["lesion"], row["stem"], float(row["difference"])) for row in listed if row["set"] == "contrast"]
    assert found == contrast
    assert len(blind) > 25
    assert len(contrast) == 20


def test_every_pair_is_shown_in_every_case(panels, text):
    document = Document(text)
    assert not document.problems
    assert len(document.ids) == len(set(document.ids))
    alts = [value for tag, name, value in document.attributes if (tag, name) == ("svg", "aria-label")]
    for row in ("StrideConv/Bilinear", "MaxPool/Bilinear"):
        assert sum(alt.startswith(f"{row}: F ") for alt in alts) == len(panels.cases)
    assert text.count("Not shown: oom: needed 99 GB &amp; more") == len(panels.cases)
    assert {f"{case.example.name}" for case in panels.cases} <= set(document.ids)
    assert all(link[1:] in document.ids for link in document.links)


def test_nothing_leads_out_of_the_file(text):
    document = Document(text)
    for tag, name, value in document.attributes:
        inside = (value or "").startswith(("#", "data:image/jpeg;base64,"))
        assert inside or name not in ("src", "srcset", "action", "data", "poster", "xlink:href", "href"), (tag, name)
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)[1]
    assert "url(" not in style
    assert "@import" not in style
    assert "default-src 'none'" in text


def test_photographs_are_the_crops(results, panels):
    case = panels.cases[0]
    one, manifest = case.example, manifest_path(results, "IDRiD")
    image = cv2.imread(str(manifest.parent / f"images/test/{one.stem}.png"))
    side = one.crop_side
    part = image[one.crop_top : one.crop_top + side, one.crop_left : one.crop_left + side]
    assert (case.crop == part).all()
    encoded = base64.b64decode(page.shown(case, panels).photograph)
    decoded = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(decoded.astype(int) - part).mean() < 8, "but for JPEG"


@pytest.mark.parametrize(("photographs", "shown", "words"), [
    ("local", True, "keep it where the data set is kept"),
    ("never", False, "are shown (<code>photographs: never</code>)"),
    ("publish", True, "Photographs of IDRiD: A. Body. CC BY 4.0."),
])  # fmt: skip
def test_what_may_be_shown(results, photographs, shown, words):
    found = gathered(results, photographs=photographs, licence="CC BY 4.0", attribution="A. Body")
    drawn = page.render([found], "0" * 64)
    assert ("data:image" in drawn) == shown
    assert words in drawn
    assert ("do not pass it on" in drawn) == (photographs == "local")


def test_synthetic_images_are_always_shown_and_say_so(tmp_path):
    drawn_panels.draw(tmp_path, images=2, pairs=2, synthetic=True)
    found = gathered(tmp_path, photographs="never")
    drawn = page.render([found], "0" * 64)
    assert "they rank no operator" in drawn
    assert "data:image" in drawn


def test_paths_are_the_polygons():
    polygon = np.array([[1.0, 2.5], [3.5, 2.0], [3.0, 5.5]])
    path = page.path_of([polygon, polygon + 10], 2)
    assert path == "M2 5l5-1-1 7zM22 25l5-1-1 7z"
    assert page.path_of([np.array([[1.0, 1.0], [1.1, 1.0], [1.1, 1.1]])], 1) == "M1 1h1v1z", "a dot stays visible"


def test_a_page_that_is_too_large_leaves_out_the_last_ranks_and_says_so(panels, text, monkeypatch):
    monkeypatch.setattr(page, "MOST_BYTES", int(0.8 * len(text.encode())))
    smaller = page.render([panels], "0" * 64)
    ranks = {int(name.rpartition(".")[2]) for name in re.findall(r'class="case" id="([^"]*blind[^"]*)"', smaller)}
    assert ranks in ({1, 2}, {1})
    assert "this page leaves out" in smaller
    monkeypatch.setattr(page, "MOST_BYTES", 20_000)
    with pytest.raises(RFBenchError, match=r"The panels have 0\.\d+ MB, above 0\.0 MB"):
        page.render([panels], "0" * 64)


def test_masks_of_other_images_are_refused(tmp_path):
    drawn_panels.draw(tmp_path, images=2, pairs=2)
    manifest = manifest_path(tmp_path, "IDRiD")
    kept = truth.read(manifest.with_name(truth.NAME))
    kept.size[:] += 1
    truth.write(manifest.with_name(truth.NAME), kept)
    with pytest.raises(RFBenchError, match=r"masks\.npz: expected masks of the images in lesions\.npz"):
        gathered(tmp_path)


def test_runs_without_masks_are_holes(tmp_path):
    drawn_panels.draw(tmp_path, images=2, pairs=3)
    for pair in (OWN, "lip_bilinear"):
        (run_folder(tmp_path, "IDRiD", pair, 0) / "masks.npz").unlink()
    found = gathered(tmp_path)
    assert found.missing == dict.fromkeys((OWN, "lip_bilinear"), "evaluated before masks were kept")
    assert {case.example.set for case in found.cases} == {"blind"}, "nothing to disagree with"
    assert "this takes finished runs of the baseline and of another pair" in page.render([found], "0" * 64)


@pytest.mark.slow
def test_figures_show_the_smallest_digest_of_each_lesion(panels, tmp_path):
    written = panel_figures.draw_all([panels], tmp_path, "ab" * 32)
    assert {path.name for path in written} == {
        "IDRiD_panels_networks.png", "IDRiD_panels_networks.pdf", "panels.txt"
    }  # fmt: skip
    said = (tmp_path / "panels.txt").read_text()
    assert "IDRiD_panels_networks: StrideConv/Bilinear, MaxPool/Bilinear" in said
    assert "panels_pairs: not drawn, no data set in the layout of DDR" in said
    blind = [case.example for case in panels.cases if case.example.set == "blind"]
    for case in panel_figures.chosen(panels):
        assert case.example.digest == min(one.digest for one in blind if one.lesion == case.example.lesion)
    picture = cv2.imread(str(tmp_path / "IDRiD_panels_networks.png"))
    assert picture.shape[1] > 900


def test_whole_methods_stand_beside_m2mrf(panels):
    rows = {"dnl": "DNL", "m2mrf_c": "M2MRF-C", BASELINE: "StrideConv/Bilinear", OWN: "MaxPool/Bilinear", "own": "Ours"}
    beside = dataclasses.replace(panels, rows=rows, missing={}, methods=("dnl", "own"))
    assert panel_figures.rows_of(beside, "table5") == ["dnl", BASELINE, "m2mrf_c", "own"], "in Table 6's order"
    alone = dataclasses.replace(beside, methods=())
    assert panel_figures.rows_of(alone, "table5") == [BASELINE, OWN, "m2mrf_c"]
    assert panel_figures.rows_of(beside, "table3") == [BASELINE, "m2mrf_c"]


def test_no_text_of_a_figure_is_cut_off(panels):
    cases = panel_figures.chosen(panels)
    for pairs in ([BASELINE, OWN], [BASELINE, OWN, "carafepp_bilinear"]):
        with plt.rc_context(STYLE | {"figure.constrained_layout.use": False}):
            figure = panel_figures.draw(
                panels, pairs, cases, "Downsampling operators (as in the paper's Figure 5)", "ab" * 32
            )
            figure.canvas.draw()
        width, height = figure.get_size_inches() * figure.dpi
        for text in figure.findobj(Text):
            if text.get_text():
                box = text.get_window_extent()
                assert min(box.x0, box.y0, width - box.x1, height - box.y1) >= 0, text.get_text()
        plt.close(figure)


def test_an_unknown_data_set_is_told(results, tmp_path, capsys):
    section = drawn_panels.dataset().model_dump(mode="json")
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({"pairs": [BASELINE], "datasets": {"IDRiD": section, "Other": section}}))
    command = ["panels", "--config", config, "--metrics", results / "metrics.csv", "--output", tmp_path / "panels.html"]
    assert main([*map(str, command), "--datasets", "Other"]) == 1
    assert "metrics.csv has no data set Other" in capsys.readouterr().err
    assert not (tmp_path / "panels.html").exists()


@pytest.mark.slow
def test_the_command_writes_the_same_bytes_twice(results, tmp_path):
    section = drawn_panels.dataset().model_dump(mode="json")
    config = {"pairs": [BASELINE], "datasets": {"IDRiD": section}, "results": str(results)}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "rfbench", "panels", "--config", tmp_path / "config.yaml", "--metrics",
               results / "metrics.csv", "--output"]  # fmt: skip
    for name in "ab":
        subprocess.run([*command, tmp_path / name / "panels.html"], check=True)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.*"))
    assert len(files) == 5
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file
    digest = hashlib.sha256((tmp_path / "a" / "panels.csv").read_bytes()).hexdigest()
    assert digest in (tmp_path / "a" / "panels.html").read_text()


@pytest.mark.slow
@pytest.mark.real
def test_eighteen_pairs_on_the_real_photographs_stay_below_3_mb(idrid, tmp_path):
    """Every pair sees the true lesions, so that outlines are as long as lesions' are."""
    metrics = drawn_panels.drawn_results.draw(tmp_path, pairs=18, seeds=1, points=20)
    folder = manifest_path(tmp_path, "IDRiD").parent
    folder.parent.mkdir(parents=True)
    folder.symlink_to(idrid.parent)
    scale = {"lesions": LESIONS, "scale": (1440, 960), "eval_size": "native"}
    if not (folder / truth.NAME).exists():
        truth.write(folder / truth.NAME, lesions_of(idrid, "test", **scale))
    known = truth.read(folder / truth.NAME)
    labels = {row.stem: cv2.imread(str(idrid.parent / row.label), cv2.IMREAD_GRAYSCALE)
              for row in read_manifest(idrid, "test", LESIONS).itertuples()}  # fmt: skip
    parts = [masks.runs_of(label == value) for label in labels.values() for value in range(1, 5)]
    kept = masks.Masks.of(LESIONS, list(labels), known.size.tolist(), parts)
    areas = {stem: np.bincount(label.reshape(-1), minlength=5)[1:].tolist() for stem, label in labels.items()}
    rows = [{"stem": stem, "lesion": lesion, "tp": area, "predicted": area, "positives": area}
            for stem, own in areas.items() for lesion, area in zip(LESIONS, own, strict=True)]  # fmt: skip
    for pair in metrics["pair"].unique():
        run = run_folder(tmp_path, "IDRiD", pair, 0)
        masks.write(run / masks.NAME, kept)
        pd.DataFrame(rows).to_csv(run / "per_image.csv", index=False)
    found = gather(read_metrics(tmp_path / "metrics.csv"), tmp_path, drawn_panels.dataset())
    drawn = page.render([found], "0" * 64)
    assert len(drawn.encode()) <= page.MOST_BYTES == 3_000_000
    assert {case.example.set for case in found.cases} == set(examples.SETS)
    assert min(case.example.crop_side for case in found.cases) == 256
    for case in found.cases:
        assert all(count.found == count.lesions and not count.wrong
                   for seen in case.seen.values() for count in seen.tile.counts.values())  # fmt: skip
