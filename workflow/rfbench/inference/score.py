"""Score a checkpoint file, ours or the M2MRF authors', on a prepared data set: `rfbench evaluate --checkpoint …`."""

import argparse
import sys
from pathlib import Path

import pandas as pd

import operators
from rfbench import provenance
from rfbench.data.manifest import NAME, SUMMARY, is_synthetic, read_manifest
from rfbench.errors import RFBenchError
from rfbench.evaluate import evaluate_model, show
from rfbench.inference import trained
from rfbench.inference.predict import save_maps
from rfbench.report import tables
from rfbench.training.train import device_name

LAYOUTS = {"idrid": "IDRiD", "ddr": "DDR"}
PRINTED = {"mAUPR": "aupr11", "mIoU": "iou"}  # the README's metrics: ours


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this form of the verb; `--pair`, `--output` and `--config` are shared."""
    group = parser.add_argument_group("a checkpoint file, ours or the M2MRF authors' (with --pair)")
    group.add_argument("--checkpoint", type=Path, metavar="FILE", help="weights to score")
    group.add_argument("--data", type=Path, metavar="DIR", help="folder of a prepared data set (`rfbench prepare`)")
    group.add_argument("--split", default="test", help="images to score on (%(default)s)")
    group.add_argument("--layout", choices=LAYOUTS, help="published protocol (default: the data set's)")
    group.add_argument("--eval-size", choices=("native", "prepared"),
                       help="size that predictions are scored at (default: prepared for DDR, else native)")  # fmt: skip
    group.add_argument("--save-predictions", type=Path, metavar="DIR",
                       help="write a 16-bit PNG of probabilities per image and lesion, for looking: the metrics are "
                       "computed from the unrounded ones")  # fmt: skip
    trained.add_arguments(group)


def run(args: argparse.Namespace) -> int:
    """Score, print, and write the record where `--output` names one."""
    record = score(args)
    for line in record["description"]:
        print(line)
    show(record, file=sys.stdout)
    print("\n".join(beside(record)))
    if args.output:
        provenance.write_json(args.output, record)
    return 0


def score(args: argparse.Namespace) -> dict:
    """Evaluate the checkpoint on the data set; the record, with metrics as fractions."""
    manifest = args.data / NAME
    if not manifest.is_file():
        raise RFBenchError(
            f"--data {args.data}: expected the folder of a prepared data set with {NAME}, found none. Prepare the "
            f"archive first: rfbench prepare idrid --source ARCHIVE --output {args.data}"
        )
    frame, layout = read_manifest(manifest), args.layout or prepared_layout(args.data)
    settings, sources = trained.settle(args, layout)
    eval_size = args.eval_size or ("prepared" if layout == "ddr" else "native")
    section, keep = {**settings["dataset"], "eval_size": eval_size}, None
    if args.save_predictions:
        lesions = section["lesions"]
        keep = lambda stem, maps: save_maps(args.save_predictions, stem, maps, lesions)  # noqa: E731
    model, device = trained.network(settings, args.checkpoint, args.device)
    metrics, _ = evaluate_model(model, section, manifest, args.split, device, keep)
    synthetic = is_synthetic(frame)
    return {
        "kind": "score",
        "state": "done",
        "reason": None,
        "settings": settings,
        "sources": sources,
        "description": [*trained.describe(settings, sources), f"eval_size: {eval_size}", f"split: {args.split}"],
        "checkpoint": trained.identity(args.checkpoint),
        "data": {"manifest": provenance.sha256(manifest), "layout": layout, "synthetic": synthetic},
        "evaluation": {"split": args.split, "eval_size": eval_size},
        "metrics": metrics.compute(),
        "details": metrics.details(),
        "n_images": metrics.images,
        "published": {} if synthetic else best_of_three(settings["pair"], layout),
        "provenance": provenance.collect(device_name(device)),
    }


def prepared_layout(folder: Path) -> str | None:
    """The published layout that a data set was prepared in, as its summary's title says; None for any other."""
    summary = folder / SUMMARY
    title = summary.read_text().partition("\n")[0] if summary.is_file() else ""
    for layout, name in LAYOUTS.items():
        if title in (f"# {name}, prepared", f"# SYNTHETIC images in the layout of {name}, prepared"):
            return layout
    return None


def best_of_three(pair: str, layout: str | None) -> dict[str, float]:
    """What the M2MRF authors' README prints for a pair's released checkpoint, in percent by metric."""
    data = pd.read_csv(tables.PUBLISHED)
    row = (data["source"] == "readme") & (data["name"] == operators.get(pair).published_name)
    found = data[row & (data["dataset"] == LAYOUTS.get(layout))]
    return dict(zip(found["metric"], found["value"], strict=True))


def beside(record: dict) -> list[str]:
    """Lines that hold the record's means against the README's."""
    lines = [f"{record['n_images']} images, SHA-256 of the checkpoint {record['checkpoint']['sha256'][:12]}…"]
    if record["data"]["synthetic"]:
        return [*lines, "SYNTHETIC images: no published value belongs beside these."]
    if not record["published"]:
        return [*lines, "The M2MRF authors' README has no value for this pair on this data set."]
    lines.append("mean     ours  README, best of three runs")
    for printed, ours in PRINTED.items():
        lines.append(f"{printed:6} {100 * record['metrics'][ours]['mean']:6.2f}  {record['published'][printed]:6.2f}")
    return [
        *lines,
        "The best of three runs is no mean of three: hold a single released checkpoint against it, no mean.",
    ]
