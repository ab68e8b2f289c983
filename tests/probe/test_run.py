"""Groups of runs: the learning rate, resuming, errors, records of other experiments, and what is left of a kill."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import yaml

from rfbench import cli, provenance
from rfbench.errors import RFBenchError
from rfbench.probe import keeping, records, run
from rfbench.probe.groups import Group, tuning_runs

from ..checkout import ROOT
from .conftest import CHANGES


def finished(probe, *groups: Group) -> None:
    for group in groups:
        list(run.run_group(probe.protocol, group, probe.results))


def test_the_best_rate_of_the_tuning_seeds_is_chosen_and_the_lower_in_a_tie():
    assert run.chosen_rate({0.03: [0.5, 0.1], 0.003: [0.2, 0.3], 0.01: [0.4, 0.3]}) == 0.01
    assert run.chosen_rate({0.03: [0.5], 0.003: [0.2], 0.01: [0.5]}) == 0.01


def test_a_diverged_run_scores_zero_when_rates_are_compared():
    assert run.mean_ap({"scores": []}) == 0
    rows = [{"ap": ap, "contrast": "all", "coexisting": half} for ap, half in ((0.2, "all"), (0.4, "all"), (0.9, "no"))]
    assert run.mean_ap({"scores": rows}) == pytest.approx(0.3)


def test_a_group_chooses_its_rate_on_tuning_seeds_and_leaves_a_record_a_run(smallest):
    probe, own = smallest(), Group("fusion", "maxpool_bilinear")
    finished(probe, own)
    folder = own.folder(probe.results)
    summary = provenance.read_json(folder / "group.json")
    means = {
        rate: np.mean([run.mean_ap(provenance.read_json(each.path(probe.results)))
                       for each in tuning_runs(own, probe.protocol) if each.lr == rate])
        for rate in (0.003, 0.01)
    }  # fmt: skip
    assert summary["lr"] == max(means, key=means.get)
    assert summary["states"] == {"0": "done", "1": "done"}
    record = provenance.read_json(folder / "seed1.json")
    assert record["protocol"] == probe.protocol.digest
    assert record["lr"] == summary["lr"]
    assert set(record["provenance"]) == set(provenance.collect("cpu"))
    assert set(provenance.read_json(folder / "times.json")) == {
        "lr0.003-seed1000", "lr0.01-seed1000", "seed0", "seed1",
    }  # fmt: skip


def test_a_finished_run_is_not_repeated_and_an_interrupted_group_goes_on(smallest, monkeypatch):
    probe, own = smallest(), Group("fusion", "maxpool_bilinear")
    trained = []
    real = run.train

    def train(protocol, each, width):
        trained.append((each.lr, each.seed))
        if len(trained) == 3:
            raise KeyboardInterrupt
        return real(protocol, each, width)

    monkeypatch.setattr(run, "train", train)
    with pytest.raises(KeyboardInterrupt):
        finished(probe, own)
    assert not (own.folder(probe.results) / "group.json").exists()
    before = (own.folder(probe.results) / "lr0.003-seed1000.json").read_bytes()
    finished(probe, own)
    assert len(trained) == 5  # the interrupted one again, none of the two before
    assert (own.folder(probe.results) / "lr0.003-seed1000.json").read_bytes() == before
    finished(probe, own)
    assert len(trained) == 5


def test_resumed_records_are_those_of_an_undisturbed_group(smallest):
    probe, own = smallest(), Group("serial", "maxpool_bilinear")
    finished(probe, own)
    folder = own.folder(probe.results)
    whole = {path.name: path.read_bytes() for path in folder.glob("*.json") if path.name != "times.json"}
    for name in ("lr0.01-seed1000.json", "seed1.json", "group.json"):
        (folder / name).unlink()
    finished(probe, own)
    assert {name: (folder / name).read_bytes() for name in whole} == whole


def test_a_record_of_other_code_or_protocol_is_computed_again(smallest):
    probe, own = smallest(), Group("fusion", "maxpool_bilinear")
    finished(probe, own)
    path = own.folder(probe.results) / "seed0.json"
    good = path.read_bytes()
    for key in ("code", "protocol"):
        path.write_text(json.dumps(json.loads(good) | {key: "another", "scores": []}))
        finished(probe, own)
        assert path.read_bytes() == good


def test_a_copy_takes_the_rate_of_its_own_network_and_asks_for_it(smallest):
    probe = smallest()
    copy, own = Group("fusion", "strideconv_bilinear", "again"), Group("fusion", "strideconv_bilinear")
    with pytest.raises(RFBenchError, match="expected the learning rate that fusion/strideconv_bilinear chose"):
        finished(probe, copy)
    assert "expected the learning rate" in provenance.read_json(copy.folder(probe.results) / "error.json")["reason"]
    finished(probe, own, copy)
    summary, chosen = (provenance.read_json(each.folder(probe.results) / "group.json") for each in (copy, own))
    assert summary["lr"] == chosen["lr"]
    assert set(summary["states"]) == {"20", "21"}
    assert not (copy.folder(probe.results) / "error.json").exists()


def test_a_matched_copy_trains_the_network_that_has_fewer_parameters(smallest):
    probe = smallest(copies=("matched",))
    reference, own = Group("fusion", "strideconv_bilinear"), Group("fusion", "maxpool_bilinear")
    finished(probe, reference, own, Group("fusion", "maxpool_bilinear", "matched"))
    record = provenance.read_json(Group("fusion", "maxpool_bilinear", "matched").folder(probe.results) / "seed0.json")
    wanted = provenance.read_json(reference.folder(probe.results) / "seed0.json")["parameters"]
    assert record["widened"] == "maxpool_bilinear"
    assert record["parameters"] == pytest.approx(wanted, rel=probe.protocol.copies.matched_within)
    assert record["lr"] == provenance.read_json(own.folder(probe.results) / "group.json")["lr"]


def test_networks_that_match_already_have_no_copy(smallest):
    changes = {**CHANGES, "copies": {"matched_within": 0.9}}
    probe = smallest(copies=("matched",), changes=changes)
    copy = Group("fusion", "maxpool_bilinear", "matched")
    finished(probe, Group("fusion", "strideconv_bilinear"), Group("fusion", "maxpool_bilinear"), copy)
    assert provenance.read_json(copy.folder(probe.results) / "group.json")["states"] == {}
    table, holes = records.gather(probe.protocol, [copy], probe.results)
    assert (len(table), holes) == (0, {})


def test_an_operator_that_fails_is_an_error_with_its_reason_and_tried_again(smallest, monkeypatch):
    probe, own = smallest(), Group("fusion", "maxpool_bilinear")

    def fails(*args):
        raise AttributeError("no such layer")

    with monkeypatch.context() as patched:
        patched.setattr(run, "train", fails)
        with pytest.raises(RFBenchError, match="fusion/maxpool_bilinear: AttributeError: no such layer"):
            finished(probe, own)
    _, holes = records.gather(probe.protocol, [own], probe.results)
    assert holes == {"fusion/maxpool_bilinear": "error: AttributeError: no such layer"}
    finished(probe, own)
    assert records.gather(probe.protocol, [own], probe.results)[1] == {}


def test_holes_have_a_reason(smallest):
    probe, own = smallest(), Group("fusion", "maxpool_bilinear")
    assert records.gather(probe.protocol, [own], probe.results)[1] == {own.name: "not run yet"}
    finished(probe, own)
    (own.folder(probe.results) / "seed1.json").unlink()
    assert records.gather(probe.protocol, [own], probe.results)[1] == {own.name: "1 of 2 runs found"}
    (own.folder(probe.results) / "group.json").unlink()
    assert records.gather(probe.protocol, [own], probe.results)[1] == {own.name: "not finished yet, 0 runs done"}


def test_the_analysis_refuses_records_of_another_protocol(smallest):
    probe, own = smallest(), Group("fusion", "maxpool_bilinear")
    finished(probe, own)
    other = smallest(changes={**CHANGES, "analysis": {"margin": 0.01}})  # judged by other rules
    with pytest.raises(RFBenchError, match=f"of the experiment {other.protocol.digest}, found one of"):
        records.gather(other.protocol, [own], probe.results)
    table, _ = records.gather(probe.protocol, [own], probe.results)
    path = probe.results / "probe.csv"
    records.write(table, path)
    with pytest.raises(RFBenchError, match=f"found one of {probe.protocol.digest}"):
        records.read(path, other.protocol)


def test_the_analysis_refuses_a_group_of_two_versions_of_the_code(smallest):
    probe, own = smallest(), Group("fusion", "maxpool_bilinear")
    finished(probe, own)
    path = own.folder(probe.results) / "seed1.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"code": "another"}))
    with pytest.raises(RFBenchError, match="expected records of one version of the code"):
        records.gather(probe.protocol, [own], probe.results)


@pytest.mark.parametrize(
    ("name", "change", "found"),
    [
        ("seed1.json", {"scores": [{"cells": 1}]}, r"seed1\.json, scores: expected mappings with cells"),
        ("seed1.json", {"code": None}, r"seed1\.json, code: expected a digest, found None"),
        ("seed1.json", {"lr": "fast"}, r"seed1\.json, lr: expected a number above 0, found 'fast'"),
        ("group.json", {"states": []}, r"group\.json, states: expected a mapping of seeds to states, found \[\]"),
        ("group.json", {"lr": -1}, r"group\.json, lr: expected a number above 0, found -1"),
    ],
)
def test_a_record_that_no_run_writes_is_refused(smallest, name, change, found):
    probe, own = smallest(), Group("fusion", "maxpool_bilinear")
    finished(probe, own)
    path = own.folder(probe.results) / name
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(RFBenchError, match=found):
        records.gather(probe.protocol, [own], probe.results)


def test_the_table_survives_its_file(smallest):
    probe, own = smallest(), Group("fusion", "maxpool_bilinear")
    finished(probe, own)
    table, _ = records.gather(probe.protocol, [own], probe.results)
    assert set(table["purpose"]) == {"tuning", "test"}
    records.write(table, probe.results / "probe.csv")
    again = records.read(probe.results / "probe.csv", probe.protocol)
    assert list(again) == records.COLUMNS
    pd.testing.assert_frame_equal(
        again, table.astype(again.dtypes.to_dict()), check_exact=False, rtol=1e-4, check_dtype=False
    )


def test_no_table_or_a_wrong_one_is_a_sentence(smallest, tmp_path):
    with pytest.raises(RFBenchError, match=r"none\.csv: expected a CSV file, found nothing"):
        records.read(tmp_path / "none.csv", smallest().protocol)
    (tmp_path / "wrong.csv").write_text("arm,pair\nfusion,x\n")
    with pytest.raises(RFBenchError, match=r"wrong\.csv: expected the columns network, .* too"):
        records.read(tmp_path / "wrong.csv", smallest().protocol)


@pytest.mark.slow
def test_a_killed_group_ends_with_the_bytes_of_an_undisturbed_one(tmp_path):
    changes = {**CHANGES, "seeds": {**CHANGES["seeds"], "test": list(range(12))}}
    config = tmp_path / "probe.yaml"
    config.write_text(yaml.safe_dump({"probe": {"pairs": ["maxpool_bilinear"], "protocol": changes}}))
    command = [sys.executable, "-m", "rfbench", "probe", "--config", config, "--group", "fusion/maxpool_bilinear"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "workflow")])}
    found = {}
    for name in ("killed", "undisturbed"):
        folder = tmp_path / name
        folder.mkdir()
        own = folder / "results" / "probe" / "runs" / "fusion" / "maxpool_bilinear"
        if name == "killed":
            process = subprocess.Popen(command, cwd=folder, env=environment)
            while process.poll() is None and not list(own.glob("seed[1-4].json")):
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert process.returncode == -signal.SIGKILL
            assert not (own / "group.json").exists()
        subprocess.run(command, cwd=folder, env=environment, check=True)
        found[name] = {path.name: path.read_bytes() for path in own.glob("*.json") if path.name != "times.json"}
    assert found["killed"] == found["undisturbed"]
    assert len(found["killed"]) == 2 + 12 + 1


def test_an_unknown_group_and_an_unknown_pair_are_sentences(capsys):
    assert cli.main(["probe", "--group", "fusion/unknown"]) == 1
    assert "--group fusion/unknown: expected one of the probe's groups: fusion/strideconv_bilinear" in (
        capsys.readouterr().err
    )
    assert cli.main(["probe", "--pairs", "blur_bilinea"]) == 1
    assert "Did you mean 'blur_bilinear'?" in capsys.readouterr().err


def test_runs_of_earlier_code_count_once_a_person_says_why(smallest, monkeypatch, tmp_path):
    probe, own = smallest(), Group("fusion", "maxpool_bilinear")
    finished(probe, own)
    folder, before = own.folder(probe.results), {}
    for path in [*folder.glob("*seed*.json"), folder / "group.json"]:
        path.write_text(json.dumps(json.loads(path.read_text()) | {"code": "earlier"}))
        before[path] = path.read_bytes()
    times = provenance.read_json(folder / "times.json")
    today = run.identity_of(probe.protocol, own)["code"]
    assert keeping.repeats(probe) == {("earlier", today): pytest.approx(sum(times.values()))}
    assert keeping.refusal(probe) == ""
    monkeypatch.setattr(keeping, "HOURS", 0)
    assert "hours of finished runs would be repeated for a change of code alone" in keeping.refusal(probe)
    config = tmp_path / "probe.yaml"
    section = {"pairs": ["maxpool_bilinear"], "arms": ["fusion"], "copies": [], "protocol": CHANGES}
    config.write_text(yaml.safe_dump({"probe": section | {"results": str(probe.results)}}))
    assert cli.main(["keep", "--because", "a docstring's field", "--config", str(config)]) == 0
    assert keeping.refusal(probe) == ""
    assert keeping.reasons(probe.results) == ["a docstring's field"]
    accepted = keeping.accepted(probe.results)
    assert accepted == {today: {"earlier"}}
    list(run.run_group(probe.protocol, own, probe.results, accepted))
    assert all(path.read_bytes() == content for path, content in before.items() if path.name != "group.json")
    (folder / "seed1.json").unlink()
    list(run.run_group(probe.protocol, own, probe.results, accepted))  # beside the others, in today's code
    assert provenance.read_json(folder / "seed1.json")["code"] == today
    _, holes = records.gather(probe.protocol, [own], probe.results, accepted)
    assert holes == {}
    with pytest.raises(RFBenchError, match="expected records of one version of the code"):
        records.gather(probe.protocol, [own], probe.results)
