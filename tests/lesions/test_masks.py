"""masks.npz: the masks that it holds, against the scores that they were made of."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rfbench.errors import RFBenchError
from rfbench.evaluation.recording import Recorder
from rfbench.lesions import masks
from rfbench.lesions.runlength import expand
from rfbench.names import LESIONS

from ..evaluation.maps import KINDS, label_map, score_maps


def recorded(seed: int, kinds) -> tuple[masks.Masks, list[np.ndarray]]:
    """The masks of some images, and the scores (4, H, W) of each."""
    rng, recorder, scores = np.random.default_rng(seed), Recorder(LESIONS), []
    for i, kind in enumerate(kinds):
        label = label_map(rng, (30 + 3 * i, 41), density=0.3)
        scores.append(score_maps(rng, label, kind))
        recorder.update(f"image{i}", torch.from_numpy(scores[-1]), torch.from_numpy(label), 40.0)
    return recorder.masks(), scores


def frame(kept: masks.Masks, stem: str, lesion: str, shape: tuple[int, int]) -> np.ndarray:
    """A mask as bool (H, W), pixel by pixel."""
    runs, mask = kept.runs(stem, lesion), np.zeros(shape, bool)
    mask.reshape(-1)[expand(runs.start, runs.end)] = True
    return mask


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.sampled_from(KINDS), min_size=1, max_size=3))
def test_every_mask_is_where_the_score_is_above_a_half(seed, kinds):
    kept, scores = recorded(seed, kinds)
    for i, own in enumerate(scores):
        assert kept.size[i].tolist() == list(own.shape[:0:-1])
        for c, lesion in enumerate(LESIONS):
            assert (frame(kept, f"image{i}", lesion, own.shape[1:]) == (own[c] > 0.5)).all()


def test_they_survive_the_file_and_have_the_same_bytes(tmp_path):
    kept, scores = recorded(3, KINDS[:2])
    for name in ("a.npz", "b.npz"):
        masks.write(tmp_path / name, kept)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    again = masks.read(tmp_path / "a.npz")
    assert (frame(again, "image1", "MA", scores[1].shape[1:]) == (scores[1][3] > 0.5)).all()
    with pytest.raises(KeyError):
        again.runs("image1", "XX")
    (tmp_path / "a.npz").write_bytes(b"")
    with pytest.raises(RFBenchError, match=r"a\.npz: expected the masks of a run"):
        masks.read(tmp_path / "a.npz")


def test_noise_is_left_out_and_said_to_be(monkeypatch):
    monkeypatch.setattr(masks, "MOST_RUNS", 9)
    lines = np.zeros((10, 8), bool)
    lines[:9, 2:5] = True
    assert len(masks.runs_of(lines).start) == 9
    lines[9, 0] = True
    kept = masks.Masks.of(["EX", "MA"], ["a"], [(8, 10)], [masks.runs_of(lines), masks.runs_of(~lines[:4])])
    assert kept.noise.tolist() == [[True, False]]
    assert kept.runs("a", "EX") is None
    assert kept.runs("a", "MA").length.sum() == (~lines[:4]).sum()


def test_no_image_no_mask():
    kept = Recorder(LESIONS).masks()
    assert (kept.offsets.tolist(), kept.noise.shape, len(kept.gap)) == ([0], (0, 4), 0)
