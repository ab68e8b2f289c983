"""`rfbench prepare`: a raw archive becomes images, label maps, a manifest and a summary.

Prepared layout: `images/<split>/<stem>.jpg` (bytes unchanged), `labels/<split>/<stem>.png` (8-bit, 0 background, then
the lesions in painting order, native size), `manifest.csv`, `summary.md` and its `areas.png`. The manifest is written
last: where it stands, all is whole.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from rfbench.data import SPLITS, areas, ddr, folder, idrid
from rfbench.data.archive import Source, open_source
from rfbench.data.files import refuse_leftovers
from rfbench.data.findings import Finding, raise_findings
from rfbench.data.ingest import Ingested, image_path, ingest, label_path, write
from rfbench.data.layout import Item, Layout
from rfbench.data.manifest import NAME, encode_manifest, read_manifest, tabulate
from rfbench.data.progress import follow
from rfbench.data.summary import SUMMARY, area_unit, describe
from rfbench.data.synthetic import plan as synthetic
from rfbench.data.synthetic import rawfiles
from rfbench.data.synthetic.rawfiles import Subject
from rfbench.data.validation import Validation, hold_out
from rfbench.errors import DataError
from rfbench.files import write_changed
from rfbench.names import LESIONS, lesion_problem
from rfbench.threads import threads

__all__ = [
    "prepare_ddr",
    "prepare_folder",
    "prepare_idrid",
    "prepare_synthetic",
    "read_manifest",
]

RAW = "raw"


def prepare_idrid(
    source: Path, output: Path, *, expect_official: bool = True, validation: Validation | None = None,
    progress: bool = True, jobs: int = 2,
) -> Path:  # fmt: skip
    """Prepare IDRiD's lesion set from its zip or extracted tree into `output`; return the manifest's path.

    `expect_official` adds the checks of the complete release: numbers of files, 4288x2848, region totals.
    `validation` makes that part of the training images the split val (`rfbench.data.validation`).
    Each of `jobs` threads takes about 0.2 GB. Running it again on the same source changes no byte.
    Raises DataError naming every file that is missing, damaged or not as it should be.
    """
    archive = open_source(source)
    names = archive.names()
    items, findings = idrid.scan(names)
    if expect_official and (items or findings):
        named = {finding.file for finding in findings}
        findings += [finding for finding in idrid.check_complete(names) if finding.file not in named]
    layout, items = _with_validation(idrid.layout(expect_official), items, validation)
    return _prepare(archive, Path(output), layout, items, findings, progress, jobs)


def prepare_ddr(
    source: Path, output: Path, *, expect_official: bool = True, validation: Validation | None = None,
    progress: bool = True, jobs: int = 2,
) -> Path:  # fmt: skip
    """Prepare DDR's lesion set from its ten parts, the joined zip or the extracted tree, as `prepare_idrid` does.

    `expect_official` adds the check of the numbers of images, 383, 149 and 225. The split `valid` becomes `val`.
    """
    archive = open_source(source)
    items, findings = ddr.scan(archive.names())
    if expect_official and (items or findings):
        findings += ddr.check_complete(items)
    layout, items = _with_validation(ddr.layout(expect_official), items, validation)
    return _prepare(archive, Path(output), layout, items, findings, progress, jobs)


def prepare_folder(
    source: Path, output: Path, *, lesions: Sequence[str] = LESIONS, validation: Validation | None = None,
    progress: bool = True, jobs: int = 2,
) -> Path:  # fmt: skip
    """Prepare one's own data (see `rfbench.data.folder`) with the given lesions, as `prepare_idrid` does."""
    if problem := lesion_problem(lesions):
        raise DataError(f"lesions: {problem}.")
    archive = open_source(source)
    items, findings, notes = folder.scan(archive, lesions)
    layout = replace(folder.layout(archive.name, lesions), conclude=lambda frame, digests: ([], notes))
    layout, items = _with_validation(layout, items, validation)
    return _prepare(archive, Path(output), layout, items, findings, progress, jobs)


def prepare_synthetic(
    output: Path, *, train: int, test: int, factor: float, seed: int, contrast: float = 1.0,
    layout: str = "idrid", val: int = 0, pack: str = "tree", validation: Validation | None = None,
    progress: bool = True, jobs: int = 2,
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
    with threads(jobs) as pool:
        rendered = zip(subjects, pool.map(plan.render, subjects), strict=True)
        source = _write_raw(output, plan, pack, follow(rendered, len(plan), "generate", progress))
    archive = open_source(source)
    scan, made = (ddr.scan, ddr.layout(False)) if layout == "ddr" else (idrid.scan, idrid.layout(False))
    items, findings = scan(archive.names())
    made, items = _with_validation(replace(made, factor=factor), items, validation)
    return _prepare(archive, output, made, items, findings, progress, jobs)


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


def _with_validation(layout: Layout, items: list[Item], validation: Validation | None) -> tuple[Layout, list[Item]]:
    """The layout and the items with a validation part of the training images, if one is wanted of any image."""
    if validation is None or not items:
        return layout, items

    def conclude(frame: pd.DataFrame, digests: dict[str, str]) -> tuple[list[Finding], list[str]]:
        findings, notes = layout.conclude(frame, digests)
        return findings, [*notes, f"validation: {validation}"]

    return replace(layout, splits=SPLITS, conclude=conclude), hold_out(items, validation)


def _prepare(
    source: Source, output: Path, layout: Layout, items: list[Item], findings: list[Finding], progress: bool, jobs: int
) -> Path:
    """Check every item, report all that is wrong in one error, and only then write: first images, last the manifest.

    So what an earlier preparation left in `output` stays whole unless all of the source is sound.
    """
    _check_output(source, output)
    if not items and not findings:
        _raise_empty(source, layout)
    refuse_leftovers(output, ("images", "labels"), {path(item) for item in items for path in (image_path, label_path)})
    step = partial(ingest, source, layout=layout)
    with threads(jobs) as pool:
        results = list(follow(pool.map(step, items), len(items), "prepare", progress))
    findings = source.links() + findings + [finding for result in results for finding in result.findings]
    raise_findings(str(source.path), findings, output)
    frame = tabulate((result.row for result in results), layout.lesions)
    digests = {name: digest for result in results for name, digest in result.digests.items()}
    findings, notes = layout.conclude(frame, digests)
    raise_findings(str(source.path), findings, output)
    notes += [f"WARNING {warning}" for result in results for warning in result.warnings]
    (output / NAME).unlink(missing_ok=True)  # from here on the folder is unfinished
    with threads(jobs) as pool:
        list(pool.map(partial(write, source, output=output), items, results))
    return _finish(source, output, layout, results, frame, notes)


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


def _finish(
    source: Source, output: Path, layout: Layout, results: list[Ingested], frame: pd.DataFrame, notes: list[str]
) -> Path:
    """Write the picture, the summary and, last, the manifest."""
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
