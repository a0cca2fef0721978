"""A worker may hang, die, print and answer garbage: who asks it comes back in time, with the right error."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from aistation_slurm.errors import SlurmUnreachable, SlurmUnreadable, UnknownToSlurm
from aistation_slurm.slurm.worker import Worker

ROOT = Path(__file__).resolve().parents[2]
STRANGE = """
import ctypes, fcntl, os, signal, stat, struct, sys, time
from pathlib import Path
from aistation_slurm.errors import SlurmUnreachable, UnknownToSlurm

def make(folder):
    folder = Path(folder)
    with open(folder / "starts", "a") as starts:
        starts.write(f"{os.getpid()}\\n")
    return lambda question, *arguments: globals()[question](folder, *arguments)

def into_the_answer(data):
    for fd in map(int, os.listdir("/proc/self/fd")):
        try:
            if fd > 2 and stat.S_ISFIFO(os.fstat(fd).st_mode) and fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_WRONLY:
                os.write(fd, data)
        except OSError:
            pass

def echo(folder, value): return value
def pid(folder): return os.getpid()
def slow(folder, seconds, value): (folder / "slow").write_text("begun"); time.sleep(seconds); return value
def hang_loudly(folder): print("cannot find it, retrying", file=sys.stderr, flush=True); time.sleep(600)
def hang(folder): (folder / "hangs").write_text(str(os.getpid())); time.sleep(600)
def hang_in_c(folder): ctypes.PyDLL(None).sleep(600)
def noise(folder): print("noise", flush=True); os.write(1, b"more noise"); return "clean"
def loud(folder): os.write(2, b"x" * 3_000_000); return "heard"
def die(folder): print("fatal: no such thing", file=sys.stderr, flush=True); os._exit(7)
def die_once(folder):
    if not (folder / "died").exists():
        (folder / "died").touch()
        os._exit(1)
    return "second time"
def unknown(folder): raise UnknownToSlurm("no node x", where="show node", hint="look again")
def unreachable(folder): raise SlurmUnreachable("nobody there")
def wrong(folder): raise ValueError("odd")
def unsendable(folder): return lambda: 1
def long_answer(folder, size): return b"a" * size
def nonsense(folder): into_the_answer(struct.pack(">I", 5) + b"abcde"); time.sleep(600)
def huge(folder): into_the_answer(b"\\xff\\xff\\xff\\xff"); time.sleep(600)
def half(folder): into_the_answer(struct.pack(">I", 500) + b"abcde"); time.sleep(600)
def half_and_die(folder): into_the_answer(struct.pack(">I", 500) + b"abcde"); os._exit(3)
"""


def env_of(folder: Path) -> dict[str, str]:
    (folder / "strange.py").write_text(STRANGE)
    return {**os.environ, "PYTHONPATH": f"{folder}:{ROOT}"}


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    made = Worker("strange:make", str(tmp_path), name="strange", env=env_of(tmp_path), rest=600)
    yield made
    made.close()


def starts(folder: Path) -> list[int]:
    path = folder / "starts"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def is_gone(pid: int, *, within: float = 30) -> bool:
    """True once the process has ended; nobody may have waited for it yet."""
    status = Path(f"/proc/{pid}/status")
    give_up = time.monotonic() + within
    while time.monotonic() < give_up:
        try:
            if "State:\tZ" in status.read_text():
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


def written(path: Path, *, within: float = 30) -> str:
    give_up = time.monotonic() + within
    while time.monotonic() < give_up:
        if path.exists() and (text := path.read_text()):
            return text
        time.sleep(0.02)
    raise AssertionError(f"nothing in {path}")


def test_nothing_is_started_before_the_first_question_and_one_process_answers_them_all(worker, tmp_path):
    assert worker.pid is None
    assert worker.ask("echo", {"a": (1, None)}) == {"a": (1, None)}
    assert [worker.ask("pid"), worker.ask("pid")] == [worker.pid] * 2 == starts(tmp_path) * 2


def test_what_is_printed_in_the_worker_does_not_get_into_an_answer(worker):
    assert worker.ask("noise") == "clean"
    assert worker.ask("loud") == "heard"
    assert worker.ask("echo", 1) == 1


def test_an_answer_longer_than_a_pipe_holds_comes_whole(worker):
    assert len(worker.ask("long_answer", 5_000_000)) == 5_000_000
    assert len(worker.ask("echo", b"q" * 5_000_000)) == 5_000_000


@pytest.mark.parametrize("question", ["hang", "hang_in_c", "half"])
def test_a_worker_that_does_not_answer_in_time_is_ended_and_the_next_question_gets_another(worker, tmp_path, question):
    first = worker.ask("pid")
    with pytest.raises(SlurmUnreachable, match=r"no answer within 0\.5 s") as caught:
        worker.ask(question, timeout=0.5)
    assert "strange" in caught.value.where
    assert caught.value.hint
    assert is_gone(first)
    assert worker.ask("pid") != first
    assert len(starts(tmp_path)) == 2  # a late question is not asked again


def test_what_a_late_worker_printed_is_told(worker):
    worker.ask("pid")
    with pytest.raises(SlurmUnreachable, match=r"no answer within 3 s: cannot find it, retrying"):
        worker.ask("hang_loudly", timeout=3)


def test_a_worker_that_died_before_it_answered_is_asked_once_more(worker, tmp_path):
    assert worker.ask("die_once") == "second time"
    assert len(starts(tmp_path)) == 2


def test_a_worker_that_dies_each_time_says_how_and_what_it_printed(worker, tmp_path):
    with pytest.raises(SlurmUnreachable, match=r"strange ended \(exit status 7\): fatal: no such thing") as caught:
        worker.ask("die")
    assert caught.value.where == "die"
    assert len(starts(tmp_path)) == 2
    assert worker.ask("echo", 1) == 1


def test_half_an_answer_before_the_end_is_no_answer(worker):
    with pytest.raises(SlurmUnreachable, match="exit status 3"):
        worker.ask("half_and_die")


def test_after_three_deaths_in_a_row_nothing_is_started_for_a_while(worker, tmp_path):
    for _ in range(5):
        with pytest.raises(SlurmUnreachable, match="no such thing"):
            worker.ask("die")
    with pytest.raises(SlurmUnreachable, match="no such thing"):
        worker.ask("echo", 1)
    assert len(starts(tmp_path)) == 3


def test_after_the_rest_one_is_started_again_and_an_answer_clears_the_count(tmp_path):
    worker = Worker("strange:make", str(tmp_path), env=env_of(tmp_path), rest=0.2)
    for _ in range(2):
        with pytest.raises(SlurmUnreachable):
            worker.ask("die")
    give_up = time.monotonic() + 30
    while time.monotonic() < give_up:
        try:
            assert worker.ask("echo", 1) == 1
            break
        except SlurmUnreachable:
            time.sleep(0.05)
    before = len(starts(tmp_path))
    assert worker.ask("die_once") == "second time"
    assert len(starts(tmp_path)) == before + 1
    worker.close()


@pytest.mark.parametrize("question", ["nonsense", "huge"])
def test_garbage_is_told_as_such_and_ends_the_worker(worker, question):
    first = worker.ask("pid")
    with pytest.raises(SlurmUnreadable, match="strange gave an answer"):
        worker.ask(question)
    assert is_gone(first)
    assert worker.ask("echo", 1) == 1


def test_an_error_of_ours_comes_out_as_it_went_in_and_another_one_as_unreadable(worker, tmp_path):
    with pytest.raises(UnknownToSlurm) as caught:
        worker.ask("unknown")
    assert (caught.value.text, caught.value.where, caught.value.hint) == ("no node x", "show node", "look again")
    for question in ("wrong", "no_such_question", "unsendable"):
        with pytest.raises(SlurmUnreadable, match="can't be answered"):
            worker.ask(question)
    assert len(starts(tmp_path)) == 1


def test_a_worker_that_could_reach_nobody_is_replaced(worker, tmp_path):
    first = worker.ask("pid")
    with pytest.raises(SlurmUnreachable, match="nobody there"):
        worker.ask("unreachable")
    assert is_gone(first)
    assert worker.ask("pid") != first
    assert len(starts(tmp_path)) == 2


def test_a_worker_is_replaced_when_what_it_has_read_is_no_longer_so(tmp_path):
    key = ["old"]
    worker = Worker("strange:make", str(tmp_path), env=env_of(tmp_path), key=lambda: key[0])
    first = worker.ask("pid")
    assert worker.ask("pid") == first
    key[0] = "new"
    assert worker.ask("pid") != first
    assert is_gone(first)
    worker.close()


def test_a_worker_killed_in_the_middle_of_a_call_neither_ends_nor_hangs_who_asks(worker, tmp_path):
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(worker.ask, "hang", timeout=600)
        for _ in range(2):  # the first, and the one that is asked once more
            child = int(written(tmp_path / "hangs"))
            (tmp_path / "hangs").unlink()
            os.kill(child, signal.SIGKILL)
        with pytest.raises(SlurmUnreachable, match="signal SIGKILL"):
            asked.result(timeout=60)
    assert worker.ask("echo", 1) == 1


def test_many_threads_get_each_the_answer_to_their_own_question(worker, tmp_path):
    with ThreadPoolExecutor(16) as threads:
        assert list(threads.map(lambda number: worker.ask("echo", number), range(400))) == list(range(400))
    assert len(starts(tmp_path)) == 1


def test_waiting_for_ones_turn_counts_as_waiting_for_the_answer(worker, tmp_path):
    worker.ask("pid")
    slow = threading.Thread(target=lambda: worker.ask("slow", 3, 1))
    slow.start()
    written(tmp_path / "slow")
    with pytest.raises(SlurmUnreachable, match=r"no answer within 0\.2 s"):
        worker.ask("echo", 1, timeout=0.2)
    slow.join()
    assert worker.ask("echo", 2) == 2  # the one whose turn it was has lost nothing


def owner(folder: Path, program: str) -> subprocess.Popen[str]:
    """A process that has a worker, and prints what the program says."""
    begin = (
        "import sys\nfrom aistation_slurm.slurm.worker import Worker\nworker = Worker('strange:make', sys.argv[1])\n"
    )
    argv = (sys.executable, "-c", begin + program, str(folder))
    return subprocess.Popen(argv, env=env_of(folder), stdout=subprocess.PIPE, text=True)


def test_a_worker_ends_with_its_owner(tmp_path):
    process = owner(tmp_path, "print(worker.ask('pid'), flush=True)\nimport time; time.sleep(600)")
    with process:
        assert process.stdout
        child = int(process.stdout.readline())
        process.kill()
    assert is_gone(child)


def test_a_worker_in_the_middle_of_a_call_outlives_its_owner_by_no_more_than_the_call(tmp_path):
    with owner(tmp_path, "worker.ask('pid'); worker.ask('hang', timeout=3)") as process:
        child = int(written(tmp_path / "hangs"))
        process.kill()
    assert is_gone(child)


def test_a_worker_ends_when_its_owner_ends_in_peace_or_forgets_it(tmp_path):
    worker = Worker("strange:make", str(tmp_path), env=env_of(tmp_path))
    child = worker.ask("pid")
    del worker
    assert is_gone(child)
    with owner(tmp_path, "print(worker.ask('pid'))") as process:
        assert process.stdout
        assert is_gone(int(process.stdout.read()))


def test_after_a_fork_each_process_has_a_worker_of_its_own(tmp_path):
    program = """
import os, sys
mine = worker.ask('pid')
if not os.fork():
    other = worker.ask('pid')
    print(other != mine, flush=True)
    sys.exit(0)
os.wait()
print(worker.ask('pid') == mine)
"""
    with owner(tmp_path, program) as process:
        assert process.stdout
        assert process.stdout.read().split() == ["True", "True"]
    assert all(is_gone(pid) for pid in starts(tmp_path))


def test_a_fork_in_the_middle_of_a_call_can_ask_at_once(tmp_path):
    program = """
import os, sys, threading, time
worker.ask('pid')
threading.Thread(target=worker.ask, args=('slow', 3, 1)).start()
while not os.path.exists(sys.argv[1] + '/slow'): time.sleep(0.01)
if not os.fork():
    print(worker.ask('echo', 'forked', timeout=60), flush=True)
    os._exit(0)
os.wait()
print(worker.ask('echo', 'owner'))
"""
    with owner(tmp_path, program) as process:
        assert process.stdout
        assert process.stdout.read().split() == ["forked", "owner"]


def test_the_worker_imports_neither_click_nor_pydantic():
    program = (
        "import sys, aistation_slurm.slurm.worker.__main__, aistation_slurm.slurm.readers.libslurm.service\n"
        "print('\\n'.join({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    heavy = {"click", "pydantic", "rich", "jinja2", "ruamel", "sqlmodel", "fastapi", "ClusterShell", "pyslurm"}
    assert heavy.isdisjoint(done.stdout.split())
