"""Why it did not get faster: on small real networks, in the runtimes that run them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from surefoot import models
from surefoot.compress.steps.quantize_dynamic import quantize_dynamic
from surefoot.core.dataset import Dataset, Task
from surefoot.core.hashing import hash_arrays
from surefoot.core.load import LoadProfile
from surefoot.core.model import Candidate, Recipe
from surefoot.core.plan import LatencyPlan, ModelPlan
from surefoot.evaluate import measure_latency
from surefoot.evaluate.diagnosis.diagnose import diagnose, profile
from surefoot.store import Store

CLASSES = tuple("abcde")


def network(path: Path) -> None:
    """Two convolutions and a linear layer on images of 28 by 28, as ONNX."""
    from onnx import TensorProto, helper, numpy_helper, save

    rng = np.random.default_rng(0)
    weights = {
        "first": rng.standard_normal((16, 1, 3, 3)) / 3,
        "second": rng.standard_normal((32, 16, 3, 3)) / 12,
        "last": rng.standard_normal((32, 5)),
    }
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["image", "first"], ["a"], pads=[1] * 4, name="conv1"),
            helper.make_node("Relu", ["a"], ["b"]),
            helper.make_node("Conv", ["b", "second"], ["c"], pads=[1] * 4, name="conv2"),
            helper.make_node("Relu", ["c"], ["d"]),
            helper.make_node("GlobalAveragePool", ["d"], ["e"]),
            helper.make_node("Flatten", ["e"], ["f"]),
            helper.make_node("MatMul", ["f", "last"], ["logits"], name="head"),
        ],
        "small",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, 28, 28])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 5])],
        [numpy_helper.from_array(w.astype(np.float32), name) for name, w in weights.items()],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)


@pytest.fixture(scope="module")
def images() -> Dataset:
    inputs = np.random.default_rng(1).integers(0, 256, (64, 28, 28)).astype(np.uint8)
    ids = np.array([str(i) for i in range(64)], np.dtypes.StringDType())
    labels = np.arange(64) % 5
    return Dataset(
        name="images",
        ids=ids,
        inputs=inputs,
        labels=labels,
        classes=CLASSES,
        fingerprint=hash_arrays(ids, inputs, labels),
    )


@pytest.fixture(scope="module")
def everyone(tmp_path_factory, images) -> dict[str, Candidate]:
    """The network as it is, in two runtimes, and with dynamic int8."""
    folder = tmp_path_factory.mktemp("cnn")
    network(folder / "cnn.onnx")
    options = ModelPlan(path=str(folder / "cnn.onnx"), classes=list(CLASSES))
    kind = "image-classification"
    plain = models.adopt(
        folder / "cnn.onnx", folder / "plain", name="cnn", kind=kind, options=options
    )
    task = Task(
        name="images", kind=kind, classes=CLASSES, train=None, selection=None, calibration=None,
        test={"images": images}, metric="accuracy",
    )  # fmt: skip
    (folder / "int8").mkdir()
    small = quantize_dynamic(plain, task, folder / "int8")
    made = {
        "baseline": (plain, "onnxruntime"),
        "int8": (small, "onnxruntime"),
        "vino": (small, "openvino"),
    }
    return {
        name: Candidate(name=name, model=model, runtime=runtime, recipe=Recipe(name=name))
        for name, (model, runtime) in made.items()
    }


def load(name="int8", batch=1, ms=1.0, calls=40):
    """So many milliseconds a call, more or less."""
    wall = ms * np.random.default_rng(batch).uniform(0.95, 1.05, calls)
    return LoadProfile(
        candidate=name, runtime="onnxruntime", batch=batch, threads=1, wall_ms=wall, cpu_ms=wall
    )


def test_a_cnn_in_dynamic_int8_is_slower_and_it_says_why(everyone, images, tmp_path):
    both, store = [everyone["baseline"], everyone["int8"]], Store(tmp_path)
    settings = LatencyPlan(batch=[1, 8], calls=60, seconds=10)
    loads = measure_latency(both, images, store, settings)
    (found,) = diagnose(both, images, loads, store)
    assert found.candidate == "int8"
    assert found.speedup.value < 1
    assert 1 <= len(found.reasons) <= 5
    said = " | ".join(found.reasons)
    integers = re.search(
        r"2 of 2 convolutions run in integers \(2 ConvInteger uint8 x int8\): (\d+) % of the time,"
        r" ([\d.]+) ms a call; the baseline's 2 Conv take ([\d.]+) ms",
        said,
    )
    assert integers, said
    assert float(integers[2]) > float(integers[3])
    conv = next(k for k in found.profile.kernels if k.operator == "ConvInteger")
    total = sum(kernel.ms for kernel in found.profile.kernels)
    assert int(integers[1]) == round(100 * conv.ms / total)
    assert (conv.nodes, conv.integer, conv.weights) == (2, True, True)
    ranges = [k for k in found.profile.kernels if k.operator == "DynamicQuantizeLinear"]
    assert sum(kernel.nodes for kernel in ranges) == 2


def test_only_what_is_not_shown_to_be_faster_is_explained(everyone, images, tmp_path):
    both, store = [everyone["baseline"], everyone["int8"]], Store(tmp_path)
    base = [load("baseline", batch, 10.0) for batch in (1, 8)]
    fast = [load("int8", batch, 5.0) for batch in (1, 8)]
    assert diagnose(both, images, [*base, *fast], store) == ()
    half = [fast[0], load("int8", 8, 9.9)]
    (found,) = diagnose(both, images, [*base, *half], store)
    assert found.profile.batch == 8
    assert found.speedup.low < 1.05 < 2 * found.speedup.value
    worst = [load("int8", 1, 20.0), half[1]]
    (found,) = diagnose(both, images, [*base, *worst], store)
    assert found.profile.batch == 1


def test_without_latencies_there_is_nothing_to_explain(everyone, images, tmp_path):
    both = [everyone["baseline"], everyone["int8"]]
    assert diagnose(both, images, [], Store(tmp_path)) == ()


def test_a_profile_is_taken_once(everyone, images, tmp_path):
    first = profile(everyone["int8"], images, load(), Store(tmp_path))
    assert profile(everyone["int8"], images, load(), Store(tmp_path)) == first
    other = profile(everyone["int8"], images, load(batch=8), Store(tmp_path))
    assert other.batch == 8
    assert other.run_ms > first.run_ms


def test_openvino_tells_what_ran_in_float(everyone, images, tmp_path):
    found = profile(everyone["vino"], images, load("vino"), Store(tmp_path))
    convolutions = [k for k in found.kernels if k.operator == "Convolution"]
    assert sum(kernel.nodes for kernel in convolutions) == 2
    assert all(k.types in ("f32", "i8", "u8") for k in convolutions)
    assert all(k.integer == (k.types != "f32") for k in convolutions)


def test_the_baselines_own_file_is_named_as_such(everyone, images, tmp_path):
    same = replace(everyone["baseline"], name="same")
    loads = [load("baseline", 1, 1.0), load("same", 1, 1.0)]
    (found,) = diagnose([everyone["baseline"], same], images, loads, Store(tmp_path))
    assert found.reasons == ("it is the baseline's own file in the same runtime",)


def test_a_runtime_that_tells_nothing_is_said_to(adopted, tiny_sklearn, tree_set, tmp_path):
    model = adopted(tiny_sklearn, "numeric")
    one, two = (
        Candidate(name=name, model=model, runtime="sklearn", recipe=Recipe(name=name))
        for name in ("baseline", "other")
    )
    other = replace(two, model=replace(model, fingerprint="another"))
    loads = [load("baseline", 1, 1.0), load("other", 1, 1.0)]
    (found,) = diagnose([one, other], tree_set(30), loads, Store(tmp_path))
    assert found.reasons[0] == (
        "sklearn does not tell what its operators cost; export_onnx gives one that does"
    )
    assert found.profile.kernels == ()
