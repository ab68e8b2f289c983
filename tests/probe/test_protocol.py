"""The registered experiment: its seeds, its digest, departures from it, the configurations."""

import re

import numpy as np
import pytest
import yaml

import operators
from rfbench.probe import protocol, settings
from rfbench.probe.groups import groups, judged_runs, swept, tuning_runs
from rfbench.settings import ConfigError

from ..checkout import ROOT

REGISTERED = protocol.registered()
DIGEST = "e57c3ce8185c"  # of the commit that registered it, before the first test run


def test_the_registered_experiment_is_the_one_that_was_run():
    assert REGISTERED.digest == DIGEST


def test_tuning_and_test_seeds_share_none():
    seeds = REGISTERED.seeds
    assert not set(seeds.tuning) & set(seeds.test)
    assert not set(seeds.again) & {*seeds.tuning, *seeds.test}
    assert seeds.test == tuple(range(20))
    with pytest.raises(ConfigError, match=r"seeds: .*share no seed"):
        protocol.departing({"seeds": {"tuning": [3, 1001]}}, "test")


def test_no_run_uses_a_seed_of_another_purpose():
    own = set()
    for group in groups(REGISTERED, operators.published(), ("fusion", "serial"), ("matched", "sweep", "loss")):
        tuned = {run.seed for run in tuning_runs(group, REGISTERED)}
        judged = {run.seed for run in judged_runs(group, REGISTERED, 0.01)}
        assert not tuned & judged
        assert {run.purpose for run in judged_runs(group, REGISTERED, 0.01)} <= {"test", "again"}
        own |= {len(judged)}
    assert own == {20}


def test_the_registered_numbers_are_those_that_its_words_lean_on():
    words = " ".join(REGISTERED.hypotheses.values())
    assert "sqrt(1.06 / (n - 3))" in words
    assert REGISTERED.analysis.margin == 0.04
    assert REGISTERED.images.sizes == (1, 2, 4, 13, 50)
    assert REGISTERED.training.learning_rates == (0.003, 0.01, 0.03)
    assert set(REGISTERED.analysis.headline) <= set(operators.published())
    tested = np.isin(REGISTERED.analysis.tiny + REGISTERED.analysis.large, REGISTERED.images.sizes)
    assert tested.all()


def test_comments_do_not_change_the_digest_and_any_value_does(monkeypatch, tmp_path):
    text = protocol.REGISTERED.read_text()

    def digest(changed: str) -> str:
        (tmp_path / "changed.yaml").write_text(changed)
        monkeypatch.setattr(protocol, "REGISTERED", tmp_path / "changed.yaml")
        protocol.registered.cache_clear()
        return protocol.registered().digest

    try:
        assert digest("# another comment\n" + text) == DIGEST
        for old, new in (("margin: 0.04", "margin: 0.05"), ("is above 0", "is at least 0"), ("batch: 6", "batch: 8")):
            assert old in text
            assert digest(text.replace(old, new)) != DIGEST
    finally:
        monkeypatch.undo()
        protocol.registered.cache_clear()


def test_a_departure_is_named_and_has_its_own_digest():
    departed = protocol.departing({"training": {"steps": 4}}, "test")
    assert departed.digest != DIGEST
    assert protocol.departures(departed) == ["training.steps 4 instead of 200"]
    assert protocol.departures(REGISTERED) == []
    assert departed.training.batch == REGISTERED.training.batch


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"training": {"step": 4}}, "training: unknown key step. Did you mean steps?"),
        ({"training": {"steps": "four"}}, "training.steps: expected a whole number, found 'four'"),
        ({"images": {"noise": 2.0}}, "images.noise: expected less than 1"),
    ],
)
def test_a_wrong_departure_is_one_sentence_with_its_key(changes, sentence):
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        protocol.departing(changes, "test")


def test_the_shipped_configurations():
    paper = settings.load(ROOT / "config" / "probe.yaml")
    assert set(paper.pairs) == set(operators.published())
    assert protocol.departures(paper.protocol) == []
    since = settings.load(ROOT / "config" / "probe_since.yaml")
    assert since.pairs == tuple(yaml.safe_load((ROOT / "config" / "since.yaml").read_text())["pairs"])
    assert (since.results, since.protocol) == (paper.results, paper.protocol)
    assert since.reports != paper.reports
    smallest = settings.load(ROOT / "config" / "probe_ci.yaml")
    assert protocol.departures(smallest.protocol)
    assert smallest.results != paper.results


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ({}, "expected the section `probe`"),
        ({"probe": {}, "seeds": [0]}, "expected nothing beside the section `probe`, found seeds"),
        ({"probe": []}, "configuration: probe: expected a mapping, found []."),
        ({"probe": False}, "configuration: probe: expected a mapping, found False."),
        ({"probe": {"arm": []}}, "configuration: probe: unknown key arm. Did you mean arms?"),
        ({"probe": {"pairs": 7}}, "configuration: probe.pairs: expected `paper`, `all` or a list of pairs, found 7."),
        ({"probe": {"pairs": "m2mrf_c"}}, "probe.pairs: expected `paper`, `all` or a list of pairs, found 'm2mrf_c'."),
        ({"probe": {"pairs": [3]}}, "configuration: probe.pairs.0: expected a text, found 3. Write it in quotes."),
        (
            {"probe": {"pairs": []}},
            "probe.pairs: expected at least one pair, `paper` or `all`, found [].",
        ),
        ({"probe": {"arms": "serial"}}, "configuration: probe.arms: expected a list, found 'serial'."),
        ({"probe": {"pairs": ["m2mrf"]}}, "Unknown operator pair 'm2mrf'"),
        ({"probe": {"protocol": {"training": {"lr": 1}}}}, "probe.protocol: training: unknown key lr"),
    ],
)
def test_a_wrong_configuration_is_one_sentence(written, sentence):
    from rfbench.errors import RFBenchError

    with pytest.raises(RFBenchError, match=re.escape(sentence)) as caught:
        settings.of(written)
    assert "\n" not in str(caught.value)


def test_groups_in_the_order_in_which_verdicts_wait_for_them():
    names = [group.name for group in groups(REGISTERED, ["m2mrf_c"], ("serial", "fusion"), ("matched",))]
    assert names == [
        "fusion/strideconv_bilinear", "fusion/shuffle", "fusion/no_low_branch",
        "fusion/strideconv_bilinear--permuted", "fusion/strideconv_bilinear--again",
        "fusion/m2mrf_c", "fusion/m2mrf_c--matched",
        "serial/strideconv_bilinear", "serial/shuffle", "serial/every_fourth",
        "serial/strideconv_bilinear--permuted", "serial/strideconv_bilinear--again", "serial/m2mrf_c",
    ]  # fmt: skip


def test_a_sweep_changes_one_option_at_a_time():
    assert swept(REGISTERED, "m2mrf_c") == {f"alpha_{value}": {"m2mrf": {"alpha": value}} for value in (4, 16, 32, 128)}
    assert swept(REGISTERED, "lip_bilinear") == {}
