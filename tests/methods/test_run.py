"""A method runs as a pair does: settings, training, resume, evaluation, checkpoints, and what runs again."""

import dataclasses
import json
import math

import pytest
import torch
from torch.nn import functional as F

import rfbench
from rfbench import cli, competitors, runs, stages
from rfbench.competitors import methods
from rfbench.errors import RFBenchError
from rfbench.evaluation.run import evaluate
from rfbench.models import build_model
from rfbench.models.checkpoint import CheckpointError
from rfbench.models.initial import initial_model
from rfbench.models.method import load_method_weights
from rfbench.planning import sample
from rfbench.profiling import profile
from rfbench.report import verdicts
from rfbench.report.aggregate import aggregate
from rfbench.report.deviations import deviations
from rfbench.settings import ConfigError, Settings, complete, recipe_of, run_names, run_settings
from rfbench.training import train
from rfbench.training.step import Update

from ..tiny_run import PAIR, make_settings, plain, same, stop_after, weights


def configured(**changes) -> Settings:
    """The smallest configuration with the method `tiny` beside its pair."""
    return complete({**plain(make_settings()), "methods": ["tiny"], **changes})


def declared(monkeypatch, **changes) -> None:
    """Let `tiny` declare something else."""
    module = methods._module("tiny")
    monkeypatch.setattr(module, "METHOD", dataclasses.replace(module.METHOD, **changes))


def trained(settings: Settings, manifest, folder) -> dict:
    of_run = run_settings(settings, "SYN", "tiny", 0)
    files = {"work": folder / "work", "output": folder / "train.json"}
    return train.train(of_run, recipe_of(settings, "tiny"), settings.device, manifest=manifest, **files)


def test_a_method_stands_behind_the_pairs_and_changes_none_of_their_settings(tiny):
    settings = configured(model={"backbone": "hrnetv2_embedded", "method_options": {"tiny": {"width": 16}}})
    assert run_names(settings) == [("SYN", PAIR, 0), ("SYN", "tiny", 0)]
    alone = make_settings().model_copy(update={"model": settings.model.model_copy(update={"method_options": {}})})
    assert run_settings(settings, "SYN", PAIR, 0).digest == run_settings(alone, "SYN", PAIR, 0).digest
    assert "method" not in json.dumps(run_settings(settings, "SYN", PAIR, 0).model_dump(mode="json"))
    assert "method" not in json.dumps(plain(make_settings()))
    own = run_settings(settings, "SYN", "tiny", 0).model_dump(mode="json")
    assert (own["pair"], own["model"]["method_options"]) == ("tiny", {"tiny": {"width": 16}})
    assert own["model"]["operator_options"] == {}


def test_pairs_may_be_missing_where_there_are_methods(tiny):
    assert [name for _, name, _ in run_names(configured(pairs=[]))] == ["tiny"]
    assert run_names(configured(pairs=[], methods="all"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"methods": ["tinny"]}, "methods: unknown method tinny.*tiny"),
        ({"methods": "tiny"}, "methods: .*`paper`, `all` or a list of methods"),
        ({"methods": [], "pairs": []}, "pairs: expected operator pairs"),
        ({"model": {"method_options": {"tinny": {}}}}, "model.method_options.tinny: unknown method"),
        ({"model": {"method_options": {"tiny": {"depth": 3}}}}, "method_options.tiny: unknown option depth"),
        ({"model": {"method_options": {"tiny": {"width": "x"}}}}, "method_options.tiny.width: expected a number"),
        (
            {"model": {"method_pretrained": {"tiny": {"file": "large", "source": "x", "sha256": "0" * 8}}}},
            "method_pretrained.tiny.file: expected one of small, found large",
        ),
        ({"method_recipes": {"tiny": {"optimiser": 3}}}, "method_recipes.tiny: .*found optimiser.*optimizer"),
        ({"method_recipes": {"tiny": {"threads": 2}}}, "method_recipes.tiny: .*found threads"),
        ({"method_recipes": {"tiny": {"batch_size": 0}}}, "method_recipes.tiny: batch_size.*at least 1"),
        ({"method_recipes": {"tiny": {"micro_batches": 3}}}, "method_recipes.tiny: recipe.micro_batches: must divide"),
    ],
)
def test_mistakes_are_named(tiny, changes, said):
    with pytest.raises(ConfigError, match=said):
        configured(**changes)


def test_crops_smaller_than_the_method_takes_are_refused(tiny, monkeypatch):
    declared(monkeypatch, minimum=96)
    with pytest.raises(ConfigError, match=r"datasets.SYN.crop: expected at least 96x96 for the method tiny"):
        configured()


def test_a_method_may_not_have_the_name_or_the_row_of_a_pair(tiny, monkeypatch):
    declared(monkeypatch, label="M2MRF-A")
    with pytest.raises(ConfigError, match=r"methods: .*tiny.py declares the row M2MRF-A, which is m2mrf_a's"):
        configured()
    monkeypatch.setattr(competitors.operators, "available", lambda: ["tiny"])
    monkeypatch.setattr(competitors.operators, "origin", lambda name: "operators/tiny.py")
    assert "both declare tiny, a method and an operator pair" in competitors.clash("tiny")


def test_a_method_has_its_own_recipe_and_a_configuration_the_last_word(tiny, monkeypatch):
    own = {"type": "AdamW", "lr": 6e-5, "weight_decay": 0.01}
    declared(monkeypatch, recipe={"optimizer": own, "min_lr": 0.0, "batch_size": 2})
    settings = configured()
    recipe = run_settings(settings, "SYN", "tiny", 0).recipe
    assert (recipe.optimizer.lr, recipe.min_lr, recipe.batch_size) == (6e-5, 0.0, 2)
    assert recipe_of(settings, "tiny").batch_size == 2  # the loader's, too
    assert run_settings(settings, "SYN", PAIR, 0).recipe.optimizer.type == "SGD"
    assert not any("lr" in text or "batch" in text for text in deviations(run_settings(settings, "SYN", "tiny", 0)))
    given = configured(method_recipes={"tiny": {"batch_size": 1}})
    assert run_settings(given, "SYN", "tiny", 0).recipe.batch_size == 1
    assert "batch_size 1" in deviations(run_settings(given, "SYN", "tiny", 0))


def test_sizes_follow_the_backbone(tiny):
    count = lambda backbone: sum(p.numel() for p in build_model("tiny", backbone).parameters())  # noqa: E731
    assert count("hrnetv2_w48") == methods.method("tiny").parameters == 32 * 77 + 4 * 33
    assert count("hrnetv2_embedded") == count("hrnetv2_reduced") == 8 * 77 + 4 * 9
    with torch.device("meta"):
        assert build_model("tiny").network.head.weight.is_meta
    with pytest.raises(RFBenchError, match="Unknown option of method 'tiny': depth"):
        build_model("tiny", method_options={"tiny": {"depth": 1}})


def test_a_killed_training_ends_with_the_bytes_of_one_that_was_not(tiny, manifest, tmp_path, monkeypatch):
    settings = configured()
    whole = trained(settings, manifest, tmp_path / "whole")
    with monkeypatch.context() as patched:
        stop_after(patched, 4, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            trained(settings, manifest, tmp_path / "killed")
    again = trained(settings, manifest, tmp_path / "killed")
    assert whole["state"] == again["state"] == "done"
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "killed"))
    assert whole["checkpoint_sha256"] == again["checkpoint_sha256"]


@pytest.fixture
def run_of_tiny(tiny, manifest, tmp_path, monkeypatch):
    """A finished run in a results folder, and its settings."""
    monkeypatch.chdir(tmp_path)
    settings = configured(model={"backbone": "hrnetv2_embedded", "method_options": {"tiny": {"width": 12}}})
    run = runs.of(settings, "SYN", "tiny", 0)
    trained(settings, manifest, run.folder)
    files = {"train_record": run.folder / "train.json", "work": run.folder / "work"}
    evaluate(run, "cpu", manifest=manifest, **files, output=run.folder / "evaluation.json")
    return settings, run


def test_its_record_is_evaluated_and_aggregated_beside_the_pair(run_of_tiny):
    settings, run = run_of_tiny
    assert str(run.folder) == "results/runs/SYN/tiny/seed0"
    metrics = aggregate(settings)
    own = metrics[metrics["pair"] == "tiny"]
    assert set(own["row"]) == {"Tiny"}
    assert set(own["state"]) == {"done"}
    assert set(own["downsample"]) == set(own["upsample"]) == set(own["since"]) == {""}
    assert (
        own["deviations"].iloc[0].startswith("embedded size beside hrnetv2_embedded; no ImageNet weights; tiny with ")
    )
    assert set(metrics.loc[metrics["pair"] == PAIR, "state"]) == {"missing"}


def test_its_checkpoint_says_all_that_predict_and_score_need(run_of_tiny, manifest, tmp_path):
    _, run = run_of_tiny
    checkpoint = run.folder / "work" / "model.pth"
    model = build_model("tiny", "hrnetv2_embedded", method_options={"tiny": {"width": 12}})
    rfbench.load_checkpoint(model, checkpoint)
    assert model.network.head.in_channels == 12
    image = next((manifest.parent / "raw").rglob("*.jpg"))
    assert cli.main(["predict", "--checkpoint", str(checkpoint), "--output", "maps", str(image)]) == 0
    assert len(list((tmp_path / "maps").glob(f"{image.stem}_??.png"))) == 4
    score = ["score", "--checkpoint", str(checkpoint), "--data", str(manifest.parent), "--output", "score.json"]
    assert cli.main([*score, "--save-predictions", "saved"]) == 0
    again = json.loads((tmp_path / "score.json").read_text())["metrics"]
    assert again == json.loads((run.folder / "evaluation.json").read_text())["metrics"]
    assert list((tmp_path / "saved").glob("*.png"))


def test_a_checkpoint_of_another_method_or_width_is_refused(run_of_tiny):
    _, run = run_of_tiny
    with pytest.raises(CheckpointError, match="does not fit this model"):
        rfbench.load_checkpoint(build_model("tiny", "hrnetv2_embedded"), run.folder / "work" / "model.pth")


def test_images_below_the_methods_minimum_are_refused(tiny, monkeypatch):
    declared(monkeypatch, minimum=72)
    with pytest.raises(RFBenchError, match=r"Tiny takes images of at least 72 px .* 70 px high and 80 px wide"):
        build_model("tiny", "hrnetv2_embedded")(torch.zeros(1, 3, 70, 80))


def test_a_loss_of_its_own_trains_it(tiny, monkeypatch):
    """Against plain gradient descent on the same loss."""

    def loss(network, images, labels):
        logits = network(images)
        return F.cross_entropy(torch.cat([logits.new_zeros(len(images), 1, *images.shape[2:]), logits], 1), labels)

    declared(monkeypatch, loss=loss)
    settings = configured(recipe={"optimizer": {"type": "SGD", "lr": 0.1}, "micro_batches": 2, "batch_size": 4})
    run = run_settings(settings, "SYN", "tiny", 0)
    model, other = (initial_model(run, None)[0].train() for _ in range(2))
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(4, 3, 64, 64, generator=generator)
    labels = torch.randint(5, (4, 64, 64), generator=generator)
    losses = Update(model, run.recipe)(images, labels, 0.1)
    expected = [loss(other.network, *part) for part in zip(images.chunk(2), labels.chunk(2), strict=True)]
    (sum(expected) / 2).backward()
    assert torch.equal(losses, torch.stack(expected).detach())
    for mine, theirs in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs - 0.1 * theirs.grad)


def test_the_untrained_network_gives_the_configured_probability(tiny, monkeypatch):
    settings = configured(recipe={"initial_probability": 0.01})
    model = initial_model(run_settings(settings, "SYN", "tiny", 0), None)[0].eval()
    torch.nn.init.zeros_(model.network.head.weight)
    assert torch.allclose(model(torch.randn(1, 3, 64, 64)).sigmoid(), torch.tensor(0.01))
    with pytest.raises(RFBenchError, match="initial_probability: Tiny has no single last convolution"):
        initial_model(run_settings(_without_bias(settings), "SYN", "tiny", 0), None)
    monkeypatch.setattr(type(model.network), "set_prior", lambda self, bias: told.append(bias), raising=False)
    told: list[float] = []
    initial_model(run_settings(settings, "SYN", "tiny", 0), None)
    assert told == [math.log(0.01 / 0.99)]


@pytest.mark.parametrize("name", methods.available())
def test_every_method_can_be_trained_with_an_initial_probability(name):
    """Its bias is in the network, or the method declares that it takes none; no user must say so."""
    bias = math.log(0.01 / 0.99)
    settings = configured(methods=[name], recipe={"initial_probability": 0.01})
    run = run_settings(settings, "SYN", name, 0)
    model, _ = initial_model(run, None)
    held = [key for key, tensor in model.named_parameters() if torch.allclose(tensor, torch.tensor(bias))]
    assert bool(held) == (run.recipe.initial_probability is not None)
    assert deviations(run).count("initial_probability 0.01") == bool(held)
    given = configured(methods=[name], recipe={"initial_probability": 0.01},
                       method_recipes={name: {"initial_probability": 0.5}})  # fmt: skip
    assert recipe_of(given, name).initial_probability == 0.5, "what a user asks of a method goes first"


def _without_bias(settings: Settings) -> Settings:
    model = settings.model.model_copy(update={"method_options": {"tiny": {"bias": False}}})
    return settings.model_copy(update={"model": model})


def imagenet(folder, **changes) -> dict:
    """Tensors of a fabricated ImageNet file for `tiny` of width 8."""
    state = {
        "conv1.weight": torch.randn(8, 3, 5, 5),
        **{f"bn1.{name}": torch.rand(8) for name in ("weight", "bias", "running_mean", "running_var")},
        "fc.weight": torch.randn(1000, 8),
    }
    state = {key: tensor for key, tensor in {**state, **changes}.items() if tensor is not None}
    torch.save({"state_dict": state}, folder / "tiny.pth")
    return state


def test_imagenet_weights_are_mapped_and_counted(tiny, tmp_path):
    state = imagenet(tmp_path)
    path = tmp_path / "tiny.pth"
    sha256 = rfbench.provenance.sha256(path)
    given = {"file": "small", "source": str(path), "sha256": sha256}
    settings = configured(model={"backbone": "hrnetv2_embedded", "method_pretrained": {"tiny": given}})
    run = run_settings(settings, "SYN", "tiny", 0)
    assert (run.model.pretrained, run.model.weights) == (sha256[:8], "small")
    assert run_settings(settings, "SYN", PAIR, 0).model.pretrained == "none"
    model, report = initial_model(run, path)
    assert torch.equal(model.network.stem.weight, state["conv1.weight"])
    assert torch.equal(model.network.norm.running_var, state["bn1.running_var"])
    # initialised: the head's weight and bias, and the batch norm's counter
    assert report == {"loaded": 5, "ignored": 1, "initialised": 3, "sha256": sha256}


def test_a_checkpoint_of_ours_may_be_what_another_starts_from(tiny, tmp_path, monkeypatch):
    model = build_model("tiny", "hrnetv2_embedded")
    torch.save({"state_dict": model.state_dict()}, tmp_path / "model.pth")
    stage = dataclasses.replace(methods.method("tiny").weights["small"], rename=dict, ignored=(r"head\..*",))
    declared(monkeypatch, weights={"stage": stage})
    other = build_model("tiny", "hrnetv2_embedded")
    report = load_method_weights(other, "stage", tmp_path / "model.pth")
    assert torch.equal(other.network.stem.weight, model.network.stem.weight)
    assert not torch.equal(other.network.head.weight, model.network.head.weight)
    assert report == {"loaded": 6, "ignored": 2, "initialised": 2}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"bn1.bias": None}, r"1 missing \(norm.bias\)"),
        ({"conv1.weight": torch.zeros(4, 3, 5, 5)}, r"unknown or of another shape \(stem.weight\)"),
        ({"layer9.weight": torch.zeros(1)}, r"unknown or of another shape \(layer9.weight\)"),
        ({"bn1.running_var": -torch.ones(8)}, "no negative variance"),
    ],
)
def test_another_file_is_refused_and_the_right_one_named(tiny, tmp_path, changes, said):
    imagenet(tmp_path, **changes)
    with pytest.raises(CheckpointError, match=said) as raised:
        load_method_weights(build_model("tiny", "hrnetv2_embedded"), "small", tmp_path / "tiny.pth")
    assert "tiny.pth (nowhere)" in str(raised.value) or "variance" in said


def test_a_missing_file_is_named_with_where_to_get_it(tiny):
    from rfbench.settings import missing_sources

    given = {"file": "small", "source": "/nowhere/tiny.pth", "sha256": "0" * 8}
    (said,) = missing_sources(configured(model={"method_pretrained": {"tiny": given}}))
    assert said.startswith("model.method_pretrained.tiny.source: /nowhere/tiny.pth does not exist.")
    assert said.endswith("The file is called tiny.pth: nowhere.")


def test_only_its_own_file_counts_beside_the_stage(tiny):
    pair, own = stages.parts("train", PAIR), stages.parts("train", tiny)
    assert {name.partition(":")[0] for name in own.keys() - pair.keys()} == {"methods/tiny.py"}
    assert not any("operators/m2mrf" in name for name in own)
    assert not any("rfbench/methods/" in name for name in pair)


def test_its_profile_counts_and_times_it_beside_the_baseline(tiny):
    settings = configured(profile={"rounds": 1, "size": [96, 64], "paper": True})
    conditions = profile.configured(settings)
    assert conditions.pairs == (PAIR, "tiny")
    assert conditions.fused == (PAIR,)
    record = profile.profile(conditions)
    own = record["pairs"]["tiny"]
    assert (own["row"], own["params"]) == ("Tiny", 8 * 77 + 4 * 9)
    assert own["params_w48"] == own["params_w48_expected"] == methods.method("tiny").parameters
    # Multiply-adds of both convolutions at stride 4, and of four neighbours for each enlarged value, two FLOPs each.
    assert own["flops"] == 2 * (16 * 24) * (8 * 75 + 4 * 8) + 8 * (4 * 64 * 96)
    assert own["flops_w48"] == 2 * (128 * 128) * (32 * 75 + 4 * 32) + 8 * (4 * 512 * 512)
    assert "fused" not in own
    assert own["fps_ratio"] > 0
    assert "method_options" not in record


def test_a_pass_that_asks_for_values_is_counted_by_computing_it(tiny, monkeypatch):
    module = methods._module("tiny")

    def build(num_lesions, **options):
        network = module.build(num_lesions, **options)
        own = network.forward
        network.forward = lambda images: own(images) * (2.0 if images.mean().item() > 0 else 1.0)
        return network

    plain_counts = profile.count(profile.Conditions(("tiny",), size=(96, 64), paper=False), "tiny", torch.device("cpu"))
    declared(monkeypatch, build=build)
    profile._counted.cache_clear()
    counts = profile.count(profile.Conditions(("tiny",), size=(96, 64), paper=False), "tiny", torch.device("cpu"))
    assert counts["flops"] == plain_counts["flops"]
    profile._counted.cache_clear()


def test_a_norm_of_one_value_does_not_stop_the_count_of_one_image(tiny, monkeypatch):
    module = methods._module("tiny")

    def build(num_lesions, **options):
        network = module.build(num_lesions, **options)
        own, network.pooled = network.forward, torch.nn.BatchNorm2d(3)
        network.forward = lambda images: own(images) + network.pooled(images.mean((2, 3), keepdim=True)).mean()
        return network

    declared(monkeypatch, build=build)
    profile._counted.cache_clear()
    conditions = profile.Conditions(("tiny",), size=(96, 64), paper=False)
    one = profile.count(conditions, "tiny", torch.device("cpu"))
    two = profile.count(dataclasses.replace(conditions, batch=2), "tiny", torch.device("cpu"))
    profile._counted.cache_clear()
    assert 2 * one["memory"] == pytest.approx(two["memory"], rel=0.01)


def test_a_plan_measures_it_by_its_own_recipe(tiny, monkeypatch):
    declared(monkeypatch, recipe={"batch_size": 2}, minimum=80)
    settings = configured(
        datasets={"SYN": {**plain(make_settings())["datasets"]["SYN"], "crop": [96, 96]}}, pairs=[PAIR]
    )
    seen = []
    synthetic_batch = profile.synthetic_batch
    monkeypatch.setattr(
        profile, "synthetic_batch", lambda shape, *rest: seen.append(shape) or synthetic_batch(shape, *rest)
    )
    measured = sample.measure_network(settings, "tiny", torch.device("cpu"), halvings=1, passes=1)
    assert {shape[0] for shape in seen} == {2}
    assert min(min(shape[2:]) for shape in seen) == 80
    assert measured["bytes"] == 4 * (8 * 77 + 4 * 9 + 16) + 8  # float32 and the batch norm's counter


def test_its_cells_have_verdicts_as_pairs_have(tiny):
    from rfbench.statistics.verdicts import NOT_RUN

    from ..report.test_methods import metrics

    judged = verdicts.cells(verdicts.read_ours(metrics("ddr"), None))
    table = judged[(judged["source"] == "arxiv-v2") & (judged["table"] == "4") & (judged["dataset"] == "DDR")]
    by_row = table.groupby("row")["verdict"].agg(set)
    assert NOT_RUN not in by_row["PSPNet"] | by_row["HRNetV2"] | by_row["M2MRF-C"]
    assert by_row["DNL"] == {NOT_RUN}
    own = table[(table["row"] == "PSPNet") & (table["metric"] == "F") & (table["lesion"] == "SE")].iloc[0]
    frame = metrics("ddr")
    cell = frame[(frame["pair"] == "pspnet") & (frame["metric"] == "f") & (frame["lesion"] == "SE")]
    assert own["ours"] == pytest.approx(100 * cell["value"].mean())
