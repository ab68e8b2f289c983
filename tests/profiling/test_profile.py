"""The profile: every ratio follows from the recorded seconds, every count from another way to count."""

import statistics
from dataclasses import replace

import pytest
import torch
import yaml

import operators
import rfbench
from rfbench import cli, provenance
from rfbench.commands import profile as command
from rfbench.errors import RFBenchError
from rfbench.models import count_parameters
from rfbench.profiling import profile
from rfbench.profiling.memory import saved_bytes
from rfbench.settings import complete

OPTIONS = {"m2mrf": {"patch_size": 4, "alpha": 16}}
CONFIG = {
    "pairs": ["strideconv_bilinear", "m2mrf_c"],
    "datasets": {
        "SYN": {
            "kind": "synthetic", "synthetic": {"train": 1, "test": 1, "factor": 0.1, "seed": 0}, "scale": [128, 96],
            "crop": [64, 64], "iterations": 1, "mean": [0, 0, 0], "std": [1, 1, 1],
        }
    },
    "model": {"backbone": "hrnetv2_embedded", "operator_options": OPTIONS},
    "device": "cpu",
    "profile": {"rounds": 3},
}  # fmt: skip


@pytest.fixture(scope="module")
def config_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "config.yaml"
    path.write_text(yaml.safe_dump(CONFIG))
    return path


@pytest.fixture(scope="module")
def record(config_file, tmp_path_factory):
    """What the command writes for the small configuration."""
    output = tmp_path_factory.mktemp("profile") / "profile.json"
    assert cli.main(["profile", "--config", str(config_file), "--output", str(output)]) == 0
    return provenance.read_json(output)


def test_networks_hold_their_common_parameters_once_and_none_of_their_own_twice():
    conditions, tensors, addresses = profile.Conditions(("indexnet", "m2mrf_c"), "hrnetv2_embedded"), {}, []
    for pair in conditions.pairs:
        network = profile.build(conditions, pair, torch.device("cpu")).eval()
        count = count_parameters(network)
        profile._share(network, tensors)
        assert count_parameters(network) == count
        addresses.append({name: parameter.data_ptr() for name, parameter in network.named_parameters()})
        assert len(set(addresses[-1].values())) == len(addresses[-1])
        assert network(torch.randn(1, 3, 64, 64)).isfinite().all()
    first, second = addresses
    assert first["backbone.conv1.weight"] == second["backbone.conv1.weight"]
    assert not any(second[name] in first.values() for name in second if "scatter" in name)


@pytest.mark.slow
def test_ratios_follow_from_the_seconds_of_each_round(record):
    base = record["baseline_seconds"]
    assert len(base) == record["rounds"] == 3
    assert record["pairs"]["strideconv_bilinear"]["fps_ratio_max"] == 1
    plain = record["pairs"]["m2mrf_c"]
    for own in (plain, plain["fused"]):
        ratios = sorted(b / o for b, o in zip(base, own["seconds"], strict=True))
        assert ratios == pytest.approx([own["fps_ratio_min"], own["fps_ratio"], own["fps_ratio_max"]])
        assert own["fps"] == pytest.approx(1 / statistics.median(own["seconds"]))
    ratios = sorted(b / o for b, o in zip(plain["seconds"], plain["fused"]["seconds"], strict=True))
    assert ratios[1] == pytest.approx(plain["fused"]["own_ratio"])


@pytest.mark.slow
def test_counts_are_those_of_the_real_network(record):
    model = rfbench.build_model("m2mrf_c", "hrnetv2_embedded", operator_options=OPTIONS).train()
    row = record["pairs"]["m2mrf_c"]
    assert (record["size"], record["memory_kind"]) == ([128, 96], "saved for backward")
    assert row["memory"] == saved_bytes(model, (1, 3, 96, 128))
    assert row["params"] == count_parameters(model)
    assert row["fused"]["params"] == count_parameters(rfbench.fuse(model))
    assert row["params_w48"] == row["params_w48_expected"]
    assert record["pairs"]["strideconv_bilinear"]["memory_w48"] == pytest.approx(1230e6, rel=1e-3)
    assert row["flops_w48"] > 1e11 > row["flops"] > row["fused"]["flops"] > 0


@pytest.mark.slow
def test_options_override_the_configuration(config_file, tmp_path):
    words = ["--pairs", "lip_bilinear", "--size", "64", "64", "--batch", "2", "--rounds", "1", "--dtype", "bfloat16"]
    words += ["--channels-last", "--fused", "none"]
    output = tmp_path / "p.json"
    assert cli.main(["profile", "--config", str(config_file), *words, "--output", str(output)]) == 0
    record = provenance.read_json(output)
    assert list(record["pairs"]) == ["lip_bilinear"]
    assert "fused" not in record["pairs"]["lip_bilinear"]
    assert (record["size"], record["batch"], record["dtype"], record["channels_last"]) == (
        [64, 64],
        2,
        "bfloat16",
        True,
    )
    assert record["backbone"] == "hrnetv2_embedded"


@pytest.mark.slow
def test_every_pair_is_profiled_in_bfloat16_and_needs_no_configuration(monkeypatch):
    monkeypatch.delenv("RFBENCH_CONFIG", raising=False)
    parser = cli.build_parser("profile")
    words = ["--backbone", "hrnetv2_embedded", "--size", "64", "64", "--rounds", "1", "--dtype", "bfloat16"]
    conditions = command.conditions_of(None, vars(parser.parse_args(["profile", *words, "--output", "x"])))
    assert conditions.fused == conditions.pairs
    pairs = profile.profile(replace(conditions, paper=False))["pairs"]
    assert set(pairs) == set(operators.available())
    assert all(row["fps"] > 0 and row["fused"]["fps"] > 0 for row in pairs.values())


def test_the_size_is_the_first_data_sets_unless_configured():
    assert profile.configured(complete(CONFIG)).size == (128, 96)
    sized = complete({**CONFIG, "profile": {"size": [128, 64], "fused": False, "paper": False}})
    conditions = profile.configured(sized)
    assert (conditions.size, conditions.fused, conditions.paper, conditions.rounds) == ((128, 64), (), False, 9)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--pairs", "m2mrf"], "--pairs: expected some of a2u"),
        (["--pairs", "m2mrf_c", "--compile", "m2mrf_a"], "--compile: expected some of m2mrf_c, found m2mrf_a"),
        (["--dtype", "tf32"], "tf32: expected a GPU, found cpu"),
    ],
)
def test_wrong_options_are_one_sentence(words, message, config_file, tmp_path, capsys):
    command = ["profile", "--config", str(config_file), *words, "--output", str(tmp_path / "p.json")]
    assert cli.main(command) == 1
    assert message in capsys.readouterr().err


def test_unknown_backbones_are_refused():
    with pytest.raises(RFBenchError, match="Unknown backbone"):
        profile.profile(profile.Conditions(("m2mrf_c",), backbone="hrnet", device="cpu"))
    assert torch.get_num_threads() == 1
