"""`rfbench prepare`: a raw archive becomes images, label maps, a manifest and a summary.

Prepared layout: `images/<split>/<stem>.jpg` (bytes unchanged), `labels/<split>/<stem>.png` (8-bit, values 0
to 4, native size), `manifest.csv` and `summary.md`. The manifest is written last: where it stands, all is whole.
"""

import argparse
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from rfbench.data import idrid, synthetic
from rfbench.data.archive import Source, open_source
from rfbench.data.files import refuse_leftovers, write_file
from rfbench.data.findings import Finding, raise_findings
from rfbench.data.ingest import Ingested, image_path, ingest, label_path
from rfbench.data.manifest import (
    NAME,
    SUMMARY,
    describe,
    encode_manifest,
    read_manifest,
    region_totals,
    tabulate,
)
from rfbench.data.progress import follow
from rfbench.errors import DataError

__all__ = ["add_arguments", "prepare_idrid", "prepare_synthetic", "read_manifest", "run"]

RAW = "raw"


def prepare_idrid(
    source: Path, output: Path, *, expect_official: bool = True, progress: bool = True, jobs: int = 2
) -> Path:
    """Prepare IDRiD's lesion set from its zip or extracted tree into `output`; return the manifest's path.

    `expect_official` adds the checks of the complete release: numbers of files, 4288x2848, region totals.
    Each of `jobs` threads takes about 0.2 GB. Running it again on the same source changes no byte.
    Raises DataError naming every file that is missing, damaged or not as it should be.
    """
    output = Path(output)
    archive = open_source(source)
    _check_output(archive, output)
    items, findings = _inspect(archive, expect_official)
    refuse_leftovers(output, ("images", "labels"), {path(item) for item in items for path in (image_path, label_path)})
    (output / NAME).unlink(missing_ok=True)  # from here on the folder is unfinished
    step = partial(ingest, archive, output=output, official=expect_official)
    with ThreadPoolExecutor(jobs) as pool:
        results = list(follow(pool.map(step, items), len(items), "prepare", progress))
    raise_findings(str(source), findings + [finding for result in results for finding in result.findings])
    return _finish(archive, output, results, expect_official)


def prepare_synthetic(
    output: Path, *, train: int, test: int, factor: float, seed: int, contrast: float = 1.0, progress: bool = True
) -> Path:
    """Generate a raw archive in IDRiD's layout below `output`/raw and prepare it; return the manifest's path.

    `factor` scales all lengths of IDRiD's 4288x2848 frame, so areas shrink by its square; `contrast` multiplies
    the contrasts measured on IDRiD's lesions (above 1 for networks that must learn within minutes). The same arguments
    give the same bytes. Raises DataError for arguments out of range or an `output` that holds other files.
    """
    output = Path(output)
    plan = synthetic.Plan(train=train, test=test, factor=factor, seed=seed, contrast=contrast)
    refuse_leftovers(output, (RAW,), {f"{RAW}/{name}" for name in plan.names()})
    for subject in follow(plan.subjects(), train + test, "generate", progress):
        files = plan.render(subject)
        for name in synthetic.names(subject) - files.keys():  # another seed gave this image that lesion
            (output / RAW / name).unlink(missing_ok=True)
        for name, content in files.items():
            write_file(output / RAW / name, content)
    return prepare_idrid(output / RAW, output, expect_official=False, progress=progress)


def _check_output(source: Source, output: Path) -> None:
    """Refuse an output that is a file, or lies in the source: it would be read as part of it the next time."""
    if output.exists() and not output.is_dir():
        raise DataError(f"{output}: expected a folder for the prepared data, found a file. Change --output.")
    if not source.is_zip and output.resolve().is_relative_to(source.path.resolve()):
        raise DataError(f"{output}: expected a folder outside the source {source.path}. Change --output.")


def _inspect(source: Source, official: bool) -> tuple[list[idrid.Item], list[Finding]]:
    """Items of the source and what their names alone show to be wrong; DataError if none is ours."""
    names = source.names()
    items, findings = idrid.scan(names)
    if not items and not findings:
        zips = [name for name in names if name.lower().endswith(".zip")]
        advice = f"Give the archive itself: {zips[0]}." if zips else "Give 'A. Segmentation.zip' or the folder in it."
        raise DataError(
            f"{source.path}: expected IDRiD_NN.jpg below a training or testing folder, found no such image "
            f"among {len(names)} file(s). {advice}"
        )
    if official:
        named = {finding.file for finding in findings}
        findings += [finding for finding in idrid.check_complete(names) if finding.file not in named]
    return items, findings


def _finish(source: Source, output: Path, results: list[Ingested], official: bool) -> Path:
    """Check the totals, then write the summary and, last, the manifest."""
    frame = tabulate(result.row for result in results)
    notes = []
    if official:
        raise_findings(str(source.path), idrid.check_regions(region_totals(frame)))
        notes = ["checks: complete official release", _compare_digests(results)]
    write_file(output / SUMMARY, describe(frame, f"{source.kind} `{source.name}`", notes).encode())
    write_file(output / NAME, encode_manifest(frame))
    return output / NAME


def _compare_digests(results: list[Ingested]) -> str:
    """How many of the files read have the digest of our list; a re-packed copy may differ and be sound."""
    listed = {path.rsplit("/", 1)[-1]: digest for path, digest in idrid.official_digests().items()}
    read = {name: digest for result in results for name, digest in result.digests.items()}
    differing = sorted(name for name, digest in read.items() if listed.get(name) != digest)
    line = f"digests: {len(read) - len(differing)} of {len(read)} files used match the list"
    return f"WARNING {line}; different: {', '.join(differing)}" if differing else line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the data sets as sub-commands of `rfbench prepare`."""
    datasets = parser.add_subparsers(dest="dataset", required=True, metavar="DATASET")
    real = datasets.add_parser(
        "idrid",
        help="IDRiD's lesion set, from the official zip or its extracted tree",
        description="Check IDRiD's lesion set and write images, label maps, manifest.csv and summary.md. "
        "The archive is read in place: idrid.grand-challenge.org, 'A. Segmentation.zip'.",
    )
    real.add_argument(
        "--source", type=Path, required=True, metavar="PATH", help="the zip, or the folder extracted from it"
    )
    real.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the prepared data set")
    real.add_argument(
        "--unofficial",
        action="store_true",
        help="a cut-down set: skip the numbers of files, frame size and region totals",
    )
    made = datasets.add_parser(
        "synthetic",
        help="generated images in IDRiD's layout, for trying the suite without any download",
        description="Generate images with IDRiD's lesion statistics, then prepare them like IDRiD. "
        "They test the machinery; results on them say nothing of eyes.",
    )
    made.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the prepared data set")
    made.add_argument("--train", type=int, default=16, metavar="N", help="training images (%(default)s)")
    made.add_argument("--test", type=int, default=8, metavar="N", help="test images (%(default)s)")
    made.add_argument(
        "--factor", type=float, default=0.125, metavar="F", help="length relative to 4288x2848 (%(default)s)"
    )
    made.add_argument(
        "--contrast", type=float, default=1.0, metavar="C", help="lesions' contrast relative to IDRiD's (%(default)s)"
    )
    made.add_argument("--seed", type=int, default=0, metavar="N", help="seed of all random draws (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Prepare the data set that the arguments name, print where its summary is and its regions; return 0."""
    if args.dataset == "idrid":
        manifest = prepare_idrid(args.source, args.output, expect_official=not args.unofficial)
    else:
        manifest = prepare_synthetic(
            args.output,
            train=args.train,
            test=args.test,
            factor=args.factor,
            seed=args.seed,
            contrast=args.contrast,
        )
    totals = region_totals(read_manifest(manifest))
    print(f"{manifest.with_name(SUMMARY)}")
    print("regions: " + ", ".join(f"{lesion} {count}" for lesion, count in totals.items()))
    return 0
