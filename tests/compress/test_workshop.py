"""Many candidates at once: each step once, and what goes wrong in one stays with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from surefoot import plugins
from surefoot.compress import NotMade, make_all, workshop
from surefoot.compress.workshop import threads
from surefoot.core.errors import BundleError
from surefoot.core.model import Candidate, Model, Recipe, StepCall
from surefoot.executors import free_memory
from surefoot.store import PART, Store

STEPS = '''
"""Steps of a third party: one that works, and some that take their process or its memory."""
import os, resource, shutil, signal, sys, time
from contextlib import contextmanager
from pathlib import Path
import numpy as np
from surefoot.models import seal

NEEDS, GIVES = (), None

def copied(model, task, folder, *, log: str, mark: int = 0, seconds: float = 0.0):
    """Copies the model, and writes down when and where."""
    began = time.time()
    time.sleep(seconds)
    for file in ("tokenizer.json", model.file):
        shutil.copyfile(model.path / file, folder / file)
    (folder / "mark.txt").write_text(str(mark))
    with open(log, "a") as stream:
        threads = os.environ.get("OMP_NUM_THREADS")
        stream.write(f"{mark} {os.getpid()} {began} {time.time()} {threads}\\n")
    return seal(folder, name="copied", format=model.format, file=model.file,
                signature=model.signature, parent=model.fingerprint)

def trained(model, task, folder, *, log: str, mark: int = 0, device: str = "auto"):
    """Copies the model where there may be an accelerator."""
    return copied(model, task, folder, log=log, mark=mark, seconds=0.3)

def killed(model, task, folder):
    """As the system ends a process where memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)

def crashed(model, task, folder):
    """As native code ends a process."""
    os.kill(os.getpid(), signal.SIGSEGV)

def ended(model, task, folder):
    """As a library that thinks it is a program."""
    sys.exit(3)

def killed_once(model, task, folder, *, log: str):
    """Is ended for what all take, and goes well alone."""
    flag = Path(f"{log}.died")
    if not flag.exists():
        flag.touch()
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGKILL)
    return copied(model, task, folder, log=log, mark=99)

@contextmanager
def limited(what, most):
    before = resource.getrlimit(what)
    resource.setrlimit(what, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(what, before)

def hungry(model, task, folder):
    """Asks for more memory than there is."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    with limited(resource.RLIMIT_AS, pages * resource.getpagesize() + 100_000_000):
        np.ones(400_000_000, np.uint8)

def cramped(model, task, folder):
    """Finds no room for its weights, as on a full disk."""
    with limited(resource.RLIMIT_FSIZE, 1000):
        (folder / "weights").write_bytes(bytes(5000))

def large(model, task, folder):
    """Writes more than a small disk has."""
    (folder / "weights").write_bytes(bytes(200_000))

def faulty(model, task, folder, *, says: str):
    """Meets an error of a library."""
    raise RuntimeError(says)

class Odd(Exception):
    def __init__(self, *, row):
        super().__init__(f"row {row}")
        self.lock = __import__("threading").Lock()

def odd(model, task, folder):
    """Raises what cannot be sent to another process."""
    raise Odd(row=3)
'''
NAMES = (
    "copied", "trained", "killed", "crashed", "ended", "killed_once", "hungry", "cramped", "large",
    "faulty", "odd",
)  # fmt: skip


@pytest.fixture
def installed(tmp_path, monkeypatch) -> Path:
    """A folder in which the steps above are installed, as by pip."""
    folder = tmp_path / "installed"
    info = folder / "their_steps-1.dist-info"
    info.mkdir(parents=True)
    (folder / "their_steps.py").write_text(STEPS)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-steps\nVersion: 1\n")
    lines = [f"{name} = their_steps:{name}" for name in NAMES]
    (info / "entry_points.txt").write_text("\n".join(["[surefoot.step]", *lines, ""]))
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "their_steps", raising=False)
    known = (plugins.names, plugins.module, plugins._entry_points)
    for cached in known:
        cached.cache_clear()
    yield folder
    for cached in known:
        cached.cache_clear()


@pytest.fixture
def lexicon(adopted, tiny_onnx_text) -> Model:
    return adopted(tiny_onnx_text, classes=["negative", "positive"])


@pytest.fixture
def shop(installed, lexicon, text_task, tmp_path):
    """Makes recipes of steps: `shop({"a": [step, …]}, processes=2)`, by name as they came."""

    def make(recipes, processes=2, store=None):
        jobs = [(Recipe(name=name, steps=tuple(steps)), None) for name, steps in recipes.items()]
        place = store or Store(tmp_path / "store")
        found = make_all(lexicon, jobs, text_task, place, processes=processes)
        return {jobs[position][0].name: made for position, made in found}

    make.log, make.store = tmp_path / "log", tmp_path / "store"
    return make


@pytest.fixture
def copied(shop):
    """A step that works: `copied(3)`, of other marks other models."""

    def step(mark=0, **options):
        given = {"log": str(shop.log), "mark": mark, **options}
        return StepCall(use="copied", options=tuple(sorted(given.items())))

    return step


def bad(use, **options):
    return StepCall(use=use, options=tuple(options.items()))


def logged(shop):
    """What was done: mark, process, begin, end and threads."""
    if not shop.log.exists():
        return []
    return [line.split() for line in shop.log.read_text().splitlines()]


REASONS = {
    "killed": "the step killed was killed by signal 9, probably for want of memory",
    "crashed": "the step crashed was killed by signal 11",
    "ended": "the step ended exited with code 3",
    "cramped": "cannot write: File too large",
    "odd": "the step odd failed: Odd: row 3",
    "hungry": "the step hungry needs more memory than there is",
}


@pytest.mark.parametrize("processes", [1, 2])
def test_a_step_that_goes_wrong_fails_its_candidate_alone(shop, copied, processes):
    recipes = {name: [copied(1), bad(name)] for name in REASONS}
    found = shop({**recipes, "good": [copied(1), copied(2)]}, processes=processes)
    assert isinstance(found["good"], Candidate)
    for name, why in REASONS.items():
        assert isinstance(found[name], NotMade), name
        assert why in found[name].why
    assert sorted(mark for mark, *_ in logged(shop)) == ["1", "2"]
    assert not list(shop.store.rglob(f"*{PART}"))
    assert len(list((shop.store / "models").iterdir())) == 2


@pytest.mark.parametrize(
    ("says", "why"),
    [
        ("it broke\nat line 7", "failed: RuntimeError: it broke; SUREFOOT_DEBUG=1 shows where"),
        ("", "failed: RuntimeError; SUREFOOT_DEBUG=1 shows where"),
        (
            "[ONNXRuntimeError] : Could not find an implementation for ConvInteger(10) node 'a'",
            "an implementation for ConvInteger(10) node 'a'; SUREFOOT_DEBUG",
        ),
        ("failed\n(op_type:Loop, node name: l)", "RuntimeError: failed (operator Loop); SUREF"),
        (
            "cannot\nExporting the operator 'aten::fft_fft' to ONNX is not supported",
            "RuntimeError: cannot (operator aten::fft_fft); SUREFOOT",
        ),
        ("std::bad_alloc", "the step faulty needs more memory than there is: std::bad_alloc"),
        ("CUDA out of memory. Tried", "needs more memory than there is: CUDA out of memory."),
        ("x" * 900, f"{'x' * 300}…; SUREFOOT"),
    ],
)
def test_an_error_of_a_library_is_told_in_a_line(shop, says, why):
    found = shop({"bad": [bad("faulty", says=says)]}, processes=0)
    assert why in found["bad"].why
    assert "\n" not in found["bad"].why


def test_whoever_was_killed_beside_others_is_tried_once_more_alone(shop, copied):
    """As when the system ends a process for the memory that all of them took."""
    once = bad("killed_once", log=str(shop.log))
    found = shop({"once": [once], "long": [copied(1, seconds=1.5)], "last": [copied(2)]})
    assert all(isinstance(made, Candidate) for made in found.values())
    begun = {mark: float(began) for mark, _, began, *_ in logged(shop)}
    ended = {mark: float(end) for mark, _, _, end, _ in logged(shop)}
    assert begun["99"] >= max(ended["1"], ended["2"])


def test_a_step_that_several_recipes_share_is_done_once(shop, copied):
    recipes = {
        "a": [copied(1, seconds=0.3), copied(2)],
        "b": [copied(1, seconds=0.3), copied(3)],
        "c": [copied(1, seconds=0.3)],
    }
    found = shop(recipes)
    assert sorted(mark for mark, *_ in logged(shop)) == ["1", "2", "3"]
    assert found["a"].model.parent == found["b"].model.parent == found["c"].model.fingerprint
    assert found["a"].step_costs[0] == found["b"].step_costs[0] == found["c"].cost
    assert found["a"].cost.wall_s == sum(cost.wall_s for cost in found["a"].step_costs)
    again = shop(recipes)
    assert {name: made.model for name, made in again.items()} == {
        name: made.model for name, made in found.items()
    }
    assert len(logged(shop)) == 3


def test_candidates_come_as_they_are_made(shop, copied):
    found = shop({"slow": [copied(1, seconds=1.5)], "none": [], "quick": [copied(2)]})
    assert [*found] == ["none", "quick", "slow"]
    assert len({pid for _, pid, *_ in logged(shop)} - {str(os.getpid())}) == 2


def test_steps_on_the_accelerator_run_one_at_a_time(shop, tmp_path, monkeypatch):
    monkeypatch.setattr("surefoot.compress.step.ACCELERATORS", (str(tmp_path),))
    steps = {str(i): [bad("trained", log=str(shop.log), mark=i)] for i in range(3)}
    shop(steps)
    times = sorted((float(began), float(end)) for _, _, began, end, _ in logged(shop))
    assert len(times) == 3
    assert all(times[i][1] <= times[i + 1][0] for i in range(2))


def test_threads_depend_on_the_machine_and_not_on_the_processes(shop, copied, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    for processes in (1, 2):
        shop({str(i): [copied(10 * processes + i)] for i in range(2)}, processes=processes)
    assert {line[-1] for line in logged(shop)} == {str(threads())}
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads() == 3


@pytest.mark.slow
def test_what_is_trained_does_not_depend_on_the_number_of_processes(shop, tmp_path):
    options = (("dim", 8), ("epochs", 2), ("start", "random"))
    recipes = {str(i): [bad("distill_static", **dict(options), seed=i)] for i in range(3)}
    prints = [
        {
            name: made.model.fingerprint
            for name, made in shop(recipes, processes, Store(tmp_path / str(processes))).items()
        }
        for processes in (1, 2)
    ]
    assert prints[0] == prints[1]
    assert len(set(prints[0].values())) == 3


def test_rows_and_memory_are_kept_with_a_step(shop):
    student = bad("distill_static", dim=8, epochs=1, start="random")
    found = shop({"student": [student]}, processes=1)["student"]
    assert found.cost.rows >= 300
    assert 0 < found.cost.peak_mb < free_memory() / 1e6
    kept = json.loads((found.model.path / ".cost.json").read_text())
    assert kept["rows"] == found.cost.rows
    assert kept["cpu_s"] == found.cost.cpu_s


def test_who_stops_listening_ends_the_work_and_can_go_on(installed, lexicon, text_task, tmp_path):
    def recipe(mark, seconds):
        given = {"log": str(tmp_path / "log"), "mark": mark, "seconds": seconds}
        step = StepCall(use="copied", options=tuple(given.items()))
        return Recipe(name=str(mark), steps=(step,)), None

    store = Store(tmp_path / "store")
    with workshop(lexicon, text_task, store, processes=2) as make:
        asked = make([recipe(1, 0.0), recipe(2, 60.0)])
        assert next(asked)[1].name == "1"
        began = time.monotonic()
        asked.close()
        assert time.monotonic() - began < 10
        assert not list(store.root.rglob(f"*{PART}"))
        assert [made.name for _, made in make([recipe(3, 0.0), recipe(1, 0.0)])] == ["1", "3"]


FULL = """
import resource, sys
from surefoot.core.model import Recipe, StepCall
from surefoot.compress import make_all
import pickle
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
baseline, task, store = pickle.loads(sys.stdin.buffer.read())
steps = (StepCall(use="large"),)
print([*make_all(baseline, [(Recipe(name="a", steps=steps), None)], task, store, processes=1)])
"""


def test_a_store_that_cannot_be_written_any_more_ends_the_run(
    installed, lexicon, text_task, tmp_path
):
    """The limit stands in for a full disk: of this process as of those that it starts."""
    import pickle

    done = subprocess.run(
        [sys.executable, "-c", FULL],
        input=pickle.dumps((lexicon, text_task, Store(tmp_path / "store"))),
        capture_output=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    error = done.stderr.decode()
    assert done.returncode == 1
    last = error.strip().splitlines()[-1]
    assert last.startswith(f"{BundleError.__module__}.BundleError: ")
    assert "cannot write: File too large; make room or choose another folder with --out" in last
    assert not list((tmp_path / "store").rglob(f"*{PART}"))


PARENT = """
import pickle, sys
from surefoot.core.model import Recipe, StepCall
from surefoot.compress import make_all
baseline, task, store, log = pickle.loads(open(sys.argv[1], "rb").read())
def recipe(mark, seconds):
    options = (("log", log), ("mark", mark), ("seconds", seconds))
    return Recipe(name=str(mark), steps=(StepCall(use="copied", options=options),)), None
for _, made in make_all(baseline, [recipe(1, 0.0), recipe(2, 5.0)], task, store, processes=1):
    print(made.name, flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_a_step_does_not_go_on_for_nobody(installed, lexicon, text_task, tmp_path):
    """After kill -9: it would write beside the run that is begun again."""
    import pickle

    given = (lexicon, text_task, Store(tmp_path / "store"), str(tmp_path / "log"))
    (tmp_path / "given.pkl").write_bytes(pickle.dumps(given))
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, tmp_path / "given.pkl"],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as parent:
        assert parent.stdout.readline() == b"1\n"
        worker = int((tmp_path / "log").read_text().split()[1])
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    deadline = time.monotonic() + 3
    while Path(f"/proc/{worker}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(f"/proc/{worker}").exists()
