"""What the rules hand to the shell: every text of a configuration arrives as it is, and none is run."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from rfbench.settings import ConfigError, complete

from .checkout import ROOT, SMALLEST, SNAKEMAKE

RULES = sorted((ROOT / "workflow" / "rules").glob("*.smk"))
EVIL = 'a\'b "$(touch pwned)" `touch pwned`; touch pwned & $HOME *'
FOLDER = EVIL.replace("'", "")  # a folder's name is refused with a quote (see below)
STUB = f"""#!{sys.executable}
import json, sys
with open("argv.jsonl", "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
"""


def evil_configuration() -> dict:
    dataset = {**SMALLEST["datasets"]["SYN-IDRiD"], "kind": "idrid", "source": EVIL}
    del dataset["synthetic"]
    weights = {"source": f"http://{EVIL}", "sha256": "d2186c55"}
    return {
        **SMALLEST,
        "pairs": ["m2mrf_c"],
        "sweep": {"m2mrf_c": {"m2mrf": {"init": ["gaussian", EVIL]}}},
        "results": f"results {FOLDER}",
        "reports": f"reports {FOLDER}",
        "datasets": {"IDRiD": dataset},
        "model": {**SMALLEST["model"], "pretrained": weights},
        "recipe": {**SMALLEST["recipe"], "name": EVIL},
    }


def commands(folder: Path, *targets: str) -> list[str]:
    """The shell commands that Snakemake would run."""
    (folder / "evil.yaml").write_text(yaml.safe_dump(evil_configuration()))
    command = [SNAKEMAKE, "-s", ROOT / "Snakefile", "-n", "-p", "--configfile", "evil.yaml", "--", *targets]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return re.findall(r"^Shell command: (.*rfbench.*)$", done.stdout + done.stderr, re.M)


@pytest.mark.slow
def test_every_text_arrives_in_the_command_as_it_is(tmp_path, monkeypatch):
    stub = tmp_path / "bin" / "rfbench"
    stub.parent.mkdir()
    stub.write_text(STUB)
    stub.chmod(0o755)
    monkeypatch.delenv("RFBENCH_DATA", raising=False)
    results, reports = f"results {FOLDER}", f"reports {FOLDER}"
    found = commands(tmp_path, "all") + commands(tmp_path, "partial") + commands(tmp_path, "probe")
    found += [command for command in commands(tmp_path, "panels") if "rfbench panels" in command]
    for log in ("prepare", "train", "evaluate", "weights"):
        (tmp_path / results / "logs" / log).mkdir(parents=True)
    (tmp_path / "results" / "probe" / "logs").mkdir(parents=True)  # where the probe has its results by default
    for command in found:
        shell = ["bash", "-c", f"set -euo pipefail; export PATH={stub.parent}:$PATH; {command}"]
        subprocess.run(shell, cwd=tmp_path, check=True, capture_output=True)
    verbs: dict[str, list[list[str]]] = {}
    for line in (tmp_path / "argv.jsonl").read_text().splitlines():
        verb, *words = json.loads(line)
        verbs.setdefault(verb, []).append(words)
    rules = "".join(path.read_text() for path in RULES)
    assert set(verbs) == set(re.findall(r"rfbench ([a-z-]+)", rules)), "every rule's command"
    assert not (tmp_path / "pwned").exists()
    (prepare,) = verbs["prepare"]
    assert prepare[:2] == ["idrid", f"--source={EVIL.replace('$HOME', str(Path.home()))}"]
    assert prepare[-2:] == ["--output", f"{results}/data/IDRiD"]
    assert verbs["weights"] == [["--output", f"{results}/weights/d2186c55.pth"]], "the source needs no shell"
    assert f"{results}/weights/d2186c55.pth" in verbs["train"][0]
    assert ["--output", f"{reports}/tables"] == verbs["tables"][0][-2:]
    assert {words[words.index("--metrics") + 1] for words in verbs["figures"]} == {
        f"{results}/metrics.csv", f"{results}/partial/metrics.csv"}  # fmt: skip


@pytest.mark.parametrize("rules", RULES, ids=lambda path: path.name)
def test_every_parameter_of_every_rule_is_quoted_by_snakemake(rules):
    for shell in re.findall(r"^    shell:\n((?:        .*\n)+)", rules.read_text(), re.M):
        placeholders = re.findall(r"\{[^{}]*\}", shell)
        assert placeholders
        assert [text for text in placeholders if not text.endswith(":q}")] == []
        assert "'" not in shell, "a quote of one's own"


@pytest.mark.parametrize("name", ["results", "reports"])
@pytest.mark.parametrize("text", ["a'b", "a{b}", "a\nb", "a\tb", "a\0b", "-a", ""])
def test_folders_that_snakemake_or_a_command_would_misread_are_refused(name, text):
    with pytest.raises(ConfigError, match=f"{name}: expected a folder without quotes or braces"):
        complete({**SMALLEST, name: text})
