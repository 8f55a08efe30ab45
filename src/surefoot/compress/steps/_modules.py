"""Opens a model as a torch module that can be trained, pruned and replaced layer by layer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.compress.steps import _lift
from surefoot.compress.steps._rows import batches, quiet
from surefoot.core.errors import ModelError
from surefoot.core.model import Model
from surefoot.models import copy_preprocessing, seal
from surefoot.models.formats import huggingface, pt2
from surefoot.models.runtimes._common import first_line, load

FORMATS = ("huggingface", "pt2")
"""The formats that can be opened."""
PROGRAM = "model.pt2"
ROWS = 32
# The same float kernels on the same weights; what differs is the order of a few sums.
TOLERANCE = 1e-4
_ERRORS = (RuntimeError, LookupError, ValueError, TypeError, AttributeError, AssertionError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifted:
    """A model as a module whose layers are `torch.nn` layers."""

    model: Model
    """The model it came from."""
    module: Any
    """A `torch.nn.Module` in evaluation mode on the CPU, called with the tensors in the order of
    `model.signature.tensors`; gives (n, classes) outputs."""
    free: tuple[tuple[int, ...], ...] = ()
    """An exported program: the axes of each input that may have any length."""
    fixed: tuple[str, ...] = ()
    """An exported program: operators that hold the size of a layer, so that it cannot change."""
    left: tuple[str, ...] = ()
    """An exported program: operators with weights that are no `torch.nn` layers. They are trained
    like all others, but cannot be pruned or replaced."""


def open_module(model: Model) -> Lifted:
    """Open a Hugging Face folder or an exported program as a trainable module.

    The layers of an exported program are lifted back out of its operators, so that `train()`
    updates batch norms and drops out, and every layer can be replaced with `set_submodule`.

    Args:
        model: A model of a format in `FORMATS`.

    Raises:
        ModelError: Another format, or a program with operators that cannot be lifted; names them.
    """
    where = str(model.path / model.file)
    if model.format not in FORMATS:
        raise ModelError(
            f"a {model.format} model cannot be opened for training",
            where=where,
            fix=f"able: {', '.join(FORMATS)}",
        )
    loaded = load(model)
    if model.format == "huggingface":
        return Lifted(model=model, module=loaded.requires_grad_(True))
    with quiet():
        program = _lift.lift(loaded, where)
    return Lifted(
        model=model,
        module=program.module,
        free=program.free,
        fixed=program.fixed,
        left=program.left,
    )


def save_module(lifted: Lifted, folder: Path, *, name: str, inputs: np.ndarray) -> Model:
    """Write a module in the format that it came from, and prove that the file answers alike.

    Args:
        lifted: What `open_module` gave, its module changed; put into evaluation mode on the CPU.
        folder: Where the new model goes; notes beside the weights must lie there already.
        name: The step's name.
        inputs: Raw inputs to compare the file with the module on; the first rows are taken.

    Returns:
        The sealed model.

    Raises:
        ModelError: The module cannot be written, gives no finite numbers, or the file differs.
    """
    model, module = lifted.model, lifted.module.cpu().eval()
    rows = inputs[:ROWS]
    wanted = module_outputs(lifted, rows)
    if not np.isfinite(wanted).all():
        raise ModelError(f"step '{name}': the model gives {_first_odd(wanted)}", where=model.name)
    file = PROGRAM if model.format == "pt2" else "."
    try:
        if model.format == "pt2":
            pt2.save(_exported(lifted, rows), folder / PROGRAM)
        else:
            huggingface.save(module, folder)
    except _ERRORS as error:
        line = first_line(error)
        raise ModelError(f"step '{name}': cannot be written: {line}", where=model.name) from error
    copy_preprocessing(model, folder)
    made = seal(
        folder,
        name=name,
        format=model.format,
        file=file,
        signature=model.signature,
        parent=model.fingerprint,
    )
    _check_reloaded(made, rows, wanted)
    return made


def module_outputs(lifted: Lifted, inputs: np.ndarray) -> np.ndarray:
    """(n, classes) float32: what the module gives in evaluation mode for raw inputs.

    Raises:
        ModelError: The module fails on them.
    """
    import torch

    names = lifted.model.signature.tensors
    result: np.ndarray | None = None
    lifted.module.eval()
    try:
        with torch.no_grad():
            for positions, tensors in batches(lifted.model, inputs):
                device = next(lifted.module.parameters()).device
                found = lifted.module(*(torch.from_numpy(tensors[n]).to(device) for n in names))
                if result is None:
                    result = np.empty((len(inputs), found.shape[1]), np.float32)
                result[positions] = found.cpu().numpy()
    except _ERRORS as error:
        where = str(lifted.model.path / lifted.model.file)
        raise ModelError(f"fails on its inputs: {first_line(error)}", where=where) from error
    return np.empty((0, 0), np.float32) if result is None else result


def example(lifted: Lifted, inputs: np.ndarray) -> tuple[Any, ...]:
    """The input tensors of the first two rows, in the order that the module takes them.

    Two, since a size of 1 would be taken for one that never changes.
    """
    import torch

    _, tensors = next(iter(batches(lifted.model, inputs[np.resize(np.arange(len(inputs)), 2)])))
    return tuple(torch.from_numpy(tensors[name]) for name in lifted.model.signature.tensors)


def _exported(lifted: Lifted, inputs: np.ndarray) -> Any:
    import torch

    module = lifted.module
    free = tuple(dict.fromkeys(axes, torch.export.Dim.DYNAMIC) for axes in lifted.free)
    with quiet():
        program = torch.export.export(module, example(lifted, inputs), dynamic_shapes=free)
    for node in program.graph.nodes:
        # Notes on where it was traced: paths of this machine, and counters that change every time.
        for note in ("stack_trace", "nn_module_stack", "source_fn_stack", "from_node"):
            node.meta.pop(note, None)
    return program


def _check_reloaded(made: Model, inputs: np.ndarray, wanted: np.ndarray) -> None:
    found = module_outputs(open_module(made), inputs)
    difference = np.abs(found.astype(np.float64) - wanted).max(initial=0)
    flips = int((found.argmax(axis=1) != wanted.argmax(axis=1)).sum())
    if difference > TOLERANCE * max(1.0, float(np.abs(wanted).max(initial=0))):
        raise ModelError(
            f"written by step '{made.name}', it gives outputs that differ by up to {difference:.2g}"
            f" and {flips} other answers on {len(inputs)} rows",
            where=str(made.path / made.file),
        )


def _first_odd(outputs: np.ndarray) -> str:
    return str(outputs[~np.isfinite(outputs)][0])
