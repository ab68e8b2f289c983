"""Configuration: defaults are the published recipe, every mistake is one sentence that names its key."""

import argparse
import copy
import math
import shlex
from collections import Counter

import pytest
import yaml

import operators
from rfbench import config as configuration
from rfbench.config import ConfigError
from rfbench.config.protocol import printed_rows
from rfbench.data import prepare
from rfbench.data.synthetic import Plan
from rfbench.errors import DataError
from rfbench.models import segmentor
from rfbench.models.backbones import BACKBONES

from .checkout import ROOT

SHIPPED = sorted((ROOT / "config").glob("*.yaml"))

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


def changed(path: str, value) -> dict:
    """SMALL with one key set, given as a dotted path."""
    config = copy.deepcopy(SMALL)
    *parents, last = path.split(".")
    section = config
    for parent in parents:
        section = section.setdefault(parent, {})
    section[last] = value
    return config


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_shipped_configurations_are_complete(path):
    config = configuration.load(path)
    assert config["seeds"]
    assert config == configuration.complete(config), "completing twice changes nothing"


def test_defaults_are_the_published_recipe():
    recipe = configuration.complete(SMALL)["recipe"]
    assert recipe["optimizer"] == {"type": "SGD", "lr": 0.01, "momentum": 0.9, "weight_decay": 0.0005}
    assert (recipe["power"], recipe["min_lr"], recipe["batch_size"]) == (0.9, 1e-4, 4)
    assert (recipe["ratio"], recipe["copies"], recipe["train_source"]) == ([0.5, 2.0], "six", "native")
    assert recipe["name"] == "published"


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
    ],
)
def test_mistakes_are_named(config, words):
    with pytest.raises(ConfigError) as caught:
        configuration.complete(config, "my.yaml")
    for word in ["my.yaml", *words]:
        assert word in str(caught.value)


def test_an_unknown_kind_misses_no_key_of_another():
    with pytest.raises(ConfigError) as caught:
        configuration.complete(changed("datasets.SYN.kind", "idird"))
    assert "datasets.SYN.kind: expected one of idrid, ddr, folder, synthetic, found 'idird'" in str(caught.value)
    assert "missing" not in str(caught.value)


def test_limits_of_the_schema_are_those_of_the_generator():
    schema = yaml.safe_load(configuration.SCHEMA.read_text())
    limits = schema["$defs"]["dataset"]["properties"]["synthetic"]["properties"]
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
    schema = yaml.safe_load(configuration.SCHEMA.read_text())
    assert schema["properties"]["model"]["properties"]["backbone"]["enum"] == list(BACKBONES)
    assert configuration.MIN_SIZE == segmentor.MIN_SIZE


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
    config = {**changed("model.operator_options", {"m2mrf": options}), "pairs": ["m2mrf_c", "maxpool_bilinear"]}
    (problem,) = configuration.network_problems(configuration.complete(config))
    for word in ["model.operator_options", *words]:
        assert word in problem


def test_networks_that_can_be_built_are_no_problem():
    assert configuration.network_problems(configuration.load(ROOT / "config" / "ci.yaml")) == []


def test_all_mistakes_at_once():
    config = changed("recipe.ratio", [2.0, 0.5])
    config["pairs"] = ["nonsense"]
    with pytest.raises(ConfigError) as caught:
        configuration.complete(config)
    assert len(str(caught.value).splitlines()) == 2
    with pytest.raises(ConfigError) as caught:
        configuration.complete({"datasets": {"SYN": {}}})
    missing = [line for line in str(caught.value).splitlines() if "iterations" in line]
    assert len(missing) == 1, "one sentence for all missing keys"


def test_every_key_is_described():
    schema = yaml.safe_load(configuration.SCHEMA.read_text())

    def undescribed(section: dict, name: str) -> list[str]:
        found = []
        for key, sub in section.get("properties", {}).items():
            found += [f"{name}.{key}"] * ("description" not in sub) + undescribed(sub, f"{name}.{key}")
        return found

    assert undescribed(schema, "") + undescribed(schema["$defs"]["dataset"], "dataset") == []


def test_run_settings_hold_only_what_changes_a_run():
    config = configuration.complete(SMALL)
    settings = configuration.run_settings(config, "SYN", "maxpool_bilinear", 0)

    def digest_with(path: str, value) -> str:
        other = configuration.complete(changed(path, value))
        return configuration.digest(configuration.run_settings(other, "SYN", "maxpool_bilinear", 0))

    same, own = configuration.digest(settings), digest_with
    assert own("seeds", [0, 5]) == same
    assert own("pairs", ["maxpool_bilinear", "m2mrf_a"]) == same
    assert own("recipe.log_interval", 7) == same
    assert own("recipe.time_limit", 7) == same
    assert own("model.operator_options", {"m2mrf": {"patch_size": 4}}) == same, "another operator's option"
    assert own("datasets.SYN.eval_size", "prepared") == same, "of the evaluation alone"
    assert own("recipe.power", 1.0) != same
    assert own("datasets.SYN.iterations", 3) != same


@pytest.mark.parametrize(("name", "dataset", "size"), [("idrid", "IDRiD", "native"), ("ddr", "DDR", "prepared")])
def test_shipped_protocols_are_the_published_ones(name, dataset, size):
    config = configuration.load(ROOT / "config" / f"{name}.yaml")
    assert configuration.deviations(configuration.run_settings(config, dataset, "m2mrf_c", 0)) == []
    assert configuration.evaluation_settings(config, dataset)["eval_size"] == size


def test_the_pairs_since_the_paper_are_configured_in_its_setting():
    since, paper = (configuration.load(ROOT / "config" / name) for name in ("since.yaml", "paper.yaml"))
    new = set(operators.available()) - set(operators.published())
    assert set(since["pairs"]) == {"strideconv_bilinear"} | new
    assert configuration.load(ROOT / "config" / "since_ci.yaml")["pairs"] == since["pairs"]
    assert list(configuration.variants(since)) == ["spd_bilinear_kernel_1"]
    for dataset in ("DDR", "IDRiD"):
        for pair in since["pairs"]:
            assert configuration.deviations(configuration.run_settings(since, dataset, pair, 0)) == []
        settings = [configuration.run_settings(config, dataset, "strideconv_bilinear", 0) for config in (since, paper)]
        assert settings[0] == settings[1]
    assert since["results"] == paper["results"], "the baseline's runs are found there"


def test_all_pairs_are_the_registered_ones():
    config = configuration.complete({**SMALL, "pairs": "all"})
    assert config["pairs"] == operators.available()
    assert len(configuration.runs(config)) == 3 * len(operators.available())


def test_the_papers_pairs_are_those_of_its_tables():
    config = configuration.complete({**SMALL, "pairs": "paper"})
    assert len(config["pairs"]) == 18
    printed = printed_rows("ddr")
    assert {operators.get(pair).published_name for pair in config["pairs"]} == printed


@pytest.mark.parametrize(("paper_rows_only", "ddr", "idrid"), [(False, 18, 18), (True, 18, 12)])
def test_runs_of_the_paper(paper_rows_only, ddr, idrid):
    text = yaml.safe_load((ROOT / "config" / "paper.yaml").read_text())
    config = configuration.complete({**text, "paper_rows_only": paper_rows_only})
    runs = configuration.runs(config)
    assert Counter(dataset for dataset, _, _ in runs) == {"DDR": 3 * ddr, "IDRiD": 3 * idrid}
    assert len(set(runs)) == len(runs)
    assert ("IDRiD", "m2mrf_c", 2) in runs
    only_on_ddr = ("IDRiD", "m2mrf_cascade_bilinear", 0)  # a row of Table 2, which is about DDR
    assert (only_on_ddr in runs) is not paper_rows_only


def test_paper_files_of_one_data_set_are_parts_of_the_whole():
    paper = configuration.load(ROOT / "config" / "paper.yaml")
    for name, dataset in (("idrid", "IDRiD"), ("ddr", "DDR")):
        part = configuration.load(ROOT / "config" / f"{name}.yaml")
        assert set(configuration.runs(part)) <= set(configuration.runs(paper))
        settings = [configuration.run_settings(config, dataset, "m2mrf_c", 0) for config in (part, paper)]
        assert settings[0] == settings[1], "a run made for one is found by the other"


def test_a_data_set_without_a_printed_row_is_named():
    with pytest.raises(ConfigError, match=r"paper_rows_only: .* datasets\.SYN \(kind synthetic\)"):
        configuration.complete({**SMALL, "pairs": ["m2mrf_cascade_bilinear"], "paper_rows_only": True})


def test_evaluation_size_follows_the_layout():
    ddr = configuration.complete(changed("datasets.SYN.synthetic.layout", "ddr"))["datasets"]["SYN"]
    assert (ddr["eval_size"], configuration.published_layout(ddr)) == ("prepared", "ddr")
    assert configuration.complete(SMALL)["datasets"]["SYN"]["eval_size"] == "native"


def test_preparation_is_quoted_for_the_shell(monkeypatch):
    monkeypatch.delenv("RFBENCH_DATA", raising=False)
    own = {"kind": "folder", "source": "$RFBENCH_DATA/it's mine", "lesions": ["MA", "NV"]}
    words = ["folder", "--source", "data/it's mine", "--lesions", "MA", "NV"]
    assert shlex.split(configuration.preparation(own)) == words
    made = configuration.complete(SMALL)["datasets"]["SYN"]
    arguments = argparse.ArgumentParser()
    prepare.add_arguments(arguments)
    parsed = arguments.parse_args([*shlex.split(configuration.preparation(made)), "--output", "out"])
    assert made["synthetic"].items() <= vars(parsed).items()


def test_missing_archive_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("RFBENCH_DATA", str(tmp_path))
    config = configuration.load(ROOT / "config" / "idrid.yaml")
    (sentence,) = configuration.missing_sources(config)
    assert "datasets.IDRiD.source" in sentence
    assert str(tmp_path) in sentence
    (tmp_path / "A. Segmentation.zip").write_bytes(b"")
    assert configuration.missing_sources(config) == []


def test_source_fingerprint_follows_content_not_dates(tmp_path):
    dataset = {"source": str(tmp_path / "tree")}
    assert configuration.source_fingerprint(dataset) == "absent"
    (tmp_path / "tree").mkdir()
    image = tmp_path / "tree" / "a.jpg"
    image.write_bytes(b"123")
    before = configuration.source_fingerprint(dataset)
    image.touch()
    assert configuration.source_fingerprint(dataset) == before
    image.write_bytes(b"1234")
    assert configuration.source_fingerprint(dataset) != before


def test_load_names_a_missing_or_broken_file(tmp_path):
    with pytest.raises(
        ConfigError, match=r"expected a configuration file, found one that cannot be read \(Is a directory"
    ):
        configuration.load(tmp_path)
    with pytest.raises(ConfigError, match="no such configuration"):
        configuration.load(tmp_path / "absent.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("pairs: [")
    with pytest.raises(ConfigError, match="not readable as YAML"):
        configuration.load(broken)
    broken.write_text("- a list")
    with pytest.raises(ConfigError, match="a mapping of keys is expected"):
        configuration.load(broken)
