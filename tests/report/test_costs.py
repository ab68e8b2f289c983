"""The profile's table and figure: published values are read, ratios are to each side's own baseline, no torch."""

import json
import subprocess
import sys

import pytest

from rfbench import cli
from rfbench.report import costs, plotting

from .. import recorded


@pytest.fixture
def profile():
    fused = {"fps_ratio": 0.8, "fps_ratio_min": 0.7, "fps_ratio_max": 0.9, "own_ratio": 1.3, "own_ratio_min": 1.2,
             "own_ratio_max": 1.4}  # fmt: skip
    return recorded.profile(
        {
            "strideconv_bilinear": recorded.cost("StrideConv/Bilinear", 1.0),
            "m2mrf_c": recorded.cost("M2MRF-C", 0.6, fused=fused),
            "mine": recorded.cost("Mine/Mine", 0.5),
        }
    )


def test_published_values_stand_beside_ours(profile):
    frame = costs.costs(profile).set_index("pair")
    assert frame.loc["m2mrf_c", "fps_ratio_published"] == pytest.approx(8.43 / 11.31)
    assert frame.loc["m2mrf_c", "params_published"] == 70_300_000
    assert frame.loc["strideconv_bilinear", "fps_ratio_published"] == 1
    assert frame.loc["mine", ["fps_ratio_published", "params_published"]].isna().all()
    text = costs.to_markdown(frame.reset_index(), profile)
    assert "| M2MRF-C | 2.00 | 70.00 | 70.30 | 1.50 | 180.0 | 5.0 | 1200 | 3.00 | 0.60 (0.50–0.80) | 0.75 |" in text
    assert "hrnetv2_embedded, 96x64, batch 1, float32, cpu, 2 threads" in text
    assert "| 0.80 (0.70–0.90) | 1.30 (1.20–1.40) |" in text
    assert "compiled" not in text


def test_points_of_the_figure_are_the_tables(profile):
    frame = costs.costs(profile)
    figure = costs.draw_speed(frame, profile)
    (axes,), (legend,) = figure.axes, figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["ours", "ours, fused", "published, HRNetV2-W48"]
    published = next(line for line in axes.lines if line.get_marker() == "D")
    assert list(published.get_xdata())[:2] == pytest.approx([1, 8.43 / 11.31])
    ours, fused = (container.lines[0].get_xdata() for container in axes.containers)
    assert list(ours) == [1.0, 0.6, 0.5]
    assert fused[1] == 0.8
    assert "cpu, 2 threads" in figure.get_suptitle()
    costs.plt.close("all")


@pytest.mark.parametrize("pairs", [1, 18, 33])
def test_nothing_in_the_figure_covers_or_leaves_it(profile, pairs):
    row = profile["pairs"]["m2mrf_c"] | {"row": "StrideConv/M2MRF one-step"}  # the longest name
    many = profile | {"pairs": {f"pair{k}": row for k in range(pairs)}}
    with plotting.plt.rc_context(plotting.STYLE):
        figure = costs.draw_speed(costs.costs(many), many)
        figure.draw_without_rendering()
        (axes,), (legend,) = figure.axes, figure.legends
        box, page = figure.get_tightbbox(), figure.bbox_inches
        label, ticks = (part.get_window_extent() for part in (axes.xaxis.label, axes))
    assert 0 <= box.x0 < box.x1 <= page.x1
    assert 0 <= box.y0 < box.y1 <= page.y1
    assert legend.get_window_extent().y1 <= label.y0 < label.y1 <= ticks.y0
    costs.plt.close("all")


@pytest.mark.slow
def test_command_writes_the_same_bytes_twice_and_needs_no_torch(profile, tmp_path):
    (tmp_path / "profile.json").write_text(json.dumps(profile))
    files = ["profile.csv", "profile.md", "profile_speed.png", "profile_speed.pdf"]
    code = "import sys, rfbench.cli as c; s = c.main(sys.argv[1:]); sys.exit(s or 'torch' in sys.modules)"
    written = []
    for name in ("a", "b"):
        folder = str(tmp_path / name)
        words = ["costs", "--profile", str(tmp_path / "profile.json"), "--tables", folder, "--figures", folder]
        subprocess.run([sys.executable, "-c", code, *words], check=True)
        written.append([(tmp_path / name / file).read_bytes() for file in files])
    assert written[0] == written[1]


def test_a_gpus_record_gives_a_table_for_each_profile_and_the_loss_curves(profile, tmp_path):
    curves = {"stock": [0.9, 0.7, 0.6], "ours": [0.9, 0.71, 0.58]}
    block = {name: {"losses": losses} for name, losses in curves.items()}
    block |= {"pair": "m2mrf_c", "ratio": 3.2, "within_noise": True}
    record = {
        "blocks": {"float32": profile, "bfloat16": {**profile, "dtype": "bfloat16"}, "training_m2mrf_c": block},
        "suite": {"crop": [1440, 960], "batch": 4, "backbone": "hrnetv2_w48"}, "provenance": recorded.ORIGIN,
    }  # fmt: skip
    figure = costs.draw_losses({"training_m2mrf_c": block}, record)
    lines = {line.get_label(): list(line.get_ydata()) for line in figure.axes[0].lines}
    assert lines == {"stock, float32": curves["stock"], "ours": curves["ours"]}
    assert figure.axes[0].get_title() == "m2mrf_c: ours 3.20 times as fast, losses within noise"
    costs.plt.close("all")
    (tmp_path / "gpu.json").write_text(json.dumps(record))
    words = ["--profile", str(tmp_path / "gpu.json"), "--tables", str(tmp_path), "--figures", str(tmp_path)]
    assert cli.main(["costs", *words]) == 0
    assert "bfloat16, cpu" in (tmp_path / "profile_bfloat16.md").read_text()
    for name in ("profile_float32.csv", "profile_speed_bfloat16.png", "training_losses.pdf"):
        assert (tmp_path / name).is_file()
