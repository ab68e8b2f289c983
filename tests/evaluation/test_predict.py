"""`rfbench predict`: any photograph in, probability maps and an overlay out; what cannot be read is named."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from rfbench import cli
from rfbench.errors import RFBenchError
from rfbench.evaluation import run as evaluate
from rfbench.evaluation.predict import outlined, read_photograph
from rfbench.models.initial import initial_model
from rfbench.training import train

from .test_score import RUN

LESIONS = RUN.dataset.lesions


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("ours") / "model.pth"
    train._save_weights(initial_model(RUN, None)[0], path, RUN)
    return path


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """(H, W, 3) RGB without symmetry."""
    rows, columns = np.mgrid[:120, :170]
    return np.stack([rows * 2, columns, (rows + columns) // 2], axis=2).astype(np.uint8)


def maps_in(folder, stem: str) -> np.ndarray:
    return np.stack([cv2.imread(str(folder / f"{stem}_{lesion}.png"), cv2.IMREAD_UNCHANGED) for lesion in LESIONS])


def expected_maps(image_bgr: np.ndarray) -> np.ndarray:
    model = initial_model(RUN, None)[0].eval()
    scale = RUN.dataset.scale
    return evaluate.predict(model, image_bgr, scale, torch.device("cpu")).numpy()


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.bmp", "rgba.png"])
def test_a_photograph_gives_maps_at_its_own_size_and_an_overlay(checkpoint, pixels, tmp_path, name):
    image = Image.fromarray(pixels)
    image.convert("RGBA" if "rgba" in name else "RGB").save(tmp_path / name)
    out = tmp_path / "out"
    assert cli.main(["predict", "--checkpoint", str(checkpoint), "--output", str(out), str(tmp_path / name)]) == 0
    stem = name.partition(".")[0]
    expected = expected_maps(np.ascontiguousarray(pixels[..., ::-1]))
    np.testing.assert_allclose(maps_in(out, stem) / 65535, expected, atol=0.5 / 65535 + 1e-6)
    assert cv2.imread(str(out / f"{stem}_overlay.png")).shape[1] == 900
    record = json.loads((out / "predictions.json").read_text())
    assert record["images"][name]["size"] == [170, 120]
    for lesion, values in zip(LESIONS, expected, strict=True):
        assert record["images"][name]["above"][lesion] == pytest.approx((values > 0.5).mean())
    assert set(record["sources"].values()) == {"checkpoint"}


def test_the_orientation_tag_is_obeyed(pixels, tmp_path):
    image = Image.fromarray(pixels)
    exif = image.getexif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    image.save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(read_photograph(tmp_path / "turned.png")[..., ::-1], np.rot90(pixels, -1))


@pytest.mark.slow
def test_unreadable_photographs_are_named_and_the_others_are_done(checkpoint, pixels, tmp_path, capsys):
    image = Image.fromarray(pixels)
    image.save(tmp_path / "good.jpg")
    image.convert("L").save(tmp_path / "grey.png")
    image.resize((300, 20)).save(tmp_path / "strip.png")
    content = (tmp_path / "good.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.jpg").write_text("hello")
    names = ["cut.jpg", "text.jpg", "grey.png", "strip.png", "absent.jpg", "good.jpg"]
    words = [str(tmp_path / name) for name in names]
    assert cli.main(["predict", "--checkpoint", str(checkpoint), "--output", str(tmp_path / "out"), *words]) == 1
    error = capsys.readouterr().err
    for name, found in (
        ("cut.jpg", "truncated"),
        ("text.jpg", "it begins with b'hello'"),
        ("grey.png", "mode L"),
        ("strip.png", "at least 64 px"),
        ("absent.jpg", "No such file"),
    ):
        (line,) = [line for line in error.splitlines() if f"/{name}: " in line]
        assert found in line
    assert "1 of 6 photographs predicted" in error
    assert (tmp_path / "out" / "good_overlay.png").is_file()


def test_two_photographs_of_one_name_are_refused_before_anything_is_written(checkpoint, tmp_path):
    words = ["predict", "--checkpoint", str(checkpoint), "--output", str(tmp_path / "out"), "a/x.jpg", "b/x.png"]
    assert cli.main(words) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_folder_keeps_its_record_and_holds_the_maps_of_one_network(checkpoint, pixels, tmp_path, capsys):
    def predict(name: str, *words: str) -> int:
        Image.fromarray(pixels).save(tmp_path / name)
        return cli.main(
            ["predict", "--checkpoint", str(checkpoint), *words, "--output", str(out), str(tmp_path / name)]
        )

    out = tmp_path / "out"
    assert predict("a.png") == predict("b.png") == 0
    record = json.loads((out / "predictions.json").read_text())
    assert list(record["images"]) == ["a.png", "b.png"]
    assert record["full_scale"] == 65535
    assert predict("b.bmp") == 0  # its maps replace those of b.png
    assert list(json.loads((out / "predictions.json").read_text())["images"]) == ["a.png", "b.bmp"]
    assert predict("c.png", "--threshold", "0.3") == predict("c.png", "--scale", "120", "90") == 1
    error = capsys.readouterr().err
    assert "made differently (threshold). Choose another folder" in error
    assert "made differently (settings). Choose another folder" in error
    assert not (out / "c_EX.png").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--threshold", "7"], "--threshold: expected a probability between 0 and 1, found 7"),
        (["--output", __file__], f"--output {__file__}: expected a folder, found a file"),
    ],
)
def test_wrong_options_are_one_sentence(words, message, checkpoint, tmp_path, capsys):
    assert cli.main(["predict", "--checkpoint", str(checkpoint), "--output", str(tmp_path), "x.jpg", *words]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_without_a_word_of_scale_idrids_is_taken_and_said(checkpoint, pixels, tmp_path, capsys):
    content = torch.load(checkpoint)
    bare = {key: content["meta"][key] for key in ("pair", "backbone", "operator_options")}
    torch.save({**content, "meta": bare}, tmp_path / "bare.pth")
    Image.fromarray(pixels).save(tmp_path / "a.png")
    words = ["--checkpoint", str(tmp_path / "bare.pth"), "--output", str(tmp_path / "out"), str(tmp_path / "a.png")]
    assert cli.main(["predict", *words]) == 0
    error = capsys.readouterr().err
    assert "scale: 1440 960 (published for idrid)" in error
    assert "mean: 116.513 56.437 16.309 (published for idrid)" in error


def test_overlay_outlines_what_exceeds_the_threshold(pixels):
    maps = torch.zeros(4, 120, 170)
    maps[3, 40:60, 50:90], maps[0, 80:100, 100:130] = 0.9, 0.4
    drawn = outlined(pixels * 0, maps, LESIONS, 0.5, "title")
    whole = drawn[30 : 30 + round(120 * 900 / 170)].astype(int)
    blue, red = ((whole[..., channel] > 200) & (whole[..., 2 - channel] < 60) for channel in (0, 2))
    assert blue.any(), "MA"
    assert not red.any(), "EX stays below"
    assert (outlined(pixels * 0, maps, LESIONS, 0.3, "title")[30:600, :, 2] > 200).any()


def test_a_grey_photograph_is_no_colour_photograph(tmp_path):
    Image.fromarray(np.zeros((80, 80), np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(RFBenchError, match=r"deep\.png: expected a colour photograph .* found: mode I;16"):
        read_photograph(tmp_path / "deep.png")


@pytest.fixture
def predict(checkpoint, tmp_path, capsys):
    """Run `rfbench predict` on photographs; its status and what it says."""

    def run(*words: object, output: object = tmp_path / "out") -> tuple[int, str]:
        arguments = ["predict", "--checkpoint", checkpoint, "--output", output, *words]
        status = cli.main(list(map(str, arguments)))
        return status, capsys.readouterr().err

    return run


def test_files_of_the_user_are_not_replaced(predict, pixels, tmp_path):
    Image.fromarray(pixels).save(tmp_path / "eye.png")
    for name in ("eye_EX.png", "eye_overlay.png"):
        (tmp_path / name).write_text("mine")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    status, said = predict(tmp_path / "eye.png", output=tmp_path)
    assert status == 1
    assert f"--output {tmp_path}: expected a folder without eye_EX.png and 1 more, which would be replaced" in said
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "link").rename(tmp_path / "eye_EX.png")
    assert predict(tmp_path / "eye.png", output=tmp_path)[0] == 1, "a dangling link is a file of the user's, too"


def test_one_odd_image_does_not_end_the_batch(predict, pixels, tmp_path):
    Image.new("RGB", (10000, 1)).save(tmp_path / "a.png")
    Image.new("RGB", (1, 1)).save(tmp_path / "b.png")
    Image.fromarray(pixels).save(tmp_path / "c.png")
    os.mkfifo(tmp_path / "d.png")
    (tmp_path / "e.png").mkdir()
    Image.fromarray(pixels).save(tmp_path / "f.tif", save_all=True, append_images=[Image.new("RGB", (9, 9))])
    status, said = predict(*(tmp_path / f"{name}" for name in ("a.png", "b.png", "c.png", "d.png", "e.png", "f.tif")))
    assert status == 1
    for name, found in (
        ("a.png", "found 10000x1 px, which becomes"),
        ("d.png", "found: a named pipe."),
        ("e.png", "found: a folder."),
        ("f.tif", "found several pages"),
    ):
        (line,) = [line for line in said.splitlines() if f"/{name}: " in line]
        assert found in line
    record = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert list(record["images"]) == ["b.png", "c.png"]
    assert "Traceback" not in said


@pytest.mark.slow
def test_what_is_done_stays_recorded_when_the_command_is_killed(predict, pixels, tmp_path, monkeypatch):
    paths = [tmp_path / f"{name}.png" for name in "ab"]
    for path in paths:
        Image.fromarray(pixels).save(path)
    read = read_photograph
    monkeypatch.setattr("rfbench.evaluation.predict.read_photograph",
                        lambda path: read(path) if path.stem == "a" else 1 / 0)  # fmt: skip
    with pytest.raises(ZeroDivisionError):
        predict(*paths)
    monkeypatch.undo()
    assert list(json.loads((tmp_path / "out" / "predictions.json").read_text())["images"]) == ["a.png"]
    assert predict(*paths)[0] == 0, "its own files it may write again"


def test_a_name_that_is_no_utf_8(predict, pixels, tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/eye\xff\x1b[2J.png"))
    Image.fromarray(pixels).save(tmp_path / "eye.png")
    (tmp_path / "eye.png").rename(path)
    status, said = predict(path)
    assert status == 0
    assert "\x1b" not in said
    assert len(list((tmp_path / "out").glob("*.png"))) == len(LESIONS) + 1
    (overlay,) = (tmp_path / "out").glob("*overlay.png")
    assert Image.open(overlay).width == 900


@pytest.mark.parametrize(
    "content", ["[]", "{}", '{"images": []}', '{"images": {"a": 1}}', "\x00", "[" * 9999, "\ufeff{"]
)
def test_a_damaged_record_is_one_sentence(predict, pixels, tmp_path, content):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "predictions.json").write_text(content)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    status, said = predict(tmp_path / "a.png")
    assert (status, said.count("\n")) == (1, 1)
    assert "predictions.json: " in said
    assert (tmp_path / "out" / "predictions.json").read_text() == content


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--scale", "-5", "4"], "--scale: expected width and height"),
        (["--scale", "1000000", "1000000"], "found [1000000, 1000000]"),
        (["--mean", "nan", "1", "1"], "--mean: expected three numbers from 0 to 255, found [nan, 1.0, 1.0]"),
        (["--std", "0", "1", "1"], "--std: expected three numbers above 0"),
        (["--lesions", "EX", "EX", "SE", "MA"], "--lesions: expected lesions, each once"),
        (["--lesions", "../x"], "found ['../x']"),
        (["--pair", "no_such"], "no_such"),
        (["--threshold", "nan"], "--threshold: expected a probability between 0 and 1, found nan"),
    ],
)
def test_options_that_no_network_has(predict, pixels, tmp_path, words, found):
    Image.fromarray(pixels).save(tmp_path / "a.png")
    status, said = predict(tmp_path / "a.png", *words)
    assert (status, said.count("\n")) == (1, 1)
    assert found in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "options",
    [{"m2mrf": {"patch_size": 10**7}}, {"m2mrf": {"patch_size": 0}}, {"m2mrf": {"patch_size": -3}},
     {"m2mrf": {"patch_size": "x"}}, {"m2mrf": {"no_such": 1}}, {"m2mrf": {"alpha": 1e9}}],
)  # fmt: skip
def test_operator_options_of_a_checkpoint_that_no_machine_could_build(checkpoint, pixels, tmp_path, capsys, options):
    content = torch.load(checkpoint)
    content["meta"] |= {"pair": "m2mrf_c", "operator_options": options}
    torch.save(content, tmp_path / "odd.pth")
    Image.fromarray(pixels).save(tmp_path / "a.png")
    words = ["--checkpoint", tmp_path / "odd.pth", "--output", tmp_path / "out", tmp_path / "a.png"]
    assert cli.main(["predict", *map(str, words)]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "odd.pth" in said or "m2mrf" in said


def test_a_network_that_overflows_is_no_healthy_eye(checkpoint, pixels, tmp_path, capsys):
    content = torch.load(checkpoint)
    for name, tensor in content["state_dict"].items():
        if name.endswith("conv_seg.weight") or ("bn" in name and name.endswith(".weight")):
            tensor.fill_(3e38)
    torch.save(content, tmp_path / "loud.pth")
    Image.fromarray(pixels).save(tmp_path / "a.png")
    words = ["--checkpoint", tmp_path / "loud.pth", "--output", tmp_path / "out", tmp_path / "a.png"]
    assert cli.main(["predict", *map(str, words)]) == 1
    assert "a.png: expected probabilities, found NaN" in capsys.readouterr().err
    assert not list(tmp_path.glob("out/*.png"))
