"""minigrad/collectives/mpi.py: processes under mpiexec compute what one process does, and stop together."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from minigrad.collectives import GroupError, current, start
from minigrad.collectives.mpi import SIZES
from tests.support.collectives import tree_sum
from tests.support.environment import optional
from tests.support.oracles import assert_close

MPIEXEC = Path(sys.executable).with_name("mpiexec")
X = np.array([1.5, 2.0, -0.7, 0.4])  # one for each process
SHARDS = 8


@pytest.fixture
def launch(tmp_path):
    """A function that starts a script on some processes, and returns the running mpiexec. It is killed after the test
    if it still runs."""
    optional("mpi4py", extra="mpi")
    started = []

    def begin(workers, script, *arguments):
        file = tmp_path / "script.py"
        file.write_text(script, encoding="utf-8")
        command = [MPIEXEC, "-n", str(workers), sys.executable, "-W", "error", file, tmp_path, *arguments]
        environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def finish(process):
    """(exit code, standard output, standard error) of a process that ends within some seconds."""
    out, told = process.communicate(timeout=30)
    return process.returncode, out, told


# Values

COMPUTE = """
import json, sys
from pathlib import Path
import warnings
import numpy as np
import minigrad as mg
warnings.filterwarnings("ignore", "processes exchange arrays through the host")
from minigrad.collectives import *
from tests.support import stand_in
from tests.support.cuda_shim import nccl
from tests.support.collectives import tree_sum
from tests.minigrad.collectives.test_mpi import SHARDS, X, terms_of

nccl.available = False  # the stand-in's connects threads, not processes

def layer(w):
    return all_sum(mg.sin(replicate(w) * X[rank()]) * replicate(w))

def compute(group):
    r, n = rank(), size()
    found = {"place": [r, n], "start": start() is group}
    found["shared"] = group.share({"from": r, "long": "x" * (100 * r)})
    for shape in ((), (3,), (0, 2), (40_001,)):
        terms = terms_of(shape)
        parts = [tree_sum(list(terms[a:b])) for a, b in owned_nodes(SHARDS)]
        total = sum_shards(parts, SHARDS)
        found[f"sum {shape}"] = np.asarray(total).tobytes().hex()
        assert total.shape == shape and total.dtype == np.float32
    found["gathered"] = all_gather(np.float64(X[r])).tolist()
    found["turned"] = all_gather(np.arange(6.0).reshape(2, 3).T * X[r]).tolist()
    found["scattered"] = float(reduce_scatter(X[:n] * (r + 1)))
    found["broadcast"] = broadcast(np.arange(3) + r, n - 1).tolist()
    on_device = mg.to_device(np.full((2, 700), X[r]), stand_in.BACKEND.device)
    for operation in (all_sum, all_gather):
        found[operation.__name__] = stand_in.BACKEND.to_host(operation(on_device)).ravel()[[0, -1]].tolist()
    f = lambda w: layer(layer(w))
    found["derivatives"] = [float(mg.grad(f)(0.8)), float(mg.hessian(f)(0.8)), float(mg.jvp(f, (0.8,), (1.0,))[1])]
    step, w = mg.jit(mg.grad(lambda w, x: mg.sum(f(w) + all_sum(replicate(w) * mg.sum(x))))), np.float64(0.8)
    if r == 0:
        step.program(w, np.ones(3))  # this process alone has captured before
    found["jit"] = [float(step(w, np.ones(3 + length * r))) for length in (0, 0, 1, 1, 0)]
    return found

with join(start()) as group:
    found = compute(group)
    Path(sys.argv[1], f"{rank()}.json").write_text(json.dumps(found))
    sys.exit(group.stop(0, None, print))
"""


def terms_of(shape):
    """Terms of very different sizes, one for each shard."""
    rng = np.random.default_rng(len(shape))
    return (rng.standard_normal((SHARDS, *shape)) * 10.0 ** rng.uniform(-4, 4, (SHARDS, *shape))).astype(np.float32)


@pytest.mark.parametrize("workers", [2, 4])
def test_values_are_those_of_one_process(workers, launch, tmp_path):
    assert finish(launch(workers, COMPUTE)) == (0, "", "")
    results = [json.loads((tmp_path / f"{r}.json").read_text()) for r in range(workers)]
    x, w, h = X[:workers], 0.8, 1e-30
    layer = lambda w: np.sum(np.sin(w * x) * w)
    slope = lambda w: (layer(layer(w + 1j * h))).imag / h
    curvature = (slope(w + 1e-5) - slope(w - 1e-5)) / 2e-5
    for r, found in enumerate(results):
        assert found["place"] == [r, workers]
        assert found["shared"] == [{"from": k, "long": "x" * (100 * k)} for k in range(workers)]
        for shape in ((), (3,), (0, 2), (40_001,)):
            assert found[f"sum {shape}"] == np.asarray(tree_sum(list(terms_of(shape)))).tobytes().hex()
        assert found["gathered"] == x.tolist()
        assert found["turned"] == [(np.arange(6.0).reshape(2, 3).T * k).tolist() for k in x]
        assert_close(found["scattered"], x[r] * sum(range(1, workers + 1)))
        assert found["broadcast"] == [workers - 1, workers, workers + 1]
        assert found["all_sum"] == [tree_sum(list(x))] * 2 and found["all_gather"] == [x[0], x[-1]]
        assert_close(found["derivatives"][::2], [slope(w)] * 2)
        assert_close(found["derivatives"][1], curvature, 1e-8)
        for result, length in zip(found["jit"], (0, 0, 1, 1, 0), strict=True):
            assert_close(result, slope(w) + sum(3.0 + length * k for k in range(workers)))
        assert {k: found[k] for k in ("derivatives", "jit")} == {k: results[0][k] for k in ("derivatives", "jit")}


# Stopping

STOP = """
import os, sys, time
from pathlib import Path
import numpy as np
import minigrad as mg
from minigrad.collectives import *
from minigrad.collectives import mpi

folder, case = Path(sys.argv[1]), sys.argv[2]

class Failure(Exception):
    pass

def work(r):
    step = mg.jit(all_sum) if case == "program" else all_sum
    step(np.ones(100_000))  # the first step captures
    part = folder / f"part {r}"
    part.write_text(str(os.getpid()))
    part.rename(folder / f"{r}.pid")
    if case == "one" and r == 1 or case == "same" or case == "some" and r > 0:
        raise Failure("full disk" if case != "some" else f"no file {r}")
    if case == "uncaught" and r == 1:
        raise ZeroDivisionError("a bug")
    if case == "slow":
        mpi.PATIENCE = 0.1
        time.sleep(r)
        return
    if case == "early" and r == 0:
        return
    while True:
        step(np.ones(100_000))

with join(start()) as group:
    try:
        work(rank())
        code, message = 0, None
    except PeerError:
        code, message = 1, None
    except Failure as error:
        code, message = 4, str(error)
    except KeyboardInterrupt:
        code, message = 130, "interrupted"
    code = group.stop(code, message, lambda message: print(message, file=sys.stderr))
    (folder / f"{rank()}.stopped").touch()
sys.exit(code)
"""


@pytest.mark.parametrize(
    ("case", "workers", "code", "told"),
    [
        ("one", 2, 4, "process 1: full disk\n"),
        ("same", 2, 4, "full disk\n"),
        ("some", 3, 4, "process 1: no file 1\n"),
        ("slow", 2, 0, ""),
        ("early", 2, 1, ""),
    ],
)
def test_all_stop_with_one_message_and_one_code(case, workers, code, told, launch, tmp_path):
    assert finish(launch(workers, STOP, case)) == (code, "", told)
    if case in ("same", "slow"):  # no message is under way, so that nobody has to be ended
        assert len(list(tmp_path.glob("*.stopped"))) == workers


def test_an_error_that_nobody_catches_ends_all(launch):
    code, out, told = finish(launch(2, STOP, "uncaught"))
    assert (code, out) == (1, "")
    assert told.startswith("Traceback") and told.endswith("ZeroDivisionError: a bug\n") and told.count("Traceback") == 1


MISTAKE = """
import sys
import numpy as np
from minigrad.collectives import all_sum, all_gather, rank, start

start()
r = rank()
case = sys.argv[2]
if case == "dtype":
    all_sum(np.ones(4, np.int64 if r else np.float64))
elif case == "length":
    all_gather(np.ones(3 + r))
elif case == "long":
    all_sum(np.ones(50_000 + 1000 * r))
elif case == "exit" and r == 1:
    sys.exit(3)
elif case == "return" and r == 0:
    sys.exit()
all_sum(1.0)
all_sum(1.0)
"""


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (
            "dtype",
            "the processes disagree: process 1 sends 4 × int64 where this one expects 4 × float64; all must call",
        ),
        ("length", "the processes disagree: process 1 sends 4 × float64 where this one expects 3 × float64"),
        ("long", "the processes disagree: process 1 sends 25000 × float64 where this one expects 25"),
        ("exit", "PeerError: process 1 has stopped"),
        ("return", "PeerError: process 1 has stopped"),
    ],
)
def test_processes_that_do_different_things_end_with_an_error(case, message, launch):
    code, out, told = finish(launch(2, MISTAKE, case))
    assert (code, out) == (1, "")
    assert message in told or message.replace("process 1", "process 0") in told


def test_a_process_that_has_not_started_is_warned(launch):
    alone = "import minigrad as mg\nassert mg.collectives.all_sum(2.0) == 2 and mg.collectives.size() == 1\n"
    code, _, told = finish(launch(2, alone))
    assert code == 1
    assert "this is one of 2 processes, but it computes alone: call mg.collectives.start() first" in told


END = """
import sys
import numpy as np
from minigrad.collectives import *
with join(start()):
    all_sum(np.ones(3))
    if rank() == 1:
        sys.exit(int(sys.argv[2]))
    for _ in range(1000 if sys.argv[3] == "others wait" else 0):
        all_sum(np.ones(3))
"""


@pytest.mark.parametrize("code", [0, 3])
def test_the_others_do_not_wait_for_a_process_that_has_ended(code, launch):
    result, out, told = finish(launch(3, END, str(code), "others wait"))
    assert (result, out) == (1, "") and told.endswith("PeerError: process 1 has stopped\n")


@pytest.mark.parametrize("code", [0, 3])
def test_processes_may_end_one_after_the_other(code, launch):
    assert finish(launch(3, END, str(code), "nobody waits")) == (code, "", "")


def process_ids(folder, workers):
    """The ids of the processes of a script, once all of them compute."""
    deadline = time.monotonic() + 20
    while len(found := list(folder.glob("*.pid"))) < workers and time.monotonic() < deadline:
        time.sleep(0.02)
    return [int(path.read_text()) for path in sorted(found)]


def ends(pid):
    """Whether a process has ended, now or soon."""
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("case", ["loop", "program"])
def test_ctrl_c_is_reported_once(case, launch, tmp_path):
    process = launch(2, STOP, case)
    pids = process_ids(tmp_path, 2)
    process.send_signal(signal.SIGINT)
    code, _, told = finish(process)
    assert code == 130 and told in ("interrupted\n", "process 0: interrupted\n", "process 1: interrupted\n")
    assert all(map(ends, pids))


def test_a_killed_process_ends_the_others(launch, tmp_path):
    process = launch(2, STOP, "loop")
    pids = process_ids(tmp_path, 2)
    os.kill(pids[1], signal.SIGKILL)
    assert finish(process)[0] != 0 and all(map(ends, pids))


# Starting


def test_without_a_launcher_there_is_one_process(monkeypatch):
    for name in SIZES:
        monkeypatch.delenv(name, raising=False)
    assert start() is current() and start().size == 1


@pytest.mark.parametrize("value", ["", "1", "0", "-2", "two", "²", "1.5"])
def test_a_launcher_of_one_process_or_a_value_that_is_no_number(value, monkeypatch):
    monkeypatch.setenv(SIZES[0], value)
    assert start().size == 1


@pytest.mark.parametrize("name", SIZES)
def test_mpi4py_is_missing(name, monkeypatch):
    monkeypatch.setenv(name, "4")
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(GroupError, match=r"this is one of 4 processes, but mpi4py is not installed: pip install 'mini"):
        start()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ImportError("wrong ELF class"), r"mpi4py cannot be loaded \(wrong ELF class\): install it again"),
        (RuntimeError("cannot load MPI library"), r"mpi4py finds no MPI library \(cannot load MPI library\): pip"),
    ],
)
def test_mpi4py_does_not_work(error, message, monkeypatch):
    class Broken:
        def __getattr__(self, name):
            raise error

    monkeypatch.setenv("PMI_SIZE", "2")
    monkeypatch.setitem(sys.modules, "mpi4py", Broken())
    with pytest.raises(GroupError, match=message):
        start()


@pytest.mark.parametrize("name", ["PMI_SIZE", "OMPI_COMM_WORLD_SIZE"])
def test_another_mpi_than_the_launcher(name):
    """Variables of a launcher that did not start this process."""
    optional("mpi4py", extra="mpi")
    script = "from minigrad.collectives import start\nstart()"
    environment = {key: value for key, value in os.environ.items() if key not in SIZES} | {name: "4"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=30)
    assert (
        done.returncode == 1 and "GroupError: this is one of 4 processes, but mpi4py uses another MPI (" in done.stderr
    )
    assert "start with the mpiexec that belongs to it" in done.stderr
