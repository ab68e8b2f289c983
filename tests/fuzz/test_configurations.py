"""Configurations: any bytes, and sound ones with a key of any value, are read, or refused in sentences."""

import re
import tempfile
from pathlib import Path

import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from rfbench import kept
from rfbench.errors import RFBenchError
from rfbench.probe.records import NUMBERS, WORDS
from rfbench.report.reading import read_numbers
from rfbench.report.trace import trace
from rfbench.settings import Settings, complete, load
from rfbench.settings.types import FOLDER

from ..checkout import SMALLEST, with_key
from .standard import NAMES, PLAIN, damaged, held

SOUND = yaml.safe_dump(SMALLEST)


def check(settings: object) -> None:
    """What is accepted can be handed to commands and run."""
    if isinstance(settings, RFBenchError):
        return
    assert isinstance(settings, Settings)
    for folder in (settings.results, settings.reports):
        assert re.search(FOLDER, folder)
    assert settings.recipe.workers <= 256
    assert settings.recipe.batch_size <= 4096


def keys(section: dict, above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every key of a configuration, with the sections that it lies in."""
    own = [(*above, key) for key in section]
    return own + [k for key, value in section.items() if isinstance(value, dict) for k in keys(value, (*above, key))]


def changed(key: tuple[str, ...], value: object) -> dict:
    return with_key(SMALLEST, key, value)


@given(content=st.one_of(damaged(SOUND.encode()), st.binary(max_size=40)))
@example(content=b"# \xe9\n" + SOUND.encode())
@example(content=SOUND.encode("utf-16"))
@example(content=bytes(range(256)))
@example(content=b"seeds: " + b"[" * 3000 + b"]" * 3000)
@example(content=SOUND.encode() + b"pairs: [m2mrf_a]\n")
@example(content=SOUND.replace("- 0", "- 010").encode())
def test_bytes(content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mine.yaml"
        path.write_bytes(content)
        check(held(lambda: load(path, registry=False)))  # both raise AssertionError


@given(key=st.one_of(st.sampled_from(keys(SMALLEST)), st.tuples(NAMES)), value=PLAIN)
@example(key=("results",), value="a\0b")
@example(key=("seeds",), value=["²"])
@example(key=("recipe", "workers"), value=100_000)
@example(key=("recipe", "batch_size"), value=10**7)
@example(key=("recipe", "threads"), value=10_000)
@example(key=("recipe", "optimizer"), value={"type": "SGD", "lr": 0.1, "momentum": -5})
@example(key=("datasets", "SYN-IDRiD", "iterations"), value=10**30)
@example(key=("model", "pretrained"), value={"source": "http://x' \"$(touch pwned)\" '", "sha256": "\u0664" * 8})
def test_values(key, value):
    check(held(lambda: complete(changed(key, value), registry=False)))  # both raise AssertionError


TABLE = b"row,pair,dataset,data,configured,n,mF_mean,mF_std\nA,a,SYN,SYN,1,1,50.0,\n"
PROBED = ",".join([*WORDS, *NUMBERS]).encode() + b"\n" + b"x," * len(WORDS) + b"1," * (len(NUMBERS) - 1) + b"1\n"
DECISIONS = ",".join(kept.FIELDS).encode() + b"\ntrain,a,b,because,c,2026-01-01\n"


@given(data=st.data())
def test_tables_that_trace_page_and_keep_read(data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kept.csv"
        content = data.draw(st.sampled_from([TABLE, PROBED, DECISIONS]))
        path.write_bytes(data.draw(st.one_of(damaged(content), st.just(b""))))
        held(lambda: kept.read(folder))
        held(lambda: read_numbers(path, WORDS, NUMBERS, "snakemake probe"))
        assert isinstance(held(lambda: trace(path, "a", "mF")), RFBenchError), "there is no tables.json"
