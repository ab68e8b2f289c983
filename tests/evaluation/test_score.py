"""`rfbench score`: our checkpoints and the authors', on prepared data, beside the README's values."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml

from rfbench import cli, provenance
from rfbench.data.images import read_native
from rfbench.data.manifest import read_manifest
from rfbench.data.prepare import prepare_idrid, prepare_synthetic
from rfbench.evaluation import run as evaluate
from rfbench.evaluation.score import prepared_layout
from rfbench.models.initial import initial_model
from rfbench.published.protocol import PUBLISHED_NORMALISATION
from rfbench.settings import RunSettings
from rfbench.training import train

from ..checkout import ROOT
from ..data import tiny_archive as tiny
from ..models import test_checkpoint as authors

RUN = RunSettings.model_validate({
    "pair": "m2mrf_a",
    "seed": 3,
    "model": {"backbone": "hrnetv2_embedded", "operator_options": {"m2mrf": {"patch_size": 4, "alpha": 16}}},
    "dataset": {"name": "Mine", "kind": "folder", "iterations": 1, "lesions": ["EX", "HE", "SE", "MA"],
                "scale": [107, 71], "crop": [64, 64], "mean": [110.0, 50.0, 20.0], "std": [70.0, 40.0, 15.0]},
    "recipe": {},
})  # fmt: skip


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic")
    return prepare_synthetic(folder, train=1, test=2, factor=0.1, seed=3, progress=False).parent


@pytest.fixture(scope="module")
def idrid(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("idrid")
    source = tiny.write_zip(folder / "s.zip", tiny.archive())
    return prepare_idrid(source, folder / "IDRiD", expect_official=False, progress=False).parent


@pytest.fixture(scope="module")
def ours(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("ours") / "model.pth"
    train._save_weights(initial_model(RUN, None)[0], path, RUN)
    return path


@pytest.fixture(scope="module")
def theirs(tmp_path_factory) -> Path:
    """A file with the authors' names, of random tensors: only the way is tested."""
    torch.manual_seed(0)
    tensors = authors.Authors(*authors.PAIRS["m2mrf_c"]).tensors
    return authors.save(tmp_path_factory.mktemp("theirs") / "latest.pth", tensors)


def run(*arguments) -> int:
    return cli.main(["score", *map(str, arguments)])


def test_our_checkpoint_needs_no_other_word_and_scores_as_in_the_pipeline(ours, synthetic, tmp_path, capsys):
    assert run("--checkpoint", ours, "--data", synthetic, "--output", tmp_path / "score.json") == 0
    record = json.loads((tmp_path / "score.json").read_text())
    model = initial_model(RUN, None)[0]
    expected, _ = evaluate.evaluate_model(
        model, synthetic / "manifest.csv", "test", torch.device("cpu"),
        lesions=RUN.dataset.lesions, scale=RUN.dataset.scale, eval_size="native",
    )  # fmt: skip
    assert record["metrics"] == expected.compute()
    assert set(record["sources"].values()) == {"checkpoint"}
    assert record["checkpoint"] == {"file": "model.pth", "sha256": provenance.sha256(ours)}
    assert record["n_images"] == 2
    assert record["published"] == {}
    printed = capsys.readouterr().out
    assert "SYNTHETIC images: no published value" in printed
    assert f"{100 * record['metrics']['ap']['MA']:6.2f}" in printed


@pytest.mark.slow
def test_an_authors_checkpoint_stands_beside_the_best_of_three(theirs, idrid, tmp_path, capsys):
    words = ["--pair", "m2mrf_c", "--backbone", "hrnetv2_embedded", "--checkpoint", theirs, "--data", idrid]
    assert run(*words, "--output", tmp_path / "score.json", "--save-predictions", tmp_path / "maps") == 0
    printed = capsys.readouterr().out
    record = json.loads((tmp_path / "score.json").read_text())
    # The README of the authors' repository, as quoted in published.csv.
    assert record["published"] == {"mAUPR": 67.55, "mIoU": 50.17}
    ours = f"{100 * record['metrics']['aupr11']['mean']:6.2f}"
    assert f"mAUPR  {ours}   67.55" in printed
    assert "best of three runs is no mean of three" in printed
    assert "scale: 1440 960 (published for idrid)" in printed
    assert record["evaluation"] == {"split": "test", "eval_size": "native"}
    rows = read_manifest(idrid / "manifest.csv", "test")
    assert len(list((tmp_path / "maps").glob("*.png"))) == 4 * len(rows)
    assert set(json.loads((tmp_path / "maps" / "predictions.json").read_text())["images"]) == {
        f"{stem}.png" for stem in rows["stem"]
    }


@pytest.mark.slow
def test_saved_predictions_are_the_probabilities_in_16_bits(ours, synthetic, tmp_path):
    run("--checkpoint", ours, "--data", synthetic, "--save-predictions", tmp_path)
    row = read_manifest(synthetic / "manifest.csv", "test").iloc[0]
    image, _ = read_native(synthetic, row)
    model = initial_model(RUN, None)[0].eval()
    maps = evaluate.predict(model, image, RUN.dataset.scale, torch.device("cpu")).numpy()
    for lesion, expected in zip(RUN.dataset.lesions, maps, strict=True):
        saved = cv2.imread(str(tmp_path / f"{row.stem}_{lesion}.png"), cv2.IMREAD_UNCHANGED)
        assert saved.dtype == np.uint16
        np.testing.assert_allclose(saved / 65535, expected, atol=0.5 / 65535 + 1e-6)


def test_options_precede_and_contradictions_are_refused(ours, synthetic, capsys, tmp_path):
    run("--checkpoint", ours, "--data", synthetic, "--scale", 160, 120, "--output", tmp_path / "score.json")
    record = json.loads((tmp_path / "score.json").read_text())
    assert (record["settings"]["dataset"]["scale"], record["sources"]["scale"]) == ([160, 120], "option")
    for option, value in (("--pair", "m2mrf_b"), ("--backbone", "hrnetv2_w48"), ("--operator-options", "{}")):
        assert run("--checkpoint", ours, "--data", synthetic, option, value) == 1
        assert f"found {option} {value}. Leave it out." in capsys.readouterr().err


@pytest.mark.slow
def test_a_record_that_cannot_be_written_is_named(ours, synthetic, capsys):
    output = synthetic / "manifest.csv" / "score.json"
    assert run("--checkpoint", ours, "--data", synthetic, "--output", output) == 1
    assert f"{output}: cannot be written (" in capsys.readouterr().err


def test_what_is_known_nowhere_is_asked_for(theirs, synthetic, capsys):
    assert run("--checkpoint", theirs, "--data", synthetic) == 1
    assert "does not say its pair. Give --pair." in capsys.readouterr().err
    (own := synthetic.parent / "own").mkdir()
    (own / "manifest.csv").write_text((synthetic / "manifest.csv").read_text())
    assert run("--pair", "m2mrf_c", "--checkpoint", theirs, "--data", own) == 1
    assert "does not say its scale. Give --scale or --layout." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--checkpoint", "m.pth"], "the following arguments are required: --data"),
        (["--data", "d"], "the following arguments are required: --checkpoint"),
        (["--checkpoint", "m.pth", "--data", "d", "--seed", "0"], "unrecognized arguments: --seed 0"),
        (["--operator-options", "{"], "argument --operator-options: expected JSON, found '{' ("),
        (["--operator-options", "[" * 99_999], "argument --operator-options: expected JSON, found '[["),
        (["--operator-options", "[]"], "expected a mapping of names to options, found '[]'"),
    ],
)
def test_what_belongs_to_no_checkpoint_file_is_refused(words, message, capsys):
    with pytest.raises(SystemExit):
        run(*words)
    said = capsys.readouterr().err
    assert message in said
    assert max(map(len, said.splitlines())) < 500


def test_data_that_is_not_prepared_is_named_with_what_to_do(capsys):
    assert run("--checkpoint", "m.pth", "--data", "/nowhere") == 1
    assert "rfbench prepare idrid --source ARCHIVE" in capsys.readouterr().err


def test_the_verbs_earlier_name_still_leads_here(ours, synthetic, capsys):
    assert cli.main(["evaluate", "--checkpoint", str(ours), "--data", str(synthetic)]) == 0
    assert "`rfbench score`" in capsys.readouterr().err


def test_the_layout_is_the_prepared_data_sets(synthetic, idrid, tmp_path):
    assert (prepared_layout(synthetic), prepared_layout(idrid)) == ("idrid", "idrid")
    ddr = prepare_synthetic(tmp_path / "ddr", train=1, test=1, factor=0.1, seed=3, layout="ddr", progress=False).parent
    assert prepared_layout(ddr) == "ddr"
    assert prepared_layout(tmp_path) is None


@pytest.mark.parametrize("layout", ["idrid", "ddr"])
def test_the_published_normalisation_is_the_configurations(layout):
    (dataset,) = yaml.safe_load((ROOT / "config" / f"{layout}.yaml").read_text())["datasets"].values()
    assert PUBLISHED_NORMALISATION[layout] == {key: dataset[key] for key in ("mean", "std")}


def test_saved_predictions_replace_no_file_of_the_user_s(ours, synthetic, tmp_path, capsys):
    stem = read_manifest(synthetic / "manifest.csv", "test")["stem"][0]
    (tmp_path / f"{stem}_MA.png").write_text("mine")
    assert run("--checkpoint", ours, "--data", synthetic, "--save-predictions", tmp_path) == 1
    assert f"--save-predictions {tmp_path}: expected a folder without {stem}_MA.png, which" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [f"{stem}_MA.png"]
    assert (tmp_path / f"{stem}_MA.png").read_text() == "mine"
