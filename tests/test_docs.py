"""docs/ against the code: what its tables say of operators, generator, protocol and metrics; its links."""

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
import yaml
from sklearn.metrics import average_precision_score
from torch import nn

import operators
import operators.deconv
from operators import carafe, maxpool
from rfbench.cli import VERBS
from rfbench.data.synthetic.lesions import KINDS
from rfbench.metrics import LesionMetrics
from rfbench.models import assemble, count_parameters
from rfbench.names import LESIONS

from .checkout import ROOT

DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.glob("*.md")), *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "operators/README.md"))]


def rows(page: str, heading: str) -> list[list[str]]:
    """Cells of the table whose header row begins with `heading`."""
    lines = iter((DOCS / page).read_text().splitlines())
    assert any(line.startswith(f"| {heading}") for line in lines), f"{page} has no table '{heading}'"
    next(lines)
    table = []
    for line in lines:
        if not line.startswith("|"):
            return table
        table.append([cell.strip() for cell in line.strip("|").split("|")])
    return table


def anchors(page: Path) -> set[str]:
    """Anchors that GitHub gives the page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


@pytest.mark.parametrize("page", [*PAGES[:-1], ROOT / "results/measured/README.md"], ids=lambda page: page.name)
def test_commands_exist(page):
    """Verbs of `rfbench`, configurations and targets of `make` that a page names."""
    text = page.read_text()
    verbs = re.findall(r"(?:`|^)rfbench ([a-z][a-z-]*)", text, flags=re.MULTILINE)
    assert [verb for verb in verbs if verb not in VERBS] == []
    assert [name for name in re.findall(r"\bconfig/\w+\.yaml", text) if not (ROOT / name).exists()] == []
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    named = re.findall(r"(?:`|^)make ([a-z-]+)", text, flags=re.MULTILINE)
    assert [target for target in named if target not in targets] == []


def test_the_readme_opens_with_a_picture_and_two_commands():
    head = (ROOT / "README.md").read_text().partition("## The real experiment")[0]
    (picture,) = re.findall(r"!\[[^]]+\]\(([^)]+)\)", head)
    assert picture.endswith(".svg")
    assert "\nmake " in head
    assert "\nmake test " in head


@pytest.mark.slow
def test_the_picture_is_that_of_the_recorded_runs(tmp_path):
    recorded, drawn = DOCS / "probe.svg", tmp_path / "probe.svg"
    table = ["--config", ROOT / "config" / "probe.yaml", "--table", ROOT / "results" / "measured" / "probe.csv"]
    subprocess.run([sys.executable, "-m", "rfbench", "probe-report", *table, "--picture", drawn], check=True)
    assert drawn.read_bytes() == recorded.read_bytes(), "`make picture` draws it again"
    names = {element.tag.rpartition("}")[2] for element in ElementTree.parse(recorded).iter()}
    assert "image" not in names, "no photograph, and sharp at any size"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["probe", "probe_since"])
def test_the_probes_tables_are_those_of_the_recorded_runs(name, tmp_path):
    measured = ROOT / "results" / "measured"
    table = ["--config", ROOT / "config" / f"{name}.yaml", "--table", measured / f"{name}.csv"]
    subprocess.run([sys.executable, "-m", "rfbench", "probe-report", *table, "--output", tmp_path], check=True)
    kept = (measured / f"{name}.md").read_bytes()
    assert (tmp_path / "tables" / "probe.md").read_bytes() == kept, "`make picture` writes it again"


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_files_of_ours_are_there(page):
    named = re.findall(r"`((?:workflow|tests|operators|config)/[^`]+)`", page.read_text())
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_operators_are_those_registered():
    listed = rows("operators.md", "pair")
    table = {pair.strip("`"): cells for pair, *cells in listed}
    assert len(table) == len(listed), "each once"
    assert table.keys() == {name for name in operators.available() if operators.get(name).params}
    for name, (paths, params, confidence) in table.items():
        pair = operators.get(name)
        assert (int(params.replace(",", "")), confidence) == (pair.params, pair.confidence), name
        down, up = paths.split(",")[0].split(" / ")
        family = down.partition(" ")[0]  # "M2MRF one-step / cascade"
        assert pair.down == down, name
        assert pair.up in (up, f"{family} {up}"), name


@pytest.mark.parametrize(
    ("pair", "options", "label"),
    [
        ("lip_bilinear", {"lip": {"kind": "simplified"}}, ["LIP simplified for bottleneck"]),
        ("a2u", {"a2u": {"shared": False}}, ["A2U with filters for every channel"]),
        ("indexnet", {"indexnet": {"context": True}}, ["IndexNet holistic with context; nonlinear", 0]),
        ("indexnet", {"indexnet": {"nonlinear": True}}, ["IndexNet holistic with context; nonlinear", 1]),
        ("indexnet", {"indexnet": {"kind": "o2o"}}, ["IndexNet one-to-one, linear; nonlinear", 0]),
        ("indexnet", {"indexnet": {"kind": "o2o", "nonlinear": True}}, ["IndexNet one-to-one, linear; nonlinear", 1]),
    ],
)
def test_counts_of_other_settings(pair, options, label):
    assert counted(pair, options) == other_count(*label)


def counted(pair: str, options: dict | None = None) -> str:
    """Millions of parameters of the pair's HRNetV2-W48, as the page prints them."""
    with torch.device("meta"):
        return f"{count_parameters(assemble(pair, 'hrnetv2_w48', operator_options=options)) / 1e6:.2f}"


def other_count(row: str, which: int = 0) -> str:
    """What the page says of another setting; `which` of those in one row."""
    (printed,) = [count for name, count, _ in rows("operators.md", "instead of") if name == row]
    return printed.split("; ")[which].strip("*")


def lateral(channels: int, out_channels: int, kernel: int = 1) -> list[nn.Module]:
    """conv + BN."""
    conv = nn.Conv2d(channels, out_channels, kernel, padding=kernel // 2, bias=False)
    return [conv, nn.BatchNorm2d(out_channels)]


def deconv(channels: int, out_channels: int, scale: int) -> nn.Module:
    return nn.ConvTranspose2d(channels, out_channels, scale, scale, bias=False)


OTHER_PATHS = {  # row of the page and which of it: pair, module, kind and name of the path, builder of the other path
    ("MaxPool with a conv3x3 for the conv1x1", 0): (
        "maxpool_bilinear", maxpool, "DOWN", "MaxPool", lambda a, b, steps, relu: lateral(a, b, 3),
    ),
    ("CARAFE++ down with a conv1x1 for the conv3x3", 0): (
        "carafe_bilinear", carafe, "DOWN", "CARAFE++",
        lambda a, b, steps, relu: [*(carafe.CARAFEDownsample(a) for _ in range(steps)), *lateral(a, b)],
    ),
    ("CARAFE++ up as t steps of 2 for one of 2^t", 0): (
        "strideconv_carafe", carafe, "UP", "CARAFE++",
        lambda a, b, steps: [*lateral(a, b), *(carafe.CARAFEUpsample(b, 2) for _ in range(steps))],
    ),
    ("Deconv after a conv1x1 + BN; as t steps of 2", 0): (
        "strideconv_deconv", operators.deconv, "UP", "Deconv",
        lambda a, b, steps: [*lateral(a, b), deconv(b, b, 2**steps)],
    ),
    ("Deconv after a conv1x1 + BN; as t steps of 2", 1): (
        "strideconv_deconv", operators.deconv, "UP", "Deconv",
        lambda a, b, steps: [deconv(a, b, 2), *(deconv(b, b, 2) for _ in range(steps - 1)), nn.BatchNorm2d(b)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("label", OTHER_PATHS, ids=lambda label: f"{label[0]} {label[1]}")
def test_counts_of_other_paths(label, monkeypatch):
    pair, module, kind, name, layers = OTHER_PATHS[label]
    before = counted(pair)
    monkeypatch.setitem(getattr(module, kind), name, lambda *args, **kwargs: nn.Sequential(*layers(*args, **kwargs)))
    assert counted(pair) == other_count(*label) != before


def test_generator_draws_what_is_said():
    heading = "drawn per lesion"
    (line,) = [line for line in (DOCS / "datasets.md").read_text().splitlines() if line.startswith(f"| {heading}")]
    assert [cell.strip() for cell in line.strip("|").split("|")[1:]] == list(LESIONS)
    table = {what: cells for what, *cells in rows("datasets.md", heading)}
    for lesion, column in zip(LESIONS, zip(*table.values(), strict=True), strict=True):
        said, kind = dict(zip(table, column, strict=True)), KINDS[lesion]
        assert _numbers(said["ln regions per image: mean / sd"]) == list(kind.count)
        assert _numbers(said["regions per image, from – to"]) == list(kind.count_range)
        assert _numbers(said["ln area (px): mean / sd"]) == list(kind.area)
        assert _numbers(said["area (px), from – to"]) == list(kind.area_range)
        assert _numbers(said["distance from the centre over the radius, quantiles 10 / 50 / 90 %"]) == [
            *kind.reach[1:4]
        ]
        assert _numbers(said["ln change of green at median area: mean / sd"]) == list(kind.contrast)
        assert (said["brighter or darker"] == "brighter") == (kind.tint[1] > 0)


def _numbers(text: str) -> list[float]:
    return [float(number.replace(",", "")) for number in re.split(r" / |–", text)]


def test_protocol_is_that_of_the_paper_configuration():
    config = yaml.safe_load((ROOT / "config" / "paper.yaml").read_text())
    text = (DOCS / "protocol.md").read_text()
    for name, dataset in config["datasets"].items():
        mean, std = (f"({', '.join(map(str, dataset[key]))})" for key in ("mean", "std"))
        assert f"{name} {mean} / {std}" in text
        assert f"{dataset['iterations']:,} on {name}" in text
        assert re.search(rf"{name} (fitted )?into {'x'.join(map(str, dataset['scale']))}", text)


def test_artefacts_of_the_11_thresholds():
    """The metrics page's table: measured again, and by the formulas beside it."""
    said = {name: list(map(_plain, values)) for name, *values in rows("protocol.md", "scores")}
    rng, pixels = np.random.default_rng(0), 1_000_000
    label = rng.random(pixels) < 0.01
    share, found, wrong = label.mean(), np.flatnonzero(label), np.flatnonzero(~label)
    hits = int(0.3 * len(found))
    marked = np.zeros(pixels, bool)
    marked[rng.choice(found, hits, replace=False)] = True
    marked[rng.choice(wrong, int(hits * 0.7 / 0.3), replace=False)] = True
    precision, recall = hits / marked.sum(), hits / len(found)
    low = np.where(marked, 1 - 1e-4, 1e-9)
    curves = {
        "noise, uniform in 0–0.1": (rng.random(pixels) / 10, (1 + share) / 2),
        "two values, 0.0001 and 0.9999, precision = recall = 0.3": (np.where(marked, 1 - 1e-4, 1e-4), None),
        "the same with 1e-9 for the lower": (low, None),
        "… stored in 16 bits, where 1e-9 becomes 0": (low.astype(np.float16), recall * (1 + precision) / 2),
    }
    saturated = recall * (1 + precision) / 2 + (1 - recall) * (precision + share) / 2
    assert said.keys() == curves.keys()
    for name, (scores, area) in curves.items():
        metrics, scores = LesionMetrics(["EX"]), scores.astype(np.float32)
        metrics.update(
            torch.from_numpy(scores).view(1, 1000, -1), torch.from_numpy(label.astype(np.int64)).view(1000, -1)
        )
        values = metrics.compute()
        aupr11, ap, f = (values[metric]["EX"] for metric in ("aupr11", "ap", "f"))
        assert aupr11 == pytest.approx(saturated if area is None else area, abs=1e-6), name
        assert ap == pytest.approx(average_precision_score(label, scores), abs=1e-5), name
        assert [round(aupr11, 3), round(ap, 3), round(f, 3)] == said[name], name
        assert metrics.details()["EX"]["aupr11_artefact"] == name.startswith("noise")


def _plain(cell: str) -> float:
    return float(cell.strip("*"))


def test_tests_of_hostile_input_exist():
    page = (ROOT / "docs" / "hostile-input.md").read_text()
    named = set(re.findall(r"::(test_\w+)", page))
    assert len(named) > 60
    written = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert not [name for name in named if f"def {name}(" not in written]
