"""The command line: help that helps, errors that are one message, light start."""

import argparse
import errno
import hashlib
import http.server
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rfbench import cli, files, provenance
from rfbench.commands import doctor
from rfbench.commands.importing import importing
from rfbench.commands.parsing import Parser
from rfbench.errors import RFBenchError
from rfbench.training import weights

from .checkout import ROOT


def rfbench(*arguments) -> subprocess.CompletedProcess:
    """Run the command as a user does."""
    return subprocess.run([sys.executable, "-m", "rfbench", *map(str, arguments)], capture_output=True, text=True)


def test_help_lists_every_verb_without_torch():
    code = "import sys, rfbench.cli as c; c.build_parser(None).print_help(); sys.exit('torch' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert shown.returncode == 0
    for verb in ("prepare", "train", "evaluate", "profile", "tables", "operators", "doctor"):
        assert verb in shown.stdout


@pytest.mark.parametrize("verb", list(cli.VERBS))
def test_every_verb_has_help(verb, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main([verb, "--help"])
    assert caught.value.code == 0
    assert f"rfbench {verb}" in capsys.readouterr().out


def test_help_needs_no_torch():
    """In a process of its own, where an import of torch fails as it does where it is not installed."""
    code = textwrap.dedent(
        """
        import sys

        class Absent:
            def find_spec(self, name, *_):
                if name.partition(".")[0] == "torch":
                    raise ModuleNotFoundError(f"No module named '{name}'", name=name)

        sys.meta_path.insert(0, Absent())
        from rfbench import cli

        for verb in cli.VERBS:
            try:
                print(verb, cli.main([verb, "--help"]))
            except SystemExit as ended:
                print(verb, ended.code)
        """
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    codes = dict(line.split(" ") for line in done.stdout.splitlines() if re.fullmatch(r"[a-z-]+ \d+", line))
    assert codes == dict.fromkeys(cli.VERBS, "0")


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser and those of its sub-commands."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for choice in action.choices.values():
                yield from parsers(choice)


@pytest.mark.parametrize("verb", [None, *cli.VERBS])
@pytest.mark.parametrize("columns", [80, 100])
def test_help_fits_the_terminal(verb, columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    for parser in parsers(cli.build_parser(verb)):
        assert [line for line in parser.format_help().splitlines() if len(line) > columns] == []


ABOUT = """A paragraph of running text that is broken at the
source's width.

- an item that goes on
  in a second line and is long enough for a third
- another

    kept,as,it,stands,however,long,the,line,may,be

example:
  rfbench predict --output maps a.jpg
"""


def test_help_keeps_its_words_lists_and_examples(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    shown = Parser(prog="x", description=ABOUT).format_help()
    body = shown.partition("usage: x [-h]")[2].partition("options:")[0]
    assert body.split() == ABOUT.split()
    assert "\n- an item that goes on in a second\n  line and is long enough for a third\n- another\n\n" in body
    assert "\n\n    kept,as,it,stands,however,long,the,line,may,be\n\n" in body
    assert "\nexample:\n  rfbench predict --output maps a.jpg\n" in body


def test_escapes_in_words_never_reach_the_terminal():
    for words in (["\x1b[2J"], ["prepare", "idrid", "--\x1b[2J"], ["doctor", "a\x1b[2J\nb"]):
        done = rfbench(*words)
        assert done.returncode == 2
        assert "\x1b" not in done.stderr + done.stdout


def started(*words: object, **options: object) -> subprocess.Popen:
    """The command, with Ctrl-C as in a terminal: what a shell runs in the background inherits it ignored."""
    options |= {"text": True, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    restored = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731
    return subprocess.Popen([sys.executable, "-m", "rfbench", *map(str, words)], preexec_fn=restored, **options)


def test_ctrl_c_is_one_line_and_status_130(tmp_path):
    words = ["prepare", "synthetic", "--output", tmp_path / "syn", "--train", 2000, "--test", 1, "--factor", 0.2]
    process = started(*words)
    while not (tmp_path / "syn" / "raw").exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    try:
        _, said = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130
    assert said.splitlines()[-1] == "rfbench prepare: interrupted"
    assert "Traceback" not in said


@pytest.mark.parametrize(("missing", "told"), [("torch", True), ("torch.cuda", True), ("rfbench.nothing", False)])
def test_a_package_that_is_not_installed(monkeypatch, capsys, missing, told):
    def run(_):
        raise ModuleNotFoundError(f"No module named '{missing}'", name=missing)

    monkeypatch.setattr(doctor, "run", run)
    if told:
        assert cli.main(["doctor"]) == 1
        said = capsys.readouterr().err
        assert said.startswith(
            f"rfbench doctor: expected the package {missing}, which is not installed. Run `make env`"
        )
    else:
        with pytest.raises(ModuleNotFoundError):
            cli.main(["doctor"])


def test_ctrl_c_while_a_verb_is_imported(monkeypatch, capsys):
    monkeypatch.setattr(cli, "build_parser", lambda verb: (_ for _ in ()).throw(KeyboardInterrupt))
    assert cli.main(["train"]) == 130
    assert capsys.readouterr().err == "rfbench train: interrupted\n"


def import_and_press(times: int, reached: list[int]) -> None:
    with importing():
        for _ in range(times):
            signal.raise_signal(signal.SIGINT)
        reached.append(times)


def test_ctrl_c_waits_for_the_end_of_imports_and_a_second_one_does_not():
    before, reached = signal.signal(signal.SIGINT, signal.default_int_handler), []
    try:
        for times in (1, 2):
            with pytest.raises(KeyboardInterrupt):
                import_and_press(times, reached)
            assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert reached == [1]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_behind_standard_output():
    words = [sys.executable, "-m", "rfbench", "doctor"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 1
        assert done.stderr == "rfbench doctor: standard output, or a file: No space left on device\n"
        told = subprocess.run([*words[:3], "--help"], stdout=full, stderr=subprocess.PIPE, text=True)
        assert (told.returncode, told.stderr) == (1, "rfbench: standard output, or a file: No space left on device\n")
        both = subprocess.run(words, stdout=full, stderr=full)
        assert both.returncode == 1


def test_a_reader_that_has_gone():
    process = started("operators")
    process.stdout.close()
    assert process.wait(timeout=120) == 1
    assert process.stderr.read() == ""


@pytest.mark.parametrize("verb", [pytest.param("operators", marks=pytest.mark.slow), "doctor", "--help"])
def test_an_ascii_terminal(verb):
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    process = started(verb, env=environment)
    out, said = process.communicate(timeout=120)
    assert process.returncode in (0, 1)
    assert "Traceback" not in said
    assert out.isascii()


def test_what_imports_make_is_left_out_of_garbage_collection():
    words = ["score", "--checkpoint", "absent", "--data", "absent", "--device", "cpu"]
    code = f"import gc, sys, rfbench.cli as c; c.main({words}); "
    code += "sys.exit(not (gc.isenabled() and gc.get_freeze_count() > 100_000))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_errors_are_one_message_and_status_1(tmp_path):
    done = rfbench("aggregate", "--config", tmp_path / "absent.yaml", "--output", tmp_path / "m.csv")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "absent.yaml: no such configuration file" in done.stderr


def test_unknown_verb_is_refused():
    done = rfbench("trian")
    assert done.returncode == 2
    assert "invalid choice" in done.stderr


def test_every_rule_calls_the_verb_of_its_name():
    rules = "".join(file.read_text() for file in (ROOT / "workflow" / "rules").glob("*.smk"))
    calls = {
        name: re.findall(r"rfbench ([a-z-]+)", body)
        for name, body in re.findall(r"^rule (\w+):\n(.*?)(?=^rule |\Z)", rules, re.S | re.M)
    }
    calls.pop("partial")  # aggregates, tabulates and draws what there is
    # The target that a person names renders; the groups of its runs are rules by their priority.
    probe = [calls.pop(name) for name in ("probe", "probe_fusion", "probe_copy")]
    assert probe == [["probe-report"], ["probe"], ["probe"]]
    assert {"prepare", "train", "evaluate", "tables"} <= calls.keys()
    assert calls == {name: [name] for name in calls}
    assert calls.keys() <= cli.VERBS.keys()


def test_doctor_finds_this_environment_complete():
    findings = doctor.check_environment(ROOT / "envs" / "cpu.txt")
    assert [finding for finding in findings if finding[0] == "packages" and finding[1] != "ok"] == []


def test_doctor_names_what_is_missing(tmp_path, monkeypatch):
    lock = tmp_path / "lock.txt"
    lock.write_text("numpy==0.0.1\nno-such-package==1.0\n")
    (finding,) = [f for f in doctor.check_environment(lock) if f[0] == "packages"]
    assert finding[1] == "missing"
    assert "numpy" in finding[2]
    assert "no-such-package not installed (expected 1.0)" in finding[2]
    monkeypatch.setenv("RFBENCH_DATA", str(tmp_path))
    (finding,) = doctor.check_configurations([ROOT / "config" / "idrid.yaml"])
    assert finding[1] == "missing"
    assert "A. Segmentation.zip does not exist" in finding[2]


def test_weights_are_checked_and_copied_whole(tmp_path):
    source, output = tmp_path / "w.pth", tmp_path / "out" / "w.pth"
    source.write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    weights.fetch(str(source), digest[:8], output)
    assert output.read_bytes() == b"weights"
    with pytest.raises(RFBenchError, match="expected SHA-256 00000000, found"):
        weights.fetch(str(source), "00000000", tmp_path / "out" / "other.pth")
    with pytest.raises(RFBenchError, match="cannot be read"):
        weights.fetch(str(tmp_path / "absent.pth"), digest, tmp_path / "out" / "other.pth")
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["w.pth"], "nothing half written stays"


def fetched(capsys, **options: object) -> tuple[int, str]:
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    status = cli.main(["weights", *words])
    return status, capsys.readouterr().err


def test_weights_say_which_digits_were_checked(tmp_path, capsys):
    source, output = tmp_path / "w.pth", tmp_path / "out.pth"
    source.write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    status, said = fetched(capsys, source=source, output=output, sha256=digest[:8].upper())
    assert status == 0
    assert f"SHA-256 {digest}, the first 8 digits are as expected; give the whole one" in said
    status, said = fetched(capsys, source=source, output=output, sha256=digest)
    assert status == 0
    assert f"SHA-256 {digest}, the whole digest is as expected\n" in said


def test_weights_that_cannot_be_fetched_are_one_sentence(tmp_path, capsys):
    source, output = tmp_path / "w.pth", tmp_path / "out.pth"
    source.write_bytes(b"weights")
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "pipe")
    sound = {"source": source, "output": output, "sha256": "00000000"}
    for change, found in (
        ({"source": "http://exam ple.org/w.pth"}, "http://exam ple.org/w.pth: cannot be read ("),
        ({"source": "http://127.0.0.1:9/w.pth"}, "cannot be read (<urlopen error"),
        ({"source": "http://[::1/w.pth"}, "cannot be read ("),
        ({"source": "http://x:port/w.pth"}, "cannot be read ("),
        ({"source": "ftp://example.org/w.pth"}, "expected a file or an address (https://…), found nothing"),
        ({"source": tmp_path / "pipe"}, "expected a file or an address (https://…), found a named pipe"),
        ({"source": tmp_path}, "expected a file or an address (https://…), found a folder"),
        (
            {"source": "a\x1b[2J"},
            "a\\x1b[2J: cannot be read (expected a file or an address",
        ),
        ({"sha256": ""}, "--sha256: expected 8 to 64 hexadecimal digits, found ''"),
        ({"sha256": "0000000g"}, "found '0000000g'"),
        ({"sha256": "00000000\n"}, r"found '00000000\n'"),
        ({"output": tmp_path}, f"--output {tmp_path}: expected the file to write, found a folder"),
        ({"output": tmp_path / "file" / "w.pth"}, "cannot be written (File exists)"),
    ):
        status, said = fetched(capsys, **sound | change)
        assert (status, said.count("\n")) == (1, 1)
        assert found in said
    assert not output.exists()
    assert not list(tmp_path.glob(".*"))


class Halting(http.server.BaseHTTPRequestHandler):
    """A server that promises more than it sends."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"weights")

    def log_message(self, *_):
        """Nothing: http.server would write every request to stderr."""


def test_a_download_that_breaks_off_leaves_nothing(tmp_path, capsys):
    with http.server.HTTPServer(("127.0.0.1", 0), Halting) as server:
        threading.Thread(target=server.handle_request).start()
        address = f"http://127.0.0.1:{server.server_port}/w.pth"
        status, said = fetched(capsys, source=address, sha256="00000000", output=tmp_path / "w.pth")
    assert status == 1
    assert "expected SHA-256 00000000, found" in said
    assert not list(tmp_path.iterdir())


def test_records_are_written_whole_and_damaged_ones_are_named(tmp_path):
    path = tmp_path / "deep" / "record.json"
    provenance.write_json(path, {"b": 1, "a": [1.5]})
    assert provenance.read_json(path) == {"b": 1, "a": [1.5]}
    assert [file.name for file in path.parent.iterdir()] == ["record.json"]
    path.write_text("{")
    with pytest.raises(RFBenchError, match=r"record\.json: expected a record"):
        provenance.read_json(path)
    with pytest.raises(RFBenchError, match="found no file"):
        provenance.read_json(tmp_path / "absent.json")


def test_a_disk_that_fills_up_leaves_the_old_file_and_no_part(tmp_path, monkeypatch):
    path, write = tmp_path / "figure.png", Path.write_bytes

    def full(part: Path, content: bytes) -> None:
        write(part, content[:3])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path.write_bytes(b"old")
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(RFBenchError, match=r"figure\.png: cannot be written \(No space left on device\)\. Check"):
        files.write_whole(path, b"new content")
    assert [file.name for file in tmp_path.iterdir()] == ["figure.png"]
    assert path.read_bytes() == b"old"


def test_provenance_says_where_a_number_comes_from():
    record = provenance.collect("cpu")
    assert set(record) == {"commit", "dirty", "python", "versions", "device"}
    assert record["versions"]["torch"].startswith("2.13.0")
    json.dumps(record)


def test_a_copy_without_git_takes_its_commit_from_the_environment(monkeypatch):
    def no_git(*_):
        raise FileNotFoundError("git")

    monkeypatch.setattr(provenance, "_git", no_git)
    monkeypatch.delenv("RFBENCH_COMMIT", raising=False)
    assert provenance.commit() == ("unknown", True)
    monkeypatch.setenv("RFBENCH_COMMIT", "abc")
    assert provenance.commit() == ("abc", True)
