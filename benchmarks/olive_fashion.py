"""What olive-ai's own search finds on the Fashion-MNIST ResNet.

    python -m venv /tmp/olive && /tmp/olive/bin/pip install torch==2.13.0
    /tmp/olive/bin/pip install "olive-ai[cpu]==0.13.0" requests
    /tmp/olive/bin/python benchmarks/olive_fashion.py MODEL.onnx DATA OUT [SECONDS]

MODEL.onnx is the float32 export (`surefoot-run/bundle/models/fp32-onnx/model.onnx`), DATA the
folder of train.npz and selection.npz from `refinery_fashion.py`. The pass is OnnxQuantization over
all its default search values, the sampler TPE, the order joint; the goals: accuracy that falls by
half a point at most and a latency that falls by 20 %, as in its page "How To Configure Metrics".
Every candidate is calibrated on 128 training rows and judged on the selection rows, in one thread,
at batch 1; the search draws nothing new after SECONDS. The latencies printed are olive's own; the
models lie under OUT/models by their number in the table.

The sampler's `max_samples` and `seed` are left alone: 0.13.0 loses them (pydantic 2.14).
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

os.environ["OLIVE_DISABLE_TELEMETRY"] = "1"  # read on import

import numpy as np
import onnx
import torch
from olive import run
from olive.data.registry import Registry

CALIBRATED_ON, MAX_DROP = 128, 0.005
ONE_THREAD = {"session_options": {"intra_op_num_threads": 1, "inter_op_num_threads": 1}}


@Registry.register_dataset()
def fashion_rows(path: str, tensor: str, rows: int = 0, **_: object) -> list[Any]:
    """Rows as olive takes them: a dictionary of tensors, and the position of the class."""
    with np.load(path) as arrays:
        names, images = arrays["labels"], arrays["images"]
    labels = np.searchsorted(np.unique(names), names)
    kept = np.linspace(0, len(images) - 1, rows or len(images)).astype(np.int64)
    return [
        ({tensor: torch.from_numpy(images[i][None] / np.float32(255))}, int(labels[i]))
        for i in kept
    ]


@Registry.register_post_process()
def fashion_answers(outputs: torch.Tensor) -> torch.Tensor:
    """The class of the largest output."""
    return outputs.argmax(dim=1)


def data(name: str, path: Path, tensor: str, *, rows: int = 0, batch: int = 1) -> dict[str, Any]:
    """One entry of `data_configs`."""
    return {
        "name": name,
        "type": "DataContainer",
        "load_dataset_config": {
            "type": "fashion_rows",
            "params": {"path": str(path), "tensor": tensor, "rows": rows},
        },
        "pre_process_data_config": {"type": "skip_pre_process"},
        "post_process_data_config": {"type": "fashion_answers"},
        "dataloader_config": {"batch_size": batch},
    }


def metric(name: str, measured_on: str, kind: dict[str, Any]) -> dict[str, Any]:
    """One metric of the evaluator, in one thread."""
    return {
        "name": name,
        "type": name,
        "data_config": measured_on,
        "sub_types": [kind],
        "user_config": {"inference_settings": {"onnx": ONE_THREAD}},
    }


def workflow(model: Path, folder: Path, out: Path, seconds: int) -> dict[str, Any]:
    """The run configuration."""
    tensor = onnx.load(str(model)).graph.input[0].name
    least = {"type": "max-degradation", "value": MAX_DROP}
    faster = {"type": "percent-min-improvement", "value": 20}
    timing = {"warmup_num": 50, "repeat_test_num": 400}
    accuracy = {
        "name": "accuracy_score",
        "priority": 2,
        "goal": least,
        "metric_config": {"task": "multiclass", "num_classes": 10},
    }
    latency = {"name": "p50", "priority": 1, "goal": faster, "metric_config": timing}
    return {
        "input_model": {"type": "ONNXModel", "model_path": str(model)},
        "systems": {
            "here": {
                "type": "LocalSystem",
                "accelerators": [
                    {"device": "cpu", "execution_providers": ["CPUExecutionProvider"]}
                ],
            }
        },
        "data_configs": [
            data("calibration", folder / "train.npz", tensor, rows=CALIBRATED_ON),
            data("selection", folder / "selection.npz", tensor, batch=100),
            data("one_row", folder / "selection.npz", tensor),
        ],
        "evaluators": {
            "both": {
                "type": "OnnxEvaluator",  # without it, 0.13.0 stops with an AttributeError
                "metrics": [
                    metric("accuracy", "selection", accuracy),
                    metric("latency", "one_row", latency),
                ],
            }
        },
        "passes": {"quantization": {"type": "OnnxQuantization", "data_config": "calibration"}},
        "search_strategy": {"execution_order": "joint", "sampler": "tpe", "max_time": seconds},
        "evaluator": "both",
        "host": "here",
        "target": "here",
        "cache_dir": str(out / "cache"),
        "output_dir": str(out / "result"),
    }


def figures(node: dict[str, Any]) -> tuple[float, float] | None:
    """Accuracy and milliseconds of a candidate; None where it was not measured."""
    found = (node.get("metrics") or {}).get("value")
    if not found:
        return None
    return found["accuracy-accuracy_score"]["value"], found["latency-p50"]["value"]


def report(nodes: list[dict[str, Any]], out: Path) -> None:
    """A row a candidate, the fastest within the goal last, and how many failed."""
    before = next(figures(node) for node in nodes if not node["parent_model_id"])
    assert before is not None
    print(f"float32: accuracy {before[0]:.4f}, {before[1]:.3f} ms a row\n")
    print("| | accuracy | ms | speed-up | MB | settings |\n|---|---|---|---|---|---|")
    rows, failed = [], 0
    (out / "models").mkdir()
    for node in nodes:
        if not node["parent_model_id"]:
            continue
        found = figures(node)
        if found is None:
            failed += 1
            print(f"| failed | | | | | {settings(node)} |")
            continue
        number, kept = len(rows), out / "models" / f"{len(rows)}.onnx"
        shutil.copyfile(model_file(node), kept)
        row = f"{found[0]:.4f} | {found[1]:.3f} | {before[1] / found[1]:.2f} "
        row += f"| {kept.stat().st_size / 1e6:.3f} | {settings(node)} |"
        rows.append((found[1], before[0] - found[0] <= MAX_DROP, f"| {number} | {row}"))
        print(rows[-1][-1])
    valid = min((row for row in rows if row[1]), default=None)
    print(
        f"\n{len(rows)} candidates measured, {sum(row[1] for row in rows)} valid, {failed} failed"
    )
    print(f"best valid:\n{valid[-1] if valid else 'none'}")


def settings(node: dict[str, Any]) -> str:
    """What the sampler chose."""
    names = ("quant_mode", "precision", "per_channel", "reduce_range", "quant_preprocess")
    names += ("calibrate_method", "quant_format", "activation_type")
    options = node["pass_run_config"] or {}
    # What a mode does not use stands there as the description of a parameter.
    chosen = {key: options.get(key) for key in names if not isinstance(options.get(key), dict)}
    return ", ".join(f"{key} {value}" for key, value in chosen.items() if value is not None)


def model_file(node: dict[str, Any]) -> Path:
    """The ONNX file of a candidate."""
    config = node["model_config_data"]["config"]
    path = Path(config["model_path"])
    return path / config["onnx_file_name"] if config.get("onnx_file_name") else path


def main(model: str, folder: str, out: str, seconds: str = "1200") -> None:
    """Search, then print what was found and how long it took."""
    place = Path(out)
    shutil.rmtree(place, ignore_errors=True)
    started, used = time.perf_counter(), time.process_time()
    run(workflow(Path(model).resolve(), Path(folder).resolve(), place.resolve(), int(seconds)))
    wall, cpu = time.perf_counter() - started, time.process_time() - used
    nodes = json.loads(next(place.rglob("footprint.json")).read_text())
    report(list(nodes.values()) if isinstance(nodes, dict) else nodes, place)
    print(f"\n{wall:.0f} s of wall time, {cpu:.0f} s of processor time")


if __name__ == "__main__":
    main(*sys.argv[1:])
