"""Archives by mutation of tiny sound ones: a data set is prepared whole, or refused with everything as it was."""

import os
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rfbench.data.images import read_native
from rfbench.data.manifest import NAME, read_manifest
from rfbench.data.prepare import prepare_ddr, prepare_folder, prepare_idrid
from rfbench.errors import RFBenchError

from ..data import tiny_archive as tiny
from ..data import tiny_ddr
from ..data.test_prepare_folder import LESIONS, files
from .standard import NAMES, PLAIN, damaged, everything_below, held

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:Duplicate name")]

Prepare = Callable[[Path, Path], Path]
SOUND: dict[str, tuple[dict[str, bytes], Prepare]] = {
    "idrid": (tiny.archive(), partial(prepare_idrid, expect_official=False, progress=False, jobs=1)),
    "ddr": (tiny_ddr.archive(), partial(prepare_ddr, expect_official=False, progress=False, jobs=1)),
    "folder": (files(), partial(prepare_folder, lesions=LESIONS, progress=False, jobs=1)),
}


def check(kind: str, source: Path, folder: Path, finished: Path | None = None) -> None:
    """Prepare `source` into `folder`/out, over a copy of a finished data set if one is given."""
    output, outside = folder / "out", everything_below(source.parent)
    if finished:
        shutil.copytree(finished, output)
    before = everything_below(output)
    result = held(lambda: SOUND[kind][1](source, output))
    assert everything_below(source.parent) == outside
    assert {path.name for path in folder.iterdir()} <= {"out", source.parent.name}
    after = everything_below(output)
    if isinstance(result, RFBenchError):
        after.pop("findings.txt", None)
        assert after == before
        return
    frame = read_manifest(result)
    for row in frame.itertuples():
        image, label = read_native(output, row)
        assert image.shape[:2] == label.shape == (row.height, row.width)
    assert set(after) == {NAME, "summary.md", "areas.png", *frame["image"], *frame["label"]}


@pytest.fixture(scope="module", params=SOUND)
def kind(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def packed(kind, tmp_path_factory) -> bytes:
    return tiny.write_zip(tmp_path_factory.mktemp("sound") / "s.zip", SOUND[kind][0]).read_bytes()


@pytest.fixture(scope="module")
def finished(kind, packed, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    (folder / "s.zip").write_bytes(packed)
    return SOUND[kind][1](folder / "s.zip", folder / "out").parent


@given(data=st.data())
def test_bytes_of_the_zip(kind, packed, finished, data):
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "in" / data.draw(st.sampled_from(["s.zip", "a\x1b[2J\n.zip", "\udcff", "é" * 90]))
        source.parent.mkdir()
        source.write_bytes(data.draw(damaged(packed)))
        check(kind, source, Path(folder), data.draw(st.sampled_from([None, finished])))


ATTRIBUTES = st.sampled_from([0, stat.S_IFLNK | 0o777, stat.S_IFIFO | 0o666, stat.S_IFDIR | 0o777, stat.S_IFCHR])
METHODS = st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])


@given(data=st.data())
def test_members_of_the_zip(kind, finished, data):
    """Members renamed, exchanged, left out, doubled, damaged, packed otherwise, links: in any mixture."""
    members = list(SOUND[kind][0].items())
    chosen = data.draw(st.lists(st.sampled_from(members), min_size=1, max_size=3, unique_by=lambda member: member[0]))
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "in" / "s.zip"
        source.parent.mkdir()
        with zipfile.ZipFile(source, "w") as target:
            for name, content in members:
                copies = data.draw(st.integers(0, 2)) if (name, content) in chosen else 1
                for _ in range(copies):
                    info = zipfile.ZipInfo(name)
                    if (name, content) in chosen:
                        info = zipfile.ZipInfo(data.draw(_renamed(name)) or "x")
                        content = data.draw(st.one_of(st.just(content), damaged(content), _others(members)))
                        info.external_attr = data.draw(ATTRIBUTES) << 16
                        info.compress_type = data.draw(METHODS)
                    target.writestr(info, content)
        check(kind, source, Path(folder), data.draw(st.sampled_from([None, finished])))


def _renamed(name: str) -> st.SearchStrategy[str]:
    folder, _, file = name.rpartition("/")
    return st.one_of(
        st.just(name),
        NAMES.map(lambda new: f"{folder}/{new}"),
        NAMES.map(lambda new: f"{new}/{file}"),
        st.just(name.upper()),
    ).map(lambda new: new.encode(errors="replace").decode()[:200])


def _others(members: list[tuple[str, bytes]]) -> st.SearchStrategy[bytes]:
    return st.sampled_from([content for _, content in members])


@given(data=st.data())
def test_a_tree_with_links_pipes_and_other_names(kind, data):
    members = list(SOUND[kind][0])
    with tempfile.TemporaryDirectory() as folder:
        tree = tiny.write_tree(Path(folder) / "in" / "tree", SOUND[kind][0])
        for name in data.draw(st.lists(st.sampled_from(members), min_size=1, max_size=3, unique=True)):
            path = tree / name
            path.unlink()
            match data.draw(st.sampled_from(["link", "loop", "out", "pipe", "folder", "unreadable", "name"])):
                case "link":
                    path.symlink_to(tree / data.draw(st.sampled_from(members)))
                case "loop":
                    path.symlink_to(path)
                case "out":
                    path.symlink_to("/etc/passwd")
                case "pipe":
                    os.mkfifo(path)
                case "folder":
                    path.mkdir()
                case "name":
                    path.with_name(data.draw(st.sampled_from(["a\x1b[2J\n.jpg", "e\u0301.jpg", "\udcff.jpg"]))).touch()
                case "unreadable":
                    path.touch(mode=0)
        check(kind, tree.parent / "tree", Path(folder))


ROWS = st.lists(
    st.tuples(
        st.one_of(st.sampled_from(["images/Eye 1.png", "images/2.jpg", "images/3.JPG"]), NAMES),
        st.one_of(st.sampled_from(["MA", "Drusen", "", "NV"]), NAMES),
        st.one_of(st.sampled_from(["masks/1_ma.png", "masks/2_ma.tif", ""]), NAMES),
        st.one_of(st.sampled_from(["train", "valid", "TEST"]), NAMES),
    ).map(",".join),
    max_size=6,
)


@given(rows=ROWS, header=st.one_of(st.just("image,lesion,mask,split"), NAMES))
@example(rows=["images/2.jpg,EX,../x,test"], header="image,lesion,mask,split")
def test_tables_of_own_data(rows, header):
    table = "\n".join([header, *rows]).encode(errors="surrogatepass")
    with tempfile.TemporaryDirectory() as folder:
        source = tiny.write_zip(Path(folder) / "in.zip", files() | {"dataset.csv": table})
        (Path(folder) / "in").mkdir()
        check("folder", source.rename(Path(folder) / "in" / "s.zip"), Path(folder))


@given(lesions=st.lists(st.one_of(NAMES, PLAIN), max_size=3))
@example(lesions=["EX", "EX", "MA"])
@example(lesions=["EX", "../x"])
def test_lesions_of_own_data(lesions):
    with tempfile.TemporaryDirectory() as folder:
        source = tiny.write_zip(Path(folder) / "s.zip", files())
        result = held(lambda: prepare_folder(source, Path(folder) / "out", lesions=lesions, progress=False))
        assert isinstance(result, RFBenchError)


@pytest.mark.parametrize("name", ["s.zip", "a\x1b[2J\n.zip", "\udcff"])
def test_sound_ones_are_prepared(kind, packed, tmp_path, name):
    source = tmp_path / "in" / name
    source.parent.mkdir()
    source.write_bytes(packed)
    check(kind, source, tmp_path)
    assert (tmp_path / "out" / NAME).exists()
