"""From a raw archive to the prepared layout, and every way it is refused."""

import argparse
import io
import re
import subprocess
import sys
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from PIL import ExifTags, Image

from rfbench.cli import main
from rfbench.commands.prepare import add_arguments, run
from rfbench.data import idrid
from rfbench.data.archive import Source
from rfbench.data.files import sha256
from rfbench.data.manifest import COLUMNS
from rfbench.data.prepare import prepare_idrid, read_manifest
from rfbench.data.summary import warnings_of
from rfbench.errors import DataError, RFBenchError
from rfbench.names import LESIONS

from . import tiny_archive as tiny

FIRST_EX = tiny.mask_name("train", "IDRiD_01", "EX")
FIRST = tiny.image_name("train", "IDRiD_01")


def prepare(source, output, **options):
    return prepare_idrid(source, output, expect_official=False, progress=False, **options)


def refusal(tmp_path, files, **options) -> str:
    """Message of the error that these files raise; no manifest may be left."""
    source = tiny.write_zip(tmp_path / "source.zip", files)
    with pytest.raises(DataError) as error:
        prepare_idrid(source, tmp_path / "out", expect_official=False, progress=False, **options)
    assert not (tmp_path / "out" / "manifest.csv").exists()
    return str(error.value)


def test_prepared_layout(tmp_path):
    files = tiny.archive()
    manifest = prepare(tiny.write_zip(tmp_path / "A. Segmentation.zip", files), tmp_path / "out")
    assert manifest == tmp_path / "out" / "manifest.csv"
    assert b"\r" not in manifest.read_bytes()
    frame = read_manifest(manifest)
    assert tuple(frame.columns) == COLUMNS
    assert frame["stem"].tolist() == ["IDRiD_01", "IDRiD_02", "IDRiD_55"]
    assert frame["split"].tolist() == ["train", "train", "test"]
    for row in frame.itertuples():
        image, label = ((tmp_path / "out" / path).read_bytes() for path in (row.image, row.label))
        assert image == files[tiny.image_name(row.split, row.stem)]
        assert (sha256(image), sha256(label)) == (row.sha256, row.label_sha256)
        assert (row.width, row.height) == (tiny.WIDTH, tiny.HEIGHT) == Image.open(io.BytesIO(label)).size
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "areas.png",
        "images",
        "labels",
        "manifest.csv",
        "summary.md",
    }


def test_labels_and_counts(tmp_path):
    frame = read_manifest(prepare(tiny.write_tree(tmp_path / "tree", tiny.archive()), tmp_path / "out"))
    label = np.asarray(Image.open(tmp_path / "out" / frame["label"][0]))
    assert [label[point] for point in ((3, 3), (5, 5), (10, 10), (7, 7), (6, 6), (0, 0))] == [1, 2, 3, 4, 3, 0]
    assert [frame[f"{lesion}_pixels"][0] for lesion in LESIONS] == [36, 36, 36, 4]  # before overwriting
    rgba = frame[frame["split"] == "test"].iloc[0]
    assert (rgba["EX_regions"], rgba["EX_pixels"]) == (2, 2)  # diagonal neighbours; alpha is not lesion
    assert (rgba["HE_regions"], rgba["SE_regions"]) == (0, 0)  # absent masks


def test_zip_and_tree_agree(tmp_path):
    files = tiny.archive()
    prepare(tiny.write_zip(tmp_path / "source.zip", files), tmp_path / "zip")
    prepare(tiny.write_tree(tmp_path / "tree", files), tmp_path / "folder")
    by_zip, by_tree = tiny.snapshot(tmp_path / "zip"), tiny.snapshot(tmp_path / "folder")
    assert b"zip archive `source.zip`" in by_zip.pop("summary.md")
    assert b"folder `tree`" in by_tree.pop("summary.md")
    assert by_zip == by_tree


def test_second_run_changes_nothing(tmp_path):
    source = tiny.write_zip(tmp_path / "source.zip", tiny.archive())
    prepare(source, tmp_path / "out", jobs=1)
    before = tiny.snapshot(tmp_path / "out")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "labels").rglob("*.png")}
    prepare(source, tmp_path / "out", jobs=2)
    assert tiny.snapshot(tmp_path / "out") == before
    assert times == {path: path.stat().st_mtime_ns for path in times}


LAYOUTS = {
    "doubled": lambda name: f"A. Segmentation/{name}",
    "kaggle": lambda name: "A.%20Segmentation/" + name,
    "no top folder": lambda name: name.removeprefix("A. Segmentation/"),
    "no numbers": lambda name: re.sub(r"(?<=/)[\da-b]\. ", "", name),
    "no spaces": lambda name: name.replace("2. All Segmentation ", "").replace("4. Soft Exudates", "SoftExudates"),
    "lower case": lambda name: name.lower(),
    "upper case": lambda name: name.upper(),
    "backslashes": lambda name: name.replace("/", "\\"),
}


@pytest.mark.parametrize("rename", LAYOUTS.values(), ids=LAYOUTS)
def test_layout_variants(tmp_path, rename):
    files = tiny.archive()
    prepare(tiny.write_zip(tmp_path / "plain.zip", files), tmp_path / "plain")
    prepare(tiny.write_zip(tmp_path / "other.zip", {rename(name): files[name] for name in files}), tmp_path / "other")
    plain, other = tiny.snapshot(tmp_path / "plain"), tiny.snapshot(tmp_path / "other")
    assert plain["manifest.csv"] == other["manifest.csv"]


def test_what_is_not_ours_is_passed_over(tmp_path):
    files = tiny.archive()
    masks = "A. Segmentation/2. All Segmentation Groundtruths/a. Training Set"
    extra = {
        f"{masks}/5. Optic Disc/IDRiD_01_OD.tif": b"any",
        f"__MACOSX/{tiny.image_name('train', 'IDRiD_01')}": b"any",
        "A. Segmentation/1. Original Images/a. Training Set/._IDRiD_01.jpg": b"any",
        "A. Segmentation/.DS_Store": b"any",
        "B. Disease Grading/1. Original Images/a. Training Set/IDRiD_001.jpg": b"any",
        "../../IDRiD_evil.jpg": b"any",
    }
    frame = read_manifest(prepare(tiny.write_zip(tmp_path / "s.zip", files | extra), tmp_path / "out"))
    assert len(frame) == 3
    assert {path.name for path in tmp_path.iterdir()} == {"s.zip", "out"}


def test_member_names_never_become_paths(tmp_path):
    files = {f"/{tmp_path}/evil/{name}": content for name, content in tiny.archive().items()}
    prepare(tiny.write_zip(tmp_path / "s.zip", files), tmp_path / "deep" / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"s.zip", "deep"}


@pytest.mark.parametrize("lesion", ["EX", "MA"])
def test_missing_mask(tmp_path, lesion):
    files = tiny.archive()
    del files[tiny.mask_name("train", "IDRiD_02", lesion)]
    message = refusal(tmp_path, files)
    assert f"IDRiD_02_{lesion}.tif" in message
    assert "no such file" in message


def test_missing_photograph(tmp_path):
    files = tiny.archive()
    del files[FIRST]
    assert "1 problem\n  - IDRiD_01.jpg: expected this photograph in the train set" in refusal(tmp_path, files)


def test_members_above_the_archive_are_passed_over(tmp_path):
    files = {f"../../{name}": content for name, content in tiny.archive().items()}
    assert "found no such image" in refusal(tmp_path, files)


def claiming(content: bytes, height: int, width: int) -> bytes:
    """A JPEG whose header claims another size."""
    start = content.index(b"\xff\xc0") + 5
    return content[:start] + height.to_bytes(2) + width.to_bytes(2) + content[start + 4 :]


TURNED = Image.Exif()
TURNED[ExifTags.Base.Orientation] = 6
TWO_PAGES = tiny.saved(Image.new("L", (40, 24)), "TIFF", save_all=True, append_images=[Image.new("L", (40, 24))])
DAMAGED = {
    "truncated photograph": (FIRST, tiny.archive()[FIRST][:-300], "readable JPEG"),
    "photograph of another format": (FIRST, b"GIF89a", "not a file of this format: it begins with b'GIF89a'"),
    "photograph that unpacks without end": (FIRST, claiming(tiny.jpeg(), 9400, 9400), "9400x9400 pixels, more than"),
    "grey photograph": (FIRST, tiny.saved(Image.new("L", (40, 24)), "JPEG"), "mode L"),
    "photograph with a line break": (FIRST, b"a\n\x1b[2J", "begins with b'a\\n\\x1b[2J'"),
    "mask of two pages": (FIRST_EX, TWO_PAGES, "expected one image in the file, found several pages or frames"),
    "turned photograph": (FIRST, tiny.saved(Image.new("RGB", (40, 24)), "JPEG", exif=TURNED), "orientation 1, found 6"),
    "truncated mask": (FIRST_EX, tiny.archive()[FIRST_EX][:-60], "readable mask"),
    "empty mask": (FIRST_EX, b"", "readable mask, found damage (not a file of this format: it is empty)"),
    "mask of another size": (FIRST_EX, tiny.palette(tiny.mask((1, 1, 3, 3), shape=(25, 40))), "found 40x25"),
    "mask of other values": (FIRST_EX, tiny.grey(tiny.mask((1, 1, 3, 3)) * 76), "such as 76"),
    "transparent mask": (FIRST_EX, tiny.rgba(tiny.mask((1, 1, 3, 3)), alpha=7), "transparent"),
    "mask that fills the frame": (FIRST_EX, tiny.palette(tiny.mask((0, 0, 24, 20))), "found 50.0%"),
}


@pytest.mark.parametrize(("name", "content", "found"), DAMAGED.values(), ids=DAMAGED)
def test_damage_is_named(tmp_path, name, content, found):
    message = refusal(tmp_path, tiny.archive() | {name: content})
    assert name in message
    assert found in message


def test_all_findings_come_in_one_error(tmp_path):
    files = tiny.archive() | {FIRST: b"", tiny.mask_name("train", "IDRiD_02", "EX"): b""}
    del files[tiny.mask_name("test", "IDRiD_55", "MA")]
    message = refusal(tmp_path, files)
    assert "3 problems" in message
    assert all(name in message for name in ("IDRiD_01.jpg", "IDRiD_02_EX.tif", "IDRiD_55_MA.tif"))


def test_stem_in_both_splits(tmp_path):
    files = tiny.archive()
    copies = {name.replace("IDRiD_55", "IDRiD_01"): files[name] for name in files if "IDRiD_55" in name}
    assert "IDRiD_01.jpg: expected a stem in one split only" in refusal(tmp_path, files | copies)


def test_duplicate_photograph(tmp_path):
    files = tiny.archive()
    copy = FIRST.replace("a. Training Set", "a. Training Set/copy")
    message = refusal(tmp_path, files | {copy: files[FIRST]})
    assert copy in message
    assert FIRST in message


def test_mask_in_the_wrong_folder(tmp_path):
    files = tiny.archive()
    files[FIRST_EX.replace("3. Hard Exudates", "4. Soft Exudates")] = files.pop(FIRST_EX)
    message = refusal(tmp_path, files)
    assert "it among the SE masks" in message


def test_no_split_folder(tmp_path):
    files = {name.replace("a. Training Set", "all"): content for name, content in tiny.archive().items()}
    assert "Training Set or Testing Set" in refusal(tmp_path, files)


def test_real_and_synthetic_do_not_mix(tmp_path):
    files = {name.replace("IDRiD_55", "SYN_55"): content for name, content in tiny.archive().items()}
    assert "expected IDRiD or synthetic images, found both" in refusal(tmp_path, files)


def test_damaged_member_of_a_zip(tmp_path):
    source = tiny.write_zip(tmp_path / "source.zip", tiny.archive())
    content = bytearray(source.read_bytes())
    start = content.index(FIRST.encode()) + len(FIRST) + 40
    content[start : start + 20] = bytes(20)
    source.write_bytes(content)
    with pytest.raises(DataError, match=re.escape(FIRST)):
        prepare(source, tmp_path / "out")


def test_damaged_zip(tmp_path):
    source = tiny.write_zip(tmp_path / "source.zip", tiny.archive())
    source.write_bytes(source.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"source\.zip: expected a readable zip archive"):
        prepare(source, tmp_path / "out")


def test_missing_source(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.zip.*found nothing"):
        prepare(tmp_path / "nowhere.zip", tmp_path / "out")


def test_folder_without_images_names_the_zip_in_it(tmp_path):
    tiny.write_tree(tmp_path / "download", {"A. Segmentation.zip": b"", "readme.txt": b""})
    with pytest.raises(DataError, match=r"Give the archive itself: A\. Segmentation\.zip"):
        prepare(tmp_path / "download", tmp_path / "out")


def test_official_list_has_the_published_counts():
    items, findings = idrid.scan(idrid.official_digests())
    assert not findings
    assert Counter(item.split for item in items) == {"train": 54, "test": 27}
    for split, counts in {"train": (54, 53, 26, 54), "test": (27, 27, 14, 27)}.items():
        chosen = [item for item in items if item.split == split]
        assert tuple(sum(lesion in item.masks for item in chosen) for lesion in LESIONS) == counts


def test_official_files_are_named(tmp_path, monkeypatch):
    files = tiny.archive()
    listed = {f"./{name}": "" for name in files}
    monkeypatch.setattr(idrid, "official_digests", lambda: listed)
    soft = tiny.mask_name("train", "IDRiD_01", "SE")  # absent SE is no error in itself
    extra = tiny.mask_name("test", "IDRiD_55", "SE")
    content = files.pop(soft)
    source = tiny.write_zip(tmp_path / "source.zip", files | {extra: content})
    with pytest.raises(DataError) as error:
        prepare_idrid(source, tmp_path / "out", progress=False)
    assert "IDRiD_01_SE.tif: expected this file of the official train set, found no such file" in str(error.value)
    assert "IDRiD_55_SE.tif: expected only official files in the test set, found one more" in str(error.value)
    assert "4288x2848 pixels, found 40x24" in str(error.value)
    assert "--unofficial" in str(error.value)


def test_missing_official_photograph_is_one_problem(tmp_path, monkeypatch):
    files = tiny.archive()
    listed = {f"./{name}": "" for name in files}
    monkeypatch.setattr(idrid, "official_digests", lambda: listed)
    monkeypatch.setattr(idrid, "WIDTH", tiny.WIDTH)
    monkeypatch.setattr(idrid, "HEIGHT", tiny.HEIGHT)
    del files[FIRST]
    with pytest.raises(DataError, match=r"1 problem\n  - IDRiD_01\.jpg: expected this photograph"):
        prepare_idrid(tiny.write_zip(tmp_path / "source.zip", files), tmp_path / "out", progress=False)


def test_region_totals_are_checked(tmp_path, monkeypatch):
    files = tiny.archive()
    monkeypatch.setattr(idrid, "official_digests", lambda: {f"./{name}": sha256(files[name]) for name in files})
    monkeypatch.setattr(idrid, "WIDTH", tiny.WIDTH)
    monkeypatch.setattr(idrid, "HEIGHT", tiny.HEIGHT)
    source = tiny.write_zip(tmp_path / "source.zip", files)
    with pytest.raises(DataError, match="EX masks: expected 11720 regions in all, found 5"):
        prepare_idrid(source, tmp_path / "out", progress=False)
    monkeypatch.setattr(idrid, "REGIONS", {"EX": 5, "HE": 1, "SE": 1, "MA": 3})
    prepare_idrid(source, tmp_path / "out", progress=False)
    assert "WARNING" not in (tmp_path / "out" / "summary.md").read_text()


def test_output_with_other_files(tmp_path):
    source = tiny.write_zip(tmp_path / "source.zip", tiny.archive())
    tiny.write_tree(tmp_path / "out", {"labels/train/IDRiD_09.png": b"another set"})
    with pytest.raises(DataError, match=r"labels/train/IDRiD_09\.png"):
        prepare(source, tmp_path / "out")
    assert tiny.snapshot(tmp_path / "out") == {"labels/train/IDRiD_09.png": b"another set"}


def test_output_inside_the_source(tmp_path):
    source = tiny.write_tree(tmp_path / "tree", tiny.archive())
    with pytest.raises(DataError, match="outside the source"):
        prepare(source, source / "prepared")


def test_output_is_a_file(tmp_path):
    source = tiny.write_zip(tmp_path / "source.zip", tiny.archive())
    with pytest.raises(DataError, match="found a file"):
        prepare(source, source)


@pytest.mark.parametrize("damage", [{FIRST: b""}, {FIRST: tiny.jpeg(seed=9), tiny.image_name("test", "IDRiD_55"): b""}])
def test_a_damaged_source_leaves_a_finished_folder_as_it_was(tmp_path, damage):
    prepare(tiny.write_zip(tmp_path / "good.zip", tiny.archive()), tmp_path / "out")
    finished = tiny.snapshot(tmp_path / "out")
    source = tiny.write_zip(tmp_path / "bad.zip", tiny.archive() | damage)
    with pytest.raises(DataError):
        prepare(source, tmp_path / "out")
    after = tiny.snapshot(tmp_path / "out")
    assert b"1 problem" in after.pop("findings.txt")
    assert after == finished


def test_a_damaged_source_writes_nothing_but_its_findings(tmp_path):
    source = tiny.write_zip(tmp_path / "bad.zip", tiny.archive() | {FIRST: b""})
    with pytest.raises(DataError):
        prepare(source, tmp_path / "out")
    assert set(tiny.snapshot(tmp_path / "out")) == {"findings.txt"}


def test_a_kill_while_writing_leaves_no_manifest(tmp_path, monkeypatch):
    prepare(tiny.write_zip(tmp_path / "good.zip", tiny.archive()), tmp_path / "out")
    source = tiny.write_zip(tmp_path / "other.zip", tiny.archive() | {FIRST: tiny.jpeg(seed=9)})
    monkeypatch.setattr("rfbench.data.prepare.write", lambda *_, **__: sys.exit("killed"))
    with pytest.raises(SystemExit):
        prepare(source, tmp_path / "out")
    with pytest.raises(DataError, match="leaves no manifest"):
        read_manifest(tmp_path / "out" / "manifest.csv")


def test_a_source_that_changes_between_check_and_copy(tmp_path, monkeypatch):
    tree, read = tiny.write_tree(tmp_path / "tree", tiny.archive()), Source.read
    reads = Counter()

    def changing(source, name, *args):
        reads[name] += 1
        return read(source, name, *args) + b"!" * (reads[name] - 1)

    monkeypatch.setattr(Source, "read", changing)
    with pytest.raises(DataError, match=r"IDRiD_\d\d\.jpg: expected the photograph as it was checked, found another"):
        prepare(tree, tmp_path / "out")


def cli(tmp_path, files, capsys, *options: str) -> str:
    """Standard error of `rfbench prepare idrid` on these files."""
    source = tiny.write_zip(tmp_path / "source.zip", files)
    assert main(["prepare", "idrid", "--source", str(source), "--output", str(tmp_path / "out"), *options]) == 0
    return capsys.readouterr().err


def test_a_photograph_in_both_splits_is_printed(tmp_path, capsys):
    files = tiny.archive()
    files[tiny.image_name("test", "IDRiD_55")] = files[FIRST]
    printed = cli(tmp_path, files, capsys, "--unofficial")
    assert "warning: identical photographs in different splits: the test images must not be learnt from: " in printed
    assert "train/IDRiD_01, test/IDRiD_55\n" in printed


def test_swapped_official_masks_are_printed(tmp_path, capsys, monkeypatch):
    files = tiny.archive()
    listed = {f"./{name}": sha256(files[name]) for name in files}
    monkeypatch.setattr(idrid, "official_digests", lambda: listed)
    monkeypatch.setattr(idrid, "WIDTH", tiny.WIDTH)
    monkeypatch.setattr(idrid, "HEIGHT", tiny.HEIGHT)
    monkeypatch.setattr(idrid, "REGIONS", {"EX": 5, "HE": 1, "SE": 1, "MA": 3})
    one, other = (tiny.mask_name("train", stem, "EX") for stem in ("IDRiD_01", "IDRiD_02"))
    files[one], files[other] = files[other], files[one]
    printed = cli(tmp_path, files, capsys)
    assert "warning: digests: 9 of 11 files used match the list; different: IDRiD_01_EX.tif, IDRiD_02_EX.tif" in printed


def test_a_long_warning_is_cut_short(tmp_path):
    (tmp_path / "summary.md").write_text("- WARNING " + "x" * 5000 + "\n- no warning\n- WARNING b\x1b\n")
    first, second = warnings_of(tmp_path / "summary.md")
    assert len(first) < 600
    assert first.endswith("summary.md)")
    assert second == "b\\x1b"


def test_read_manifest(tmp_path):
    manifest = prepare(tiny.write_zip(tmp_path / "source.zip", tiny.archive()), tmp_path / "out")
    assert read_manifest(manifest, "test").index.tolist() == [0]
    with pytest.raises(DataError, match="split 'valid', found the splits: test, train"):
        read_manifest(manifest, "valid")
    foreign = tmp_path / "foreign.csv"
    pd.DataFrame({"a": [1]}).to_csv(foreign)
    with pytest.raises(DataError, match=r"foreign\.csv: expected the columns stem"):
        read_manifest(foreign)
    foreign.write_bytes(b"")
    with pytest.raises(RFBenchError, match=r"foreign\.csv: expected the columns stem"):
        read_manifest(foreign)


def test_command_line(tmp_path, capsys):
    source = tiny.write_zip(tmp_path / "source.zip", tiny.archive())
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    arguments = ["idrid", "--source", str(source), "--output", str(tmp_path / "out"), "--unofficial"]
    assert run(parser.parse_args(arguments)) == 0
    printed = capsys.readouterr()
    assert printed.out == f"{tmp_path / 'out' / 'summary.md'}\nregions: EX 5, HE 1, SE 1, MA 3\n"
    assert printed.err.splitlines()[-1] == "prepare: 3 of 3 images"


def test_importing_prepare_does_not_import_torch():
    script = "import sys, rfbench.data.prepare; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
