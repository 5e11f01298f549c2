"""The status command: what a terminal and a pipe are shown."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from rich.console import Console
from status_helpers import MODELS, folder_of, held, save_state, trainings, write_log
from training_helpers import study_with

from pipeline_src.cli import main
from pipeline_src.config import Study
from pipeline_src.errors import InputError
from pipeline_src.files import write_json, write_text
from pipeline_src.operations.status import reading
from pipeline_src.operations.status.reading import TrainingStatus
from pipeline_src.operations.status.showing import Counted, arranged, plain_table, show, view
from pipeline_src.running.progress_file import Position

pytest_plugins = ["status_fixtures"]

#: The cells of a training as `facts` has it, with its lock held.
RUNNING = "tiny/4x std_kd_fsp 0 running 5/8 24.00 0:00:10 reconstruction:2/2 2/3 2.500e-01 0:00:40"


def lines_of(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines()]


def drawn(found: list[TrainingStatus], width: int, height: int) -> list[str]:
    """The lines of the view on a terminal of that size."""
    stream = io.StringIO()
    console = Console(file=stream, width=width, height=height, color_system=None)
    console.print(view("tiny", found, width, height))
    return lines_of(stream.getvalue())


def made(count: int, state: reading.State, setting: str = "tiny") -> list[TrainingStatus]:
    done = 8.0 if state == "done" else 0.0
    return [
        TrainingStatus(setting, "4x", seed, f"{state}_model", state, done, 8, note=f"why {seed}")
        for seed in range(count)
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal of 100 columns and 20 lines."""
    for name, value in {"TERM": "xterm", "COLUMNS": "100", "LINES": "20"}.items():
        monkeypatch.setenv(name, value)
    return Terminal()


def no_sleep(_seconds: float) -> None:
    raise AssertionError("is to end at once")


@pytest.fixture
def mixed(study: Study, results: Path) -> Iterator[Path]:
    """A results folder with a training in each state."""
    best = {"validation_loss": 0.0125, "validation_psnr_db": 31.5}
    done: dict[str, object] = {"best_epoch": best, "runs": [{"seconds": 3600}, {"seconds": 61.6}]}
    done["outputs"] = {"weights.safetensors": ""}
    write_json(folder_of(results, "teacher") / "manifest.json", done)
    (folder_of(results, "teacher") / "weights.safetensors").touch()
    write_log(results, "sft_teacher", "error: [red]bad[/red]\n")
    save_state(folder_of(results, "std_kd_at"))
    save_state(folder_of(results, "std_kd_fsp"))
    with held(folder_of(results, "std_kd_fsp")):
        yield results


def test_piped_output_is_one_plain_line_a_training(mixed: Path) -> None:
    stream = io.StringIO()
    show(mixed, False, stream)
    text = stream.getvalue()
    assert text.isascii()
    assert "\x1b" not in text
    lines = text.splitlines()
    assert len(lines) == 1 + MODELS + 2
    heading = lines[0].split()
    assert heading[:5] == ["setting", "model", "seed", "state", "epoch"]
    assert heading[-1] == "note"
    rows = {line.split()[1]: line.split(maxsplit=11) for line in lines[1 : 1 + MODELS]}
    done = "tiny/4x teacher 0 done - 31.50 - - - 1.250e-02 1:01:02"
    assert " ".join(rows["teacher"]) == done
    assert " ".join(rows["std_kd_fsp"]) == RUNNING
    assert rows["sft_teacher"][3] == "failed"
    assert rows["sft_teacher"][11] == "error: [red]bad[/red]"
    assert rows["std_kd_at"][11].endswith("epoch 5 of 8; the same command goes on there")
    assert rows["student"][3:] == ["waiting", *"-------"]
    # Every column begins or ends at one place.
    notes = [lines[0].index("note"), *(line.index("error:") for line in lines if "error:" in line)]
    assert len(set(notes)) == 1
    assert lines[-1] == (
        "9 trainings: 1 running, 1 failed, 1 stopped, 1 done, 5 waiting; "
        "33 of 120 epochs (28%); the running ones end in about 0:00:10"
    )


def test_once_in_a_terminal_is_the_same(
    mixed: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    piped = io.StringIO()
    show(mixed, False, piped)
    show(mixed, True, terminal)
    assert terminal.getvalue() == piped.getvalue()
    dumb = Terminal()
    monkeypatch.setenv("TERM", "dumb")
    show(mixed, False, dumb)
    assert dumb.getvalue() == piped.getvalue()


def test_pipe_stays_plain_where_colours_are_asked_for(
    mixed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    stream = io.StringIO()
    show(mixed, False, stream)
    assert "\x1b" not in stream.getvalue()


def test_a_reader_that_closes_the_pipe_is_no_error(mixed: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from pipeline_src.operations.status.showing import show\n"
        "sys.stdin.read(); show(Path(sys.argv[1]), False, sys.stdout)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(mixed)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stdin.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_the_live_view_ends_when_all_are_done(
    study: Study, results: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    for t in trainings(study, results):
        write_json(folder_of(results, t.model) / "manifest.json", {})
    monkeypatch.setattr("time.sleep", no_sleep)
    show(results, False, terminal)
    assert "tiny: 9 trainings: 9 done" in terminal.getvalue()
    assert "120 of 120 epochs (100%)" in terminal.getvalue()


def test_the_live_view_follows_the_files_until_ctrl_c(
    study: Study, results: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            raise KeyboardInterrupt
        write_json(folder_of(results, "teacher") / "manifest.json", {})

    monkeypatch.setattr("time.sleep", sleep)
    show(results, False, terminal)
    text = terminal.getvalue()
    assert slept == [2.0, 2.0]
    assert text.index("trainings: 9 waiting") < text.index("trainings: 1 done, 8 waiting")
    # The cursor is shown again.
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")


def test_view_shows_each_state_with_what_matters(study: Study, mixed: Path) -> None:
    lines = drawn(trainings(study, mixed), 140, 30)
    assert lines[0] == ("tiny: 9 trainings: 1 running, 1 failed, 1 stopped, 1 done, 5 waiting")
    assert "33 of 120 epochs (28%); the running ones end in about 0:00:10" in lines[1]
    assert lines[2].split()[:4] == ["setting", "model", "seed", "state"]
    assert " ".join(lines[3].split()) == RUNNING
    # The setting stands once; markup in a log is text.
    assert lines[4].split() == ["sft_teacher", "0", "failed", "error:", "[red]bad[/red]"]
    assert lines[5].split()[2] == "stopped"
    assert lines[5].endswith("the same command goes on there")
    assert lines[6].split()[:3] == ["teacher", "0", "done"]
    assert [line.split()[2] for line in lines[7:]] == ["waiting"] * 5


@pytest.mark.parametrize("width", [40, 80, 140])
@pytest.mark.parametrize("height", [5, 8, 12, 24, 60])
def test_view_fits_any_terminal(width: int, height: int) -> None:
    found = [
        replace(t, note="long " * 50)
        for setting in ("a", "b", "c")
        for state in reading.STATES
        for t in made(4, state, setting)
    ]
    lines = drawn(found, width, height)
    assert len(lines) < height
    assert max(map(len, lines)) <= width


def test_a_long_list_counts_what_is_done_and_waiting() -> None:
    found = [*made(9, "done"), *made(2, "stopped"), *made(8, "waiting"), *made(1, "running")]
    found += [*made(3, "waiting", "other"), *made(1, "failed", "other"), *made(2, "done", "last")]
    whole = arranged(found, 26)
    assert len(whole) == 26
    states = [t.state for t in whole if isinstance(t, TrainingStatus) and t.dataset == "tiny"]
    assert states == ["running"] + ["stopped"] * 2 + ["done"] * 9 + ["waiting"] * 8
    # Order within a state is the study's.
    assert [t.seed for t in whole[3:12] if isinstance(t, TrainingStatus)] == list(range(9))

    short = arranged(found, 25)
    assert short == arranged(found, 7)
    assert [x.text if isinstance(x, Counted) else x.state for x in short] == [
        "running",
        "stopped",
        "stopped",
        "9 done, 8 waiting",
        "failed",
        "3 waiting",
        "2 done",
    ]
    lines = drawn(found, 120, 20)
    assert "tiny/4x   9 done" not in lines[6]
    assert lines[6].split() == ["9", "done,", "8", "waiting"]
    assert lines[7].split()[0] == "other/4x"


def test_a_list_with_too_many_notable_ones_shows_the_first_by_state() -> None:
    found = [*made(5, "stopped"), *made(4, "failed"), *made(3, "running"), *made(9, "done")]
    shortest = arranged(found, 6)
    assert [x.text if isinstance(x, Counted) else x.state for x in shortest] == [
        *["running"] * 3,
        *["failed"] * 2,
        "and 2 failed, 5 stopped, 9 done; --once lists all",
    ]
    assert len(arranged(found, 0)) == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", r"nowhere: no such folder or configuration; .*results/STUDY"),
        ("empty", r"empty: holds no config\.yaml, which a run writes there; .*--config"),
        ("not.yaml", r"not\.yaml: is not a mapping"),
        ("bad.yaml", r"bad\.yaml: datasets: "),
    ],
)
def test_what_is_not_there_is_said_in_one_line(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "not.yaml").write_text("- 1\n")
    (tmp_path / "bad.yaml").write_text("study: tiny\ndatasets: {}\n")
    with pytest.raises(InputError, match=message) as caught:
        show(tmp_path / name, False, io.StringIO())
    assert "\n" not in str(caught.value)


def test_a_configuration_stands_for_its_results(
    mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "mine.yaml"
    config.write_text((mixed / "config.yaml").read_text())
    of_config, of_folder = io.StringIO(), io.StringIO()
    show(config, True, of_config)
    show(mixed, True, of_folder)
    assert of_config.getvalue() == of_folder.getvalue()


def test_the_command_prints_once_when_piped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", str(tmp_path / "gone")]) == 2
    assert "gone" in capsys.readouterr().err
    study = study_with()
    write_text(tmp_path / "config.yaml", yaml.safe_dump(study.model_dump(mode="json")))
    assert main(["status", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert printed.count(" waiting ") == len(study.model_names())


def test_what_a_state_or_log_holds_moves_no_cursor() -> None:
    at = Position(
        stage="\x1b[2Jfeat\tures", number=1, stages=2, epoch=1, epochs=4, batch=0, batches=8
    )
    found = TrainingStatus(
        "heads", "4x", 0, "student", "stopped", 0.0, 8, at, note="why\x1b]0;title\x07\r\nmore"
    )
    text = plain_table([found])
    assert r"\x1b[2Jfeat\tures:1/2" in text
    assert text.splitlines()[1].endswith(r"why\x1b]0;title\x07\r\nmore")
    stream = io.StringIO()
    Console(file=stream, width=200, color_system=None).print(view("tiny", [found], 200, 20))
    for shown in (text, stream.getvalue()):
        assert not {c for c in shown if not c.isprintable()} - {"\n"}
