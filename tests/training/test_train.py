"""Training: the stream, the update, the schedule, resuming, and what a record says."""

import contextlib
import csv
import ctypes
import json
import os
import shutil
import struct
from pathlib import Path

import cv2
import mmcv
import numpy as np
import pytest
import torch
from mmengine.optim import PolyLR

from rfbench.commands.evaluate import show
from rfbench.data.prepare import prepare_folder
from rfbench.errors import RFBenchError
from rfbench.evaluation import run as evaluate
from rfbench.lesions import evidence
from rfbench.models.initial import initial_model
from rfbench.models.normalise import pad_labels
from rfbench.report.aggregate import aggregate
from rfbench.runs import run_folder
from rfbench.settings import complete, recorded_settings, run_settings
from rfbench.training import compiling, loop, workfolder
from rfbench.training.stream import TrainingStream

from ..tiny_run import PAIR, changed, evaluated, make_settings, plain, run, same, stop_after, weights


@contextlib.contextmanager
def watch_opens(folders: list[Path]):
    """Linux's inotify on folders: yields a function that lists the files opened in them so far."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_NONBLOCK)
    watches = {libc.inotify_add_watch(descriptor, os.fsencode(folder), 0x20): folder for folder in folders}  # IN_OPEN
    assert descriptor >= 0
    assert -1 not in watches
    seen: set[Path] = set()

    def opened() -> set[Path]:
        with contextlib.suppress(BlockingIOError):
            while events := os.read(descriptor, 1 << 16):
                while events:
                    watch, _, _, length = struct.unpack("iIII", events[:16])
                    seen.add(watches[watch] / os.fsdecode(events[16 : 16 + length].rstrip(b"\0")))
                    events = events[16 + length :]
        return {path for path in seen if path not in folders}

    try:
        yield opened
    finally:
        os.close(descriptor)


def stream(manifest: Path, **recipe) -> TrainingStream:
    settings = make_settings()
    changed_recipe = settings.recipe.model_copy(update=recipe)  # unchecked: sizes may be too small to be configured
    return TrainingStream(manifest, settings.datasets["SYN"], changed_recipe, seed=5)


def test_a_sample_depends_on_seed_and_draw_alone(manifest):
    one, two = stream(manifest), stream(manifest)
    late = two[7]
    [one[draw] for draw in range(7)]
    np.random.seed(99)  # noqa: NPY002 (the state that must not matter)
    assert all(torch.equal(a, b) for a, b in zip(one[7], late, strict=True))
    assert not torch.equal(one[8][0], late[0])


def test_every_copy_of_every_image_once_an_epoch(manifest):
    data = stream(manifest)
    for epoch in range(2):
        assert sorted(data._pick(12 * epoch + k) for k in range(12)) == list(range(12))
    assert [data._pick(k) for k in range(12)] != [data._pick(12 + k) for k in range(12)]


def test_crop_is_width_by_height_and_label_follows_the_image(manifest):
    image, label = stream(manifest, photometric=False, ratio=[1.0, 1.0])[0]
    assert image.shape == (3, 64, 96)
    assert image.dtype == torch.uint8
    assert label.shape == (64, 96)
    assert set(label.unique().tolist()) <= {0, 1, 2, 3, 4}


def test_native_and_cached_sources_see_the_same_at_small_scales(manifest):
    native, cached = stream(manifest), stream(manifest, train_source="cached_2x")
    # The synthetic image is smaller than twice the scale, so the cache holds it unchanged.
    assert torch.equal(native[3][0], cached[3][0])


def test_portrait_copies_stay_portrait_until_the_crop(manifest):
    data = stream(manifest, photometric=False, ratio=[1.0, 1.0])
    data.crop = (1000, 1000)  # larger than both: what is left is the resized copy
    shapes = {}
    for draw in range(12):
        shapes.setdefault(data._pick(draw) % 6, set()).add(tuple(data[draw][0].shape[1:]))
    landscape, portrait = {(284, 427)}, {(427, 284)}  # (height, width): the scale's long side goes with the image's
    assert [shapes[copy] for copy in range(6)] == [landscape, portrait, landscape, portrait, landscape, landscape]
    cropped, _ = stream(manifest, ratio=[0.1, 0.1])[next(d for d in range(12) if data._pick(d) % 6 == 1)]
    assert cropped.shape[1] > cropped.shape[2]


@pytest.mark.parametrize("probability", [None, 0.01])
def test_the_untrained_network_begins_at_the_recipes_probability(probability):
    """Within what weights of N(0, 0.01) add to the bias, far less than ln 99; nothing but the bias is another."""
    settings = make_settings(**({} if probability is None else {"initial_probability": probability}))
    model, _ = initial_model(run_settings(settings, "SYN", PAIR, 0), None)
    published, _ = initial_model(run_settings(make_settings(), "SYN", PAIR, 0), None)
    with torch.inference_mode():
        logits = model.eval()(torch.randn(1, 3, 64, 96))
    assert (logits - (0 if probability is None else -np.log(99))).abs().max() < 1
    own, other = model.state_dict(), published.state_dict()
    assert {name for name in own if not torch.equal(own[name], other[name])} == (
        set() if probability is None else {"decode_head.conv_seg.bias"}
    )


def test_normalisation_comes_before_padding(manifest):
    model, _ = initial_model(run_settings(make_settings(), "SYN", PAIR, 0), None)
    small = torch.full((3, 40, 50), 200, dtype=torch.uint8)
    batch = model.normalise([small], (64, 96))
    assert batch.shape == (1, 3, 64, 96)
    assert torch.all(batch[0, :, 40:] == 0)
    assert torch.all(batch[0, :, :, 50:] == 0)
    expected = (200 - 116.513) / 80.206  # red comes first after the change from BGR
    assert batch[0, 0, 0, 0].item() == pytest.approx(expected, rel=1e-5)
    label = pad_labels([torch.ones(40, 50, dtype=torch.uint8)], (64, 96), torch.device("cpu"))
    assert (label.dtype, label.shape, label.sum().item()) == (torch.int64, (1, 64, 96), 40 * 50)
    assert label[0, :40, :50].all()


def test_same_seed_same_weights_other_seed_others(manifest, tmp_path):
    settings = make_settings()
    record = run(settings, manifest, tmp_path / "a")
    again = run(settings, manifest, tmp_path / "b")
    other = run(settings, manifest, tmp_path / "c", seed=1)
    assert record == again
    assert record["state"] == "done"
    assert (tmp_path / "a" / "train.json").read_bytes() == (tmp_path / "b" / "train.json").read_bytes()
    assert (tmp_path / "a" / "curve.csv").read_bytes() == (tmp_path / "b" / "curve.csv").read_bytes()
    assert not same(weights(tmp_path / "a"), weights(tmp_path / "c"))
    assert other["identity"]["settings"] != record["identity"]["settings"]


def test_the_store_changes_neither_weights_nor_record(manifest, tmp_path):
    """Two processes map it; without it, the training decodes by itself."""
    records = [
        run(make_settings(store=stored, workers=2 * stored), manifest, tmp_path / str(stored))
        for stored in (True, False)
    ]
    assert same(weights(tmp_path / "True"), weights(tmp_path / "False"))
    assert records[0] == records[1]


def test_killed_training_resumes_bit_identically(manifest, tmp_path, monkeypatch):
    settings = make_settings()
    run(settings, manifest, tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_after(patch, 5, KeyboardInterrupt())  # after the checkpoint of iteration 4
        with pytest.raises(KeyboardInterrupt):
            run(settings, manifest, tmp_path / "cut")
    assert not (tmp_path / "cut" / "train.json").exists()
    run(settings, manifest, tmp_path / "cut")
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))
    assert (tmp_path / "whole" / "curve.csv").read_text() == (tmp_path / "cut" / "curve.csv").read_text()
    assert json.loads((tmp_path / "cut" / "times.json").read_text())["resumed"] is True


def test_checkpoints_of_other_settings_are_not_resumed(manifest, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(patch, 5, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            run(make_settings(power=0.5), manifest, tmp_path / "mixed")
    run(make_settings(), manifest, tmp_path / "mixed")
    run(make_settings(), manifest, tmp_path / "clean")
    assert same(weights(tmp_path / "mixed"), weights(tmp_path / "clean"))


def test_micro_batches_sum_to_the_gradient_of_the_whole(manifest, tmp_path):
    """With frozen batch norm statistics out of the way (plain SGD, one update), parts and whole agree."""
    updates = []
    for parts in (1, 2, 4):
        settings = make_settings(micro_batches=parts, optimizer={"type": "SGD", "lr": 0.1})
        folder = tmp_path / str(parts)
        record = run(changed(settings, "datasets.SYN.iterations", 1), manifest, folder)
        assert record["batch_norm_images"] == 4 // parts
        with open(folder / "curve.csv") as file:
            assert [row["iteration"] for row in csv.DictReader(file)] == ["1"], "an iteration is an update"
        updates.append(weights(folder)["decode_head.conv_seg.bias"])
    start = initial_model(run_settings(make_settings(), "SYN", PAIR, 0), None)[0]
    moved = [(u - start.decode_head.conv_seg.bias.detach()) for u in updates]
    assert all(m.abs().max() > 0 for m in moved)
    assert torch.allclose(moved[0], moved[1], rtol=0.2, atol=1e-4)  # batch statistics differ, the scale must not


def test_other_weights_than_configured_are_refused(tmp_path):
    settings = run_settings(make_settings(), "SYN", PAIR, 0)
    torch.save({}, tmp_path / "w.pth")
    with pytest.raises(RFBenchError, match=r"w\.pth: expected the weights of SHA-256 d2186c55…"):
        initial_model(changed(settings, "model.pretrained", "d2186c55"), tmp_path / "w.pth")


def test_learning_rate_follows_the_polynomial(manifest, tmp_path):
    run(make_settings(), manifest, tmp_path)
    with open(tmp_path / "curve.csv") as file:
        rates = [float(row["lr"]) for row in csv.DictReader(file)]
    expected = [(0.01 - 1e-4) * (1 - k / 6) ** 0.9 + 1e-4 for k in range(6)]
    assert rates == pytest.approx(expected, rel=1e-3)


def test_learning_rates_are_mmengines_to_the_last_bit_of_float32():
    """Its PolyLR multiplies from step to step; `end` is one later, since it reaches eta_min a step early."""
    total, recipe = 5000, make_settings().recipe
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.01)
    schedule = PolyLR(optimizer, eta_min=1e-4, power=0.9, begin=0, end=total + 1, by_epoch=False)
    for done in range(total):
        rate, theirs = loop.learning_rate(done, total, recipe), optimizer.param_groups[0]["lr"]
        assert rate == pytest.approx(theirs, rel=1e-12)
        assert np.float32(rate) == np.float32(theirs), done
        optimizer.step()
        schedule.step()


def test_not_a_number_is_a_state_not_a_crash(manifest, tmp_path, monkeypatch):
    def poisoned(logits, label, **_):
        return logits.sum() * float("nan")

    monkeypatch.setattr("rfbench.training.step.dice_loss", poisoned)
    record = run(make_settings(), manifest, tmp_path)
    assert record["state"] == "diverged"
    assert "iteration 1" in record["reason"]
    result = evaluated(
        make_settings(),
        "SYN",
        PAIR,
        0,
        manifest,
        tmp_path / "train.json",
        tmp_path / "work",
        tmp_path / "evaluation.json",
    )
    assert result["state"] == "diverged"
    assert "metrics" not in result
    assert evidence.read(tmp_path / "evidence.npz").counts.shape == (0, 4, 2, 11)


def test_two_trainings_never_share_a_work_folder(tmp_path):
    work = tmp_path / "work"
    message = rf"another process \({os.getpid()} on .+\) is training here"
    with workfolder.locked(work), pytest.raises(RFBenchError, match=message), workfolder.locked(work, patience=0):
        pass


def test_what_an_orphan_finished_is_kept(manifest, tmp_path):
    first = run(make_settings(), manifest, tmp_path)
    before = (tmp_path / "work" / "model.pth").stat().st_mtime_ns
    assert run(make_settings(), manifest, tmp_path) == first
    assert (tmp_path / "work" / "model.pth").stat().st_mtime_ns == before, "nothing was trained again"
    run(make_settings(power=0.5), manifest, tmp_path)
    assert (tmp_path / "work" / "model.pth").stat().st_mtime_ns != before, "other settings are"


def test_damaged_checkpoint_is_named_and_the_one_before_serves(manifest, tmp_path, monkeypatch, capsys):
    run(make_settings(), manifest, tmp_path / "whole")
    work = tmp_path / "cut" / "work"
    with monkeypatch.context() as patch:
        stop_after(patch, 5, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            run(make_settings(), manifest, tmp_path / "cut")
    assert sorted(path.name for path in work.glob("iter_*.pth")) == ["iter_2.pth", "iter_4.pth"]
    (work / "iter_4.pth").write_bytes((work / "iter_4.pth").read_bytes()[:-100])
    run(make_settings(), manifest, tmp_path / "cut")
    assert "iter_4.pth: damaged" in capsys.readouterr().err
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))


def test_a_crash_leaves_its_reason(manifest, tmp_path, monkeypatch):
    def broken(logits, label, **_):
        raise ValueError("no such thing")

    with monkeypatch.context() as patch:
        patch.setattr("rfbench.training.step.dice_loss", broken)
        with pytest.raises(ValueError, match="no such thing"):
            run(make_settings(), manifest, tmp_path)
    assert json.loads((tmp_path / "work" / "error.json").read_text())["reason"] == "ValueError: no such thing"
    run(make_settings(), manifest, tmp_path)
    assert not (tmp_path / "work" / "error.json").exists()


def test_missing_manifest_is_named(tmp_path):
    with pytest.raises(RFBenchError, match=r"absent\.csv"):
        run(make_settings(), tmp_path / "absent.csv", tmp_path)


@pytest.mark.parametrize("fallback", [None, "FileNotFoundError: no g++ found"])
def test_without_a_compiler_training_goes_on_and_the_record_says_why(manifest, tmp_path, monkeypatch, capsys, fallback):
    """The numbers are those of the eager network; with a compiler (here, one that changes nothing) it is asked."""
    compiled = []
    monkeypatch.setattr(compiling, "problem", lambda device: fallback)
    monkeypatch.setattr(torch, "compile", lambda model: compiled.append(model) or model)
    record = run(make_settings(compile=True), manifest, tmp_path / "compiled")
    assert (len(compiled), record["compile_fallback"]) == (int(fallback is None), fallback)
    assert ("no g++ found" in capsys.readouterr().err) == (fallback is not None)
    assert record["identity"]["arithmetic"] == "cpu, float32" + ", compiled" * (fallback is None)
    assert record["settings"]["recipe"]["compile"] is True
    assert "compile_fallback" not in run(make_settings(), manifest, tmp_path / "eager")
    assert same(weights(tmp_path / "compiled"), weights(tmp_path / "eager"))


def test_only_batches_for_a_gpu_are_in_page_locked_memory(manifest, monkeypatch):
    asked = []

    class Loader(list):
        def __init__(self, stream, **options):
            asked.append(options["pin_memory"])

    monkeypatch.setattr(loop, "DataLoader", Loader)
    settings = make_settings()
    own = run_settings(settings, "SYN", PAIR, 0)
    for device in ("cpu", "cuda"):
        monkeypatch.setattr(loop, "device_of", lambda model, device=device: torch.device(device))
        assert list(loop.batches(None, own, settings.recipe, manifest, 0)) == []
    assert asked == [False, True]


def test_mixed_precision_is_recorded_and_changes_the_arithmetic(manifest, tmp_path):
    full, mixed = tmp_path / "full", tmp_path / "mixed"
    run(make_settings(), manifest, full)
    record = run(make_settings(amp="bfloat16"), manifest, mixed)
    assert record["settings"]["recipe"]["amp"] == "bfloat16"
    assert record["state"] == "done"
    assert not same(weights(full), weights(mixed))


def test_half_precision_without_a_gpu_is_refused(manifest, tmp_path):
    with pytest.raises(RFBenchError, match="float16 needs a GPU"):
        run(make_settings(amp="float16"), manifest, tmp_path)


def trained_and_evaluated(manifest: Path, folder: Path) -> dict:
    """Train and evaluate in a folder."""
    run(make_settings(), manifest, folder)
    return evaluated(
        make_settings(), "SYN", PAIR, 0, manifest, folder / "train.json", folder / "work", folder / "evaluation.json"
    )


def test_evaluation_is_complete_and_repeatable(manifest, tmp_path):
    record = trained_and_evaluated(manifest, tmp_path / "a")
    trained_and_evaluated(manifest, tmp_path / "b")
    assert (tmp_path / "a" / "evaluation.json").read_bytes() == (tmp_path / "b" / "evaluation.json").read_bytes()
    assert (tmp_path / "a" / "evidence.npz").read_bytes() == (tmp_path / "b" / "evidence.npz").read_bytes()
    assert (tmp_path / "a" / "masks.npz").read_bytes() == (tmp_path / "b" / "masks.npz").read_bytes()
    assert record["n_images"] == 1
    kept = evidence.read(tmp_path / "a" / "evidence.npz")
    assert kept.stems.tolist() == ["SYN_03"]
    assert kept.metrics()["f"].tolist() == [record["metrics"]["f"][lesion] for lesion in kept.names]
    assert record["lesions"]["lesions"] == dict(zip(kept.names.tolist(), np.diff(kept.lesion_offsets), strict=True))
    assert set(record["metrics"]) == {"aupr11", "ap", "f", "iou", "precision", "recall"}
    assert set(record["untrained"]["ap"]) == {"EX", "HE", "SE", "MA", "mean"}
    with open(tmp_path / "a" / "pr_curves.csv") as file:
        points = [row for row in csv.DictReader(file) if row["curve"] == "aupr11" and row["lesion"] == "MA"]
    recall, precision = (np.array([float(row[name]) for row in points]) for name in ("recall", "precision"))
    assert len(points) == 11
    assert abs(np.trapezoid(precision, recall)) == pytest.approx(record["metrics"]["aupr11"]["MA"])
    with open(tmp_path / "a" / "per_image.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["lesion"] for row in rows] == ["EX", "HE", "SE", "MA"]
    for row in rows:
        detail = record["details"][row["lesion"]]
        assert int(row["tp"]) == detail["tp"]
        assert int(row["predicted"]) == detail["predicted"]


def test_prediction_follows_the_protocol_step_by_step(manifest):
    """Logits → network's input size → native size → sigmoid, against the steps written out."""
    model = initial_model(run_settings(make_settings(), "SYN", PAIR, 0), None)[0].eval()
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (150, 201, 3), dtype=np.uint8)
    got = evaluate.predict(model, image, (120, 90), torch.device("cpu"))
    resized = mmcv.imresize(image, (120, 90))  # 201x150 fitted into 120x90: exactly 120x90
    rgb = resized[..., ::-1].astype(np.float32)
    normalised = (rgb - np.float32([116.513, 56.437, 16.309])) / np.float32([80.206, 41.232, 13.293])
    x = torch.from_numpy(normalised.transpose(2, 0, 1).copy())[None]
    with torch.no_grad():
        logits = model(x)
        logits = torch.nn.functional.interpolate(logits, (150, 201), mode="bilinear", align_corners=False)
    assert got.shape == (4, 150, 201)
    assert torch.allclose(got, logits[0].sigmoid(), atol=1e-6)


def test_prepared_size_is_that_of_a_file_of_the_scale(manifest):
    """Resize, normalise, pad with zeros, sigmoid at that size, against the steps written out; a portrait image."""
    model = initial_model(run_settings(make_settings(), "SYN", PAIR, 0), None)[0].eval()
    image = np.random.default_rng(0).integers(0, 256, (200, 150, 3), dtype=np.uint8)
    got = evaluate.predict(model, image, (128, 128), torch.device("cpu"), "prepared")
    rgb = mmcv.imresize(image, (96, 128))[..., ::-1].astype(np.float32)
    x = torch.zeros(1, 3, 128, 128)
    normalised = (rgb - np.float32([116.513, 56.437, 16.309])) / np.float32([80.206, 41.232, 13.293])
    x[..., :96] = torch.from_numpy(normalised.transpose(2, 0, 1).copy())
    with torch.no_grad():
        expected = model(x)[0].sigmoid()
    assert got.shape == (4, 128, 128)
    assert torch.allclose(got, expected, atol=1e-6)


def test_label_at_prepared_size():
    label = np.arange(200 * 150, dtype=np.uint32).reshape(200, 150)
    label = (label % 5).astype(np.uint8)
    fitted = evaluate.fit_label(label, (128, 128), "prepared")
    assert fitted.shape == (128, 128)
    assert not fitted[:, 96:].any()
    rows, columns = (np.arange(n) * size // n for n, size in ((128, 200), (96, 150)))  # the nearest, as OpenCV rounds
    assert np.array_equal(fitted[:, :96], label[rows][:, columns])
    assert evaluate.fit_label(label, (128, 128), "native") is label


def test_evaluation_size_is_recorded_and_counts_its_own_pixels(manifest, tmp_path):
    settings = changed(make_settings(), "datasets.SYN.eval_size", "prepared")
    settings = changed(settings, "datasets.SYN.scale", (214, 200))
    run(settings, manifest, tmp_path)
    files = [tmp_path / "train.json", tmp_path / "work", tmp_path / "evaluation.json"]
    record = evaluated(settings, "SYN", PAIR, 0, manifest, *files)
    assert record["evaluation"]["eval_size"] == "prepared"
    assert {detail["pixels"] for detail in record["details"].values()} == {214 * 200}


def test_own_lesions_flow_from_the_configuration_to_every_number(tmp_path):
    """Two lesions of a user's own: outputs, loss, metrics, columns of the manifest and rows of the table."""
    rng = np.random.default_rng(0)
    (tmp_path / "mine").mkdir()
    rows = ["image,lesion,mask,split"]
    for name, split in (("a", "train"), ("b", "test")):
        cv2.imwrite(str(tmp_path / "mine" / f"{name}.png"), rng.integers(0, 256, (150, 200, 3), dtype=np.uint8))
        for lesion in ("NV", "Drusen"):
            mask = np.zeros((150, 200), np.uint8)
            mask[20:60, 30:90] = 255
            cv2.imwrite(str(tmp_path / "mine" / f"{name}_{lesion}.png"), mask)
            rows.append(f"{name}.png,{lesion},{name}_{lesion}.png,{split}")
    (tmp_path / "mine" / "dataset.csv").write_text("\n".join(rows))
    manifest = prepare_folder(tmp_path / "mine", tmp_path / "out", lesions=["NV", "Drusen"], progress=False)
    written = plain(make_settings())
    section = {k: v for k, v in written["datasets"].pop("SYN").items() if k not in ("synthetic", "eval_size")}
    section |= {"kind": "folder", "source": "mine", "lesions": ["NV", "Drusen"], "iterations": 2}
    settings = complete(written | {"datasets": {"Mine": section}, "results": str(tmp_path / "results")})
    folder = run_folder(settings.results, "Mine", PAIR, 0)
    run(settings, manifest, folder, dataset="Mine")
    files = [folder / "train.json", folder / "work", folder / "evaluation.json"]
    record = evaluated(settings, "Mine", PAIR, 0, manifest, *files)
    assert set(record["details"]) == {"NV", "Drusen"}
    show(record)
    table = aggregate(settings)
    assert set(table.loc[table["metric"] == "ap", "lesion"]) == {"NV", "Drusen", "mean"}
    assert set(table["eval_size"]) == {"native"}
    turned = changed(settings, "datasets.Mine.lesions", ("Drusen", "NV"))
    with pytest.raises(RFBenchError, match="lesions Drusen, NV, found NV, Drusen"):
        run(turned, manifest, folder, dataset="Mine")


@pytest.mark.parametrize("store", [True, False])
def test_no_test_image_is_opened_before_evaluation(manifest, tmp_path, store):
    """The kernel tells of every open file, also of those that OpenCV opens without Python."""
    shutil.rmtree(manifest.parent / "store", ignore_errors=True)  # so that this training fills it
    settings = make_settings(workers=1, store=store)
    watched = [manifest.parent / kind / split for kind in ("images", "labels") for split in ("train", "test")]
    with watch_opens(watched) as opened:
        run(settings, manifest, tmp_path)
        assert {path.parent.name for path in opened()} == {"train"}
        files = [tmp_path / "train.json", tmp_path / "work", tmp_path / "evaluation.json"]
        evaluated(settings, "SYN", PAIR, 0, manifest, *files)
        assert {path.parent.name for path in opened()} == {"train", "test"}


def test_exchanged_checkpoint_is_refused(manifest, tmp_path):
    run(make_settings(), manifest, tmp_path)
    torch.save({"state_dict": {}}, tmp_path / "work" / "model.pth")
    record = json.loads((tmp_path / "train.json").read_text())
    with pytest.raises(RFBenchError, match="expected the checkpoint of digest"):
        evaluate.trained_model(recorded_settings(record), record, tmp_path / "work")


def test_record_of_other_settings_is_refused(manifest, tmp_path):
    run(make_settings(), manifest, tmp_path)
    files = [tmp_path / "train.json", tmp_path / "work", tmp_path / "evaluation.json"]
    with pytest.raises(RFBenchError, match=r"trained with other settings \(recipe\)"):
        evaluated(make_settings(power=0.5), "SYN", PAIR, 0, manifest, *files)
