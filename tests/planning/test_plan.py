"""`rfbench plan`: its arithmetic on fabricated timings, and one real measurement of the smallest benchmark."""

import copy
import json
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
import yaml

from rfbench import provenance
from rfbench.commands import plan as command
from rfbench.devices import pick_device
from rfbench.errors import RFBenchError
from rfbench.planning import estimate, plan, sample
from rfbench.runs import of
from rfbench.settings import Evaluation, Profile, Settings, complete, load, run_names
from rfbench.training import step
from rfbench.training.stream import TrainingStream

from .. import recorded
from ..checkout import ROOT, SMALLEST
from ..tiny_run import make_settings

NETWORK = {"update": (0.5, 8e-6), "forward": (0.1, 1e-6), "bytes": 1000, "checkpoint": 3000, "memory": None}
IMAGES = {"train": 10, "val": 0, "test": 5, "prepare": 7.0, "read": 0.4, "draw": 0.1, "load": 0.1, "judge": 2.0,
          "bytes": 100, "stored": 5000}  # fmt: skip


def settings(tmp_path, **recipe) -> Settings:
    """The smallest benchmark with two seeds, in an empty folder."""
    text = copy.deepcopy(SMALLEST) | {"results": str(tmp_path), "reports": str(tmp_path / "reports"), "seeds": [0, 1]}
    text["recipe"] |= recipe
    return complete(text)


def test_line_through_two_measurements():
    constant, slope = sample.line((100, 3.0), (400, 9.0))
    assert (constant, slope) == pytest.approx((1.0, 0.02))
    assert sample.line((100, 3.0), (400, 2.0)) == (0.0, 2.0 / 400), "noise: no negative slope"
    assert sample.line((100, 1.0), (400, 8.0)) == (0.0, 8.0 / 400), "noise: no negative constant"


@pytest.mark.parametrize(
    ("recipe", "seconds"),
    [
        # Four updates of a batch of four 64x64 crops: 0.5 + 4096·8e-6 s, and four samples of 0.5 s each.
        ({"workers": 0, "store": False}, 4 * (0.5 + 4096 * 8e-6 + 4 * 0.5)),
        # Processes load beside the training, each decoding its share: the slower of the two counts.
        ({"workers": 2, "store": False}, 4 * 4 * (0.1 + 0.4 / 2)),
        ({"workers": 8, "store": False}, 4 * 4 * (0.1 + 0.4 / 8)),
        ({"workers": 8}, 4 * (0.5 + 4096 * 8e-6)),
        # Of decoded images, a sample takes 0.1 s.
        ({"workers": 0}, 4 * (0.5 + 4096 * 8e-6 + 4 * 0.1)),
        # The cache reads each of the ten images once, where the store does not hold them.
        (
            {"workers": 0, "train_source": "cached_2x", "store": False},
            10 * 0.4 + 4 * (0.5 + 4096 * 8e-6 + 4 * 0.1),
        ),
        ({"workers": 0, "train_source": "cached_2x"}, 4 * (0.5 + 4096 * 8e-6 + 4 * 0.1)),
    ],
)
def test_seconds_of_a_training(tmp_path, recipe, seconds):
    made = settings(tmp_path, **recipe)
    dataset = made.datasets["SYN-IDRiD"]
    assert estimate.training_seconds(dataset, made.recipe, NETWORK, IMAGES) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("workers", "load", "row", "told"),
    [
        # An update takes 0.533 s or twice as long; 4 samples. One process draws a sample in 0.1 s: 0.4 s an update.
        (1, 0.1, {"loading": 0.4, "network": 2, "loader": 0, "workers": 1}, "the network bounds every training"),
        (2, 0.2, {"loading": 0.8, "network": 1, "loader": 1, "workers": 1}, "bounds those of the 1 fastest networks"),
        (2, 0.5, {"loading": 2.0, "network": 0, "loader": 2, "workers": 1}, "the loader bounds every training"),
        (0, 0.1, {"loading": 0.4, "network": 2, "loader": 0, "workers": 1}, "one after the other"),
    ],
)
def test_what_bounds_the_trainings(tmp_path, workers, load, row, told):
    made = settings(tmp_path, workers=workers)
    slow = NETWORK | {"update": tuple(2 * value for value in NETWORK["update"])}
    measured = {"networks": dict(zip(made.pairs, (NETWORK, slow), strict=True)),
                "images": {"SYN-IDRiD": IMAGES | {"load": load}}}  # fmt: skip
    (found,) = estimate.bounds(made, measured)
    once = 0.5 + 4096 * 8e-6
    assert found == {"dataset": "SYN-IDRiD", "update": pytest.approx([once, 2 * once]), **row}
    assert told in command._bound(found, made.recipe)


def test_a_loader_feeds_the_fastest_pair_by_so_many_processes(tmp_path):
    """Drawing 0.7 s a sample, 2.8 s an update of 0.533 s: six processes."""
    made = settings(tmp_path, workers=2)
    measured = {"networks": dict.fromkeys(made.pairs, NETWORK),
                "images": {"SYN-IDRiD": IMAGES | {"draw": 0.7, "load": 0.35}}}  # fmt: skip
    (found,) = estimate.bounds(made, measured)
    assert (found["loader"], found["workers"]) == (2, 6)


def test_an_update_is_measured_as_it_is_trained(tmp_path, monkeypatch):
    """Batch, crop, micro-batches and optimiser as configured, by the class that trains; smaller only where told."""
    made = settings(tmp_path, batch_size=2, micro_batches=2, workers=0)
    made = made.model_copy(update={"datasets": {"SYN-IDRiD": made.datasets["SYN-IDRiD"].model_copy(
        update={"crop": (256, 128)})}})  # fmt: skip
    seen, once = [], step.Update.__call__

    def watched(self, images, label, rate):
        seen.append((tuple(images.shape), self.parts, type(self.optimizer).__name__))
        return once(self, images, label, rate)

    monkeypatch.setattr(step.Update, "__call__", watched)
    network = sample.measure_network(made, "strideconv_bilinear", pick_device("cpu"), halvings=0)
    assert set(seen) == {((2, 3, 64, 64), 2, "SGD"), ((2, 3, 128, 256), 2, "SGD")}
    assert network["measured"] == [(64, 64), (256, 128)]
    assert network["memory"] is None
    halved = sample.measure_network(made, "strideconv_bilinear", pick_device("cpu"), halvings=1)
    assert halved["measured"] == [(64, 64), (128, 64)]
    least = sample.measure_network(settings(tmp_path), "strideconv_bilinear", pick_device("cpu"), halvings=0)
    assert least["measured"] == [(64, 64), (128, 128)], "a line needs two sizes"


def test_a_batch_that_does_not_fit_is_said_and_measured_smaller(tmp_path, monkeypatch):
    made = settings(tmp_path, batch_size=2, workers=0)
    made = made.model_copy(update={"datasets": {"SYN-IDRiD": made.datasets["SYN-IDRiD"].model_copy(
        update={"crop": (512, 256)})}})  # fmt: skip
    once = step.Update.__call__

    def small_memory(self, images, label, rate):
        if images.shape[3] > 128:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return once(self, images, label, rate)

    monkeypatch.setattr(step.Update, "__call__", small_memory)
    network = sample.measure_network(made, "strideconv_bilinear", pick_device("cpu"), halvings=0)
    assert network["measured"] == [(64, 64), (128, 64)]
    assert "recipe.micro_batches: 2" in network["memory"]


@pytest.mark.parametrize("workers", [1, 2])
def test_loading_is_measured_by_so_many_processes(manifest, workers):
    """A sample takes 0.2 s to draw and nothing else; a process more halves it, beside what handing it over takes."""
    made = make_settings(workers=workers, batch_size=2)
    stream = TrainingStream(manifest, made.datasets["SYN"], made.recipe, 0)
    images = stream[0]

    class Slow(torch.utils.data.Dataset):
        def __getitem__(self, draw: int):
            time.sleep(0.2)
            return images

    seconds = sample._loading(Slow(), made.datasets["SYN"], made.recipe)
    assert 0.5 * 0.2 / workers < seconds < 1.8 * 0.2 / workers


def test_seconds_of_an_evaluation(tmp_path):
    dataset = settings(tmp_path).datasets["SYN-IDRiD"]
    image = 0.4 + 2.0 + 0.1 + 428 * 284 * 1e-6
    for untrained, times in ((False, 1), (True, 2)):
        evaluation = Evaluation(untrained=untrained)
        seconds = estimate.evaluation_seconds(dataset, evaluation, NETWORK, IMAGES)
        assert seconds == pytest.approx(times * 5 * image)


def test_stages_count_what_is_left(tmp_path):
    made = settings(tmp_path, workers=8)
    networks = dict.fromkeys(made.pairs, NETWORK)
    measured = {"networks": networks, "images": {"SYN-IDRiD": IMAGES}, "start": 3.0, "counting": 1.5}
    rows = {row["stage"]: row for row in estimate.stages(made, measured, jobs=2)}
    training = 3.0 + 4 * (0.5 + 4096 * 8e-6)
    assert (rows["train"]["jobs"], rows["train"]["to_do"]) == (4, 4)
    assert rows["train"]["seconds"] == pytest.approx(4 * training)
    assert rows["train"]["seconds_parallel"] == pytest.approx(2 * training)
    assert rows["train"]["bytes"] == 4 * 1000 + 2 * 3 * 3000, "weights of all runs, three checkpoints of two"
    prepare = rows["prepare"]["seconds"], rows["prepare"]["bytes"]
    assert prepare == (3.0 + 15 * 7.0 + 10 * 0.4, 15 * 100 + 10 * 5000), "and the ten training images decoded"
    without = settings(tmp_path, store=False, workers=8)
    prepare = estimate.stages(without, measured, jobs=2)[0]
    assert (prepare["seconds"], prepare["bytes"]) == (3.0 + 15 * 7.0, 15 * 100)
    assert (rows["weights"]["jobs"], rows["weights"]["seconds"]) == (0, 0)
    # Two pairs, each counted, warmed up twice and timed once in both forms; a pass of 96x64 takes 0.1 s and more.
    assert made.profile == Profile(rounds=1, size=(96, 64), paper=False, fused=True)
    assert rows["profile"]["seconds"] == pytest.approx(3.0 + 2 * 1.5 + 2 * 2 * 3 * (0.1 + 96 * 64 * 1e-6))
    assert estimate.stages(made, measured, jobs=9)[3]["seconds_parallel"] == pytest.approx(training), "the longest job"

    def record(pair: str, seed: int, name: str, change: dict) -> None:
        run = of(made, "SYN-IDRiD", pair, seed)
        about = recorded.evaluation(run)
        provenance.write_json(run.folder / f"{name}.json", about | {"settings": about["settings"] | change})

    record("m2mrf_c", 0, "train", {})
    record("m2mrf_c", 0, "evaluation", {})
    provenance.write_text(of(made, "SYN-IDRiD", "m2mrf_c", 0).folder / "evidence.npz", "")
    record("m2mrf_c", 1, "train", {})
    record("strideconv_bilinear", 0, "train", {"recipe": "another"})
    rows = {row["stage"]: row for row in estimate.stages(made, measured, jobs=2)}
    assert (rows["train"]["to_do"], rows["evaluate"]["to_do"]) == (2, 3)
    assert (rows["train"]["jobs"], rows["evaluate"]["jobs"]) == (4, 4)


def test_what_is_finished_is_not_to_do(tmp_path):
    made = settings(tmp_path, workers=8)
    measured = {"networks": dict.fromkeys(made.pairs, NETWORK), "images": {"SYN-IDRiD": IMAGES}, "start": 3.0,
                "counting": 1.5}  # fmt: skip

    def to_do() -> set[str]:
        return {row["stage"] for row in estimate.stages(made, measured, jobs=2) if row["to_do"]}

    last = {"aggregate", "statistics", "tables", "verdicts", "figures", "costs"}
    assert to_do() == {"prepare", "lesions", "train", "evaluate", "profile"} | last
    manifest = Path(made.results) / "data" / "SYN-IDRiD" / "manifest.csv"
    provenance.write_text(manifest, "")
    provenance.write_text(manifest.with_name("lesions.npz"), "")
    for names in run_names(made):
        run = of(made, *names)
        provenance.write_json(run.folder / "evaluation.json", recorded.evaluation(run))
    assert to_do() == {"evaluate", "profile"} | last, "evaluated before evidence was kept: once more, without training"
    for names in run_names(made):
        provenance.write_text(of(made, *names).folder / "evidence.npz", "")
    assert to_do() == {"profile"} | last
    conditions = {**asdict(estimate.profile.configured(made)), "paper": None}
    profile = recorded.profile({pair: recorded.cost(pair) for pair in conditions.pop("pairs")}, **conditions)
    provenance.write_json(Path(made.results) / "profile.json", profile)
    assert to_do() == last
    for file in estimate.LAST.values():
        provenance.write_text(file.format(results=made.results, reports=made.reports), "")
    assert to_do() == set()
    provenance.write_json(Path(made.results) / "profile.json", {**profile, "rounds": 7})
    assert to_do() == {"profile", "costs", "tables", "verdicts", "figures"}, "not the metrics"


def test_short_passes_of_the_profile_are_repeated_and_the_baseline_is_always_timed():
    fast = {**NETWORK, "forward": (0.02, 0.0)}
    conditions = estimate.profile.Conditions(("m2mrf_c",), size=(64, 64), rounds=5)
    networks = {"m2mrf_c": fast, "strideconv_bilinear": NETWORK}
    slow = 0.1 + 64 * 64 * 1e-6
    seconds = 4.0 + (2 + 5 * 3) * 0.02 + (2 + 5) * slow  # three passes of 0.02 s fill 0.05 s
    assert estimate.profile_seconds(conditions, networks, counting=4.0) == pytest.approx(seconds)


@pytest.mark.slow
def test_pairs_that_are_only_profiled_are_measured(tmp_path, monkeypatch):
    """`paper_rows_only` trains fewer pairs than it profiles."""
    text = {**SMALLEST, "pairs": "all", "paper_rows_only": True, "results": str(tmp_path)}
    made = complete(text)
    assert {pair for _, pair, _ in run_names(made)} < set(made.pairs)
    monkeypatch.setattr(sample, "measure_network", lambda *_: NETWORK)
    monkeypatch.setattr(sample, "measure_images", lambda *_: IMAGES)
    report = plan.plan(made, jobs=1)
    assert set(report["measured"]["networks"]) == set(made.pairs)
    assert [row["seconds"] > 0 for row in report["stages"] if row["stage"] == "profile"] == [True]


def test_own_data_must_be_prepared_first(tmp_path):
    made = settings(tmp_path)
    mine = made.datasets["SYN-IDRiD"].model_copy(update={"kind": "folder", "synthetic": None, "source": "mine"})
    made = made.model_copy(update={"datasets": {"Mine": mine}})
    with pytest.raises(RFBenchError, match=r"Mine/manifest\.csv: not found.*Prepare it first"):
        sample.measure_images(made, "Mine", pick_device("cpu"))


@pytest.mark.slow
def test_the_store_of_real_idrid_takes_its_pixels(tmp_path):
    """54 images of 4288x2848 px, four bytes each, and a page: 2.64 GB; here measured on smaller, generated images."""
    made = load(ROOT / "config" / "idrid.yaml").model_copy(update={"results": str(tmp_path)})
    images = sample.measure_images(made, "IDRiD", pick_device("cpu"))
    assert images["train"] * images["stored"] == pytest.approx(54 * 4288 * 2848 * 4, rel=0.01)


def test_numbers_of_official_images(tmp_path):
    paper = load(ROOT / "config" / "paper.yaml").model_copy(update={"results": str(tmp_path)})
    assert sample._counts(paper, "IDRiD") == {"train": 54, "val": 0, "test": 27}
    assert sample._counts(paper, "DDR") == {"train": 383, "val": 149, "test": 225}


@pytest.mark.parametrize(("seconds", "text"), [(4.4, "4 s"), (600, "10 min"), (7200, "2.0 h"), (7.2e6, "2,000.0 h")])
def test_durations(seconds, text):
    assert command.duration(seconds) == text


@pytest.mark.slow
def test_the_smallest_benchmark_is_planned_as_a_user_does(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(SMALLEST | {"results": str(tmp_path / "results"), "device": "cpu"}))
    command = [sys.executable, "-m", "rfbench", "plan", path, "--json"]
    report = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert report["runs"] == {"done": 0, "trained": 0, "missing": 2}
    rows = {row["stage"]: row for row in report["stages"]}
    assert list(rows) == [stage for stage in estimate.STAGES if stage != "ablation"]
    assert all(rows[stage]["seconds"] > 0 for stage in ("prepare", "train", "evaluate", "profile"))
    for network in report["measured"]["networks"].values():
        assert network["checkpoint"] == pytest.approx(2 * network["bytes"], rel=0.05), "SGD keeps one momentum a weight"
    assert not (tmp_path / "results").exists(), "planning starts nothing"
