"""Evaluate one trained network, one image at a time.

Protocol (the authors' released code): logits → bilinear to the network's input size → bilinear to the size of
the image on disk → sigmoid; no flips, no multi-scale. Every count is summed over all images of the split.

The size of the image on disk is a question for DDR, whose files the authors may have resized beforehand
(docs/datasets.md), so `eval_size` decides and is recorded with every row:

- native: image and label map as in the archive. The network's input is the image fitted into `scale` (aspect kept,
  bilinear), without padding.
- prepared: as if the file were the image fitted into `scale` and padded to it, for DDR 1024x1024. The image is
  resized bilinearly, the label map by nearest neighbour, both from native size; both are padded with 0 on the right
  and below, the image after normalisation (as in training). Every pixel of the padded frame counts, the padding as
  background.
"""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import mmcv
import torch
from rich.console import Console
from rich.progress import track
from torch.nn import functional as F

from rfbench import devices, provenance, records, stages
from rfbench.data.images import read_native
from rfbench.data.manifest import read_manifest
from rfbench.devices import pick_device
from rfbench.errors import RFBenchError
from rfbench.evaluation.ground_truth import fit_diameter, fit_label
from rfbench.evaluation.metrics import LesionMetrics
from rfbench.evaluation.recording import Recorder
from rfbench.lesions import evidence, masks
from rfbench.lesions.lesion_metrics import lesion_metrics
from rfbench.models.checkpoint import load_checkpoint
from rfbench.models.initial import initial_model
from rfbench.names import MIN_SIZE
from rfbench.precision import set_precision
from rfbench.settings import Recipe, RunSettings

if TYPE_CHECKING:
    from rfbench.runs import Run


@torch.inference_mode()
def predict(model: torch.nn.Module, image, scale: tuple[int, int], device: torch.device,
            eval_size: str = "native") -> torch.Tensor:  # fmt: skip
    """Lesion probabilities of one image.

    Args:
        model: network that normalises, in evaluation mode.
        image: (H, W, 3) uint8 in BGR order.
        scale: width and height that the image is fitted into, aspect kept.
        eval_size: native, or prepared (see above).

    Returns:
        (num_lesions, H, W) float32 on `device`, or (num_lesions, *reversed(scale)) for prepared.

    Raises:
        RFBenchError: fitted into `scale` the image is too narrow, or the network gives no number.
    """
    width, height = mmcv.rescale_size(image.shape[1::-1], tuple(scale))
    least = 1 if eval_size == "prepared" else MIN_SIZE
    if min(width, height) < least:
        raise RFBenchError(
            f"expected an image whose sides have at least {least} px once it is fitted into {scale[0]}x{scale[1]}, "
            f"found {image.shape[1]}x{image.shape[0]} px, which becomes {width}x{height}."
        )
    resized = mmcv.imrescale(image, tuple(scale))
    inputs = torch.from_numpy(resized).permute(2, 0, 1)
    batch = model.normalise([inputs])  # (1, 3, h, w)
    if eval_size == "prepared":
        width, height = scale
        batch = F.pad(batch, (0, width - batch.shape[3], 0, height - batch.shape[2]))  # (1, 3, H, W)
        logits = model(batch).float()  # (1, L, H, W)
    else:
        logits = F.interpolate(model(batch).float(), image.shape[:2], mode="bilinear", align_corners=False)
    maps = logits[0].sigmoid()  # (L, H, W)
    if maps.isnan().any():  # no threshold is below it, so it would look healthy
        raise RFBenchError("expected probabilities, found NaN: the network's weights overflow on this image.")
    return maps


def evaluate_model(
    model: torch.nn.Module,
    manifest: Path,
    split: str,
    device: torch.device,
    *,
    lesions: Sequence[str],
    scale: tuple[int, int],
    eval_size: str,
    keep: Callable[[str, torch.Tensor], None] | None = None,
    recorder: Recorder | None = None,
    threads: int = 1,
) -> tuple[LesionMetrics, list[dict]]:
    """Metrics of a network over a split, and its counts at 0.5 per image (rows stem, lesion, tp, predicted, positives).

    `keep` is given each image's stem and probabilities (L, H, W); for the others see `predict`. `recorder`, a new one
    of these lesions, gathers the evidence, too, and its metrics are returned. Without it, memory does not grow with
    the number of images, and `threads` count the lesions of each.
    """
    model = model.to(device).eval()
    metrics, rows = recorder.metrics if recorder else LesionMetrics(lesions, threads), []
    images = list(read_manifest(manifest, split, lesions).itertuples())
    console = Console(stderr=True)
    for row in track(images, f"evaluating {split}", console=console, disable=not console.is_terminal):
        image, label = read_native(manifest.parent, row)
        target = torch.from_numpy(fit_label(label, scale, eval_size)).to(device)
        maps = predict(model, image, scale, device, eval_size)
        if recorder:
            counts = recorder.update(row.stem, maps, target, fit_diameter(image, scale, eval_size))
        else:
            counts = metrics.update(maps, target)
        if keep:
            keep(row.stem, maps)
        rows += [{"stem": row.stem, "lesion": lesion, **count} for lesion, count in counts.items()]
    return metrics, rows


def trained_model(run: RunSettings, record: dict, work: Path) -> torch.nn.Module:
    """The network of a run's finished training, its checkpoint checked against the record's digest.

    Raises:
        RFBenchError: the checkpoint is gone or is not the one that the record describes.
    """
    checkpoint = work / "model.pth"
    if not checkpoint.exists() or provenance.sha256(checkpoint) != record["checkpoint_sha256"]:
        found = "another file" if checkpoint.exists() else "none"
        raise RFBenchError(
            f"{checkpoint}: expected the checkpoint of digest {record['checkpoint_sha256'][:12]}…, found {found}. "
            "Train this run again (delete its train.json and run snakemake)."
        )
    model, _ = initial_model(run, None)
    load_checkpoint(model, checkpoint)
    return model


def evaluate(
    run: "Run",
    device: str,
    *,
    manifest: Path,
    train_record: Path,
    work: Path,
    output: Path,
    weights: Path | None = None,
) -> dict:
    """Evaluate one run and write its record.

    evidence.npz, masks.npz, per_image.csv, pr_curves.csv and evaluation_times.json go beside it.

    Args:
        run: which run.
        device: auto, cpu or cuda.
        manifest: the prepared data set's manifest.csv.
        train_record: record that `train` wrote.
        work: the training's work folder with model.pth.
        output: the record (JSON) to write.
        weights: ImageNet checkpoint of the backbone (only the untrained network needs it).

    Returns:
        The record: `metrics` (fractions 0 to 1), `details` per lesion, `lesions` (`lesion_metrics`), `n_images`.
    """
    started = time.monotonic()
    training = records.read_training(train_record)
    run.require_own(training, train_record)
    record = {
        "kind": "evaluation",
        "state": training["state"],
        "reason": training["reason"],
        "settings": run.settings.model_dump(mode="json"),
        "identity": training["identity"],
        "evaluation": run.evaluation.model_dump(mode="json"),
        "training_provenance": training["provenance"],
        "checkpoint_sha256": training["checkpoint_sha256"],
        "code": stages.code_digest("evaluate", run.settings.pair),
    }
    rows: list[dict] = []
    curves: list[dict] = []
    chosen, recipe = pick_device(device), run.settings.recipe
    counting = counting_threads(recipe, chosen)
    recorder = Recorder(run.settings.dataset.lesions, counting)  # stays empty for a training that is not done
    set_precision(tf32=False, cudnn_benchmark=False)
    torch.set_num_threads(recipe.threads)
    if training["state"] == "done":
        judge = partial(
            evaluate_model,
            manifest=manifest,
            split=run.evaluation.split,
            device=chosen,
            lesions=run.settings.dataset.lesions,
            scale=run.settings.dataset.scale,
            eval_size=run.evaluation.eval_size,
        )
        metrics, rows = judge(trained_model(run.settings, training, work), recorder=recorder)
        curves = curve_points(metrics)
        record |= {
            "metrics": metrics.compute(),
            "details": metrics.details(),
            "lesions": lesion_metrics(recorder.evidence(), recorder.truth()),
            "n_images": metrics.images,
        }
        if run.evaluation.untrained:
            untrained, _ = initial_model(run.settings, weights)
            record["untrained"] = judge(untrained, threads=counting)[0].compute()
    record["provenance"] = devices.provenance_on(chosen)
    provenance.write_csv(output.with_name("per_image.csv"), ("stem", "lesion", "tp", "predicted", "positives"), rows)
    provenance.write_csv(output.with_name("pr_curves.csv"), ("lesion", "curve", "recall", "precision"), curves)
    evidence.write(output.with_name(evidence.NAME), recorder.evidence())
    masks.write(output.with_name(masks.NAME), recorder.masks())
    provenance.write_json(output.with_name("evaluation_times.json"), {
        "seconds": round(time.monotonic() - started, 1), "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    })  # fmt: skip
    provenance.write_json(output, record)
    return record


def counting_threads(recipe: Recipe, device: torch.device) -> int:
    """Threads that share an image's lesions: those of the job and, beside a GPU, its loader's, which are idle now."""
    return recipe.threads + (recipe.workers if device.type == "cuda" else 0)


def curve_points(metrics: LesionMetrics) -> list[dict]:
    """Precision-recall curves for figures: `exact` (thinned, every point exact) and the 11 points of `aupr11`."""
    return [
        {"lesion": lesion, "curve": name, "recall": float(recall), "precision": float(precision)}
        for name, curves in (("exact", metrics.pr_curve(200)), ("aupr11", metrics.curve11()))
        for lesion, curve in curves.items()
        for recall, precision in zip(curve["recall"], curve["precision"], strict=True)
    ]
