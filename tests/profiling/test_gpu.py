"""The GPU suite, rehearsed on the CPU at a small size."""

import functools
import statistics

import pytest
import torch

from rfbench import cli, provenance
from rfbench.profiling import gpu
from rfbench.profiling.profile import synthetic_batch

SMALL = ["--device", "cpu", "--backbone", "hrnetv2_embedded", "--size", "64", "64", "--crop", "96", "64", "--batch",
         "2", "--rounds", "2", "--iterations", "12", "--pairs", "strideconv_bilinear", "m2mrf_c"]  # fmt: skip


def rehearse(monkeypatch, output, *words: str) -> tuple[int, dict]:
    """Exit status and record; torch.compile traces, but builds no kernels (minutes on a CPU)."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    status = cli.main(["gpu", *SMALL, *words, "--output", str(output)])
    return status, provenance.read_json(output)


def test_blocks_that_fail_are_named_and_the_others_are_measured(monkeypatch, tmp_path):
    status, record = rehearse(monkeypatch, tmp_path / "gpu.json", "--only", "tf32", "bfloat16")
    assert status == 1
    assert list(record["blocks"]) == ["bfloat16"]
    assert "expected a GPU" in record["failed"]["tf32"]
    assert record["missing"] == []
    pairs = record["blocks"]["bfloat16"]["pairs"]
    assert pairs["m2mrf_c"]["fused"]["own_ratio"] > 0
    assert "fused" not in pairs["strideconv_bilinear"]
    assert record["provenance"]["device"] == "cpu"


def test_methods_are_measured_as_pairs_are(monkeypatch, tmp_path):
    """In bfloat16, too, though some of their steps are float32's."""
    words = ("--pairs", "hed", "maskrcnn", "strideconv_bilinear", "--only", "float32", "bfloat16")
    status, record = rehearse(monkeypatch, tmp_path / "gpu.json", *words)
    assert (status, record["failed"]) == (0, {})
    for name in ("float32", "bfloat16"):
        rows = record["blocks"][name]["pairs"]
        assert {key: row["row"] for key, row in rows.items()} == {
            "hed": "HED", "maskrcnn": "Mask R-CNN", "strideconv_bilinear": "StrideConv/Bilinear"
        }  # fmt: skip
        assert all(row["params_w48"] == row["params_w48_expected"] for row in rows.values())
        assert all(len(row["seconds"]) == 2 and row["fps_ratio"] > 0 for row in rows.values())
        assert not any("fused" in row for row in rows.values())


def test_what_the_time_does_not_allow_is_missing(monkeypatch, tmp_path):
    status, record = rehearse(
        monkeypatch, tmp_path / "gpu.json", "--minutes", "0", "--only", "float32", "training_m2mrf_c"
    )
    assert (status, record["blocks"], record["missing"]) == (1, {}, ["float32", "training_m2mrf_c"])


@pytest.mark.slow
def test_compiled_pairs_are_profiled(monkeypatch, tmp_path):
    status, record = rehearse(monkeypatch, tmp_path / "gpu.json", "--only", "compiled_float32")
    assert status == 0
    pairs = record["blocks"]["compiled_float32"]["pairs"]
    assert set(pairs) == {"strideconv_bilinear", "m2mrf_a", "m2mrf_c"}
    assert all(len(row["compiled"]["seconds"]) == 2 for row in pairs.values())


@pytest.mark.slow
def test_stock_and_ours_train_alike(monkeypatch, tmp_path, capsys):
    status, record = rehearse(monkeypatch, tmp_path / "gpu.json", "--only", *gpu.TRAINED)
    assert status == 0
    for name, pair in gpu.TRAINED.items():
        block = record["blocks"][name]
        stock, ours = block["stock"], block["ours"]
        assert block["pair"] == pair
        assert len(stock["losses"]) == len(ours["losses"]) == 12
        assert stock["complete"]
        assert ours["complete"]
        assert ours["losses"][0] == pytest.approx(stock["losses"][0], abs=0.01), "same weights, same batch"
        assert block["ratio"] == pytest.approx(
            statistics.median(stock["seconds"][6:]) / statistics.median(ours["seconds"][6:])
        )
        assert abs(block["loss_difference"]) < 0.05
    assert "training_m2mrf_c: ours" in capsys.readouterr().err


def curve(*losses: float, seconds: float = 1.0) -> dict:
    return {"losses": list(losses), "median_seconds": seconds, "complete": True}


@pytest.mark.parametrize(("shift", "within"), [(0.05, True), (-0.05, True), (0.2, False), (-0.2, False)])
def test_losses_are_within_noise_where_their_means_differ_less_than_the_batches_do(shift, within):
    stock = [9.0] * 6 + [0.4, 0.6]  # the last quarter: mean 0.5, standard deviation 0.141
    ours = [0.0] * 6 + [0.4 + shift, 0.6 + shift, 7.0]  # a step that stock was not given the time for
    runs = {"stock": curve(*stock, seconds=3), "ours": curve(*ours), "stock_tf32": curve(seconds=2)}
    compared = gpu.compare(runs)
    assert compared["within_noise"] is within
    assert compared["loss_difference"] == pytest.approx(shift)
    assert compared["loss_spread"] == pytest.approx(0.02**0.5)
    assert (compared["ratio"], compared["ratio_to_tf32"]) == (3, 2)
    block = {**runs, **compared, "stock": {**runs["stock"], "complete": False}}
    assert ("losses within noise" in gpu.told(block)) is within
    assert gpu.told(block).endswith("; cut short: stock")


def test_batches_are_a_function_of_the_seed_and_hold_every_lesion():
    (image, label), again = (synthetic_batch((4, 3, 192, 192), torch.device("cpu"), seed=3) for _ in range(2))
    assert torch.equal(image, again[0])
    assert torch.equal(label, again[1])
    assert label.unique().tolist() == [0, 1, 2, 3, 4]
    assert (label == 0).float().mean() > 0.6
    other, _ = synthetic_batch((4, 3, 192, 192), torch.device("cpu"), seed=4)
    assert not torch.equal(image, other)
