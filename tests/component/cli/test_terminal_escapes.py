"""What stands in a job, a row, a log or an error cannot steer the terminal of whoever looks at it."""

from __future__ import annotations

import ast
import io
import json
import os
import sys
from pathlib import Path

import pytest
import yaml
from stored_conditions import condition

import tuneloop_cli
from tuneloop_cli import main as program
from tuneloop_cli.commands.logs import print_logs
from tuneloop_cli.console import PrintableConsole
from tuneloop_cli.views.progress import live
from tuneloop_cli.views.result import result

HOSTILE = "\x1b]0;title\x07\x1b[2J\r\x9b31m\u202edrow\u2066"
SHOWN = r"\x1b]0;title\x07\x1b[2J\x0d\x9b31m\u202edrow\u2066"


def hostile_job() -> dict:
    conditions = [condition("Accepted", reason="Accepted"), condition("Prepared", reason="Prepared")]
    return {
        "apiVersion": "tuneloop.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {
            "name": "reviews",
            "namespace": "default",
            "uid": "u",
            "creationTimestamp": "2026-01-01T11:45:00Z",
        },
        "spec": {"model": {"uri": f"pvc://demo/{HOSTILE}"}},
        "status": {
            "phase": "Failed",
            "progress": {"percent": "5%", "step": 1, "eta": HOSTILE},
            "failure": {"class": HOSTILE, "message": HOSTILE, "hint": HOSTILE, "lastLines": [HOSTILE]},
            "data": {"classes": {HOSTILE: 3}},
            "history": [{"attempt": 1, "reason": HOSTILE}],
            "conditions": [found | {"message": HOSTILE} for found in conditions],
        },
    }


@pytest.fixture
def folder(tmp_path) -> Path:
    path = tmp_path / "objects" / "FineTuneJob" / "default" / "reviews.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(hostile_job()))
    return tmp_path


def steers(text: str) -> set[str]:
    """The characters of a text that a terminal would obey."""
    return set(text) & set("\x1b\x07\r\x9b\u202e\u2066")


def called(monkeypatch, capsys, *words: str) -> tuple[str, str]:
    monkeypatch.setattr(sys, "argv", ["tuneloop", *words])
    with pytest.raises(SystemExit):
        program.main()
    printed = capsys.readouterr()
    return printed.out, printed.err


@pytest.mark.parametrize(
    "words",
    [
        ("get",),
        ("get", "ftj", "-o", "wide"),
        ("describe", "ftj", "reviews"),
        ("get", "ftj", "-o", "name"),
        ("lineage", "ftj/reviews"),
        ("lineage", "ftj/reviews", "--json"),
    ],
)
def test_a_view_shows_escapes(folder, monkeypatch, capsys, words) -> None:
    out, err = called(monkeypatch, capsys, *words, "--dir", str(folder))
    assert steers(out + err) == set()
    assert "reviews" in out


@pytest.mark.parametrize(("output", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_a_machine_reads_the_same_texts_from_escapes(folder, monkeypatch, capsys, output, read) -> None:
    out, _ = called(monkeypatch, capsys, "get", "ftj", "reviews", "-o", output, "--dir", str(folder))
    assert steers(out) == set()
    assert read(out)["status"] == hostile_job()["status"]


@pytest.mark.parametrize("command", ["validate", "plan", "run"])
def test_an_error_about_a_manifest_shows_escapes(tmp_path, monkeypatch, capsys, command) -> None:
    manifest = tmp_path / "job.yaml"
    manifest.write_text(yaml.safe_dump(hostile_job() | {"metadata": {"name": HOSTILE}}))
    out, err = called(monkeypatch, capsys, command, "-f", str(manifest), "--dir", str(tmp_path / "folder"))
    assert steers(out + err) == set()
    assert r"\x1b" in out + err


def test_an_error_about_a_folder_shows_escapes(tmp_path, monkeypatch, capsys) -> None:
    out, err = called(monkeypatch, capsys, "get", "ftj", "gone", "--dir", str(tmp_path / HOSTILE))
    assert steers(out + err) == set()
    assert SHOWN in err


def test_the_live_view_keeps_its_own_colours_only() -> None:
    written = io.StringIO()
    console = PrintableConsole(file=written, force_terminal=True, color_system="standard", width=400, soft_wrap=True)
    console.print(live(hostile_job(), elapsed="1m"))
    console.print(result(hostile_job()))
    assert "\x1b[1;31m" in written.getvalue()
    assert "\x1b]" not in written.getvalue()
    assert steers(written.getvalue()) == {"\x1b"}
    assert r"\x1b]0;title" in written.getvalue()


def test_words_of_a_row_are_no_markup_of_the_console() -> None:
    written = io.StringIO()
    console = PrintableConsole(file=written, force_terminal=True, color_system="standard", width=400)
    console.print("[red]label[/red] [link=https://evil.example]log[/link] :warning: 12 files")
    assert written.getvalue() == "[red]label[/red] [link=https://evil.example]log[/link] :warning: 12 files\n"


def write_log(folder: Path, content: bytes) -> None:
    path = folder / "logs" / "default" / "reviews-prepare-bcdfg.log"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)


def test_logs_on_a_terminal_show_escapes(tmp_path, monkeypatch) -> None:
    write_log(tmp_path, f"é {HOSTILE}\n".encode())
    leader, terminal = os.openpty()
    with open(terminal, "w", encoding="utf-8") as stdout:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdout", stdout)
        print_logs("reviews", folder=tmp_path, stage=None, follow=False)
        assert os.read(leader, 4096).decode() == f"é {SHOWN}\r\n"
    os.close(leader)


def test_logs_in_a_pipe_are_the_bytes_of_the_program(tmp_path, capfdbinary) -> None:
    content = f"{HOSTILE}\n".encode() + b"\xff\x00 no text"
    write_log(tmp_path, content)
    print_logs("reviews", folder=tmp_path, stage=None, follow=False)
    assert capfdbinary.readouterr().out == content


def test_nothing_else_of_the_command_line_prints() -> None:
    package = Path(tuneloop_cli.__file__).parent
    printing = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"print", "Console"}
    }
    assert printing == {"terminal.py", "local/processes/launch.py"}
