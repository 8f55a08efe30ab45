"""One step on one model: what it depends on, and doing it, in whatever process."""

from __future__ import annotations

import inspect
import json
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from surefoot import plugins
from surefoot.compress.spent import measured
from surefoot.core.dataset import Task
from surefoot.core.errors import BundleError, ModelError, SurefootError
from surefoot.core.hashing import hash_file
from surefoot.core.model import Cost, Model, StepCall
from surefoot.data import fingerprint
from surefoot.executors import Say
from surefoot.models import add_golden, own_runtime, read_model
from surefoot.store import Store

GOLDEN_ROWS = 8
COST = ".cost.json"
ACCELERATORS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""Where Linux shows that there is one, so that torch need not be loaded to know."""
SHORT_OF_MEMORY = re.compile(
    r"out of memory|not enough memory|can't allocate memory|bad_alloc|failed to allocate",
    re.IGNORECASE,
)
"""How torch, ONNX Runtime and the C++ library say it, in errors of other types."""
OPERATORS = (
    re.compile(r"implementation for (\w+)\(\d+\)"),  # ONNX Runtime
    re.compile(r"\(op_type:\s*(\w+)"),  # shape inference of ONNX
    re.compile(r"op_type:\s*\"?(\w+)"),
    re.compile(r"[Oo]perator:? '?([\w:.]+)'? "),  # torch's exporters
    re.compile(r"No Op registered for (\w+)"),  # ONNX's checker
)
"""How libraries name the operator that they cannot handle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step that has to be done; two of one place are the same step of two recipes."""

    model: Model
    """What it is done to."""
    use: str
    """The plugin."""
    options: Mapping[str, Any]
    """Its options, the seed among them where it takes one."""
    given: tuple[str, ...]
    """What it is given beside its options: `teacher`, or nothing."""
    inputs: Mapping[str, Any]
    """All that the result depends on: its key in the store."""
    alone: bool
    """Whether it may use the accelerator, which has no room for two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotDone:
    """A step that ended in an error."""

    why: str
    """For people."""
    short_of: Literal["memory", "room", ""] = ""
    """Whether it was for want of main memory or of room in the store."""


def step_of(call: StepCall, model: Model, seed: int, baseline: Model, task: Task) -> Step:
    """What a call in a recipe comes to on the model that it is given.

    Args:
        call: The call.
        model: What it is given.
        seed: The recipe's.
        baseline: What the recipe started from.
        task: What the step may learn from.

    Raises:
        ModelError: It needs another format.
    """
    options, takes = dict(call.options), _takes(call.use)
    _check_format(model, call.use)
    if "seed" in takes:
        options.setdefault("seed", seed)
    # What a step is given beside its options: no plan can name it.
    given = ("teacher",) if "teacher" in takes else ()
    files = plugins.files("step", call.use, options)
    inputs = {
        "model": model.fingerprint,
        "step": call.use,
        "options": {name: value for name, value in options.items() if name not in files},
        "version": plugins.version("step", call.use),
        "train": task.train and task.train.fingerprint,
        "selection": task.selection and task.selection.fingerprint,
        "unlabelled": [fingerprint(d) for d in task.test.values()],
        "classes": task.classes,
        **({"teacher": baseline.fingerprint} if given else {}),
        # What stands in a file that an option names decides, not what the file is called.
        **({"files": {k: _hashed(path, call.use) for k, path in files.items()}} if files else {}),
        **({"extra": task.unlabelled.fingerprint} if task.unlabelled else {}),
    }
    return Step(
        model=model,
        use=call.use,
        options=options,
        given=given,
        inputs=inputs,
        alone="device" in takes and options.get("device") != "cpu" and _accelerated(),
    )


def _hashed(path: str, step: str) -> str:
    if not Path(path).is_file():
        raise ModelError(f"step '{step}': no such file", where=path)
    return hash_file(Path(path))


def draws(call: StepCall) -> bool:
    """Whether another seed of the recipe gives another model."""
    return "seed" in _takes(call.use) and "seed" not in dict(call.options)


def finished(folder: Path) -> tuple[Model, Cost]:
    """The model that a step left in the store, and what it cost.

    Raises:
        ModelError: The folder was changed since.
    """
    return read_model(folder), Cost(**json.loads((folder / COST).read_text()))


@contextmanager
def stepper(
    baseline: Model, task: Task, store: Store, threads: int
) -> Iterator[Callable[[Step, Say], tuple[Model, Cost] | NotDone]]:
    """What does steps; whatever goes wrong in one is its result.

    Args:
        baseline: What teaches, where a step asks for a teacher.
        task: What steps may learn from.
        store: Where models are kept.
        threads: How many threads torch takes.
    """
    yield partial(_do, baseline, task, store, threads)


def _do(
    baseline: Model, task: Task, store: Store, threads: int, step: Step, _: Say
) -> tuple[Model, Cost] | NotDone:
    function = plugins.find("step", step.use)
    given = {"teacher": baseline} if step.given else {}

    def write(folder: Path) -> None:
        with measured() as cost, _threads(threads):
            made = function(step.model, task, folder, **step.options, **given)
            add_golden(made, own_runtime(made), _sample(task))
            spent = cost()
        (folder / COST).write_text(json.dumps(asdict(spent)))

    try:
        return finished(store.make("models", step.inputs, write))
    except BundleError as error:
        return NotDone(why=str(error), short_of="room")
    except SurefootError as error:
        return NotDone(why=str(error))
    # size: a step calls whatever libraries it likes, and they raise what they like
    except Exception as error:  # noqa: BLE001
        if os.environ.get("SUREFOOT_DEBUG"):
            traceback.print_exc()
        return _explained(step.use, error)


def _explained(step: str, error: Exception) -> NotDone:
    """An error of a library in the words of a user: which step, its first line, which operator."""
    text = str(error).strip()
    if isinstance(error, MemoryError) or SHORT_OF_MEMORY.search(text):
        why = f"the step {step} needs more memory than there is"
        return NotDone(why=f"{why}: {_first_line(text)}" if text else why, short_of="memory")
    line = _first_line(text)
    what = f"the step {step} failed: {type(error).__name__}{f': {line}' if line else ''}"
    operators = (found[1] for known in OPERATORS if (found := known.search(text)))
    operator = next((name for name in operators if name not in line), None)
    named = f" (operator {operator})" if operator else ""
    fix = "" if os.environ.get("SUREFOOT_DEBUG") else "; SUREFOOT_DEBUG=1 shows where"
    return NotDone(why=f"{what}{named}{fix}")


def _first_line(text: str) -> str:
    line = text.partition("\n")[0].strip()
    return line if len(line) <= 300 else f"{line[:300]}…"


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """Have torch take so many threads, whatever an earlier step has set, where it is loaded."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _takes(step: str) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(plugins.find("step", step)).parameters


def _accelerated() -> bool:
    return any(Path(place).exists() for place in ACCELERATORS)


def _check_format(model: Model, step: str) -> None:
    if not plugins.fits(step, model.format):
        needs = plugins.takes(step)
        raise ModelError(
            f"step '{step}' needs {' or '.join(needs)}, but is given {model.format}",
            where=model.name,
            fix="put export_onnx before it" if "onnx" in needs else None,
        )


def _sample(task: Task) -> Any:
    source = task.train or task.selection or next(iter(task.test.values()))
    return source.inputs[:GOLDEN_ROWS]
