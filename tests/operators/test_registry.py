"""The registry: what it lists, which files a pair depends on, and what it says about mistakes."""

import argparse
import ast
import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

import operators
from rfbench.errors import RFBenchError
from rfbench.operators_table import add_arguments, published_values, run, table_rows

# spec/operators.md, section 1
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
    assert ROWS.keys() == set(operators.available())
    for name, (published_name, params) in ROWS.items():
        pair = operators.get(name)
        assert (pair.published_name, pair.params) == (published_name, params)


@pytest.mark.parametrize("name", operators.available())
def test_declared_parameters_round_to_the_published_ones(name):
    pair = operators.get(name)
    assert round(pair.params / 1e6, 2) == published_values("params_M")[pair.published_name]


def test_the_table_lists_every_pair():
    assert [row["pair"] for row in table_rows()] == operators.available()


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
    for name in names:
        for node in ast.walk(ast.parse((folder / f"{name}.py").read_text())):
            if isinstance(node, ast.ImportFrom):
                imported = {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
                assert not imported & {f"operators.{other}" for other in names}


def test_importing_the_packages_needs_no_torch():
    code = "import sys, operators, rfbench; sys.exit('torch' in sys.modules)"
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


def test_a_pair_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        operators.get("m2mrf_a").params = 0
