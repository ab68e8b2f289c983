"""evidence.npz: everything computed again from it, against the metrics, `match`, and loops over pixels."""

import math
import subprocess
import sys
import zipfile

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from sklearn.metrics import average_precision_score

from rfbench.errors import RFBenchError
from rfbench.evaluation.lesions import match
from rfbench.evaluation.recording import Recorder
from rfbench.lesions import counts, evidence, histogram, lesion_metrics, masks, truth
from rfbench.names import LESIONS

from ..evaluation.maps import KINDS, label_map, score_maps

THRESHOLDS = counts.FROC_THRESHOLDS


def images(seed: int, kinds, size=(40, 56)) -> list[tuple[np.ndarray, np.ndarray]]:
    """Label map and scores, an image of each kind; the last without a lesion."""
    rng = np.random.default_rng(seed)
    labels = [label_map(rng, size, density=0.3 * (i < len(kinds) - 1)) for i in range(len(kinds))]
    return [(label, score_maps(rng, label, kind)) for label, kind in zip(labels, kinds, strict=True)]


def recorded(pairs, threads: int = 1) -> Recorder:
    recorder = Recorder(LESIONS, threads)
    for i, (label, scores) in enumerate(pairs):
        recorder.update(f"image{i}", torch.from_numpy(scores), torch.from_numpy(label), 50.0)
    return recorder


def test_threads_change_nothing(tmp_path):
    """Three threads share four lesions, on images of very different cost; the files are the same bytes."""
    pairs = images(7, KINDS, size=(120, 160))
    for threads in (1, 3, 9):
        recorder = recorded(pairs, threads)
        evidence.write(tmp_path / f"{threads}.npz", recorder.evidence())
        masks.write(tmp_path / f"masks{threads}.npz", recorder.masks())
        assert recorder.metrics.details() == recorded(pairs).metrics.details()
    for name in ("", "masks"):
        one, three, nine = ((tmp_path / f"{name}{threads}.npz").read_bytes() for threads in (1, 3, 9))
        assert one == three == nine


def check_metrics(recorder: Recorder, kept: evidence.Evidence) -> None:
    """Every metric of the run from the arrays alone."""
    expected, details = recorder.metrics.compute(), recorder.metrics.details()
    again = kept.metrics()
    for metric in counts.COUNTED:
        assert again[metric].tolist() == [expected[metric][lesion] for lesion in LESIONS]
    for c, lesion in enumerate(LESIONS):
        apart = abs(again["ap"][c] - expected["ap"][lesion])
        assert apart <= again["ap_error"][c] + details[lesion]["ap_error"] + 1e-12
        assert kept.positives[:, c].sum() == details[lesion]["positives"]
        assert kept.counts[:, c, :, counts.AT_HALF].sum(0).tolist() == [
            details[lesion]["predicted"],
            details[lesion]["tp"],
        ]
        assert kept.histograms(c).sum((0, 2)).tolist() == [kept.pixels.sum(), kept.positives[:, c].sum()]
    assert kept.pixels.sum() == details["EX"]["pixels"]


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.sampled_from(KINDS), min_size=1, max_size=3))
def test_every_metric_is_in_the_evidence(seed, kinds):
    recorder = recorded(images(seed, kinds))
    check_metrics(recorder, recorder.evidence())


@pytest.mark.parametrize("kind", KINDS)
def test_ap_of_any_images_from_their_histograms(kind):
    """What a resampling of the images needs; on saturated maps, too."""
    pairs = images(11, [kind] * 4)
    kept = recorded(pairs).evidence()
    for c in range(4):
        dense = kept.histograms(c)
        for chosen in ([0], [0, 1], [1, 1, 2]):
            total, positive = dense[chosen].sum(0)[:, ::-1]
            found = counts.average_precision(total, positive, histogram.SINGLE[::-1])
            low, high = counts.ap_bounds(total, positive, histogram.SINGLE[::-1])
            scores = np.concatenate([pairs[i][1][c].ravel() for i in chosen])
            own = np.concatenate([(pairs[i][0] == c + 1).ravel() for i in chosen])
            expected = average_precision_score(own, scores.astype(float))
            assert low - 1e-12 <= expected <= high + 1e-12
            assert low - 1e-12 <= found <= high + 1e-12


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.sampled_from(KINDS), min_size=1, max_size=2))
def test_hits_and_false_regions_are_those_of_match_at_every_threshold(seed, kinds):
    pairs = images(seed, kinds)
    recorder = recorded(pairs)
    kept, lesions = recorder.evidence(), recorder.truth()
    assert (kept.lesion_offsets == lesions.offsets).all()
    for i, (label, scores) in enumerate(pairs):
        for c in range(4):
            span = slice(*kept.lesion_offsets[4 * i + c : 4 * i + c + 2])
            for t, threshold in enumerate(THRESHOLDS):
                hit, false = match(label == c + 1, scores[c] > threshold)
                assert ((kept.lesion_hits[span] >> t & 1) == hit).all()
                regions = ndimage.label(scores[c] > threshold)[1]
                assert kept.froc[i, c, t].tolist() == [regions, false]


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(KINDS), st.floats(0, 1, width=32))
def test_lesion_scores_tell_coverage_at_any_threshold(seed, kind, threshold):
    pairs = images(seed, [kind, kind])
    kept = recorded(pairs).evidence()
    at = 0
    for label, scores in pairs:
        for c in range(4):
            labelled, count = ndimage.label(label == c + 1)
            for k in range(1, count + 1):
                inside = scores[c][labelled == k]
                above = (inside > np.float32(threshold)).sum()
                shares = [above >= max(1, math.ceil(inside.size * tenths / 10)) for tenths in (0, 1, 2, 5)]
                assert (kept.lesion_scores[at] > np.float32(threshold)).tolist() == shares
                at += 1
    assert at == len(kept.lesion_scores)


@pytest.mark.parametrize("kind", KINDS)
def test_false_regions_are_described(kind, monkeypatch):
    monkeypatch.setattr("rfbench.evaluation.detection.LARGEST_KEPT", 12)
    pairs = images(4, [kind, kind])
    kept = recorded(pairs).evidence()
    for i, (label, scores) in enumerate(pairs):
        for c in range(4):
            labelled, count = ndimage.label(scores[c] > 0.5)
            expected = []
            for k in range(1, count + 1):
                ys, xs = np.nonzero(labelled == k)
                own = (label[ys, xs] == c + 1).sum()
                if own / len(ys) < 0.2 or own == 0:
                    other = ((label[ys, xs] > 0) & (label[ys, xs] != c + 1)).sum()
                    expected.append((-scores[c][ys, xs].max(), k, xs.mean(), ys.mean(), len(ys), other))
            chosen = (kept.fp_image == i) & (kept.fp_class == c)
            assert kept.fp_rest[i, c] == max(0, len(expected) - 12)
            found = zip(
                -kept.fp_score[chosen].astype(float),
                *kept.fp_centre[chosen].T.astype(float),
                kept.fp_area[chosen],
                kept.fp_other[chosen],
                strict=True,
            )
            wanted = [(peak, *rest) for peak, _, *rest in sorted(expected)[:12]]
            assert list(found) == [pytest.approx(row, rel=1e-6) for row in wanted]


def test_written_and_read_again_the_same_bytes_twice(tmp_path):
    for name in ("a", "b"):
        evidence.write(tmp_path / f"{name}.npz", recorded(images(2, KINDS)).evidence())
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.npz") as file:
        assert {member.date_time for member in file.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    recorder = recorded(images(2, KINDS))
    back = evidence.read(tmp_path / "a.npz")
    check_metrics(recorder, back)
    dtypes = {
        **dict.fromkeys(("counts", "positives", "pixels", "hist_offsets", "lesion_offsets"), "int64"),
        **dict.fromkeys(("hist_all", "hist_positive", "fp_area", "fp_other"), "uint32"),
        **dict.fromkeys(("lesion_scores", "fp_centre", "fp_score"), "float32"),
        **dict.fromkeys(("froc", "fp_image", "fp_rest"), "int32"),
        **{"hist_id": "uint16", "lesion_hits": "uint16", "fp_class": "uint8"},
    }
    assert {name: str(array.dtype) for name, array in vars(back).items() if array.dtype.kind != "U"} == dtypes
    assert (back.counts.shape, back.froc.shape) == ((7, 4, 2, 11), (7, 4, 14, 2))
    assert back.names.tolist() == list(LESIONS)


def test_reading_needs_no_torch(tmp_path):
    evidence.write(tmp_path / "a.npz", recorded(images(2, ["plain"] * 2)).evidence())
    code = (
        "import sys; from rfbench.lesions import evidence, lesion_metrics, truth;"
        f"print(evidence.read({str(tmp_path / 'a.npz')!r}).metrics()['f'].shape, 'torch' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "(4,) False\n"


def test_missing_evidence_is_named(tmp_path):
    with pytest.raises(RFBenchError, match=r"evidence\.npz: expected the evidence of a run, found no file"):
        evidence.read(tmp_path / "evidence.npz")


def test_a_refused_image_leaves_no_trace():
    pairs = images(3, ["plain", "poor"])
    recorder = recorded(pairs[:1])
    label, scores = pairs[1]
    with pytest.raises(ValueError, match="must lie in"):
        recorder.update("bad", torch.from_numpy(scores) + 1, torch.from_numpy(label), 50.0)
    assert recorder.evidence().stems.tolist() == recorder.truth().stems.tolist() == ["image0"]
    check_metrics(recorder, recorder.evidence())


# -- lesion metrics --


def test_lesion_metrics_are_the_rule_counted_by_hand():
    """Nine images; SE in four of them only, and MA fewer than 30 times."""
    pairs = images(8, ["plain", "poor", "steps", "plain", "poor", "pixel noise", "plain", "poor", "plain"])
    for i, (label, _) in enumerate(pairs):
        label[(label == 3) & (i > 3)] = 0
        label[(label == 4) & (i > 1)] = 0
    recorder = recorded(pairs)
    kept, lesions = recorder.evidence(), recorder.truth()
    found = lesion_metrics.lesion_metrics(kept, lesions)
    for c, lesion in enumerate(LESIONS):
        areas, where, hit, froc, false, regions = [], [], [], np.zeros(14), np.zeros(14), np.zeros(14)
        for i, (label, scores) in enumerate(pairs):
            labelled, count = ndimage.label(label == c + 1)
            areas += [(labelled == k).sum() * (3412 / 50) ** 2 for k in range(1, count + 1)]
            where += [i] * count
            for t, threshold in enumerate(THRESHOLDS):
                result = match(label == c + 1, scores[c] > threshold)
                froc[t] += result.hit.sum()
                false[t] += result.false
                regions[t] += ndimage.label(scores[c] > threshold)[1]
                hit += result.hit.tolist() if t == 5 else []
        areas, where, hit = np.array(areas), np.array(where), np.array(hit)
        enough = len(hit) >= 30 and len(set(where.tolist())) >= 5
        assert enough == (c < 2)
        values = {metric: by_lesion[lesion] for metric, by_lesion in found.items()}
        assert (values["lesions"], values["lesions_hit"]) == (len(hit), hit.sum())
        assert (values["regions"], values["regions_false"]) == (regions[5], false[5])
        assert values["fp_per_image"] == pytest.approx(false[5] / 9)
        sizes = {
            "lt74": areas < 74,
            "74_255": (areas >= 74) & (areas < 256),
            "256_1920": (areas >= 256) & (areas <= 1920),
            "gt1920": areas > 1920,
        }
        for size, chosen in sizes.items():
            assert values[f"lesions_{size}"] == chosen.sum()
            assert values[f"lesions_hit_{size}"] == hit[chosen].sum()
            few = chosen.sum() < 30 or len(set(where[chosen].tolist())) < 5
            expected = None if few else pytest.approx(hit[chosen].mean())
            assert values[f"lesion_recall_{size}"] == expected
        if not enough:
            for metric in ("lesion_recall", "lesion_precision", "lesion_f1", "cpm", "froc_recall_0.5"):
                assert values[metric] is None
            continue
        recall, precision = hit.mean(), 1 - false[5] / regions[5]
        assert values["lesion_recall"] == pytest.approx(recall)
        assert values["lesion_precision"] == pytest.approx(precision)
        assert values["lesion_f1"] == pytest.approx(2 / (1 / recall + 1 / precision))
        names = ["0.01", *(f"0.{k}" for k in range(1, 10)), "0.99", "0.999", "0.9999", "0.99999"]
        for t, name in enumerate(names):
            assert values[f"froc_recall_{name}"] == pytest.approx(froc[t] / len(hit))
            assert values[f"froc_fp_{name}"] == pytest.approx(false[t] / 9)
        best = [max([r for r, f in zip(froc / len(hit), false / 9, strict=True) if f <= rate], default=0)
                for rate in (0.125, 0.25, 0.5, 1, 2, 4, 8)]  # fmt: skip
        assert values["cpm"] == pytest.approx(np.mean(best))
        covered = (kept.lesion_scores[lesions.kind == c] > 0.5).mean(0)
        assert [values[f"lesions_covered_{s}"] for s in ("any", "10", "20", "50")] == pytest.approx(covered.tolist())


@pytest.mark.parametrize(
    ("recall", "rate", "expected"),
    [
        ([1.0], [9.0], 0.0),
        ([0.4], [0.0], 0.4),
        ([0.2, 0.9, 0.6], [0.1, 5.0, 1.0], (3 * 0.2 + 3 * 0.6 + 0.9) / 7),
        ([0.8, 0.3], [0.125, 0.2], 0.8),  # recall need not rise with the false regions: the highest counts
    ],
)
def test_cpm_is_a_step_curve(recall, rate, expected):
    assert lesion_metrics.cpm(np.array(recall), np.array(rate)) == pytest.approx(expected)


def test_sizes_are_the_papers():
    areas = np.array([73.99, 74, 255.99, 256, 1920, 1920.01])
    names = [lesion_metrics.SIZES[k] for k in lesion_metrics.size_class(areas)]
    assert names == ["lt74", "74_255", "74_255", "256_1920", "256_1920", "gt1920"]


def test_other_lesions_are_refused():
    kept, other = recorded(images(1, ["plain"] * 2)).evidence(), recorded(images(2, ["plain"] * 2)).truth()
    with pytest.raises(RFBenchError, match="expected the same images and lesions"):
        lesion_metrics.lesion_metrics(kept, other)


# -- real labels --


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", "saturated"])
def test_real_labels_with_made_up_scores(idrid, tmp_path, kind):
    rng = np.random.default_rng(0)
    recorder = Recorder(LESIONS)
    chosen = {}
    for stem in ("IDRiD_64", "IDRiD_81"):
        label = cv2.imread(str(idrid.parent / f"labels/test/{stem}.png"), cv2.IMREAD_GRAYSCALE)
        small = cv2.resize(label, (720, 478), interpolation=cv2.INTER_NEAREST)
        scores = np.stack([cv2.resize(v, label.shape[::-1]) for v in score_maps(rng, small, kind)])
        recorder.update(stem, torch.from_numpy(scores), torch.from_numpy(label), truth.DIAMETER)
        chosen[stem] = label, scores
    evidence.write(tmp_path / "e.npz", recorder.evidence())
    kept, lesions = evidence.read(tmp_path / "e.npz"), recorder.truth()
    check_metrics(recorder, kept)
    exact = recorder.metrics.compute()["ap"]
    assert np.abs(kept.metrics()["ap"] - [exact[lesion] for lesion in LESIONS]).max() < 1e-4
    assert kept.metrics()["ap_error"].max() < 5e-3  # proven, whatever the order within the bins
    assert np.bincount(lesions.kind, minlength=4).tolist() == [
        sum(ndimage.label(label == c + 1)[1] for label, _ in chosen.values()) for c in range(4)
    ]
    for i, (label, scores) in enumerate(chosen.values()):
        for c in range(4):
            span = slice(*kept.lesion_offsets[4 * i + c : 4 * i + c + 2])
            for t in (0, 5, 10, 13):
                hit, false = match(label == c + 1, scores[c] > THRESHOLDS[t])
                assert ((kept.lesion_hits[span] >> t & 1) == hit).all()
                assert kept.froc[i, c, t, 1] == false
