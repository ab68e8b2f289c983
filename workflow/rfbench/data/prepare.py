"""`rfbench prepare`: a raw archive becomes images, label maps, a manifest and a summary.

Prepared layout: `images/<split>/<stem>.jpg` (bytes unchanged), `labels/<split>/<stem>.png` (8-bit, 0 background, then
the lesions in painting order, native size), `manifest.csv`, `summary.md` and its `areas.png`. The manifest is written
last: where it stands, all is whole.
"""

import argparse
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from rfbench.data import LESIONS, areas, ddr, folder, idrid, rawfiles, store, synthetic
from rfbench.data.archive import Source, open_source
from rfbench.data.files import refuse_leftovers
from rfbench.data.findings import Finding, raise_findings
from rfbench.data.ingest import Ingested, image_path, ingest, label_path
from rfbench.data.layout import Item, Layout
from rfbench.data.manifest import (
    NAME,
    SUMMARY,
    area_unit,
    describe,
    encode_manifest,
    read_manifest,
    region_totals,
    tabulate,
)
from rfbench.data.progress import follow
from rfbench.data.rawfiles import Subject
from rfbench.errors import DataError
from rfbench.files import write_changed

__all__ = [
    "add_arguments",
    "prepare_ddr",
    "prepare_folder",
    "prepare_idrid",
    "prepare_synthetic",
    "read_manifest",
    "run",
]

RAW = "raw"


def prepare_idrid(
    source: Path, output: Path, *, expect_official: bool = True, progress: bool = True, jobs: int = 2
) -> Path:
    """Prepare IDRiD's lesion set from its zip or extracted tree into `output`; return the manifest's path.

    `expect_official` adds the checks of the complete release: numbers of files, 4288x2848, region totals.
    Each of `jobs` threads takes about 0.2 GB. Running it again on the same source changes no byte.
    Raises DataError naming every file that is missing, damaged or not as it should be.
    """
    archive = open_source(source)
    names = archive.names()
    items, findings = idrid.scan(names)
    if expect_official and (items or findings):
        named = {finding.file for finding in findings}
        findings += [finding for finding in idrid.check_complete(names) if finding.file not in named]
    return _prepare(archive, Path(output), idrid.layout(expect_official), items, findings, progress, jobs)


def prepare_ddr(
    source: Path, output: Path, *, expect_official: bool = True, progress: bool = True, jobs: int = 2
) -> Path:
    """Prepare DDR's lesion set from its ten parts, the joined zip or the extracted tree, as `prepare_idrid` does.

    `expect_official` adds the check of the numbers of images, 383, 149 and 225. The split `valid` becomes `val`.
    """
    archive = open_source(source)
    items, findings = ddr.scan(archive.names())
    if expect_official and (items or findings):
        findings += ddr.check_complete(items)
    return _prepare(archive, Path(output), ddr.layout(expect_official), items, findings, progress, jobs)


def prepare_folder(
    source: Path, output: Path, *, lesions: Sequence[str] = LESIONS, progress: bool = True, jobs: int = 2
) -> Path:
    """Prepare one's own data (see `rfbench.data.folder`) with the given lesions, as `prepare_idrid` does."""
    archive = open_source(source)
    items, findings, notes = folder.scan(archive, lesions)
    layout = replace(folder.layout(archive.name, lesions), conclude=lambda frame, digests: ([], notes))
    return _prepare(archive, Path(output), layout, items, findings, progress, jobs)


def prepare_synthetic(
    output: Path, *, train: int, test: int, factor: float, seed: int, contrast: float = 1.0,
    layout: str = "idrid", val: int = 0, pack: str = "tree", progress: bool = True, jobs: int = 2,
) -> Path:  # fmt: skip
    """Generate a raw archive in a real set's layout below `output`/raw and prepare it; return the manifest's path.

    `factor` scales all lengths of the real frames (`layout` idrid: 4288x2848; ddr: several), so areas shrink by
    its square; `contrast` multiplies the contrasts measured on the lesions (above 1 for networks that must learn
    within minutes). `pack` is the archive's form: tree, zip, or parts (a zip cut in ten). The same arguments give the
    same bytes. Raises DataError for arguments out of range or an `output` that holds other files.
    """
    output = Path(output)
    plan = synthetic.Plan(train=train, test=test, factor=factor, seed=seed, contrast=contrast, layout=layout, val=val)
    subjects = list(plan.subjects())
    refuse_leftovers(output, (RAW,), {f"{RAW}/{name}" for name in _raw_names(plan, pack)})
    with ThreadPoolExecutor(jobs) as pool:
        rendered = zip(subjects, pool.map(plan.render, subjects), strict=True)
        source = _write_raw(output, plan, pack, follow(rendered, len(plan), "generate", progress))
    archive = open_source(source)
    scan, made = (ddr.scan, ddr.layout(False)) if layout == "ddr" else (idrid.scan, idrid.layout(False))
    items, findings = scan(archive.names())
    return _prepare(archive, output, replace(made, factor=factor), items, findings, progress, jobs)


def _raw_names(plan: synthetic.Plan, pack: str) -> set[str]:
    """Every name that the generated archive may use below `raw`."""
    if pack == "tree":
        return {name for subject in plan.subjects() for name in rawfiles.names(plan.layout, subject)}
    name = rawfiles.ZIPS[plan.layout]
    return set(rawfiles.part_names(name)) if pack == "parts" else {name}


def _write_raw(
    output: Path, plan: synthetic.Plan, pack: str, rendered: Iterable[tuple[Subject, dict[str, bytes]]]
) -> Path:
    """Write the generated files below `output`/raw as a tree, a zip or a split zip; return the source's path."""
    raw, name = output / RAW, rawfiles.ZIPS[plan.layout]
    if pack == "tree":
        for subject, files in rendered:
            for absent in rawfiles.names(plan.layout, subject) - files.keys():  # another seed had that lesion
                (raw / absent).unlink(missing_ok=True)
            for file, content in files.items():
                write_changed(raw / file, content)
        return raw
    raw.mkdir(parents=True, exist_ok=True)
    whole = raw / f".{name}.part"
    rawfiles.pack(whole, (member for _, files in rendered for member in files.items()))
    if pack == "zip":
        return whole.replace(raw / name)
    parts = [raw / part for part in rawfiles.part_names(name)]
    rawfiles.cut(whole, parts)
    return parts[0]


def _prepare(
    source: Source, output: Path, layout: Layout, items: list[Item], findings: list[Finding], progress: bool, jobs: int
) -> Path:
    """Ingest every item, report all that is wrong in one error, else write summary and, last, manifest."""
    _check_output(source, output)
    if not items and not findings:
        _raise_empty(source, layout)
    refuse_leftovers(output, ("images", "labels"), {path(item) for item in items for path in (image_path, label_path)})
    (output / NAME).unlink(missing_ok=True)  # from here on the folder is unfinished
    step = partial(ingest, source, output=output, layout=layout)
    with ThreadPoolExecutor(jobs) as pool:
        results = list(follow(pool.map(step, items), len(items), "prepare", progress))
    findings = source.links() + findings + [finding for result in results for finding in result.findings]
    raise_findings(str(source.path), findings, output)
    return _finish(source, output, layout, results)


def _check_output(source: Source, output: Path) -> None:
    """Refuse an output that is a file, or lies in the source: it would be read as part of it the next time."""
    if output.exists() and not output.is_dir():
        raise DataError(f"{output}: expected a folder for the prepared data, found a file. Change --output.")
    if source.path.is_dir() and output.resolve().is_relative_to(source.path.resolve()):
        raise DataError(f"{output}: expected a folder outside the source {source.path}. Change --output.")


def _raise_empty(source: Source, layout: Layout) -> None:
    """A source that holds nothing of the data set; the zip that lies in it is named."""
    names = source.names()
    expected, advice = layout.lookup
    zips = [name for name in names if name.lower().endswith(".zip")]
    linked = [finding.file for finding in source.links()]
    if zips:
        advice = f"Give the archive itself: {zips[0]}."
    elif linked:
        advice = f"Folders that are links are not followed: {', '.join(linked)}."
    raise DataError(f"{source.path}: expected {expected}, found no such image among {len(names)} file(s). {advice}")


def _finish(source: Source, output: Path, layout: Layout, results: list[Ingested]) -> Path:
    """Check the whole, then write the picture, the summary and, last, the manifest."""
    frame = tabulate((result.row for result in results), layout.lesions)
    digests = {name: digest for result in results for name, digest in result.digests.items()}
    findings, notes = layout.conclude(frame, digests)
    raise_findings(str(source.path), findings, output)
    notes += [f"WARNING {warning}" for result in results for warning in result.warnings]
    sizes = {
        lesion: np.concatenate([np.zeros(0), *(result.areas[lesion] for result in results if lesion in result.areas)])
        / layout.factor**2
        for lesion in layout.lesions
    }
    summary = describe(frame, layout, f"{source.kind} `{source.name}`", notes, sizes)
    write_changed(output / areas.NAME, areas.draw(sizes, area_unit(layout)))
    write_changed(output / SUMMARY, summary.encode())
    write_changed(output / NAME, encode_manifest(frame))
    return output / NAME


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the data sets as sub-commands of `rfbench prepare`."""
    datasets = parser.add_subparsers(dest="dataset", required=True, metavar="DATASET")
    real = _add_real(
        datasets,
        "idrid",
        help="IDRiD's lesion set, from the official zip or its extracted tree",
        description="Check IDRiD's lesion set and write images, label maps, manifest.csv and summary.md. "
        "The archive is read in place: idrid.grand-challenge.org, 'A. Segmentation.zip'.",
    )
    _add_unofficial(real, "skip the numbers of files, frame size and region totals")
    real = _add_real(
        datasets,
        "ddr",
        help="DDR's lesion set, from its ten parts, the joined zip or its extracted tree",
        description="Check DDR's lesion set and write images, label maps, manifest.csv and summary.md. The ten parts "
        "(github.com/nkicsl/DDR-dataset) are read in place: give the first, or the folder of all.",
    )
    _add_unofficial(real, "skip the numbers of images")
    real = _add_real(
        datasets,
        "folder",
        help="your own images and masks, described by a table dataset.csv",
        description=folder.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    real.add_argument(
        "--lesions", nargs="+", default=LESIONS, metavar="NAME", help="lesions in painting order (%(default)s)"
    )
    _add_synthetic(datasets)


def _add_real(datasets, name: str, **about) -> argparse.ArgumentParser:
    real = datasets.add_parser(name, **about)
    what = "the zip, or the folder extracted from it"
    real.add_argument("--source", type=Path, required=True, metavar="PATH", help=what)
    real.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the prepared data set")
    _add_store(real)
    return real


def _add_store(data: argparse.ArgumentParser) -> None:
    data.add_argument(
        "--store", action="store_true", help="also decode the training images, which trainings else do (recipe.store)"
    )


def _add_unofficial(real: argparse.ArgumentParser, what: str) -> None:
    real.add_argument("--unofficial", action="store_true", help=f"a cut-down set: {what}")


def _add_synthetic(datasets) -> None:
    made = datasets.add_parser(
        "synthetic",
        help="generated images in the layout of IDRiD or DDR, for trying the suite without any download",
        description="Generate images with the lesion statistics of IDRiD or DDR, then prepare them like the real set. "
        "They test the machinery; results on them say nothing of eyes.",
    )
    made.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the prepared data set")
    made.add_argument(
        "--layout", choices=tuple(rawfiles.ZIPS), default="idrid", help="whose layout and statistics (%(default)s)"
    )
    made.add_argument(
        "--pack", choices=("tree", "zip", "parts"), default="tree", help="form of the raw archive (%(default)s)"
    )
    made.add_argument("--train", type=int, default=16, metavar="N", help="training images (%(default)s)")
    made.add_argument("--val", type=int, default=0, metavar="N", help="validation images, DDR only (%(default)s)")
    made.add_argument("--test", type=int, default=8, metavar="N", help="test images (%(default)s)")
    made.add_argument(
        "--factor", type=float, default=0.125, metavar="F", help="length relative to the real frames (%(default)s)"
    )
    made.add_argument(
        "--contrast", type=float, default=1.0, metavar="C", help="lesions' contrast relative to IDRiD's (%(default)s)"
    )
    made.add_argument("--seed", type=int, default=0, metavar="N", help="seed of all random draws (%(default)s)")
    _add_store(made)


def run(args: argparse.Namespace) -> int:
    """Prepare the data set that the arguments name, print where its summary is and its regions; return 0."""
    if args.dataset == "idrid":
        manifest = prepare_idrid(args.source, args.output, expect_official=not args.unofficial)
    elif args.dataset == "ddr":
        manifest = prepare_ddr(args.source, args.output, expect_official=not args.unofficial)
    elif args.dataset == "folder":
        manifest = prepare_folder(args.source, args.output, lesions=args.lesions)
    else:
        options = ("train", "val", "test", "factor", "seed", "contrast", "layout", "pack")
        manifest = prepare_synthetic(args.output, **{option: getattr(args, option) for option in options})
    if args.store:
        store.fill(manifest)
    totals = region_totals(read_manifest(manifest))
    print(f"{manifest.with_name(SUMMARY)}")
    print("regions: " + ", ".join(f"{lesion} {count}" for lesion, count in totals.items()))
    return 0
