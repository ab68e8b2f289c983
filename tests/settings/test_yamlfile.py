"""Reading a configuration file: whatever YAML would silently take for something else is one sentence with its line."""

import os

import pytest
import yaml

from rfbench.settings import ConfigError, load, read

from ..checkout import ROOT

VALID = (ROOT / "config" / "ci.yaml").read_text()
BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 10)}]\n" for before, name in zip("abcdef", "bcdefg", strict=True)
)


def refused(tmp_path, content: bytes) -> str:
    """The sentence about a file, without its path."""
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(path)
    (sentence,) = str(caught.value).splitlines()
    assert sentence.startswith(str(path))
    return sentence.removeprefix(str(path)).lstrip(",: ")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("pairs: all\nseeds: [0]\npairs: [m2mrf_c]\n", "line 3: the key pairs stands in line 1, too, which YAML"),
        ("recipe:\n  workers: 0\n  workers: 1\n", "line 3: the key workers stands in line 2, too"),
        ("datasets:\n  A: {scale: [1, 2], scale: [3, 4]}\n", "line 2: the key scale stands in line 2, too"),
        ("pairs: all\nseeds: [010]\n", "line 2: 010 is 8 to YAML. Write 8, or '010' in quotes for the text."),
        ("recipe: {time_limit: 1:30}\n", "line 1: 1:30 is 90 to YAML. Write 90, or"),
        ("seeds: [-007]\n", "line 1: -007 is -7 to YAML"),
        (f"seeds: [{'9' * 5000}]\n", "line 1: expected a number of at most 40 digits, found 5000."),
        ("seeds: " + "[" * 3000 + "]" * 3000, "expected at most 20 levels of lists and mappings, found far more."),
        ("seeds: " + "[" * 30 + "]" * 30, "expected at most 20 levels of lists and mappings, found far more."),
        ("a: &a [*a]\n", "line 1: expected a list or mapping, found one that contains itself."),
        (BOMB, "line 1: expected at most 10000 entries, found more, which aliases repeat."),
        ("pairs: [", "line 1: not readable as YAML: expected the node content, but found '<stream end>'."),
        ("pairs: [a\nb: ]: ]\n", "line 2: not readable as YAML"),
        ("a: !!python/object:os.system x\n", "line 1: not readable as YAML: could not determine a constructor"),
        ("? [a, b]\n: c\n", "line 1: not readable as YAML: found unhashable key"),
        ("results: 2026-13-41\n", "not readable as YAML: month must be in 1..12"),
        ("a: b\n\0c: d\n", "line 2: not readable as YAML: the character 0x0."),
        ("- a list\n", "a mapping of keys is expected, found list."),
        ("", "a mapping of keys is expected, found NoneType."),
    ],
)
def test_surprises_are_refused(tmp_path, text, sentence):
    assert refused(tmp_path, text.encode()).startswith(sentence)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("pairs: all\nname: é\n".encode("latin-1"), "line 2: expected UTF-8, found the byte 0xe9. Save the file as"),
        (VALID.encode("utf-16"), "line 1: expected UTF-8, found UTF-16."),
        (bytes(range(256)), "line 2: expected UTF-8, found the byte 0x80."),
        (b"a: " + b"x" * (1 << 20), "expected a configuration of at most 1048576 bytes, found a larger file."),
    ],
)
def test_other_encodings_and_binary_files_are_refused(tmp_path, content, sentence):
    assert refused(tmp_path, content).startswith(sentence)


def test_all_doubled_keys_at_once(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("a: 1\nb: 2\na: 3\nb: 010\n")
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert len(str(caught.value).splitlines()) == 3


def test_a_pipe_is_refused_rather_than_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(ConfigError, match=r"pipe\.yaml: expected a configuration file, found a pipe or device\."):
        load(tmp_path / "pipe.yaml")


@pytest.mark.parametrize("path", sorted((ROOT / "config").glob("*.yaml")), ids=lambda path: path.name)
def test_what_is_no_surprise_is_read_as_yaml_reads_it(path):
    assert read(path) == yaml.safe_load(path.read_text())


def test_aliases_and_merges_are_yaml_and_allowed(tmp_path):
    text = "a: &a {x: 1, y: 0x10}\nb: {<<: *a, x: '010'}\nc: *a\nd: [0, -0, 1.5, 0b11]\n"
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8-sig")
    found = read(tmp_path / "mine.yaml")
    assert found == {"a": {"x": 1, "y": 16}, "b": {"x": "010", "y": 16}, "c": {"x": 1, "y": 16}, "d": [0, 0, 1.5, 3]}
