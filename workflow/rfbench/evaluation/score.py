"""Score a checkpoint file, ours or the M2MRF authors', on a prepared data set."""

from pathlib import Path

from rfbench import competitors, devices, provenance
from rfbench.data.manifest import NAME, is_synthetic, read_manifest
from rfbench.data.summary import SUMMARY
from rfbench.errors import RFBenchError
from rfbench.evaluation import trained
from rfbench.evaluation.predictions import FULL_SCALE, Predictions
from rfbench.evaluation.run import evaluate_model
from rfbench.published import best_of_three
from rfbench.published.protocol import DATASET_NAMES

PRINTED = {"mAUPR": "aupr11", "mIoU": "iou"}  # the README's metrics: ours


def score(
    checkpoint: Path,
    data: Path,
    *,
    given: dict,
    layout: str | None = None,
    split: str = "test",
    eval_size: str | None = None,
    predictions: Path | None = None,
    device: str = "auto",
) -> dict:
    """Evaluate the checkpoint on the data set.

    Args:
        checkpoint: weights.
        data: folder of a prepared data set.
        given: what the user says of the network (`trained.settle`).
        layout: idrid or ddr, the published protocol that fills what nobody says (default: the data set's).
        split: images to score on.
        eval_size: native or prepared (default: the layout's).
        predictions: folder for the probability maps.
        device: auto, cpu or cuda.

    Returns:
        The record, with metrics as fractions.

    Raises:
        RFBenchError: no prepared data set, or a checkpoint that does not fit.
    """
    manifest = data / NAME
    if not manifest.is_file():
        raise RFBenchError(
            f"--data {data}: expected the folder of a prepared data set with {NAME}, found none. Prepare the "
            f"archive first: rfbench prepare idrid --source ARCHIVE --output {data}"
        )
    frame, layout = read_manifest(manifest), layout or prepared_layout(data)
    settings, sources = trained.settle(checkpoint, given, layout)
    eval_size = eval_size or ("prepared" if layout == "ddr" else "native")
    lesions, scale = settings["dataset"]["lesions"], tuple(settings["dataset"]["scale"])
    identity = trained.identity(checkpoint)
    keep = None
    if predictions:
        made = {"kind": "prediction", "settings": settings, "sources": sources, "threshold": None,
                "full_scale": FULL_SCALE, "checkpoint": identity}  # fmt: skip
        saved = Predictions(predictions, made, "--save-predictions")
        saved.refuse_foreign(read_manifest(manifest, split)["stem"])
        keep = lambda stem, maps: saved.add(f"{stem}.png", {"size": list(maps.shape[:0:-1])}, maps)  # noqa: E731
    model, chosen = trained.network(settings, checkpoint, device)
    metrics, _ = evaluate_model(
        model, manifest, split, chosen, lesions=lesions, scale=scale, eval_size=eval_size, keep=keep
    )
    synthetic = is_synthetic(frame)
    return {
        "kind": "score",
        "state": "done",
        "reason": None,
        "settings": settings,
        "sources": sources,
        "description": [*trained.describe(settings, sources), f"eval_size: {eval_size}", f"split: {split}"],
        "checkpoint": identity,
        "data": {"manifest": provenance.sha256(manifest), "layout": layout, "synthetic": synthetic},
        "evaluation": {"split": split, "eval_size": eval_size},
        "metrics": metrics.compute(),
        "details": metrics.details(),
        "n_images": metrics.images,
        "published": {} if synthetic else best_of_three(competitors.row(settings["pair"]), layout),
        "provenance": devices.provenance_on(chosen),
    }


def prepared_layout(folder: Path) -> str | None:
    """The published layout that a data set was prepared in, as its summary's title says; None for any other."""
    summary = folder / SUMMARY
    title = summary.read_text(errors="replace").partition("\n")[0] if summary.is_file() else ""
    for layout, name in DATASET_NAMES.items():
        if title in (f"# {name}, prepared", f"# SYNTHETIC images in the layout of {name}, prepared"):
            return layout
    return None


def beside(record: dict) -> list[str]:
    """Lines that hold the record's means against the README's."""
    lines = [f"{record['n_images']} images, SHA-256 of the checkpoint {record['checkpoint']['sha256'][:12]}…"]
    if record["data"]["synthetic"]:
        return [*lines, "SYNTHETIC images: no published value belongs beside these."]
    if not record["published"]:
        return [*lines, "The M2MRF authors' README has no value for this network on this data set."]
    lines.append("mean     ours  README, best of three runs")
    for printed, ours in PRINTED.items():
        lines.append(f"{printed:6} {100 * record['metrics'][ours]['mean']:6.2f}  {record['published'][printed]:6.2f}")
    return [
        *lines,
        "The best of three runs is no mean of three: compare one released checkpoint with it, never a mean of runs.",
    ]
