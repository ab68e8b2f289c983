"""Configuration: defaults are the published recipe, every mistake is one sentence that names its key."""

import argparse
import copy
import shlex
from pathlib import Path

import pytest
import yaml

from rfbench import config as configuration
from rfbench.config import ConfigError
from rfbench.data import prepare

ROOT = Path(__file__).parents[1]
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
        (changed("seeds", [0, 0]), ["seeds"]),
        (changed("seeds", ["a"]), ["seeds.0", "'a'"]),
        (changed("datasets.SYN.crop", [32, 32]), ["datasets.SYN.crop", "32"]),
        (changed("recipe.micro_batches", 3), ["recipe.micro_batches", "divide batch_size 4"]),
        (changed("recipe.ratio", [2.0, 0.5]), ["recipe.ratio"]),
        (changed("model.pretrained", {"source": "x.pth"}), ["model.pretrained"]),
        (changed("datasets.SYN.eval_size", "half"), ["datasets.SYN.eval_size", "half"]),
        (changed("datasets.SYN.lesions", ["MA"]), ["datasets.SYN.lesions", "kind folder"]),
        (changed("datasets.SYN.lesions", ["mean"]), ["datasets.SYN.lesions", "mean"]),
        ({**SMALL, "datasets": {"IDRiD": DATASET}}, ["datasets.IDRiD", "begin with SYN"]),
        ({"pairs": ["maxpool_bilinear"]}, ["datasets"]),
    ],
)
def test_mistakes_are_named(config, words):
    with pytest.raises(ConfigError) as caught:
        configuration.complete(config, "my.yaml")
    for word in ["my.yaml", *words]:
        assert word in str(caught.value)


def test_all_mistakes_at_once():
    config = changed("recipe.ratio", [2.0, 0.5])
    config["pairs"] = ["nonsense"]
    with pytest.raises(ConfigError) as caught:
        configuration.complete(config)
    assert len(str(caught.value).splitlines()) == 2


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
    with pytest.raises(ConfigError, match="no such configuration"):
        configuration.load(tmp_path / "absent.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("pairs: [")
    with pytest.raises(ConfigError, match="not readable as YAML"):
        configuration.load(broken)
    broken.write_text("- a list")
    with pytest.raises(ConfigError, match="a mapping of keys is expected"):
        configuration.load(broken)
