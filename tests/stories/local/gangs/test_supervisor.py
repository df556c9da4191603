"""The supervisor with small programs as ranks: codes, signals, hangs, and that nothing outlives it."""

import json
import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from run_configs import run_config

from tuneloop_api.contract.run_config import Rendezvous
from tuneloop_api.wire.model import changed

DRIVER = """
import json, sys
from pathlib import Path
from tuneloop_api.contract.run_config import RunConfig
from tuneloop_trainer.supervisor.start import program
from tuneloop_trainer.supervisor.supervisor import Limits, supervise
limits = Limits(hang_floor=float(sys.argv[2]), settle=0.5, stacks=0.5)
config = RunConfig.from_wire(json.loads(Path(sys.argv[1]).read_bytes()))
sys.exit(supervise(config, program(sys.argv[3:]), limits=limits))
"""
DEADLINE = 20.0


class Pod:
    """A supervisor whose ranks run a script; the script sees `rank` and `folder`."""

    def __init__(
        self,
        folder: Path,
        script: str,
        *,
        ranks: int = 2,
        hang_floor: float = 60.0,
        grace: int = 12,
        devices: list[str] | None = None,
        locked_memory: int | None = None,
        **gang,
    ) -> None:
        self.folder = folder
        gang = {"nodes": 2, "gpusPerNode": 0, "processesPerNode": ranks} | gang
        config = run_config(folder, stage="train", gang=gang, checkpoint={"everySteps": 5, "graceSeconds": grace})
        config = changed(config, rendezvous=Rendezvous(address="pod-0", port=29500), extended_resources=devices)
        (folder / "run.json").write_text(json.dumps(config.to_wire()))
        prelude = "import os, sys, time, signal\nrank, folder = int(os.environ['RANK']), sys.argv[1]\n"
        prelude += "open(f'{folder}/pid.{rank}', 'w').write(str(os.getpid()))\n"
        (folder / "rank.py").write_text(prelude + textwrap.dedent(script))
        command = [sys.executable, "-c", DRIVER, str(folder / "run.json"), str(hang_floor)]
        self.process = subprocess.Popen(
            [*command, sys.executable, str(folder / "rank.py"), str(folder)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=None if locked_memory is None else lambda: _limit_locked_memory(locked_memory),  # noqa: PLW1509  (no other threads here)
        )

    def end(self) -> tuple[int, dict]:
        """Wait for the end; returns the exit code and the termination message."""
        self.out, self.err = self.process.communicate(timeout=DEADLINE)
        return self.process.returncode, json.loads((self.folder / "termination.json").read_text())

    def pid(self, rank: int) -> int:
        """Return a rank's process id, as soon as it runs."""
        path = self.folder / f"pid.{rank}"
        wait_until(lambda: path.exists() and path.read_text())
        return int(path.read_text())

    def has(self, name: str) -> bool:
        return (self.folder / name).exists()


def _limit_locked_memory(limit: int) -> None:
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (limit, limit))


def wait_until(condition) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_all_ranks_succeed(tmp_path):
    pod = Pod(tmp_path, "print('line of', rank); print('trouble', file=sys.stderr)")
    code, message = pod.end()
    assert (code, message["outcome"]) == (0, "Succeeded")
    assert sorted(pod.out.splitlines()) == ["[rank 0] line of 0", "[rank 1] line of 1"]
    assert "[rank 1] trouble" in pod.err


def test_a_rank_knows_its_place_in_the_gang(tmp_path, monkeypatch):
    monkeypatch.setenv("NODE_RANK", "1")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    names = "RANK WORLD_SIZE LOCAL_RANK LOCAL_WORLD_SIZE MASTER_ADDR MASTER_PORT OMP_NUM_THREADS"
    pod = Pod(tmp_path, f"print(*[os.environ[name] for name in '{names}'.split()])", ranks=2)
    assert pod.end()[0] == 0
    assert sorted(pod.out.splitlines()) == ["[rank 2] 2 4 0 2 pod-0 29500 1", "[rank 3] 3 4 1 2 pod-0 29500 1"]


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "GLIBC_TUNABLES"])
def test_what_was_chosen_stays(tmp_path, monkeypatch, name):
    monkeypatch.setenv(name, "7")
    pod = Pod(tmp_path, f"print(os.environ['{name}'])", ranks=1)
    pod.end()
    assert pod.out == "7\n"


def test_ranks_without_a_gpu_keep_freed_memory(tmp_path, monkeypatch):
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    script = """
    import resource
    def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytes(64 << 20); before = faults()
    for _ in range(5): bytes(64 << 20)
    print(faults() - before)
    """
    pod = Pod(tmp_path, script, ranks=1)
    pod.end()
    assert int(pod.out) < 2 * 16384  # 64 MiB are 16,384 small pages: at most fetched once more, not five times


@pytest.mark.parametrize(
    ("script", "code", "failure", "words"),
    [
        pytest.param("sys.exit(42 if rank else 0)", 42, "Unknown", "rank 1 ended with exit code 42", id="a code"),
        pytest.param("sys.exit(65 if rank else 0)", 65, "Data", "rank 1 ended with exit code 65", id="a code of ours"),
        pytest.param(
            "if rank == 1: raise ValueError('odd shape')\ntime.sleep(60)",
            1,
            "Unknown",
            "ValueError: odd shape",
            id="the last line of stderr is reported",
        ),
        pytest.param(
            "time.sleep(0.3 * rank); sys.exit([77, 65][rank])", 65, "Data", "rank 1", id="a lost peer is not the cause"
        ),
        pytest.param(
            "if rank == 1: os.kill(os.getpid(), 9)\ntime.sleep(60)",
            137,
            "Unknown",
            "rank 1 was killed by signal 9 (SIGKILL)",
            id="killed from outside",
        ),
        pytest.param(
            "if rank == 1: os.kill(os.getpid(), 11)\ntime.sleep(60)", 139, "Unknown", "(SIGSEGV)", id="a crash"
        ),
    ],
)
def test_the_message_is_about_the_rank_that_failed_first(tmp_path, script, code, failure, words):
    pod = Pod(tmp_path, script)
    returned, message = pod.end()
    assert (returned, message["failureClass"], message["rank"]) == (code, failure, 1)
    assert words in message["message"]


def test_a_failure_hands_on_what_the_rank_wrote_last(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "opensesame")
    script = """
    if rank == 0: time.sleep(60)
    for number in range(50): print(f"line {number} {'x' * 500} opensesame", file=sys.stderr)
    print("the key is opensesame", file=sys.stderr); sys.exit(70)
    """
    _, message = Pod(tmp_path, script).end()
    lines = message["lastLines"]
    assert lines[-2].startswith("line 49 xxx")
    assert lines[-1] == "the key is ***"
    assert max(map(len, lines)) == 200
    assert 10 < len(lines) <= 20
    assert "opensesame" not in json.dumps(message)
    assert len((tmp_path / "termination.json").read_bytes()) <= 4096


def test_what_a_rank_says_itself_is_passed_on(tmp_path):
    own = {
        "version": 1,
        "stage": "train",
        "outcome": "Failed",
        "failureClass": "NonFiniteLoss",
        "message": "the loss is nan",
    }
    script = f"open(os.environ['TUNELOOP_RANK_MESSAGE'], 'w').write('''{json.dumps(own)}'''); sys.exit(76)"
    code, message = Pod(tmp_path, script, ranks=1).end()
    assert code == 76
    assert message == {**own, "rank": 0, "step": 0}


def test_sigterm_reaches_every_rank_and_their_code_is_ours(tmp_path):
    script = """
    def leave(*_):
        open(f'{folder}/saved.{rank}', 'w').close(); sys.exit(79)
    signal.signal(signal.SIGTERM, leave); open(f'{folder}/ready.{rank}', 'w').close(); time.sleep(60)
    """
    pod = Pod(tmp_path, script)
    wait_until(lambda: pod.has("ready.0") and pod.has("ready.1"))
    pod.process.send_signal(signal.SIGTERM)
    code, message = pod.end()
    assert (code, message["failureClass"], message["outcome"]) == (79, "Preempted", "Preempted")
    assert pod.has("saved.0")
    assert pod.has("saved.1")


def test_a_rank_that_does_not_leave_in_time_is_killed(tmp_path):
    script = (
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); open(f'{folder}/ready.{rank}', 'w').close(); time.sleep(60)"
    )
    pod = Pod(tmp_path, script, grace=2)
    wait_until(lambda: pod.has("ready.0") and pod.has("ready.1"))
    pod.process.send_signal(signal.SIGTERM)
    code, message = pod.end()
    assert (code, message["failureClass"]) == (143, "Preempted")
    assert "grace period" in message["message"]


BEATING = """
import faulthandler; faulthandler.register(signal.SIGUSR1, all_threads=True)
sys.path[:0] = os.environ['PYTHONPATH'].split(os.pathsep)
from tuneloop_trainer.supervisor.heartbeat import Heartbeat
heart = Heartbeat.from_environment(os.environ)
def wait_for_the_other_rank():
    for step in range(1, 1000):
        {body}
        heart.step_done(step, slow_step_seconds={slow}); time.sleep(0.1)
wait_for_the_other_rank()
"""


def test_a_hang_is_found_and_the_stacks_are_in_the_log(tmp_path):
    body = "if step > 3: time.sleep(60)"
    pod = Pod(tmp_path, BEATING.format(body=body, slow=0.01), hang_floor=1.5)
    stopped = pod.pid(1)
    wait_until(lambda: runs(stopped))
    os.kill(stopped, signal.SIGSTOP)
    code, message = pod.end()
    assert (code, message["failureClass"], message["step"]) == (75, "Hang", 3)
    assert "in state T (stopped): rank 1" in message["message"]
    assert "in wait_for_the_other_rank" in pod.err
    assert not runs(stopped)


def test_a_hang_timeout_counts_in_place_of_the_step_time(tmp_path):
    body = "if step > 3: time.sleep(60)"
    code, message = Pod(tmp_path, BEATING.format(body=body, slow=10.0), hangSeconds=2).end()
    assert (code, message["failureClass"]) == (75, "Hang")
    assert "for 2 s after step 3" in message["message"]


def test_long_steps_are_no_hang(tmp_path):
    body = "time.sleep(1.0 if step == 3 else 0)\n        if step == 5: sys.exit(0)"
    code, _ = Pod(tmp_path, BEATING.format(body=body, slow=0.3), hang_floor=0.8).end()
    assert code == 0


def test_a_long_pause_beats(tmp_path):
    body = "with heart.through_pause(): time.sleep(3)\n        sys.exit(0)"
    script = "import tuneloop_trainer.supervisor.heartbeat as h; h._PAUSE_BEAT_SECONDS = 0.2\n" + BEATING.format(
        body=body, slow=0.1
    )
    script = "sys.path[:0] = os.environ['PYTHONPATH'].split(os.pathsep)\n" + script
    code, _ = Pod(tmp_path, script, hang_floor=1.5, ranks=1).end()
    assert code == 0


def test_ranks_die_with_the_supervisor(tmp_path):
    pod = Pod(tmp_path, "time.sleep(60)")
    ranks = [pod.pid(0), pod.pid(1)]
    pod.process.kill()
    pod.process.wait()
    wait_until(lambda: not any(map(runs, ranks)))


def test_what_a_rank_left_behind_dies_with_the_pod(tmp_path):
    script = """
    import subprocess
    child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    open(f'{folder}/child', 'w').write(str(child.pid))
    """
    pod = Pod(tmp_path, script, ranks=1)
    code, _ = pod.end()
    assert code == 0
    assert not runs(int((tmp_path / "child").read_text()))


def test_ends_when_output_is_larger_than_a_pipe(tmp_path):
    pod = Pod(tmp_path, "print('x' * 3_000_000, end='')", ranks=1)
    assert pod.end()[0] == 0
    assert pod.out == "x" * 3_000_000 + "\n"


def test_a_pod_with_devices_that_may_lock_little_memory_says_so_once_and_in_the_hint_of_its_failure(tmp_path):
    pod = Pod(tmp_path, "sys.exit(77)", devices=["rdma/hca"], locked_memory=64 << 10)
    code, message = pod.end()
    assert (code, message["failureClass"]) == (77, "Collective")
    sentence = "The pod asks for rdma/hca, and a process may lock 64 KiB of memory (RLIMIT_MEMLOCK)"
    assert pod.err.count(sentence) == 1
    assert message["hint"].startswith(sentence)


def test_a_pod_without_devices_says_nothing_of_locked_memory(tmp_path):
    pod = Pod(tmp_path, "sys.exit(77)", locked_memory=64 << 10)
    _, message = pod.end()
    assert "RLIMIT_MEMLOCK" not in pod.err
    assert "hint" not in message
