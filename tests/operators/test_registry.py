"""The registry: what it lists, which files a pair depends on, and what it says about mistakes."""

import argparse
import ast
import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import operators
from rfbench import cli, stages
from rfbench.commands.operators import add_arguments, run
from rfbench.contract.operators_table import counted, table_rows
from rfbench.errors import RFBenchError
from rfbench.published import published_costs

from ..checkout import ROOT

CI = ROOT / "config" / "ci.yaml"

# docs/operators.md
ROWS = {
    "strideconv_bilinear": ("StrideConv/Bilinear", 65_847_844),
    "maxpool_bilinear": ("MaxPool/Bilinear", 59_453_956),
    "m2mrf_onestep_bilinear": ("M2MRF one-step/Bilinear", 60_750_568),
    "m2mrf_cascade_bilinear": ("M2MRF cascade/Bilinear", 61_115_932),
    "strideconv_deconv": ("StrideConv/Deconv", 73_119_268),
    "strideconv_m2mrf_onestep": ("StrideConv/M2MRF one-step", 75_029_812),
    "strideconv_m2mrf_cascade": ("StrideConv/M2MRF cascade", 72_252_172),
    "m2mrf_a": ("M2MRF-A", 69_932_536),
    "m2mrf_b": ("M2MRF-B", 67_154_896),
    "m2mrf_c": ("M2MRF-C", 70_297_900),
    "m2mrf_d": ("M2MRF-D", 67_520_260),
    "maxpool_maxunpool": ("MaxPool/MaxUnpool", 59_453_956),
    "lip_bilinear": ("LIP/Bilinear", 75_438_212),
    "carafe_bilinear": ("CARAFE++/Bilinear", 66_298_854),
    "strideconv_carafe": ("StrideConv/CARAFE++", 72_119_628),
    "carafe_carafe": ("CARAFE++/CARAFE++", 72_570_638),
    "indexnet": ("IndexNet/IndexNet", 70_329_092),
    "a2u": ("A2U/A2U", 66_514_232),
}


def test_the_papers_rows_are_registered_with_their_counts():
    assert ROWS.keys() <= set(operators.available())
    for name, (published_name, params) in ROWS.items():
        pair = operators.get(name)
        assert (pair.published_name, pair.params) == (published_name, params)


@pytest.mark.parametrize("name", ROWS)
def test_declared_parameters_round_to_the_published_ones(name):
    pair = operators.get(name)
    assert round(pair.params / 1e6, 2) == published_costs()[pair.published_name, "params_M"]


def test_the_table_lists_every_pair():
    assert [row["pair"] for row in table_rows()] == operators.available()


@pytest.mark.slow
@pytest.mark.parametrize(("form", "number"), [([], "69,932,536"), (["--json"], "69932536"), (["--csv"], "69932536")])
def test_the_table_prints_in_every_form(form, number, capsys):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    assert run(parser.parse_args(form)) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in operators.available())
    assert number in printed


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("strideconv_bilinear", ["bilinear", "strideconv"]),
        ("m2mrf_cascade_bilinear", ["bilinear", "m2mrf"]),
        ("m2mrf_b", ["m2mrf"]),
    ],
)
def test_a_pair_depends_on_the_files_of_its_two_paths(name, expected):
    assert [file.stem for file in operators.files(name)] == expected
    assert all(file.is_file() for file in operators.files(name))


def test_operator_files_import_nothing_from_each_other():
    folder = Path(operators.__file__).parent
    names = {file.stem for file in folder.glob("*.py")} - {"__init__"}
    assert {"lip", "m2mrf"} < names
    others = {f"operators.{name}" for name in names}
    for name in names:
        for node in ast.walk(ast.parse((folder / f"{name}.py").read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                module = getattr(node, "module", None)
                imported = {module, *(f"{module}.{alias.name}" if module else alias.name for alias in node.names)}
                assert not imported & others


def test_what_operator_files_share_counts_as_part_of_the_network():
    """Editing it runs the pairs again, as editing the operator file does."""
    shared = set()
    for pair in operators.available():
        for file in operators.files(pair):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.ImportFrom) and node.module.partition(".")[0] == "rfbench":
                    names = [f"rfbench.{alias.name}" for alias in node.names]
                    own = set(names if node.module == "rfbench" else [node.module])
                    assert own <= set(stages.modules("train", pair)) | set(stages.NEUTRAL), file.name
                    shared |= own
    assert shared - set(stages.NEUTRAL) == stages.SHARED, "what an installed package may import counts for its pairs"


def test_importing_the_packages_and_what_renders_needs_no_torch():
    renderers = ", ".join(f"rfbench.report.{verb}" for verb in ("tables", "figures", "ablation", "costs", "trace"))
    code = f"import sys, operators, rfbench, {renderers}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_unknown_pair_is_answered_with_the_nearest_and_the_list():
    with pytest.raises(RFBenchError, match=r"'m2mrf_x'.*Did you mean 'm2mrf_.'\?.*strideconv_bilinear"):
        operators.get("m2mrf_x")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"m2mrv": {}}, "operator_options 'm2mrv'.*Did you mean 'm2mrf'"),
        ({"m2mrf": {"patchsize": 4}}, "option of operator 'm2mrf' 'patchsize'.*Did you mean 'patch_size'"),
        ({"bilinear": {"patch_size": 4}}, "option of operator 'bilinear' 'patch_size'.*Available: none"),
    ],
)
def test_unknown_options_are_refused_even_if_the_pair_does_not_use_the_operator(options, message):
    with pytest.raises(RFBenchError, match=message):
        operators.builders("strideconv_bilinear", options)


def test_options_reach_every_path_of_their_operator():
    down, up = operators.builders("m2mrf_b", {"m2mrf": {"patch_size": 4, "alpha": 16}, "bilinear": None})
    assert down(16, 32, steps=2, relu=False)[0][0].patch_size == 4
    assert up(16, 16, steps=2).sample_1.patch_size == 4


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """A function that installs a package `rfbench-toy` with an operator module and one entry point."""

    def install(module: str, entry: str = "toy = rfbench_toy") -> Path:
        project, site = tmp_path / "project", tmp_path / "site"
        project.mkdir()
        (project / "rfbench_toy.py").write_text(module)
        entries = f'[project.entry-points."rfbench.operators"]\n{entry.split(" = ")[0]} = "{entry.split(" = ")[1]}"\n'
        (project / "pyproject.toml").write_text(
            '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
            '[project]\nname = "rfbench-toy"\nversion = "1"\n'
            f'{entries}[tool.setuptools]\npy-modules = ["rfbench_toy"]\n'
        )
        quiet = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
        command = [sys.executable, "-m", "pip", "install", *quiet, "--target", site, project]
        subprocess.run(command, check=True, capture_output=True)
        monkeypatch.syspath_prepend(site)
        operators._forget()
        return site / "rfbench_toy.py"

    yield install
    monkeypatch.undo()
    sys.modules.pop("rfbench_toy", None)
    operators._forget()


OUTSIDE = """
from torch import nn
from operators import Pair
OPTIONS = {"kernel": 2}
def down(in_channels, out_channels, steps, relu, kernel=2):
    return nn.Conv2d(in_channels, out_channels, 2**steps, 2**steps)
DOWN = {"Patch": down}
PAIRS = (Pair("patch_bilinear", "Patch", "Bilinear"),)
"""


@pytest.mark.slow
def test_an_installed_package_brings_its_pairs(outside):
    file = outside(OUTSIDE)
    assert "patch_bilinear" in operators.available()
    assert operators.origin("patch_bilinear") == "package rfbench-toy (entry point 'toy')"
    assert operators.operators_of("patch_bilinear") == ["bilinear", "toy"]
    assert file in operators.files("patch_bilinear"), "editing it runs its pairs again"
    down, _ = operators.builders("patch_bilinear", {"toy": {"kernel": 3}})
    assert down(4, 6, steps=2, relu=False).kernel_size == (4, 4)
    (row,) = [row for row in table_rows() if row["pair"] == "patch_bilinear"]
    assert (row["published_params_M"], row["confidence"]) == (None, "own")
    assert row["params"] == counted("patch_bilinear")
    assert any(piece.endswith(f"{file.name}:down") for piece in stages.parts("train", "patch_bilinear"))


@pytest.mark.parametrize(
    ("module", "entry", "message"),
    [
        ("import absent_module", "toy = rfbench_toy", "package rfbench-toy .*ModuleNotFoundError: .*absent_module"),
        (OUTSIDE, "toy = rfbench_toy:down", r"package rfbench-toy .*must name a module .*, not a function"),
        (OUTSIDE, "lip = rfbench_toy", r"operators/lip\.py and package rfbench-toy .*both declare the operator 'lip'"),
        (OUTSIDE.replace("patch_b", "lip_b"), "toy = rfbench_toy",
         r"operators/lip\.py and package rfbench-toy .*both declare the pair 'lip_bilinear'"),
        (OUTSIDE.replace('"Patch"', '"LIP"'), "toy = rfbench_toy",
         "DOWN path 'LIP' is declared by operators/lip.py and package rfbench-toy"),
        (OUTSIDE.replace('"Bilinear"', '"Bilinear", label="LIP/Bilinear"'), "toy = rfbench_toy",
         r"operators/lip\.py and package rfbench-toy .*both declare the row 'LIP/Bilinear'"),
        (OUTSIDE.replace("patch_b", "Patch-B"), "toy = rfbench_toy", "small letters, digits and _.*'Patch-Bilinear'"),
        (OUTSIDE.replace('"Bilinear"', '"Bilniear"'), "toy = rfbench_toy",
         "package rfbench-toy .*UP path 'Bilniear' is declared by no operator"),
        (OUTSIDE.replace('"),)', '"))'), "toy = rfbench_toy",
         r"package rfbench-toy .*PAIRS must be a tuple .*one alone with a comma.*found Pair\("),
        (OUTSIDE.replace("(Pair(", "(("), "toy = rfbench_toy",
         r"package rfbench-toy .*PAIRS must be a tuple of Pair.*found \(\('patch_bilinear'"),
    ],
)  # fmt: skip
def test_a_broken_package_is_named(outside, module, entry, message):
    site = outside(module, entry).parent
    with pytest.raises(RFBenchError, match=message):
        operators.available()
    paths = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])
    shown = subprocess.run([sys.executable, "-m", "rfbench", "--help"], env={**os.environ, "PYTHONPATH": paths})
    assert shown.returncode == 0


def test_an_operators_name_stands_for_all_its_pairs(capsys):
    assert operators.pairs_of("carafe") == ["carafe_bilinear", "carafe_carafe", "strideconv_carafe"]
    assert operators.pairs_of("carafe_carafe") == []
    assert cli.main(["check", "carafe", "--only", "declaration", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == set(operators.pairs_of("carafe"))
    assert cli.main(["check", "carafee"]) == 1
    assert "Unknown operator pair 'carafee'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        ("m2mrf", {"patch_size": 8, "reduction": 4, "alpha": 64, "init": "xavier"}),
        ("carafe", {"compressed": 64, "kernel": 5, "encoder_kernel": 3}),
        ("lip", {"kind": "bottleneck", "width": 128}),
        ("indexnet", {"kind": "holistic", "nonlinear": False, "context": False}),
        ("a2u", {"up_kernel": 3, "shared": True}),
        ("maxpool", {}),
    ],
)
def test_options_and_defaults_are_those_of_the_papers(operator, expected):
    assert operators.defaults(operator) == expected


def test_hrnets_own_paths_are_declared():
    assert operators.is_of_hrnet("StrideConv")
    assert operators.is_of_hrnet("Bilinear")
    assert not operators.is_of_hrnet("M2MRF cascade")


def test_a_pair_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        operators.get("m2mrf_a").params = 0
