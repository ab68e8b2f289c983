"""What a run's jobs ask a cluster for."""

import pytest

from rfbench import provenance
from rfbench.errors import RFBenchError
from rfbench.pipeline import Pipeline
from rfbench.planning import asked
from rfbench.settings import complete

from ..checkout import SMALLEST

PAIR, DATASET = "m2mrf_c", "SYN-IDRiD"
PROFILE = {"memory_kind": "saved for backward", "size": [96, 64], "pairs": {PAIR: {"memory": 30_000_000}}}
IMAGES = {"train": 2, "val": 0, "test": 1, "read": 0.1, "load": 0.2, "draw": 0.1, "judge": 0.5}
PLAN = {"measured": {
    "start": 10.0, "images": {DATASET: IMAGES}, "networks": {PAIR: {"update": [1.0, 0.0], "forward": [2.0, 0.0]}},
}}  # fmt: skip


def settings(**given):
    return complete({**SMALLEST, **given})


def test_memory_is_the_profiles_on_a_cpu_and_stated_otherwise():
    own = settings(recipe={"workers": 2, "batch_size": 4})
    kept = 30 * (64 * 64 * 4) / (96 * 64)  # MB that a step on its crops keeps for backward
    assert asked.megabytes(own, DATASET, PAIR, PROFILE) == pytest.approx(2000 + 2 * 500 + 2 * kept, abs=1)
    assert asked.megabytes(own, DATASET, PAIR, None) == 8000 + 2 * 500
    assert asked.megabytes(own, DATASET, "strideconv_bilinear", PROFILE) == 8000 + 2 * 500, "not profiled"
    on_gpu = settings(device="cuda", recipe={"workers": 4, "gpus": 2, "batch_size": 4})
    assert asked.megabytes(on_gpu, DATASET, PAIR, PROFILE) == 2 * 8000 + 4 * 500


def test_minutes_are_twice_the_plans_and_stated_without_one():
    own = settings()  # four updates of a second; two networks evaluated on one image; samples loaded in between
    evaluating = 10 + 2 * 1 * (0.1 + 0.5 + 2)
    training = 4 * (1 + 4 * 0.2)
    assert asked.minutes(own, "evaluate", DATASET, PAIR, PLAN) == 5 + -(-2 * evaluating // 60)
    assert asked.minutes(own, "train", DATASET, PAIR, PLAN) == 5 + -(-2 * (evaluating + training) // 60)
    assert asked.minutes(own, "train", DATASET, PAIR, None) == 720
    assert asked.minutes(own, "evaluate", DATASET, "strideconv_bilinear", PLAN) == 120, "planned without that pair"
    with pytest.raises(RFBenchError, match=r"plan.json: expected a plan, found no 'SYN-IDRiD'"):
        asked.minutes(own, "train", DATASET, PAIR, {"measured": {**PLAN["measured"], "images": {}}})


def test_the_rules_ask_by_what_the_results_folder_holds(tmp_path):
    wildcards = type("Wildcards", (), {"dataset": DATASET, "pair": PAIR, "seed": "0"})
    before = Pipeline({**SMALLEST, "results": str(tmp_path)})
    assert (before.training_memory(wildcards), before.training_minutes(wildcards)) == (8000, 720)
    provenance.write_json(tmp_path / "profile.json", PROFILE)
    provenance.write_json(tmp_path / asked.PLAN, PLAN)
    after = Pipeline({**SMALLEST, "results": str(tmp_path)})
    assert 2000 < after.training_memory(wildcards) < 8000
    assert (after.training_minutes(wildcards), after.evaluation_minutes(wildcards)) == (6, 6)
