"""Sources: parts read as one, damage and ill will contained."""

import io
import os
import stat
import tracemalloc
import zipfile

import numpy as np
import pytest

from rfbench.data.archive import DAMAGE, Joined, open_source
from rfbench.errors import DataError

from . import tiny_archive as tiny
from . import tiny_ddr

FILES = {f"folder/{index}.bin": np.random.default_rng(index).bytes(4000) for index in range(5)}


def test_joined_files_read_and_seek_as_one(tmp_path):
    content = np.random.default_rng(0).bytes(10_000)
    paths = []
    for index, (low, high) in enumerate([(0, 10), (10, 10), (10, 7000), (7000, 10_000)]):  # one of them empty
        paths.append(tmp_path / str(index))
        paths[-1].write_bytes(content[low:high])
    joined, whole = io.BufferedReader(Joined(tuple(paths)), 64), io.BytesIO(content)
    rng = np.random.default_rng(1)
    for _ in range(200):
        offset, length, whence = int(rng.integers(0, 10_100)), int(rng.integers(0, 4000)), int(rng.choice([0, 2]))
        offset -= 10_000 if whence == 2 else 0
        assert joined.seek(offset, whence) == whole.seek(offset, whence)
        assert joined.read(length) == whole.read(length)
        assert joined.tell() == whole.tell() or whole.tell() > 10_000


@pytest.mark.parametrize("given", ["first part", "other part", "folder"])
def test_parts_are_read_in_place(tmp_path, given):
    parts = tiny_ddr.write_parts(tmp_path / "download", FILES)
    source = open_source({"first part": parts[0], "other part": parts[6], "folder": parts[0].parent}[given])
    assert source.kind == "zip archive in 10 parts"
    assert source.names() == sorted(FILES)
    assert all(source.read(name) == content for name, content in FILES.items())
    assert len(list(parts[0].parent.iterdir())) == 10, "nothing is joined or extracted on disk"


def test_zip64_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 2)  # more files than this make it a zip64
    parts = tiny_ddr.write_parts(tmp_path / "download", FILES, count=3)
    assert b"PK\x06\x06" in b"".join(part.read_bytes() for part in parts), "the zip64 end record"
    assert open_source(parts[0]).read("folder/3.bin") == FILES["folder/3.bin"]


def test_a_missing_part_is_named(tmp_path):
    parts = tiny_ddr.write_parts(tmp_path / "download", FILES)
    parts[4].unlink()
    with pytest.raises(DataError, match=r"parts 001 to 010, found no DDR-dataset\.zip\.005"):
        open_source(parts[0])
    for part in parts[5:]:
        part.unlink()
    with pytest.raises(DataError, match=r"last part may be missing \(found 4\)"):
        open_source(parts[0].parent)


def test_the_unjoined_archive_is_found_by_its_joined_name(tmp_path):
    parts = tiny_ddr.write_parts(tmp_path / "download", FILES)
    with pytest.raises(DataError, match=r"Give .*DDR-dataset\.zip\.001"):
        open_source(parts[0].with_suffix(""))


def test_two_split_zips_in_a_folder(tmp_path):
    parts = tiny_ddr.write_parts(tmp_path / "download", FILES)
    (parts[0].parent / "other.zip.001").write_bytes(b"")
    with pytest.raises(DataError, match=r"one split zip, found DDR-dataset\.zip, other\.zip"):
        open_source(parts[0].parent)
    assert open_source(parts[0]).names() == sorted(FILES)


def test_a_bomb_is_refused_before_it_unpacks(tmp_path):
    for source in (tiny.write_zip(tmp_path / "s.zip", FILES), tiny.write_tree(tmp_path / "tree", FILES)):
        with pytest.raises(DAMAGE, match="4000 bytes once unpacked"):
            open_source(source).read("folder/0.bin", most=3999)


def test_a_member_that_lies_about_its_size(tmp_path):
    source = tiny.write_zip(tmp_path / "s.zip", {"a": b"x" * 1000})
    content = source.read_bytes()
    source.write_bytes(content.replace((1000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    with pytest.raises(DAMAGE):
        open_source(source).read("a")


def test_a_bomb_that_lies_about_its_size_is_not_unpacked(tmp_path):
    source = tiny.write_zip(tmp_path / "s.zip", {"a": bytes(1 << 26)})
    content = source.read_bytes()
    source.write_bytes(content.replace((1 << 26).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    opened = open_source(source)
    tracemalloc.start()
    with pytest.raises(DAMAGE):
        opened.read("a")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20, "64 MiB, were it unpacked first and measured afterwards"


@pytest.mark.parametrize(("method", "name"), [(zipfile.ZIP_BZIP2, "bzip2"), (zipfile.ZIP_LZMA, "LZMA")])
def test_methods_that_zipfile_cannot_unpack_in_pieces(tmp_path, method, name):
    with zipfile.ZipFile(tmp_path / "s.zip", "w", method) as target:
        target.writestr("a", bytes(1 << 20))
    with pytest.raises(DAMAGE, match=f"packed by {name}; stored and deflated"):
        open_source(tmp_path / "s.zip").read("a")


def test_an_encrypted_zip_is_one_problem(tmp_path):
    source = tiny.write_zip(tmp_path / "s.zip", FILES)
    content = bytearray(source.read_bytes())
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = -1
        while (start := content.find(mark, start + 1)) >= 0:
            content[start + flags] |= 1
    source.write_bytes(content)
    with pytest.raises(DataError) as error:
        open_source(source)
    assert "found 5 encrypted file(s), first folder/0.bin. Extract it with its password" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_named_pipe_is_not_waited_for(tmp_path):
    for name in ("s.zip", "s.zip.001"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(DataError, match=r"expected a zip or a folder, found a named pipe\. Give the downloaded"):
            open_source(tmp_path / name)


def test_names_reach_the_terminal_escaped(tmp_path):
    with pytest.raises(DataError) as error:
        open_source(tmp_path / "a\x1b[2J\nb\u202e.zip")
    assert str(error.value).count("\n") == 0
    assert "a\\x1b[2J\\nb\\u202e.zip: expected a zip" in str(error.value)


def test_links_in_a_zip(tmp_path):
    info = zipfile.ZipInfo("a.jpg")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as target:
        target.writestr(info, "/etc/passwd")
    with pytest.raises(DAMAGE, match="a link"):
        open_source(tmp_path / "s.zip").read("a.jpg")


def test_links_in_a_tree(tmp_path):
    tree = tiny.write_tree(tmp_path / "tree", FILES)
    (tmp_path / "secret").write_bytes(b"1")
    (tree / "out.jpg").symlink_to(tmp_path / "secret")
    (tree / "in.jpg").symlink_to(tree / "folder" / "0.bin")
    (tree / "gone.jpg").symlink_to(tree / "nowhere")
    (tree / "more").symlink_to(tree / "folder")
    os.mkfifo(tree / "pipe.jpg")
    source = open_source(tree)
    assert source.read("in.jpg") == FILES["folder/0.bin"]
    for name, found in (("out.jpg", "a link out of the folder"), ("pipe.jpg", "a named pipe"), ("gone.jpg", "No su")):
        with pytest.raises(DAMAGE, match=found):
            source.read(name)
    assert [str(finding).split(",")[0] for finding in source.links()] == ["more: expected a folder"]
