"""`surefoot run` as a user calls it, on every kind of task, model, metric and runtime."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import duckdb
import numpy as np
import pytest

TREES = ("ash", "birch", "oak")
BUNDLE = Path("surefoot-run/bundle")
PLAN = """
[task]
kind = "tabular-classification"
test.main = { use = "csv", path = "test.csv", label = "tree", columns = ["a", "b", "c", "d"] }
[model]
path = "model.onnx"
classes = ["ash", "birch", "oak"]
[evaluate]
latency = { batch = [1], calls = 20, seconds = 2 }
"""


def budget(quantity: str, **limits: object) -> str:
    lines = (f"{key} = {json.dumps(value)}" for key, value in limits.items())
    return "\n".join(["[[budget]]", f'quantity = "{quantity}"', *lines, ""])


def candidate(name: str, *steps: str, runtime: str | None = None) -> str:
    run = f'runtime = "{runtime}"\n' if runtime else ""
    return f'[[candidate]]\nname = "{name}"\nsteps = [{", ".join(steps)}]\n{run}'


def write_numbers(path: Path, inputs: np.ndarray, labels: np.ndarray, **more: np.ndarray) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["id", "a", "b", "c", "d", "tree", *more])
        columns = (range(len(inputs)), *inputs.T.tolist(), np.array(TREES)[labels], *more.values())
        writer.writerows(zip(*columns, strict=True))


def numbers(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, 4)).astype(np.float32)


def some_wrong(answers: np.ndarray, classes: int, every: int) -> np.ndarray:
    """Labels of which each `every`-th is not the model's answer."""
    labels = answers.copy()
    labels[::every] = (labels[::every] + 1) % classes
    return labels


def verdicts() -> dict[str, dict]:
    found = json.loads((BUNDLE / "verdict.json").read_text())["verdicts"]
    return {verdict["candidate"]: verdict for verdict in found}


def measured(name: str) -> dict[str, np.ndarray]:
    """The cells of a candidate on the test set `main`, in the order of the ids."""
    query = f"SELECT * FROM '{BUNDLE}/cells/{name}/main.parquet' ORDER BY id"
    return duckdb.sql(query).fetchnumpy()


def runtimes() -> dict[str, str]:
    found = json.loads((BUNDLE / "verdict.json").read_text())["candidates"]
    return {c["name"]: c["runtime"] for c in found}


def onnx_graph(path: Path):
    import onnx

    return onnx.load(path).graph


def weight_of(path: Path) -> np.ndarray:
    """The one weight of a model of `conftest.py`."""
    import onnx

    return onnx.numpy_helper.to_array(onnx_graph(path).initializer[0])


def convolved(images: np.ndarray, model: Path) -> np.ndarray:
    """Logits of `tiny_onnx_image` for pixels less 0.5, over 0.25, by numpy alone."""
    weight = weight_of(model)
    pixels = (images / 255.0 - 0.5) / 0.25
    windows = np.lib.stride_tricks.sliding_window_view(pixels, (3, 3), axis=(1, 2))
    return np.einsum("nyxcij,kcij->nk", windows, weight) / 36


def test_images_of_an_npz_file(cli, tmp_path, tiny_onnx_image):
    rng = np.random.default_rng(1)
    bright = rng.integers(0, 200, (400, 1, 1, 3))
    images = (bright + rng.integers(0, 56, (400, 8, 8, 3))).astype(np.uint8)
    answers = convolved(images, tiny_onnx_image).argmax(axis=1)
    assert 40 < answers.sum() < 360
    names = np.array(["cat", "dog"])[some_wrong(answers, 2, every=10)]
    camera = np.where(np.arange(400) % 4 == 0, "left", "right")
    np.savez(tmp_path / "test.npz", x=images, y=names, camera=camera)
    (tmp_path / "plan.toml").write_text(
        f"""
[task]
kind = "image-classification"
test.main = {{ use = "npz", path = "test.npz", inputs = "x", label = "y" }}
[model]
path = "{tiny_onnx_image}"
classes = ["cat", "dog"]
mean = [0.5]
std = [0.25]
[evaluate]
slices = {{ left = "camera = 'left'" }}
latency = {{ batch = [1], calls = 20, seconds = 2 }}
"""
        + candidate("int8", '"quantize_dynamic"')
        + budget("accuracy", max_drop=0.1)
        + budget("accuracy", max_drop=0.2, slice="left")
    )
    said = cli("run", "plan.toml")
    assert said.code == 0, said.err
    assert said.out.startswith("PASS  int8  2 of 2 budgets")
    # Every tenth label is wrong on purpose, so the baseline is right on the other 360.
    assert measured("baseline")["correct"].sum() == 360
    assert measured("int8")["slice_left"].sum() == 100
    assert (BUNDLE / "models" / "int8" / "model.onnx").exists()


def test_a_model_of_scikit_learn_and_its_export(cli, tmp_path, tiny_sklearn):
    import skops.io

    inputs = numbers(300)
    answers = skops.io.load(tiny_sklearn).predict(inputs)
    labels = some_wrong(np.searchsorted(TREES, answers), 3, every=6)
    write_numbers(tmp_path / "test.csv", inputs, labels)
    plan = PLAN.replace("model.onnx", str(tiny_sklearn)).replace("classes =", "# classes =")
    plan += candidate("onnx", '"export_onnx"') + budget("flips", at_most=0.02)
    (tmp_path / "plan.toml").write_text(plan)
    said = cli("run", "plan.toml")
    assert said.code == 0, said.err
    assert runtimes() == {"baseline": "sklearn", "onnx": "onnxruntime"}
    assert measured("baseline")["correct"].sum() == 250
    assert (measured("onnx")["predicted"] == measured("baseline")["predicted"]).all()
    (finding,) = verdicts()["onnx"]["findings"]
    # Clopper and Pearson: no flip in n rows bounds their share by 1 - alpha ** (1 / n).
    alpha = (1 - finding["estimate"]["level"]) / 2
    assert finding["estimate"]["high"] == pytest.approx(1 - alpha ** (1 / 300))


def test_a_network_of_scikit_learn_in_8_bits(cli, tmp_path):
    import skops.io
    from sklearn.neural_network import MLPClassifier

    inputs = numbers(400)
    labels = inputs[:, :3].argmax(axis=1)
    network = MLPClassifier((16,), solver="lbfgs", max_iter=2000, tol=1e-3, random_state=0)
    network.fit(inputs[:200], np.array(TREES)[labels[:200]])
    skops.io.dump(network, tmp_path / "trees.skops")
    write_numbers(tmp_path / "test.csv", inputs[200:], labels[200:])
    plan = PLAN.replace("model.onnx", "trees.skops").replace("classes =", "# classes =")
    plan += candidate("int8", '"export_onnx"', '"quantize_dynamic"')
    (tmp_path / "plan.toml").write_text(plan + budget("accuracy", max_drop=0.1))
    said = cli("run", "plan.toml")
    assert said.code == 0, said.err
    share = (network.predict(inputs[200:]) == np.array(TREES)[labels[200:]]).mean()
    assert measured("baseline")["correct"].mean() == share
    graph = onnx_graph(BUNDLE / "models" / "int8" / "model.onnx")
    assert "MatMulInteger" in {node.op_type for node in graph.node}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_program_of_torch_export(cli, tmp_path):
    """torch.export's own code still calls what torch deprecates."""
    import torch

    torch.manual_seed(0)
    layers = torch.nn.Linear(4, 32), torch.nn.ReLU(), torch.nn.Linear(32, 3)
    network, inputs = torch.nn.Sequential(*layers).eval(), numbers(300)
    shapes = ({0: torch.export.Dim.DYNAMIC},)
    program = torch.export.export(network, (torch.ones(3, 4),), dynamic_shapes=shapes)
    torch.export.save(program, tmp_path / "model.pt2")
    with torch.no_grad():
        answers = network(torch.from_numpy(inputs)).argmax(dim=1).numpy()
    write_numbers(tmp_path / "test.csv", inputs, some_wrong(answers, 3, every=3))
    plan = PLAN.replace("model.onnx", "model.pt2") + candidate("onnx", '"export_onnx"')
    plan += candidate("int8", '"export_onnx"', '"quantize_dynamic"')
    (tmp_path / "plan.toml").write_text(plan + budget("accuracy", max_drop=0.1))
    said = cli("run", "plan.toml")
    assert said.code == 0, said.err
    assert runtimes() == {"baseline": "torch", "onnx": "onnxruntime", "int8": "onnxruntime"}
    assert measured("baseline")["correct"].sum() == 200
    assert (measured("onnx")["predicted"] == measured("baseline")["predicted"]).all()
    assert verdicts()["int8"]["outcome"] == "PASS"


@pytest.fixture
def near_the_border(tmp_path, linear):
    """A plan whose int8 model loses answers: its inputs lie near the border, in groups of eight.

    Rows of one group are copies of one another, so that an answer is lost in all of them or in
    none.
    """
    weight = weight_of(linear(tmp_path / "model.onnx")).astype(np.float64)
    inputs = numbers(4000, seed=3)
    top = np.sort(inputs @ weight, axis=1)
    chosen = np.argsort(top[:, 2] - top[:, 1])[:100]
    inputs = np.repeat(inputs[chosen], 8, axis=0)
    answers = (inputs @ weight).argmax(axis=1)
    speakers = np.repeat(np.arange(100), 8)
    write_numbers(tmp_path / "test.csv", inputs, answers, speaker=speakers)
    int8 = '{ use = "quantize_dynamic", per_channel = false, head = true }'
    plan = PLAN + candidate("int8", int8) + budget("accuracy", max_drop=0.2)
    (tmp_path / "plan.toml").write_text(plan)
    (tmp_path / "grouped.toml").write_text(
        plan.replace('label = "tree"', 'label = "tree", group = "speaker"')
    )
    return tmp_path


def test_groups_are_accounted_for_and_named_in_the_verdict(cli, near_the_border):
    alone = cli("run", "plan.toml", "--out", "alone", "--json")
    grouped = cli("run", "grouped.toml", "--out", "grouped", "--json")
    found = [json.loads(said.out)["verdicts"][0]["findings"][0] for said in (alone, grouped)]
    rows, clusters = (finding["estimate"] for finding in found)
    lost = found[0]["paired"]["lost"]
    assert lost > 0
    assert lost % 8 == 0
    assert (rows["method"], clusters["method"]) == ("Tango score", "clustered score")
    assert clusters["value"] == rows["value"] == -lost / 800
    # Eight copies say what one row says, so the interval is sqrt(8) times as wide or more.
    assert clusters["high"] - clusters["low"] > 2.5 * (rows["high"] - rows["low"])
    shown = cli("run", "grouped.toml", "--out", "grouped")
    assert "clustered score" in shown.out.splitlines()[0]
    assert "nothing to do" in shown.err


def test_a_budget_on_log_loss_allows_a_rise(cli, tmp_path, linear):
    import onnx

    proto = onnx.load(linear(tmp_path / "model.onnx"))
    # A weight of 1,000 on a column that is always 0 leaves the others no place in 8 bits.
    weight = weight_of(tmp_path / "model.onnx").copy()
    weight[3] = 1000.0
    proto.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(weight, "weight"))
    onnx.save(proto, tmp_path / "model.onnx")
    inputs = numbers(2000)
    inputs[:, 3] = 0
    write_numbers(tmp_path / "test.csv", inputs, (inputs @ weight).argmax(axis=1))
    plan = PLAN.replace("[model]", 'metric = "log_loss"\n[model]')
    ruin = '{ use = "quantize_dynamic", per_channel = false, head = true }'
    plan += candidate("ruined", ruin) + candidate("same", runtime="openvino")
    (tmp_path / "plan.toml").write_text(plan + budget("log_loss", max_drop=0.05))
    said = cli("run", "plan.toml")
    assert said.code == 0, said.err
    assert said.out.startswith("PASS  same  1 of 1 budgets")
    assert {name: v["outcome"] for name, v in verdicts().items()} == {
        "ruined": "FAIL",
        "same": "PASS",
    }
    # Log loss from the stored probability of the right class, and its rise by hand.
    losses = {
        name: -np.log(measured(name)["score"].astype(float)) for name in ("baseline", "ruined")
    }
    rise = losses["ruined"].mean() - losses["baseline"].mean()
    (finding,) = verdicts()["ruined"]["findings"]
    assert finding["estimate"]["value"] == pytest.approx(rise, abs=1e-4)
    assert finding["estimate"]["method"] == "paired t"
    assert finding["limit"] == 0.05
    assert finding["estimate"]["low"] > 0.05
    only = f"candidate=[{{ name = 'ruined', steps = [{ruin}] }}]"
    alone = cli("run", "plan.toml", "--out", "worst", "--set", only)
    assert alone.code == 1
    assert alone.out.startswith("FAIL  ruined  1 of 1 budgets")


def test_openvino_runs_baseline_and_candidates_where_the_plan_asks(cli, tmp_path, linear):
    weight = weight_of(linear(tmp_path / "model.onnx"))
    inputs = numbers(200)
    write_numbers(tmp_path / "test.csv", inputs, (inputs @ weight).argmax(axis=1))
    plan = PLAN.replace("[evaluate]", 'runtime = "openvino"\n[evaluate]')
    plan += candidate("ort") + candidate("vino", runtime="openvino")
    (tmp_path / "plan.toml").write_text(plan + budget("flips", at_most=0.05))
    said = cli("run", "plan.toml")
    assert said.code == 0, said.err
    assert runtimes() == {"baseline": "openvino", "ort": "onnxruntime", "vino": "openvino"}
    assert measured("vino")["correct"].all()
    logits = (inputs @ weight).astype(np.float64)
    likely = np.exp(logits - logits.max(axis=1, keepdims=True))
    likely = (likely / likely.sum(axis=1, keepdims=True)).max(axis=1)
    found = sorted(measured("vino")["score"].tolist())
    np.testing.assert_allclose(found, sorted(likely), atol=1e-5)


def test_the_runtime_of_a_candidate_must_run_what_its_steps_give(cli, tmp_path, tiny_sklearn):
    write_numbers(tmp_path / "test.csv", numbers(20), np.arange(20) % 3)
    plan = PLAN.replace("model.onnx", str(tiny_sklearn)) + candidate("vino", runtime="openvino")
    (tmp_path / "plan.toml").write_text(plan + budget("flips", at_most=0.05))
    said = cli("run", "plan.toml")
    assert said.code == 2
    assert said.err == (
        "surefoot: plan.toml: candidate[0].runtime: 'openvino' runs onnx,"
        " but the steps give skops\n"
    )


def test_rows_that_a_shift_chose_are_those_of_the_bundle(cli, tmp_path, tiny_sklearn):
    import skops.io

    inputs = numbers(600)
    answers = skops.io.load(tiny_sklearn).predict(inputs)
    labels = some_wrong(np.searchsorted(TREES, answers), 3, every=6)
    owner = np.array([f"o{i % 40}" for i in range(600)])
    write_numbers(tmp_path / "test.csv", inputs, labels, owner=owner)
    plan = PLAN.replace("model.onnx", str(tiny_sklearn)).replace("classes =", "# classes =")
    plan = plan.replace('label = "tree"', 'label = "tree", id = "id", group = "owner"')
    plan += 'shifts = [{ use = "covariate_shift", severity = 3.0 }]\n'
    plan += 'slices = { high = "d > 0" }\n'
    plan += candidate("onnx", '"export_onnx"')
    plan += budget("accuracy", max_drop=0.2, shift="*") + budget("flips", at_most=0.2)
    (tmp_path / "plan.toml").write_text(plan)
    said = cli("run", "plan.toml")
    assert said.code == 0, said.err
    whole = {row[0]: row[1:] for row in rows_of("baseline", "main")}
    few = {row[0]: row[1:] for row in rows_of("baseline", "main+covariate_shift-3")}
    assert 150 < len(few) < 350
    assert few.items() <= whole.items()  # predictions, groups and slices go with their ids
    assert few.keys() == {row[0] for row in rows_of("onnx", "main+covariate_shift-3")}
    shifted = verdicts()["onnx"]["findings"][0]
    assert (shifted["paired"]["shift"], shifted["paired"]["n"]) == ("covariate_shift", len(few))
    # The mean of what was kept lies high or low along the first component, by most of a deviation.
    kept = np.isin(np.arange(600), [int(name) for name in few])
    standard = (inputs - inputs.mean(axis=0)) / inputs.std(axis=0)
    assert np.linalg.norm(standard[kept].mean(axis=0)) > 0.6


def rows_of(name: str, place: str) -> list[tuple]:
    columns = 'id, label, predicted, correct, "group", slice_high'
    return duckdb.sql(f"SELECT {columns} FROM '{BUNDLE}/cells/{name}/{place}.parquet'").fetchall()


def test_a_baseline_that_knows_nothing_is_said_at_once_and_beside_the_verdict(
    cli, tmp_path, linear
):
    """Its classes in another order: whoever keeps up with it passes, and proves nothing."""
    inputs = numbers(300)
    answers = (inputs @ weight_of(linear(tmp_path / "model.onnx"))).argmax(axis=1)
    write_numbers(tmp_path / "test.csv", inputs, (answers + 1) % 3)
    plan = PLAN + candidate("same", runtime="openvino") + budget("accuracy", max_drop=0.1)
    (tmp_path / "plan.toml").write_text(plan)
    said = cli("run", "plan.toml")
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert lines[0].startswith("PASS")
    assert lines[1].startswith("warning: the baseline is right on 0.0% of the rows of a class")
    assert said.out.count(lines[1]) == 1
    told = said.err.splitlines()
    assert told.index(lines[1]) < next(i for i, x in enumerate(told) if x.startswith("latency"))


def test_behaviour_checks_from_plan_to_report(cli, tmp_path, linear):
    """A model of probabilities, and a candidate that loses what the checks look for."""
    inputs = numbers(300)
    answers = (inputs @ weight_of(linear(tmp_path / "model.onnx"))).argmax(axis=1)
    write_numbers(tmp_path / "test.csv", inputs, some_wrong(answers, 3, every=10))
    plan = PLAN.replace(
        "[evaluate]",
        '[evaluate]\nchecks = ["batch_invariance", "odd_inputs", "golden", "group_harm"]'
        '\nslices = { left = "a < 0" }\ncheck_rows = 200',
    )
    plan += candidate("same", runtime="openvino") + budget("batch_invariance", at_most=0.05)
    plan += budget("golden", at_most=0.01) + budget("odd_inputs", at_most=0.05)
    (tmp_path / "plan.toml").write_text(plan)
    said = cli("run", "plan.toml")
    assert said.code == 1, said.err
    (same,) = verdicts().values()
    found = {f["subject"]: f for f in same["findings"]}
    assert found["batch_invariance"]["outcome"] == found["golden"]["outcome"] == "PASS"
    # A matrix product has no answer to missing numbers, so that list is not passed.
    assert found["odd_inputs"]["outcome"] == "FAIL"
    share = found["odd_inputs"]["estimate"]["value"]
    rows = duckdb.sql(f"SELECT * FROM '{BUNDLE}/checks/same/odd_inputs.parquet'").fetchnumpy()
    failed = dict(zip(rows["id"].tolist(), rows["failed"].tolist(), strict=True))
    assert share == pytest.approx(np.mean(list(failed.values())))
    assert failed["missing"]
    assert not failed["zeros"]
    written = json.loads((BUNDLE / "verdict.json").read_text())["checks"]
    entries = {(entry["candidate"], entry["check"]): entry for entry in written}
    assert len(entries) == 8
    batch = entries["same", "batch_invariance"]
    assert (batch["asked"], batch["failed"], batch["largest"] < 1e-5) == (200, 0, True)
    # Clopper and Pearson: no failure in n rows.
    assert batch["rate"]["high"] == pytest.approx(1 - 0.025 ** (1 / 200))
    assert "left" in batch["slices"]
    lines = said.out.splitlines()
    header = next(line for line in lines if line.startswith("rows that fail a check"))
    assert header.split()[-2:] == ["baseline", "same"]
    shown = next(line for line in lines if line.startswith("batch_invariance  "))
    assert "0 of 200: 0.0 % [0.0, 1.8]" in shown
    assert any(line.startswith("same: odd_inputs: failed by ") for line in lines)
    assert cli("run", "plan.toml").err.count("batch_invariance") == 0
    outlook = cli("power", "plan.toml")
    assert "batch_invariance on the rows asked" in outlook.out


def test_every_check_of_texts(cli, tmp_path, tiny_onnx_text, text_task):
    test, train = next(iter(text_task.test.values())), text_task.train
    for name, rows in (("test", test), ("train", train)):
        with (tmp_path / f"{name}.csv").open("w", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(["id", "text", "label"])
            names = np.array(rows.classes)[rows.labels].tolist()
            writer.writerows(zip(rows.ids.tolist(), rows.inputs.tolist(), names, strict=True))
    checks = ["batch_invariance", "determinism", "finite", "golden", "group_harm", "membership"]
    checks += ["odd_inputs", "thread_invariance"]
    swaps = '{ use = "term_swaps", swaps = [["two", "people"], ["lovely", "dreadful"]] }'
    (tmp_path / "plan.toml").write_text(
        f"""
[task]
kind = "text-classification"
train = {{ use = "csv", path = "train.csv", text = "text", label = "label", id = "id" }}
test.main = {{ use = "csv", path = "test.csv", text = "text", label = "label", id = "id" }}
[model]
path = "{tiny_onnx_text}"
classes = ["negative", "positive"]
[evaluate]
checks = {json.dumps(checks)[:-1]}, {swaps}, {{ use = "edits", rows = 20 }}]
latency = {{ batch = [1], calls = 20, seconds = 2 }}
"""
        + candidate("same")
        + budget("edits", at_most=0.1)
        + budget("thread_invariance", at_most=0.05)
    )
    said = cli("run", "plan.toml")
    written = json.loads((BUNDLE / "verdict.json").read_text())["checks"]
    found = {e["check"]: e for e in written if e["candidate"] == "same"}
    assert [e for e in written if e["error"]] == []
    assert len(found) == 10
    for check in ("batch_invariance", "determinism", "finite", "golden", "odd_inputs"):
        assert found[check]["failed"] == 0, found[check]
    # The model is a lexicon: swapped with its opposite, a word that tells turns the answer, and
    # "two" as "people" does not. One slip in every telling word is a word that it does not know.
    query = f"SELECT * FROM '{BUNDLE}/checks/same/term_swaps.parquet'"
    rows = duckdb.sql(query).fetchnumpy()
    texts = dict(zip(test.ids.tolist(), test.inputs.tolist(), strict=True))
    words = [set(texts[i.removeprefix("main/")].split()) for i in rows["id"].tolist()]
    assert all(w & {"two", "people", "lovely", "dreadful"} for w in words)
    telling = np.array([bool(w & {"lovely", "dreadful"}) for w in words])
    assert rows["failed"][telling].mean() > 0.4
    assert not rows["failed"][~telling].any()
    assert found["edits"]["asked"] == 20
    assert 4 < found["edits"]["failed"] < 20
    assert 0.4 < found["membership"]["rate"]["value"] < 0.6
    text = (BUNDLE / "verdict.json").read_text() + str(rows["detail"])
    assert not [t for t in texts.values() if t in text]
    assert said.code == 1, said.err
