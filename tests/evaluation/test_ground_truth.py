"""A data set's lesions at the size of evaluation, and the verb that writes them."""

import cv2
import numpy as np
import pytest
import yaml
from scipy import ndimage

from rfbench import cli
from rfbench.data.manifest import read_manifest
from rfbench.evaluation.ground_truth import fit_diameter, fit_label
from rfbench.lesions import truth
from rfbench.names import LESIONS

from ..tiny_run import make_settings

SMALL = (214, 200)  # width and height that prepared images are fitted into


@pytest.mark.parametrize("eval_size", ["native", "prepared"])
def test_lesions_of_a_data_set(manifest, tmp_path, eval_size):
    config = make_settings().model_dump(mode="json")
    config["datasets"]["SYN"] |= {"eval_size": eval_size, "scale": list(SMALL)}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    output = tmp_path / "lesions.npz"
    words = ["lesions", "--config", str(tmp_path / "config.yaml"), "--dataset", "SYN", "--manifest", str(manifest)]
    assert cli.main([*words, "--output", str(output)]) == 0
    found = truth.read(output)
    rows = read_manifest(manifest, "test")
    assert found.stems.tolist() == rows["stem"].tolist()
    assert found.names.tolist() == list(LESIONS)
    label = cv2.imread(str(manifest.parent / rows["label"][0]), cv2.IMREAD_GRAYSCALE)
    if eval_size == "prepared":  # 428x284 fitted into 214x200: 214x142, padded below
        label = np.pad(cv2.resize(label, (214, 142), interpolation=cv2.INTER_NEAREST), ((0, 58), (0, 0)))
    assert found.size.tolist() == [list(label.shape[::-1])]
    areas = [ndimage.sum_labels(label > 0, *counted(label == c + 1)) for c in range(4)]
    assert found.area.tolist() == np.concatenate(areas).tolist()
    # The generated field of view is 3412 px at a tenth of the length, or 3800 in one image of twenty.
    half = 0.5 if eval_size == "prepared" else 1.0
    assert found.diameter[0] / half == pytest.approx(341, abs=6)
    assert found.native_area == pytest.approx(found.area * (3412 / found.diameter[0]) ** 2, rel=1e-5)


def counted(mask):
    labelled, count = ndimage.label(mask)
    return labelled, np.arange(1, count + 1)


def test_the_diameter_follows_the_label_map():
    image = np.zeros((300, 400, 3), np.uint8)
    cv2.circle(image, (200, 150), 120, (30, 80, 150), -1)
    assert fit_label(np.zeros((300, 400), np.uint8), (128, 128), "prepared").shape == (128, 128)
    native = fit_diameter(image, (128, 128), "native")
    assert native == pytest.approx(241, abs=3)
    assert fit_diameter(image, (128, 128), "prepared") == pytest.approx(native * 128 / 400)


def test_an_unknown_data_set_is_named(tmp_path, capsys):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(make_settings().model_dump(mode="json")))
    words = ["lesions", "--config", str(tmp_path / "config.yaml"), "--dataset", "OTHER", "--manifest", "m.csv"]
    assert cli.main([*words, "--output", str(tmp_path / "l.npz")]) == 1
    assert "--dataset OTHER" in capsys.readouterr().err
