"""The GPU suite, rehearsed on the CPU at a small size."""

import functools
import statistics

import pytest
import torch

from rfbench import cli, gpu, provenance
from rfbench.profile import synthetic_batch

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


def test_what_the_time_does_not_allow_is_missing(monkeypatch, tmp_path):
    status, record = rehearse(monkeypatch, tmp_path / "gpu.json", "--minutes", "0", "--only", "float32", "training")
    assert (status, record["blocks"], record["missing"]) == (1, {}, ["float32", "training"])


@pytest.mark.slow
def test_compiled_pairs_are_profiled(monkeypatch, tmp_path):
    status, record = rehearse(monkeypatch, tmp_path / "gpu.json", "--only", "compiled_float32")
    assert status == 0
    pairs = record["blocks"]["compiled_float32"]["pairs"]
    assert set(pairs) == {"strideconv_bilinear", "m2mrf_a", "m2mrf_c"}
    assert all(len(row["compiled"]["seconds"]) == 2 for row in pairs.values())


@pytest.mark.slow
def test_stock_and_ours_train_alike(monkeypatch, tmp_path):
    status, record = rehearse(monkeypatch, tmp_path / "gpu.json", "--only", "training")
    assert status == 0
    for pair in gpu.TRAINED:
        block = record["blocks"]["training"][pair]
        stock, ours = block["stock"], block["ours"]
        assert len(stock["losses"]) == len(ours["losses"]) == 12
        assert ours["losses"][0] == pytest.approx(stock["losses"][0], abs=0.01), "same weights, same batch"
        assert block["ratio"] == pytest.approx(
            statistics.median(stock["seconds"][6:]) / statistics.median(ours["seconds"][6:])
        )
        assert abs(block["loss_difference"]) < 0.05
        assert block["loss_spread"] > 0


def test_batches_are_a_function_of_the_seed_and_hold_every_lesion():
    (image, label), again = (synthetic_batch((4, 3, 192, 192), torch.device("cpu"), seed=3) for _ in range(2))
    assert torch.equal(image, again[0])
    assert torch.equal(label, again[1])
    assert label.unique().tolist() == [0, 1, 2, 3, 4]
    assert (label == 0).float().mean() > 0.6
    other, _ = synthetic_batch((4, 3, 192, 192), torch.device("cpu"), seed=4)
    assert not torch.equal(image, other)
