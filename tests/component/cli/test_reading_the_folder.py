"""What commands read from a folder without its lock: objects, logs, whether a session runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tuneloop_cli import main as program
from tuneloop_cli.commands.logs import logs_of, print_logs
from tuneloop_cli.local.cluster.lock import has_session, writer_lock
from tuneloop_cli.local.errors import FolderInUse, FolderUnusable
from tuneloop_cli.local.processes.processes import start_time


def called(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["tuneloop", *words])
    with pytest.raises(SystemExit) as ended:
        program.main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize("words", [("get",), ("get", "ftj", "reviews", "-o", "yaml"), ("describe", "ftj", "reviews")])
@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_damaged_object_is_named_in_one_line(tmp_path, monkeypatch, capsys, words, content) -> None:
    path = tmp_path / "objects" / "FineTuneJob" / "default" / "reviews.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    assert called(monkeypatch, *words, "--dir", str(tmp_path)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{path} is damaged (")


def write_log(folder: Path, pod: str, text: str) -> None:
    path = folder / "logs" / "default" / f"{pod}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_logs_are_those_of_this_name_alone(tmp_path) -> None:
    for pod in ("reviews-prepare-bcdfg", "reviews-a1-0-bcdfg", "reviews-export-bcdfg", "reviews-0a1b2c3d-bcdfg"):
        write_log(tmp_path, pod, "ours")
    for pod in ("reviews-two-prepare-bcdfg", "reviews-two-a1-0-bcdfg", "reviews-two-0a1b2c3d-bcdfg", "rev-a1-0-bcdfg"):
        write_log(tmp_path, pod, "theirs")
    assert sorted(log.stage for log in logs_of("reviews", tmp_path)) == ["export", "prepare", "serve", "train"]


def test_a_name_is_no_pattern(tmp_path) -> None:
    write_log(tmp_path, "reviews-prepare-bcdfg", "ours")
    assert logs_of("r.views", tmp_path) == []


def test_a_router_is_shown_with_the_servers_and_alone_if_asked_for(tmp_path, capsys) -> None:
    write_log(tmp_path, "reviews-0123abcd-fghjk", "a server\n")
    write_log(tmp_path, "reviews-router-klmnp", "a router\n")
    print_logs("reviews", folder=tmp_path, stage=None, follow=False)
    assert {"a server", "a router"} <= set(capsys.readouterr().out.splitlines())
    print_logs("reviews", folder=tmp_path, stage="router", follow=False)
    assert capsys.readouterr().out == "a router\n"


def test_logs_of_several_pods_have_their_names_above(tmp_path, capsys) -> None:
    write_log(tmp_path, "reviews-a1-0-bcdfg", "one\n")
    write_log(tmp_path, "reviews-a1-1-bcdfg", "two\n")
    print_logs("reviews", folder=tmp_path, stage="train", follow=False)
    printed = capsys.readouterr().out
    assert "==> reviews-a1-0-bcdfg <==\none\n" in printed
    assert "==> reviews-a1-1-bcdfg <==\ntwo\n" in printed


def test_a_session_runs_while_the_lock_is_held(tmp_path) -> None:
    assert not has_session(tmp_path)
    with writer_lock(tmp_path):
        assert has_session(tmp_path)
    assert not has_session(tmp_path)


def test_no_session_runs_after_a_kill_nor_when_the_pid_is_reused(tmp_path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for pid, started in ((ended.pid, 1), (os.getpid(), (start_time(os.getpid()) or 0) - 1)):
        (tmp_path / "lock").write_text(json.dumps({"pid": pid, "startTime": started, "command": "tuneloop run"}))
        assert not has_session(tmp_path)


def test_the_check_for_a_session_keeps_nobody_from_the_lock(tmp_path) -> None:
    with writer_lock(tmp_path), pytest.raises(FolderInUse, match=f"process {os.getpid()} "), writer_lock(tmp_path):
        pass
    has_session(tmp_path)
    with writer_lock(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_named(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderUnusable, match="cannot be written to"), writer_lock(tmp_path / "file" / "folder"):
        pass


def test_a_planted_lock_leaves_its_target_untouched(tmp_path) -> None:
    target = tmp_path / "passwd"
    target.write_text("root:x:0:0\n")
    folder = tmp_path / ".tuneloop"
    folder.mkdir()
    (folder / "lock").symlink_to(target)
    with pytest.raises(FolderUnusable, match="cannot be written to"), writer_lock(folder):
        pass
    assert target.read_text() == "root:x:0:0\n"
