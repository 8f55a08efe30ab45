"""Quantises all layers but those that change answers: the guiltiest go back to floats."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.compress.steps._calibration import (
    calibration_feeds,
    calibration_rows,
    check_alive,
    note_rows,
)
from surefoot.compress.steps._codes import store_tables
from surefoot.compress.steps._fusion import optimised
from surefoot.compress.steps._graph import WEIGHTS, name_head, name_nodes, seal_graph
from surefoot.compress.steps._mixed import Mixed, outputs, quantise, sqnr_db
from surefoot.compress.steps._rows import batches, quiet, training_rows
from surefoot.core.dataset import Dataset, Task
from surefoot.core.errors import ModelError
from surefoot.core.model import Model
from surefoot.models.formats.onnx import onnx, save

NEEDS = "onnx"
GIVES = "onnx"
REPORT = "sensitivity.json"
RANKED = 64
"""Calibration rows that layers are ranked on."""
JUDGED = 1000
"""Rows at most that changed answers are counted on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """How much a layer is to blame."""

    name: str
    """Its name in the graph."""
    sqnr_db: float
    """Signal to quantisation noise of the model's scores with this layer alone in 8 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """One place on the way from all layers in 8 bits to fewer."""

    put_back: int
    """How many of the guiltiest layers are in floats."""
    flips: int
    """Answers that differ from the source's."""


def quantize_mixed(
    model: Model,
    task: Task,
    folder: Path,
    *,
    max_flips: float = 0.01,
    most: float = 0.5,
    rows: int = 256,
    embeddings: bool = True,
    head: bool = False,
) -> Model:
    """Quantises all layers but those that change answers: the guiltiest go back to floats.

    Ranks layers by the noise that each alone in 8 bits brings into the model's scores, then puts
    back the worst, one after another, until few enough answers change. `sensitivity.json` beside
    the weights has the ranking and every stop of the way (Lin, Talathi and Annapureddy 2016,
    "Fixed Point Quantization of Deep Convolutional Networks", for the measure).

    Args:
        model: A model in 32-bit floats.
        task: Answers are counted on its selection rows, or without any on training rows.
        folder: Where the new model goes.
        max_flips: The share of answers that may change.
        most: The share of layers that may go back; there the way ends, and its best stop is kept.
        rows: How many training rows ranges are found on, spread evenly; `calibration.json` names
            them.
        embeddings: Quantise embedding tables too, with a scale per row.
        head: Quantise the linear layer at the end too, which decides the answer and weighs little.

    Raises:
        ModelError: No training rows, nothing to quantise, an operator that cannot be quantised, or
            a result that is not finite or constant.
    """
    _check_shares(max_flips=max_flips, most=most)
    data = calibration_rows(task, model, "quantize_mixed", rows)
    feeds = calibration_feeds(model, data)
    judge = _judge(task, model)
    with quiet(), tempfile.TemporaryDirectory() as name:
        mixed = _quantised(model, feeds, Path(name), embeddings=embeddings, head=head)
        layers = _ranked(mixed, _calls(model, data, RANKED), Path(name))
        calls = _calls(model, judge, JUDGED)
        limit = int(max_flips * len(judge))
        way = _walk(mixed, layers, calls, Path(name), limit=limit, last=int(most * len(layers)))
    best = min(way, key=lambda stop: (max(stop.flips, limit), stop.put_back))
    back = [layer.name for layer in layers[: best.put_back]]
    save(mixed.put_back(back), folder / WEIGHTS)
    _note(folder, layers, way, judge=judge, limit=limit, back=back)
    note_rows(folder, data, {"calibration": "minmax"})
    made = seal_graph(model, folder, "quantize_mixed")
    check_alive(made, model, feeds[:8])
    return made


def _check_shares(**shares: float) -> None:
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise ModelError(
                f"step 'quantize_mixed': {name} is {share}", fix="give a share from 0 to 1"
            )


def _judge(task: Task, model: Model) -> Dataset:
    """The rows that changed answers are counted on."""
    if task.selection is None or not len(task.selection):
        return training_rows(task, model, "quantize_mixed", JUDGED)
    return task.selection.spread(JUDGED)


def _calls(
    model: Model, data: Dataset, rows: int
) -> Sequence[tuple[np.ndarray, dict[str, np.ndarray]]]:
    return [*batches(model, data.spread(rows).inputs, size=8)]


def _quantised(
    model: Model,
    feeds: Sequence[dict[str, np.ndarray]],
    folder: Path,
    *,
    embeddings: bool,
    head: bool,
) -> Mixed:
    """The model with every layer in 8 bits.

    Raises:
        ModelError: It has no layer to quantise.
    """
    where = model.path / model.file
    # Batch norms and constants are folded first: what is folded later would not be quantised.
    floats = name_nodes(optimised(onnx(where), "basic"))
    kept = [] if head else name_head(floats, where)
    whole = model.signature.input != "text" and not _has_attention(floats)
    layers = quantise(floats, folder, feeds, kept, whole=whole)
    if not layers:
        raise ModelError(
            "has nothing to quantise: no float matrix product or convolution with constant"
            " weights is left",
            where=str(where),
            fix="leave quantize_mixed out of the recipe",
        )
    codes = onnx(folder / "codes.onnx")
    if embeddings:
        store_tables(codes)
    return Mixed(floats=floats, codes=codes, layers=layers, whole=whole)


def _has_attention(proto: Any) -> bool:
    """Whether a softmax stands inside the graph, and not only at its end."""
    ends = {output.name for output in proto.graph.output}
    inside = [n for n in proto.graph.node if n.op_type == "Softmax" and n.output[0] not in ends]
    return bool(inside) or any("Attention" in node.op_type for node in proto.graph.node)


def _ranked(
    mixed: Mixed, calls: Sequence[tuple[np.ndarray, dict[str, np.ndarray]]], folder: Path
) -> list[Layer]:
    """The layers, the guiltiest first, by what each alone does to the model's scores."""
    wanted = outputs(mixed.put_back(mixed.layers), calls, folder)
    found = []
    for name in mixed.layers:
        alone = mixed.put_back([other for other in mixed.layers if other != name])
        noise = sqnr_db(wanted, outputs(alone, calls, folder))
        found.append(Layer(name=name, sqnr_db=round(noise, 3)))
    return sorted(found, key=lambda layer: layer.sqnr_db)


def _walk(
    mixed: Mixed,
    layers: Sequence[Layer],
    calls: Sequence[tuple[np.ndarray, dict[str, np.ndarray]]],
    folder: Path,
    *,
    limit: int,
    last: int,
) -> list[Stop]:
    """Put back the guiltiest layers one after another until few enough answers change."""
    wanted = outputs(mixed.floats, calls, folder).argmax(axis=1)
    way: list[Stop] = []
    for count in range(last + 1):
        made = mixed.put_back([layer.name for layer in layers[:count]])
        flips = int((outputs(made, calls, folder).argmax(axis=1) != wanted).sum())
        way.append(Stop(put_back=count, flips=flips))
        if flips <= limit:
            break
    return way


def _note(
    folder: Path,
    layers: Sequence[Layer],
    way: Sequence[Stop],
    *,
    judge: Dataset,
    limit: int,
    back: Sequence[str],
) -> None:
    noted = {
        "ranking": [asdict(layer) for layer in layers],
        "judged_on": {"dataset": judge.name, "rows": len(judge), "ids": judge.ids.tolist()},
        "flips_allowed": limit,
        "way": [asdict(stop) for stop in way],
        "held": way[-1].flips <= limit,
        "put_back": list(back),
    }
    (folder / REPORT).write_text(json.dumps(noted, indent=1) + "\n")
