"""Evaluate one trained network, one image at a time.

Protocol (the authors' released code): logits → bilinear to the network's input size → bilinear to the size of
the image on disk → sigmoid; no flips, no multi-scale. Every count is summed over all images of the split.

The size of the image on disk is a question for DDR, whose files the authors seem to have resized beforehand, so
`eval_size` decides and is recorded with every row:

- native: image and label map as in the archive. The network's input is the image fitted into `scale` (aspect kept,
  bilinear), without padding.
- prepared: as if the file were the image fitted into `scale` and padded to it, for DDR 1024x1024. The image is
  resized bilinearly, the label map by nearest neighbour, both from native size; both are padded with 0 on the right
  and below, the image after normalisation (as in training). Every pixel of the padded frame counts, the padding as
  background.
"""

import argparse
import csv
import io
import sys
import time
from collections.abc import Callable
from pathlib import Path

import mmcv
import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch.nn import functional as F

from rfbench import config as configuration
from rfbench import provenance
from rfbench.data.manifest import read_manifest
from rfbench.data.reading import read_native
from rfbench.errors import RFBenchError
from rfbench.metrics import LesionMetrics
from rfbench.models.checkpoint import load_checkpoint
from rfbench.training.train import add_run_arguments, device_name, initial_model, load_run_config, pick_device
from rfbench.training.workfolder import reported

AP_BOUND = 1e-4  # the histogram's average precision is this sure unless a network gives nearly one score everywhere


@torch.inference_mode()
def predict(model: torch.nn.Module, image, scale: tuple[int, int], device: torch.device,
            eval_size: str = "native") -> torch.Tensor:  # fmt: skip
    """Lesion probabilities of one image.

    Args:
        model: network with its data preprocessor, in evaluation mode.
        image: (H, W, 3) uint8 in BGR order.
        scale: width and height that the image is fitted into, aspect kept.
        eval_size: native, or prepared (see above).

    Returns:
        (num_lesions, H, W) float32 on `device`, or (num_lesions, *reversed(scale)) for prepared.
    """
    resized = mmcv.imrescale(image, tuple(scale))
    inputs = torch.from_numpy(resized).permute(2, 0, 1).to(device)
    batch = model.data_preprocessor({"inputs": [inputs]}, False)["inputs"]  # (1, 3, h, w), normalised RGB
    if eval_size == "prepared":
        width, height = scale
        batch = F.pad(batch, (0, width - batch.shape[3], 0, height - batch.shape[2]))  # (1, 3, H, W)
        logits = model(batch).float()  # (1, L, H, W)
    else:
        logits = F.interpolate(model(batch).float(), image.shape[:2], mode="bilinear", align_corners=False)
    return logits[0].sigmoid()  # (L, H, W)


def fit_label(label: np.ndarray, scale: tuple[int, int], eval_size: str) -> np.ndarray:
    """The label map (H, W) uint8 that `predict`'s probabilities are held against."""
    if eval_size == "native":
        return label
    resized = mmcv.imrescale(label, tuple(scale), interpolation="nearest")
    width, height = scale
    return np.pad(resized, ((0, height - resized.shape[0]), (0, width - resized.shape[1])))


def evaluate_model(
    model: torch.nn.Module, dataset: dict, manifest: Path, split: str, device: torch.device,
    keep: Callable[[str, torch.Tensor], None] | None = None,
) -> tuple[LesionMetrics, list[dict]]:  # fmt: skip
    """Metrics of a network over a split, and its counts at 0.5 per image (rows stem, lesion, tp, predicted, positives).

    `dataset` is a data set's section of a complete configuration. `keep` is given each image's stem and probabilities
    (L, H, W). Memory does not grow with the number of images.
    """
    model = model.to(device).eval()
    scale, eval_size = dataset["scale"], dataset["eval_size"]
    metrics, rows = LesionMetrics(dataset["lesions"]), []
    images = list(read_manifest(manifest, split, dataset["lesions"]).itertuples())
    console = Console(stderr=True)
    for row in track(images, f"evaluating {split}", console=console, disable=not console.is_terminal):
        image, label = read_native(manifest.parent, row)
        target = torch.from_numpy(fit_label(label, scale, eval_size)).to(device)
        maps = predict(model, image, scale, device, eval_size)
        counts = metrics.update(maps, target)
        if keep:
            keep(row.stem, maps)
        rows += [{"stem": row.stem, "lesion": lesion, **count} for lesion, count in counts.items()]
    return metrics, rows


def trained_model(record: dict, work: Path) -> torch.nn.Module:
    """The network of a finished training, its checkpoint checked against the record's digest.

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
    model, _ = initial_model(record["settings"], None)
    load_checkpoint(model, checkpoint)
    return model


def evaluate(config: dict, dataset: str, pair: str, seed: int, manifest: Path, train_record: Path, work: Path,
             output: Path, weights: Path | None = None) -> dict:  # fmt: skip
    """Evaluate one run and write its record; per_image.csv, pr_curves.csv and evaluation_times.json go beside it.

    Args:
        config: a complete configuration.
        dataset, pair, seed: which run of it.
        manifest: the prepared data set's manifest.csv.
        train_record: record that `train` wrote.
        work: the training's work folder with model.pth.
        output: the record (JSON) to write.
        weights: ImageNet checkpoint of the backbone (only the untrained network needs it).

    Returns:
        The record: `metrics` (fractions 0 to 1), `details` per lesion, `n_images`.
    """
    started = time.monotonic()
    training = provenance.read_json(train_record)
    settings = configuration.run_settings(config, dataset, pair, seed)
    _check_same_run(training, settings, train_record)
    record = {
        "kind": "evaluation",
        "state": training["state"],
        "reason": training["reason"],
        "settings": settings,
        "identity": training["identity"],
        "evaluation": configuration.evaluation_settings(config, dataset),
        "training_provenance": training["provenance"],
        "checkpoint_sha256": training["checkpoint_sha256"],
    }
    rows: list[dict] = []
    curves: list[dict] = []
    device = pick_device(config["device"])
    torch.set_num_threads(settings["recipe"]["threads"])
    if training["state"] == "done":
        split, section = config["evaluation"]["split"], config["datasets"][dataset]
        metrics, rows = evaluate_model(trained_model(training, work), section, manifest, split, device)
        curves = curve_points(metrics)
        record |= {
            "metrics": metrics.compute(),
            "details": metrics.details(),
            "n_images": metrics.images,
        }
        if config["evaluation"]["untrained"]:
            untrained, _ = initial_model(settings, weights)
            record["untrained"] = evaluate_model(untrained, section, manifest, split, device)[0].compute()
    record["provenance"] = provenance.collect(device_name(device))
    _write_csv(output.with_name("per_image.csv"), ("stem", "lesion", "tp", "predicted", "positives"), rows)
    _write_csv(output.with_name("pr_curves.csv"), ("lesion", "curve", "recall", "precision"), curves)
    provenance.write_json(output.with_name("evaluation_times.json"), {"seconds": round(time.monotonic() - started, 1)})
    provenance.write_json(output, record)
    return record


def _check_same_run(training: dict, settings: dict, path: Path) -> None:
    if training["settings"] != settings:
        differing = [key for key in settings if training["settings"].get(key) != settings[key]]
        raise RFBenchError(
            f"{path}: was trained with other settings ({', '.join(differing)}) than this configuration's. "
            "Run snakemake, which trains it again, or give the configuration that it was trained with."
        )


def curve_points(metrics: LesionMetrics) -> list[dict]:
    """Precision-recall curves for figures: `exact` (thinned, every point exact) and the 11 points of `aupr11`."""
    return [
        {"lesion": lesion, "curve": name, "recall": float(recall), "precision": float(precision)}
        for name, curves in (("exact", metrics.pr_curve(200)), ("aupr11", metrics.curve11()))
        for lesion, curve in curves.items()
        for recall, precision in zip(curve["recall"], curve["precision"], strict=True)
    ]


def _write_csv(path: Path, columns: tuple[str, ...], rows: list[dict]) -> None:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    provenance.write_text(path, buffer.getvalue())


def show(record: dict, file=sys.stderr) -> None:
    """Print a record's metrics in percent, one line per lesion, with the error bound of the average precision."""
    if record["state"] != "done":
        print(f"no metrics: the training's state is {record['state']} ({record['reason']})", file=file)
        return
    metrics = record["metrics"]
    print("lesion  AUPR(11)      AP  (±bound)      F    IoU", file=file)
    for lesion in metrics["ap"]:
        detail = record["details"].get(lesion, {})
        bound = f"±{100 * detail['ap_error']:.4f}" if detail else ""
        flag = "  AUPR(11) is an artefact: no score above 0.1" if detail.get("aupr11_artefact") else ""
        if detail.get("ap_error", 0) > AP_BOUND:
            flag += f"  AP is less certain than {100 * AP_BOUND} points: the scores nearly coincide"
        values = {name: 100 * metrics[name][lesion] for name in ("aupr11", "ap", "f", "iou")}
        print(f"{lesion:6}  {values['aupr11']:8.2f}  {values['ap']:6.2f}  {bound:>8}  "
              f"{values['f']:6.2f} {values['iou']:6.2f}{flag}", file=file)  # fmt: skip


RUN = ("dataset", "seed", "manifest", "record", "work")  # options of the pipeline's form alone


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of both forms: a run of the pipeline, or a checkpoint file."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = (
        "Either a run of the pipeline: --pair, --dataset, --seed, --manifest, --record, --work and --output,\n"
        "or a checkpoint file on a prepared data set, for example:\n"
        "  rfbench evaluate --pair m2mrf_c --checkpoint FILE --data results/data/IDRiD --output score.json"
    )
    group = parser.add_argument_group("a run of the pipeline")
    add_run_arguments(group, required=False)
    group.add_argument("--record", type=Path, help="record of the training (train.json)")
    group.add_argument("--work", type=Path, help="the training's work folder")
    group.add_argument("--weights", type=Path, help="ImageNet checkpoint (only the untrained network needs it)")
    parser.add_argument("--output", type=Path, help="record of the evaluation (JSON)")
    from rfbench.inference import score  # which imports this module

    score.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command in the form that the options belong to."""
    if args.checkpoint or args.data:
        foreign = [f"--{name}" for name in (*RUN, "weights") if getattr(args, name) is not None]
        absent = [f"--{name}" for name in ("checkpoint", "data") if getattr(args, name) is None]
        if foreign:
            raise RFBenchError(
                f"{', '.join(foreign)}: belong to a run of the pipeline, not to --checkpoint and --data."
            )
        if absent:
            raise RFBenchError(f"{absent[0]} is missing: a checkpoint file is scored with --checkpoint and --data.")
        from rfbench.inference import score

        return score.run(args)
    absent = [f"--{name}" for name in ("config", "pair", *RUN, "output") if getattr(args, name) is None]
    if absent:
        raise RFBenchError(
            f"a run of the pipeline needs {', '.join(absent)}, too. To score a checkpoint file, give --checkpoint and "
            "--data."
        )
    config = load_run_config(args)
    with reported(args.work):
        show(evaluate(config, args.dataset, args.pair, args.seed, args.manifest, args.record, args.work, args.output,
                      args.weights))  # fmt: skip
    return 0
