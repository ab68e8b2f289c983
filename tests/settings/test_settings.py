"""Configuration: defaults are the published recipe, every mistake is one sentence that names its key."""

import argparse
import json
import math
from collections import Counter

import pytest
import yaml
from pydantic import ValidationError

import operators
from rfbench import provenance
from rfbench.commands import prepare as command
from rfbench.data.archive import fingerprint
from rfbench.data.synthetic.plan import Plan
from rfbench.errors import DataError
from rfbench.models.backbones import BACKBONES
from rfbench.models.buildable import network_problems
from rfbench.published import TABLES, published_means
from rfbench.report.deviations import deviations
from rfbench.settings import (
    ConfigError,
    Dataset,
    RunSettings,
    complete,
    evaluation_settings,
    load,
    missing_sources,
    preparation,
    recorded_settings,
    run_names,
    run_settings,
)
from rfbench.settings.experiment import variants
from rfbench.settings.schema import SCHEMA, schema_text

from ..checkout import CONFIGS, ROOT, with_key

SHIPPED = CONFIGS

DATASET = {
    "kind": "synthetic",
    "synthetic": {"train": 2, "test": 1, "factor": 0.1, "seed": 0},
    "scale": [428, 284],
    "crop": [64, 64],
    "iterations": 2,
    "mean": [1, 2, 3],
    "std": [1, 1, 1],
}
SMALL = {"pairs": ["maxpool_bilinear"], "datasets": {"SYN": DATASET}}


OF_DDR = {**DATASET, "synthetic": {**DATASET["synthetic"], "layout": "ddr", "val": 1}}


def with_part(kind: str, count: int) -> dict:
    """SMALL on a real data set with a validation part."""
    section = {key: value for key, value in DATASET.items() if key != "synthetic"}
    return {**SMALL, "datasets": {"Real": {**section, "kind": kind, "source": "x", "validation": {"count": count}}}}


def changed(path: str, value) -> dict:
    """SMALL with one key set, given as a dotted path."""
    return with_key(SMALL, path.split("."), value)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_shipped_configurations_are_complete(path):
    settings = load(path)
    assert settings.seeds
    assert settings == complete(settings.model_dump(mode="json")), "completing twice changes nothing"


def test_defaults_are_the_published_recipe():
    recipe = complete(SMALL).recipe
    assert recipe.optimizer.model_dump() == {"type": "SGD", "lr": 0.01, "momentum": 0.9, "weight_decay": 0.0005}
    assert (recipe.power, recipe.min_lr, recipe.batch_size) == (0.9, 1e-4, 4)
    assert (recipe.ratio, recipe.copies, recipe.train_source) == ((0.5, 2.0), "six", "native")
    assert recipe.name == "published"


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (changed("sed", [1]), ["sed", "unknown key", "Did you mean seeds?"]),
        (changed("recipe.optimiser", {}), ["recipe", "unknown key optimiser", "Did you mean optimizer?"]),
        (changed("pairs", ["m2mrf_e"]), ["pairs", "unknown pair m2mrf_e"]),
        (changed("pairs", [3]), ["pairs.0", "a text", "found 3"]),
        (changed("pairs", ["m2mrf_a", "m2mrf_a"]), ["pairs", "every entry once"]),
        (changed("seeds", [0, 0]), ["seeds", "every entry once", "[0, 0]"]),
        (changed("seeds", ["a"]), ["seeds.0", "a whole number", "'a'"]),
        (changed("seeds", [-1]), ["seeds.0", "at least 0", "found -1"]),
        (changed("seeds", [2**32]), ["seeds.0", "at most 4294967295"]),
        (changed("seeds", [True]), ["seeds.0", "a whole number", "True"]),
        (changed("seeds", []), ["seeds", "a list of at least 1", "found []"]),
        (changed("seeds", 3), ["seeds", "a list", "found 3"]),
        (changed("paper_rows_only", 1), ["paper_rows_only", "true or false"]),
        (changed("datasets.SYN.crop", [32, 32]), ["datasets.SYN.crop", "at least 64", "found 32"]),
        (changed("datasets.SYN.crop", [96]), ["datasets.SYN.crop", "a list of at least 2"]),
        (changed("datasets.SYN.crop", [857, 568]), ["datasets.SYN.crop", "at most 856x568", "found 857x568"]),
        (changed("datasets.SYN.scale", [95, 90]), ["datasets.SYN.scale", "at least 64 px", "as 95x63"]),
        (changed("datasets.SYN.synthetic.factor", 0.04), ["datasets.SYN.synthetic.factor", "at least 0.05", "0.04"]),
        (changed("datasets.SYN.synthetic.val", 2), ["datasets.SYN.synthetic.val", "expected 0"]),
        (changed("datasets.SYN.std", [1, 0, 1]), ["datasets.SYN.std.1", "more than 0"]),
        (changed("datasets.SYN.iterations", 0), ["datasets.SYN.iterations", "at least 1"]),
        (changed("evaluation.split", "val"), ["datasets.SYN", "evaluation.split is val", "no validation images"]),
        (changed("datasets.SYN.validation", {"seed": 1}), ["datasets.SYN.validation", "count is missing"]),
        (changed("datasets.SYN.validation", {"count": 0}), ["datasets.SYN.validation.count", "at least 1", "found 0"]),
        (changed("datasets.SYN.validation", {"count": 1.5}), ["datasets.SYN.validation.count", "a whole number"]),
        (changed("datasets.SYN.validation", {"count": 1, "seed": -1}), ["validation.seed", "at least 0", "found -1"]),
        (
            changed("datasets.SYN.validation", {"count": DATASET["synthetic"]["train"]}),
            ["datasets.SYN.validation.count", f"fewer than the {DATASET['synthetic']['train']} training images"],
        ),
        (with_part("idrid", 54), ["datasets.Real.validation.count", "fewer than the 54 training images, found 54"]),
        (with_part("ddr", 10), ["datasets.Real.validation", "validation images of its own"]),
        (
            changed("datasets.SYN", {**OF_DDR, "validation": {"count": 1}}),
            ["datasets.SYN.validation", "validation images of its own"],
        ),
        (changed("evaluation.split", "dev"), ["evaluation.split", "one of test, val", "'dev'"]),
        (changed("model.backbone", "hrnet"), ["model.backbone", "hrnetv2_w48, hrnetv2_reduced", "'hrnet'"]),
        (changed("model.operator_options", {"m2mrt": {}}), ["model.operator_options.m2mrt", "Did you mean m2mrf?"]),
        (
            changed("model.operator_options", {"m2mrf": {"patchsize": 4}}),
            ["model.operator_options.m2mrf", "unknown option patchsize", "Did you mean patch_size?"],
        ),
        (
            changed("model.operator_options", {"m2mrf": {"patch_size": "4"}}),
            ["model.operator_options.m2mrf.patch_size", "a number", "'4'"],
        ),
        (
            changed("recipe.optimizer", {"type": "AdamW", "lr": 0.1, "momentum": 0.9}),
            ["recipe.optimizer.momentum", "SGD only", "AdamW"],
        ),
        (changed("recipe.min_lr", 0.5), ["recipe.min_lr", "at most the starting rate 0.01", "0.5"]),
        ({**changed("recipe.amp", "float16"), "device": "cpu"}, ["recipe.amp", "needs a GPU"]),
        (changed("recipe.micro_batches", 3), ["recipe.micro_batches", "divide batch_size 4"]),
        (changed("recipe.ratio", [2.0, 0.5]), ["recipe.ratio"]),
        (changed("model.pretrained", {"source": "x.pth"}), ["model.pretrained"]),
        (changed("datasets.SYN.eval_size", "half"), ["datasets.SYN.eval_size", "half"]),
        (changed("datasets.SYN.lesions", ["MA"]), ["datasets.SYN.lesions", "kind folder"]),
        (changed("datasets.SYN.lesions", ["mean"]), ["datasets.SYN.lesions", "mean"]),
        ({**SMALL, "datasets": {"IDRiD": DATASET}}, ["datasets.IDRiD", "begin with SYN"]),
        ({"pairs": ["maxpool_bilinear"]}, ["top level", "datasets is missing"]),
        (changed("datasets", {}), ["datasets", "a mapping of at least 1"]),
        (changed("pairs", []), ["pairs", "`paper` or `all`", "found none"]),
        (changed("pairs", "m2mrf_c"), ["pairs", "`paper`, `all` or a list of pairs", "'m2mrf_c'"]),
        (changed("recipe.time_limit", "1h"), ["recipe.time_limit", "a number or null", "'1h'"]),
        (changed("recipe.optimizer.lr", math.nan), ["recipe.optimizer.lr", "a number", "nan"]),
        (changed("results", "a b's"), ["results", "without quotes", "a b's"]),
        (changed("results", "a\0b"), ["results", "without quotes", r"a\x00b"]),
        (changed("seeds", ["²"]), ["seeds.0", "a whole number", "'²'"]),
        (changed("seeds", [1.0]), ["seeds.0", "a whole number", "found 1.0"]),
        (changed("recipe.name", "a\nb"), ["recipe.name", "a text of one line", r"'a\nb'"]),
        (changed("recipe.name", 7), ["recipe.name", "a text", "found 7. Write it in quotes."]),
        (changed("recipe.min_lr", "1e-5"), ["recipe.min_lr", "a number", "'1e-5'", "write 1.0e-05"]),
        (changed("recipe.workers", 100000), ["recipe.workers", "at most 256, found 100000: each is a process"]),
        (changed("recipe.batch_size", 10**7), ["recipe.batch_size", "at most 4096, found 10000000: a batch"]),
        (changed("recipe.threads", 10000), ["recipe.threads", "at most 1024, found 10000: no machine"]),
        (changed("recipe.optimizer", {"type": "SGD", "lr": 1, "momentum": -5}), ["momentum", "at least 0, found -5"]),
        (changed("recipe.optimizer", {"type": "SGD", "lr": 1, "momentum": 5}), ["momentum", "at most 1, found 5: "]),
        (changed("recipe.time_limit", 1e9), ["recipe.time_limit", "at most 8760, found 1000000000.0: that is a year"]),
        (changed("datasets.SYN.iterations", 10**30), ["datasets.SYN.iterations", "at most 100000000", "11 days"]),
        (changed("datasets.SYN.scale", [40000, 284]), ["datasets.SYN.scale.0", "at most 32767, found 40000: OpenCV"]),
        (changed("datasets.SYN.scale", [20000, 900]), ["datasets.SYN.scale", "at most 32767 px", "found 40000x1800"]),
        (changed("datasets.SYN.crop", [96, 64, 64]), ["datasets.SYN.crop", "a list of at most 2", "[96, 64, 64]"]),
        (changed("datasets.SYN.source", "x"), ["datasets.SYN.source", "expected none for kind synthetic"]),
        (changed("datasets.S Y", DATASET), ["datasets: expected the form [A-Za-z0-9]", "found 'S Y'"]),
        ({**SMALL, 1: 2}, ["top level: unknown key 1."]),
        ({**SMALL, "a\x1b[2J": 2}, [r"top level: unknown key a\x1b[2J."]),
        (changed("model.pretrained", None), ["model.pretrained", "`none`, or", "found None"]),
        (changed("model.pretrained", {"source": "x.pth"}), ["expected the keys source, sha256; sha256 is missing"]),
        (changed("model.operator_options", {"m2mrf": {"alpha": math.inf}}), ["m2mrf.alpha", "a number", "found inf"]),
    ],
)
def test_mistakes_are_named(config, words):
    with pytest.raises(ConfigError) as caught:
        complete(config, "my.yaml")
    for word in ["my.yaml", *words]:
        assert word in str(caught.value)


def test_an_unknown_kind_misses_no_key_of_another():
    with pytest.raises(ConfigError) as caught:
        complete(changed("datasets.SYN.kind", "idird"))
    assert "datasets.SYN.kind: expected one of idrid, ddr, folder, synthetic, found 'idird'" in str(caught.value)
    assert "missing" not in str(caught.value)


def test_keys_that_a_kind_needs_are_named_with_the_others():
    with pytest.raises(ConfigError) as caught:
        complete({"datasets": {"IDRiD": {"kind": "idrid"}, "SYN": {"kind": "synthetic"}}, "pairs": "all"})
    needed = "kind, scale, crop, iterations, mean, std"
    assert str(caught.value).splitlines() == [
        f"configuration: datasets.IDRiD: expected the keys {needed}, source; "
        "scale, crop, iterations, mean, std, source is missing.",
        f"configuration: datasets.SYN: expected the keys {needed}, synthetic; "
        "synthetic, scale, crop, iterations, mean, std is missing.",
    ]


def test_limits_of_the_schema_are_those_of_the_generator():
    limits = json.loads(SCHEMA.read_text())["$defs"]["Synthetic"]["properties"]
    plan = {"train": 2, "test": 1, "factor": 0.1, "seed": 0, "layout": "ddr"}
    for key in ("train", "val", "test", "factor", "seed", "contrast"):
        low, high = limits[key]["minimum"], limits[key]["maximum"]
        step = 1 if limits[key]["type"] == "integer" else 0.01
        for value in (low, high):
            Plan(**{**plan, key: value})
        for value in (low - step, high + step):
            with pytest.raises(DataError, match=key):
                Plan(**{**plan, key: value})


def test_backbones_of_the_schema_are_those_that_exist():
    schema = json.loads(SCHEMA.read_text())
    assert schema["$defs"]["Model"]["properties"]["backbone"]["enum"] == list(BACKBONES)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"patch_size": 1}, ["M2MRF: patch_size", "whole number"]),
        ({"alpha": 4096}, ["M2MRF: 96 channels", "alpha 4096"]),
        ({"reduction": 0}, ["cannot build m2mrf_c", "division by zero"]),
        ({"patch_size": 2.5}, ["m2mrf_c", "2.5"]),
        ({"init": "zeros"}, ["init must be one of xavier, gaussian"]),
    ],
)
def test_a_network_that_cannot_be_built_is_named(options, words):
    written = {**changed("model.operator_options", {"m2mrf": options}), "pairs": ["m2mrf_c", "maxpool_bilinear"]}
    (problem,) = network_problems(complete(written))
    for word in ["model.operator_options", *words]:
        assert word in problem


def test_networks_that_can_be_built_are_no_problem():
    assert network_problems(load(ROOT / "config" / "ci.yaml")) == []


def test_all_mistakes_at_once():
    config = changed("recipe.ratio", [2.0, 0.5])
    config["pairs"] = ["nonsense"]
    with pytest.raises(ConfigError) as caught:
        complete(config)
    assert len(str(caught.value).splitlines()) == 2
    with pytest.raises(ConfigError) as caught:
        complete({"datasets": {"SYN": {}}})
    missing = [line for line in str(caught.value).splitlines() if "iterations" in line]
    assert len(missing) == 1, "one sentence for all missing keys"


def test_every_key_is_described():
    schema = json.loads(SCHEMA.read_text())
    sections = {"Settings": schema, **schema["$defs"]}
    assert len(sections) == 11, (
        "the whole, data set, generator, validation, model, weights, a method's, recipe, optimiser, evaluation, profile"
    )
    undescribed = [
        f"{name}.{key}"
        for name, section in sections.items()
        for key, about in section["properties"].items()
        if not (about.get("description") or sections[about["$ref"].rsplit("/")[-1]].get("description"))
    ]
    assert undescribed == []


def test_the_schema_file_is_current():
    assert SCHEMA.read_text() == schema_text(), "run `make schema`"


def test_settings_are_frozen():
    settings = complete(SMALL)
    with pytest.raises(ValidationError, match="frozen"):
        settings.recipe.batch_size = 8
    with pytest.raises(ValidationError, match="frozen"):
        settings.datasets["SYN"].iterations = 8


def test_run_settings_hold_only_what_changes_a_run():
    own = run_settings(complete(SMALL), "SYN", "maxpool_bilinear", 0)

    def with_change(path: str, value) -> RunSettings:
        return run_settings(complete(changed(path, value)), "SYN", "maxpool_bilinear", 0)

    for path, value in [
        ("seeds", [0, 5]),
        ("pairs", ["maxpool_bilinear", "m2mrf_a"]),
        ("recipe.log_interval", 7),
        ("recipe.time_limit", 7),
        ("recipe.name", "mine"),
        ("recipe.workers", 0),
        ("recipe.foreground", 0.0),
        ("recipe.dice", "image"),
        ("recipe.initial_probability", None),
        ("model.operator_options", {"m2mrf": {"patch_size": 4}}),  # another operator's
        ("datasets.SYN.eval_size", "prepared"),  # of the evaluation alone
        ("datasets.SYN.mean", [1.0, 2.0, 3.0]),  # the same number, written otherwise
    ]:
        assert with_change(path, value) == own, path
        assert with_change(path, value).digest == own.digest, path
    for path, value in [
        ("recipe.power", 1.0),
        ("recipe.threads", 2),
        ("recipe.foreground", 0.5),
        ("recipe.dice", "batch"),
        ("recipe.initial_probability", 0.5),
        ("recipe.cross_entropy", 1),
        ("recipe.positive_weight", 100),
        ("datasets.SYN.iterations", 3),
        ("datasets.SYN.synthetic.contrast", 2),
        ("model.backbone", "hrnetv2_reduced"),
    ]:
        assert with_change(path, value) != own, path
        assert with_change(path, value).digest != own.digest, path


def test_keys_that_came_later_stay_out_of_settings_that_do_not_use_them():
    """So that records of before there were the keys have the digests of today."""
    later = {"foreground": 0.5, "dice": "batch", "cross_entropy": 1.0, "positive_weight": 100.0}
    later |= {"initial_probability": 0.01, "compile": True}
    without = run_settings(complete(SMALL), "SYN", "maxpool_bilinear", 0)
    used = run_settings(complete(changed("recipe", later)), "SYN", "maxpool_bilinear", 0)
    assert not later.keys() & without.model_dump(mode="json")["recipe"].keys()
    assert later.items() <= used.model_dump(mode="json")["recipe"].items()
    said = deviations(used)
    assert {"foreground 0.5", "dice batch", "positive_weight 100.0", "initial_probability 0.01"} <= set(said)
    assert not any("compile" in words for words in said), "it changes low bits alone"
    assert recorded_settings({"settings": used.model_dump(mode="json")}) == used


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("default", "fb65daacac12"),
        ("idrid", "a0c9efef39a0"),
        ("ddr", "14a05716dfae"),
        ("since", "e3a0ded10772"),
        ("ablation", "bc4da6ad1d85"),
    ],
)
def test_runs_of_before_keep_their_digests(name, digest):
    """A key that is not given leaves the digest alone, or everybody's finished runs would be trained again."""
    settings = load(ROOT / "config" / f"{name}.yaml")
    assert provenance.digest([run_settings(settings, *run).digest for run in run_names(settings)]) == digest


def test_a_validation_part_is_of_the_run_and_is_said():
    plain_run = run_settings(complete(SMALL), "SYN", "maxpool_bilinear", 0)
    runs = [
        run_settings(complete(changed("datasets.SYN.validation", part)), "SYN", "maxpool_bilinear", 0)
        for part in ({"count": 1}, {"count": 1, "seed": 1})
    ]
    assert len({plain_run.digest, *(run.digest for run in runs)}) == 3
    assert "validation" not in plain_run.model_dump()["dataset"]
    assert set(deviations(runs[1])) - set(deviations(plain_run)) == {"1 of the training images held out (seed 1)"}
    written = changed("datasets.SYN.validation", {"count": 1, "seed": 3})
    written["evaluation"] = {"split": "val"}
    made = complete(written).datasets["SYN"]
    arguments = argparse.ArgumentParser()
    command.add_arguments(arguments)
    parsed = vars(arguments.parse_args([*preparation(made), "--output", "out"]))
    assert (parsed["validation"], parsed["validation_seed"]) == (1, 3)


def test_photographs_change_no_run_and_are_published_with_their_licence():
    plain_run = complete(SMALL)
    shown = changed("datasets.SYN.photographs", "publish")
    with pytest.raises(ConfigError, match=r"datasets\.SYN\.licence: expected a text, since photographs is publish"):
        complete(shown)
    shown["datasets"]["SYN"] |= {"licence": "CC BY 4.0", "attribution": "A. Body"}
    settings = complete(shown)
    assert settings.datasets["SYN"].photographs == "publish"
    assert [run_settings(one, "SYN", "maxpool_bilinear", 0).digest for one in (settings, plain_run)] == [
        run_settings(plain_run, "SYN", "maxpool_bilinear", 0).digest
    ] * 2
    written = plain_run.model_dump(mode="json")["datasets"]["SYN"]
    assert not {"photographs", "licence", "attribution"} & set(written), "what was not given stays out"
    with pytest.raises(ConfigError, match=r"datasets\.SYN\.photographs: expected .*never.*found 'always'"):
        complete(changed("datasets.SYN.photographs", "always"))


def test_the_digest_identifies_pretrained_weights_wherever_they_lie():
    def with_weights(source: str, sha256: str) -> RunSettings:
        settings = complete(changed("model.pretrained", {"source": source, "sha256": sha256}))
        return run_settings(settings, "SYN", "maxpool_bilinear", 0)

    here, there = with_weights("https://example.org/w.pth", "d2186c55"), with_weights("/mnt/w.pth", "D2186C55")
    assert here.digest == there.digest
    assert here.model.pretrained == "d2186c55"
    assert with_weights("/mnt/w.pth", "d2186c56").digest != here.digest
    assert run_settings(complete(SMALL), "SYN", "maxpool_bilinear", 0).model.pretrained == "none"


def test_the_settings_of_a_record_are_read_back_of_earlier_versions_too():
    weights = {"source": "https://example.org/w.pth", "sha256": "d2186c55"}
    settings = complete(changed("model.pretrained", weights))
    own = run_settings(settings, "SYN", "maxpool_bilinear", 0)
    record = {"settings": json.loads(json.dumps(own.model_dump(mode="json")))}
    assert recorded_settings(record) == own
    record["settings"]["model"]["pretrained"] = weights
    record["settings"]["recipe"]["name"] = "published"
    record["settings"]["dataset"]["mean"] = [1, 2, 3]
    assert recorded_settings(record) == own
    assert recorded_settings(record).digest == own.digest
    record["settings"]["recipe"]["power"] = 1
    assert recorded_settings(record) != own
    for damaged in (
        {},
        {"settings": None},
        {"settings": {"model": "x"}},
        {"settings": {**record["settings"], "seed": "0"}},
    ):
        assert recorded_settings(damaged) is None


@pytest.mark.parametrize(("name", "dataset", "size"), [("idrid", "IDRiD", "native"), ("ddr", "DDR", "prepared")])
def test_shipped_protocols_are_the_published_ones(name, dataset, size):
    settings = load(ROOT / "config" / f"{name}.yaml")
    assert deviations(run_settings(settings, dataset, "m2mrf_c", 0)) == []
    assert evaluation_settings(settings, dataset).eval_size == size


def test_deviations_are_said_in_the_recipes_order():
    written = changed("recipe", {"ratio": [1, 2], "batch_size": 2, "optimizer": {"lr": 0.1, "type": "AdamW"}})
    written["datasets"]["SYN"]["synthetic"]["contrast"] = 6
    assert deviations(run_settings(complete(written), "SYN", "maxpool_bilinear", 0)) == [
        "no ImageNet weights",
        "synthetic images at 0.1 of the real size, lesions' contrast x6",
        "scale 428x284",
        "crop 64x64",
        "iterations 2",
        "optimizer AdamW lr 0.1",
        "batch_size 2",
        "ratio 1.0 to 2.0",
    ]


def test_the_pairs_since_the_paper_are_configured_in_its_setting():
    since, paper = (load(ROOT / "config" / name) for name in ("since.yaml", "paper.yaml"))
    new = set(operators.available()) - set(operators.published())
    assert set(since.pairs) == {"strideconv_bilinear"} | new
    assert load(ROOT / "config" / "since_ci.yaml").pairs == since.pairs
    assert list(variants(since)) == ["spd_bilinear_kernel_1"]
    for dataset in ("DDR", "IDRiD"):
        for pair in since.pairs:
            assert deviations(run_settings(since, dataset, pair, 0)) == []
        one, other = (run_settings(settings, dataset, "strideconv_bilinear", 0) for settings in (since, paper))
        assert one == other
    assert since.results == paper.results, "the baseline's runs are found there"


def test_the_papers_pairs_are_those_of_its_tables():
    pairs = complete({**SMALL, "pairs": "paper"}).pairs
    assert len(pairs) == 18
    printed = {row for table in TABLES.values() if table.layout == "ddr" for row, _ in published_means(table)}
    assert {operators.get(pair).published_name for pair in pairs} == printed


def test_all_pairs_are_the_registered_ones():
    settings = complete({**SMALL, "pairs": "all"})
    assert list(settings.pairs) == operators.available()
    assert len(run_names(settings)) == 3 * len(operators.available())


@pytest.mark.parametrize(("paper_rows_only", "ddr", "idrid"), [(False, 18, 18), (True, 18, 12)])
def test_runs_of_the_paper(paper_rows_only, ddr, idrid):
    text = yaml.safe_load((ROOT / "config" / "paper.yaml").read_text())
    every = run_names(complete({**text, "paper_rows_only": paper_rows_only}))
    assert Counter(dataset for dataset, _, _ in every) == {"DDR": 3 * ddr, "IDRiD": 3 * idrid}
    assert len(set(every)) == len(every)
    assert ("IDRiD", "m2mrf_c", 2) in every
    only_on_ddr = ("IDRiD", "m2mrf_cascade_bilinear", 0)  # a row of Table 2, which is about DDR
    assert (only_on_ddr in every) is not paper_rows_only


def test_paper_files_of_one_data_set_are_parts_of_the_whole():
    paper = load(ROOT / "config" / "paper.yaml")
    for name, dataset in (("idrid", "IDRiD"), ("ddr", "DDR")):
        part = load(ROOT / "config" / f"{name}.yaml")
        assert set(run_names(part)) <= set(run_names(paper))
        own = [run_settings(settings, dataset, "m2mrf_c", 0) for settings in (part, paper)]
        assert own[0].digest == own[1].digest, "a run made for one is found by the other"


def test_a_data_set_without_a_printed_row_is_named():
    with pytest.raises(ConfigError, match=r"paper_rows_only: .* datasets\.SYN \(kind synthetic\)"):
        complete({**SMALL, "pairs": ["m2mrf_cascade_bilinear"], "paper_rows_only": True})


def test_evaluation_size_follows_the_layout():
    ddr = complete(changed("datasets.SYN.synthetic.layout", "ddr")).datasets["SYN"]
    assert (ddr.eval_size, ddr.layout) == ("prepared", "ddr")
    assert complete(SMALL).datasets["SYN"].eval_size == "native"


def test_profiled_images_are_as_large_as_the_first_data_sets():
    assert complete(SMALL).profile.size == (428, 284)
    assert complete(changed("profile.rounds", 2)).profile.size == (428, 284)
    assert complete(changed("profile.size", [96, 64])).profile.size == (96, 64)


def own_data(source: str) -> Dataset:
    section = {key: value for key, value in DATASET.items() if key != "synthetic"}
    written = {**section, "kind": "folder", "source": source, "lesions": ["MA", "NV"]}
    return complete({**SMALL, "datasets": {"Mine": written}}).datasets["Mine"]


def test_preparation_is_what_the_command_takes(monkeypatch):
    monkeypatch.delenv("RFBENCH_DATA", raising=False)
    words = ["folder", "--source=data/it's $(mine)", "--lesions", "MA", "NV"]
    assert preparation(own_data("$RFBENCH_DATA/it's $(mine)")) == words
    made = complete(SMALL).datasets["SYN"]
    arguments = argparse.ArgumentParser()
    command.add_arguments(arguments)
    parsed = arguments.parse_args([*preparation(made), "--output", "out"])
    assert made.synthetic.model_dump().items() <= vars(parsed).items()


def test_missing_archive_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("RFBENCH_DATA", str(tmp_path))
    settings = load(ROOT / "config" / "idrid.yaml")
    (sentence,) = missing_sources(settings)
    assert "datasets.IDRiD.source" in sentence
    assert str(tmp_path) in sentence
    (tmp_path / "A. Segmentation.zip").write_bytes(b"")
    assert missing_sources(settings) == []


@pytest.mark.parametrize(
    "source",
    ["http://x' \"$(touch pwned)\" '", "file:///w.pth", "://", "http://", "ftp://a/b", "w.pth", "https://a b/w.pth"],
)
def test_what_is_no_address_must_exist(source):
    settings = complete(changed("model.pretrained", {"source": source, "sha256": "d2186c55"}))
    (sentence,) = missing_sources(settings)
    assert sentence.startswith(f"model.pretrained.source: {source} does not exist.")


def test_an_address_is_not_looked_for():
    weights = {"source": "https://example.org/a%20b/w.pth?raw=1", "sha256": "d2186c55"}
    assert missing_sources(complete(changed("model.pretrained", weights))) == []


def test_source_fingerprint_follows_content_not_dates(tmp_path):
    tree = tmp_path / "tree"
    assert fingerprint(tree) == "absent"
    tree.mkdir()
    image = tree / "a.jpg"
    image.write_bytes(b"123")
    before = fingerprint(tree)
    image.touch()
    assert fingerprint(tree) == before
    image.write_bytes(b"1234")
    assert fingerprint(tree) != before


def test_load_names_a_missing_or_broken_file(tmp_path):
    with pytest.raises(
        ConfigError, match=r"expected a configuration file, found one that cannot be read \(Is a directory"
    ):
        load(tmp_path)
    with pytest.raises(ConfigError, match="no such configuration"):
        load(tmp_path / "absent.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("pairs: [")
    with pytest.raises(ConfigError, match="not readable as YAML"):
        load(broken)
    broken.write_text("- a list")
    with pytest.raises(ConfigError, match="a mapping of keys is expected"):
        load(broken)


@pytest.mark.parametrize("name", ["paper", "idrid", "ddr", "ablation"])
def test_what_a_cpu_would_take_months_for_says_so(name):
    """A wrong lock file, an old driver or a node without GPU must not pass silently."""
    assert load(ROOT / "config" / f"{name}.yaml").device == "cuda"
