"""Digests of settings and of the library's code: what decides whether something runs again."""

import hashlib
import json
from pathlib import Path

import operators


def digest(value) -> str:
    """Short digest of a JSON-like value: the first 12 hexadecimal digits of its SHA-256."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def code_digest(*patterns: str) -> str:
    """Short digest of library files, given as patterns below the package `rfbench` or `operators`."""
    roots = {"rfbench": Path(__file__).parents[1], "operators": Path(operators.__file__).parent}
    files = {}
    for pattern in patterns:
        package, _, rest = pattern.partition("/")
        found = sorted(roots[package].glob(rest))
        if not found:
            raise FileNotFoundError(f"code_digest: {pattern} names no file")
        files.update({f"{package}/{f.relative_to(roots[package])}": f.read_bytes() for f in found})
    return digest({name: hashlib.sha256(data).hexdigest() for name, data in files.items()})
