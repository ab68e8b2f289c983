"""Own data: a folder (or zip) of images and masks with a table `dataset.csv` that says what is what.

The table stands at the top and has the columns `image,lesion,mask,split`, one line per mask:

    image,lesion,mask,split
    images/0001.png,MA,masks/0001_ma.png,train
    images/0001.png,EX,masks/0001_ex.png,train
    images/0002.png,,,test

- `image` and `mask` are paths relative to the table, with `/`; photographs are 8-bit RGB JPEG, PNG or TIFF.
- `lesion` is a name from the configuration's `lesions`; lines of other lesions are counted and left out.
- An image without a line for a lesion has none; an image without any lesion has one line, `lesion` and `mask` empty.
- `mask` has the image's size, background 0 and one other value, as TIFF, PNG or BMP. Painted in the order of
  `lesions`, later ones overwrite earlier ones.
- `split` is train, val or test, the same in all lines of an image. The image's name without its suffix is its stem,
  which no other image may have; stems that begin with SYN_ are those of generated images, and real ones beside them
  are refused.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from rfbench.data.archive import DAMAGE, Source
from rfbench.data.findings import Finding
from rfbench.data.layout import Item, Layout, in_order, mixed
from rfbench.errors import DataError
from rfbench.names import STEM_FORM, composed, is_stem
from rfbench.rows import read_rows

TABLE = "dataset.csv"
COLUMNS = ("image", "lesion", "mask", "split")
OBTAIN = f"Mend the file, or its line in {TABLE}."

_SPLIT_OF = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_LARGEST_TABLE = 1 << 24  # bytes: some 200,000 lines


def layout(title: str, lesions: Sequence[str]) -> Layout:
    """What ingestion needs to know of a user's own data set."""
    return Layout(
        title=title,
        obtain=OBTAIN,
        lookup=(f"{TABLE} at the top that names images", "`rfbench prepare folder --help` describes the table."),
        lesions=tuple(lesions),
        image_formats=("JPEG", "PNG", "TIFF"),
        any_mask=True,
        strict_fraction=False,
    )


def scan(source: Source, lesions: Sequence[str]) -> tuple[list[Item], list[Finding], list[str]]:
    """Items that the source's table names, what is wrong with it, and a line about other lesions for the summary.

    Raises DataError if there is no such table or it cannot be read at all.
    """
    table, rows = _read_table(source)
    members: dict[str, list[str]] = {}
    for name in source.names():
        members.setdefault(composed(name), []).append(name)
    items: dict[str, Item] = {}
    findings: list[Finding] = []
    other: Counter[str] = Counter()
    for number, row in rows:
        where = f"{table}, line {number}"
        problems = _check_row(where, row, table, members)
        findings += problems
        if problems:
            continue
        findings += _place(where, row, table, members, items, lesions, other)
    findings += _shared_names(items.values(), table) + mixed(list(items.values()), "real")
    drawn = {lesion for item in items.values() for lesion in item.masks}
    findings += [
        Finding(table, f"masks of {lesion}, which the configuration's lesions name", "none",
                "Correct the table, or leave the lesion out of `lesions`.")
        for lesion in lesions if lesion not in drawn and items
    ]  # fmt: skip
    note = ", ".join(f"{lesion} {count}" for lesion, count in sorted(other.items()))
    return in_order(items.values()), findings, [f"masks of other lesions, left out: {note}"] if note else []


def _read_table(source: Source) -> tuple[str, list[tuple[int, dict[str, str]]]]:
    """Name of the table in the source, and its rows by line number; DataError if there is none to read."""
    tables = sorted((name for name in source.names() if PurePosixPath(name).name == TABLE), key=lambda n: n.count("/"))
    if not tables:
        raise DataError(
            f"{source.path}: expected {TABLE} with the columns {','.join(COLUMNS)}, found none among "
            f"{len(source.names())} file(s). `rfbench prepare folder --help` describes it."
        )
    table, *others = tables
    if others and others[0].count("/") == table.count("/"):
        raise DataError(f"{source.path}: expected one {TABLE} at the top, found {table} and {others[0]}. Remove one.")
    try:
        header, lines = read_rows(source.read(table, _LARGEST_TABLE))
        missing = [column for column in COLUMNS if column not in header]
        rows = [] if missing else [(n, {key: composed(row[key]).strip() for key in COLUMNS}) for n, row in lines]
    except (*DAMAGE, ValueError) as error:
        raise DataError(f"{source.path}: expected {table} as CSV in UTF-8, found damage ({error}). {OBTAIN}") from error
    if missing:
        found = ", ".join(header) or "an empty file"
        raise DataError(f"{source.path}: {table}: expected the columns {','.join(COLUMNS)}, found {found}. {OBTAIN}")
    return table, rows


def _member(table: str, path: str) -> str:
    """Composed member name of a path in the table. A path that climbs names no member, so it is found missing."""
    return composed((PurePosixPath(table).parent / path).as_posix())


def _check_row(where: str, row: dict[str, str], table: str, members: Mapping[str, list[str]]) -> list[Finding]:
    """What one line alone shows to be wrong."""
    findings = []
    for what, path in (("an image", row["image"]), ("a mask", row["mask"])):
        found = members.get(_member(table, path), []) if path else []
        if len(found) != 1 and (path or what == "an image"):
            count = "no such file" if not found else f"the name of {len(found)} files"
            findings.append(Finding(where, f"{what} of the data set", f"'{path}', {count}", OBTAIN))
    if bool(row["mask"]) != bool(row["lesion"]):
        found = f"lesion '{row['lesion']}' and mask '{row['mask']}'"
        findings.append(Finding(where, "lesion and mask, or neither", found, OBTAIN))
    if row["split"].lower() not in _SPLIT_OF:
        findings.append(Finding(where, "split train, val or test", f"'{row['split']}'", OBTAIN))
    stem = PurePosixPath(row["image"]).stem
    if row["image"] and not is_stem(stem):
        findings.append(Finding(where, f"an image named with {STEM_FORM}", f"'{stem}'", "Rename it."))
    return findings


def _place(
    where: str, row: dict[str, str], table: str, members: Mapping[str, list[str]], items: dict[str, Item],
    lesions: Sequence[str], other: Counter[str],
) -> list[Finding]:  # fmt: skip
    """Enter a sound line into `items`, or a lesion that is not asked for into `other`."""
    image, split = _member(table, row["image"]), _SPLIT_OF[row["split"].lower()]
    item = items.setdefault(image, Item(PurePosixPath(image).stem, split, members[image][0]))
    if item.split != split:
        return [Finding(where, f"{row['image']} in one split only", f"it in {item.split} and {split}", OBTAIN)]
    if row["lesion"] and row["lesion"] not in lesions:
        other[row["lesion"]] += 1
        return []
    if row["lesion"] in item.masks:
        return [Finding(where, f"one {row['lesion']} mask of {row['image']}", "a second one", "Join them in one file.")]
    if row["lesion"]:
        item.masks[row["lesion"]] = members[_member(table, row["mask"])][0]
    return []


def _shared_names(items: Sequence[Item], table: str) -> list[Finding]:
    """Images whose stems coincide: the stem is what every later stage knows them by."""
    first: dict[str, Item] = {}
    findings = []
    for item in items:
        other = first.setdefault(item.stem, item)
        if other is not item:
            found = f"'{item.stem}' in {other.image} ({other.split}) and {item.image} ({item.split})"
            findings.append(Finding(table, "names without suffix that are used once", found, "Rename one."))
    return findings
