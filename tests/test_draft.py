"""`surefoot init`: what the columns of a file are taken for, and a plan that can be read back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import duckdb
import numpy as np
import pytest

from surefoot.core.errors import DataError, ModelError, PlanError
from surefoot.draft import draft_plan
from surefoot.plan import read_plan

REVIEWS = "id,text,label\n1,a lovely film,positive\n2,a dull film,negative\n"


@pytest.fixture
def folder(tmp_path, tiny_bert, tiny_sklearn, tiny_onnx_numeric) -> Path:
    shutil.copytree(tiny_bert, tmp_path / "bert")
    shutil.copyfile(tiny_sklearn, tmp_path / "trees.skops")
    shutil.copyfile(tiny_onnx_numeric, tmp_path / "linear.onnx")
    return tmp_path


def drafted(folder: Path, model: str, rows: str, name: str = "test.csv", train: str | None = None):
    """The plan that is drafted for a file of these rows, read back."""
    (folder / name).write_text(rows)
    plan = folder / "surefoot.toml"
    draft_plan(folder / model, folder / name, plan, train=train and folder / train)
    return read_plan(plan)


def test_a_plan_names_model_rows_and_budgets(folder):
    plan = drafted(folder, "bert", REVIEWS)
    assert plan.task.kind == "text-classification"
    assert plan.task.test == {
        "main": {
            "use": "csv", "path": str(folder / "test.csv"), "text": "text", "label": "label",
        }
    }  # fmt: skip
    assert plan.model.path == str(folder / "bert")
    assert [b.quantity for b in plan.budgets] == ["accuracy", "speedup"]
    assert plan.task.train is None


def test_paths_are_seen_from_the_plan_where_they_lie_below_it(folder):
    (folder / "plans").mkdir()
    (folder / "test.csv").write_text(REVIEWS)
    below = draft_plan(folder / "bert", folder / "test.csv", folder / "p.toml").read_text()
    assert 'path = "bert"' in below
    assert 'path = "test.csv"' in below
    plan = draft_plan(folder / "bert", folder / "test.csv", folder / "plans" / "p.toml")
    assert f'path = "{folder / "bert"}"' in plan.read_text()
    assert read_plan(plan).model.path == str(folder / "bert")


def test_rows_to_learn_from_have_the_same_columns(folder):
    (folder / "train.csv").write_text(REVIEWS)
    plan = drafted(folder, "bert", REVIEWS, train="train.csv")
    assert plan.task.train == {**plan.task.test["main"], "path": str(folder / "train.csv")}
    assert "static" in [recipe.name for recipe in plan.recipes]


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_every_kind_of_table_is_read(folder, form):
    (folder / "rows.csv").write_text(REVIEWS)
    target = folder / f"test.{form}"
    how = "FORMAT csv" if form == "csv" else f"FORMAT {form.replace('jsonl', 'json')}"
    with duckdb.connect() as connection:
        connection.execute(f"COPY (FROM '{folder / 'rows.csv'}') TO '{target}' ({how})")
    plan = read_plan(draft_plan(folder / "bert", target, folder / "p.toml"))
    assert plan.task.test["main"]["use"] == form
    assert plan.task.test["main"]["text"] == "text"


@pytest.mark.parametrize(
    ("rows", "text", "label"),
    [
        # By their names, whatever else there is.
        ("Body,notes,Label\na film,a much longer remark,x\na day,another one,y\n", "Body", "Label"),
        # The longest text where none has a name that tells.
        ("short,review,label\nab,a lovely film indeed,x\ncd,a dull one,y\n", "review", "label"),
        # The values are the model's classes.
        ("text,mood,lang\na film,positive,en\na day,negative,es\n", "text", "mood"),
        # A column named so that holds something else gives way to one that fits the classes.
        ("text,label,mood\na film,3,positive\na day,4,negative\n", "text", "mood"),
        # Names that TOML and SQL have to quote.
        (
            'the "text","label, x"\na longer film,positive\na longer day,negative\n',
            'the "text"',
            "label, x",
        ),
        ("größe,label\na longer film,positive\na day,negative\n", "größe", "label"),
        ("{file},label\na longer film,positive\na day,negative\n", "{file}", "label"),
    ],
)
def test_the_columns_of_texts(folder, rows, text, label):
    rows = rows.replace('the "text"', '"the ""text"""')
    source = drafted(folder, "bert", rows).task.test["main"]
    assert (source["text"], source["label"]) == (text, label)


@pytest.mark.parametrize(
    ("header", "label", "columns"),
    [
        ("id,a,b,c,d,label", "label", ["a", "b", "c", "d"]),
        ("a,b,c,d,index,tree", "tree", ["a", "b", "c", "d"]),
        ("a,b,c,n,species", "species", ["a", "b", "c", "n"]),
    ],
)
def test_the_columns_of_numbers(folder, header, label, columns):
    names = header.split(",")
    trees = ("ash", "birch", "oak")
    rows = [
        ",".join(
            {"id": f"{100 + i}", "index": f"{i}", "n": f"{i * i}", label: trees[i % 3]}.get(
                name, f"{i * 1.5 + j}"
            )
            for j, name in enumerate(names)
        )
        for i in range(9)
    ]
    plan = drafted(folder, "trees.skops", "\n".join([header, *rows]) + "\n")
    assert plan.task.kind == "tabular-classification"
    assert plan.task.test["main"]["label"] == label
    assert plan.task.test["main"]["columns"] == columns


NUMBERS = "id,d,c,b,a,label\n" + "".join(
    f"{i},{i}.5,{i},2,1,{('ash', 'birch', 'oak')[i % 3]}\n" for i in range(9)
)


def saved(folder: Path, estimator: object, name: str = "m.skops") -> str:
    import skops.io

    skops.io.dump(estimator, folder / name)
    return name


def numeric(named: tuple[str, ...] = (), boosted: bool = False):
    """A fitted classifier of 4 numbers; with names where it was fitted on a table with names."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression

    rows = np.random.default_rng(0).standard_normal((60, 4))
    labels = np.array(["ash", "birch", "oak"])[rows[:, :3].argmax(axis=1)]
    estimator = HistGradientBoostingClassifier(max_iter=3) if boosted else LogisticRegression()
    estimator.fit(rows, labels)
    if named:
        estimator.feature_names_in_ = np.array(named, dtype=object)
    return estimator


def test_columns_come_in_the_order_in_which_the_model_was_fitted(folder):
    name = saved(folder, numeric(("a", "b", "id", "d")))
    assert drafted(folder, name, NUMBERS).task.test["main"]["columns"] == ["a", "b", "id", "d"]


@pytest.mark.parametrize(
    ("named", "rows", "said"),
    [
        (("a", "b", "cc", "d"), NUMBERS, "no column of numbers 'cc'.*did you mean 'c'"),
        ((), NUMBERS.replace("d,c,", "d,e,"), None),
        ((), "a,b,label\n1,2,ash\n2,3,oak\n", "2 columns of numbers .a, b., and the model takes 4"),
    ],
)
def test_columns_that_do_not_fit_the_model_are_said_at_once(folder, named, rows, said):
    name = saved(folder, numeric(named))
    if said is None:
        assert drafted(folder, name, rows).task.test["main"]["columns"] == ["d", "e", "b", "a"]
        return
    with pytest.raises(DataError, match=said):
        drafted(folder, name, rows)
    assert not list(folder.glob("*.toml"))


def test_a_file_that_has_to_be_trusted_asks_for_it(folder):
    plan = drafted(folder, saved(folder, numeric(boosted=True)), NUMBERS)
    assert "does not know to be safe: sklearn.ensemble._hist_gradient_boosting" in plan.text
    assert "\n# trust = true\n" in plan.text
    assert not plan.model.trust
    trusting = folder / "trusting.toml"
    trusting.write_text(plan.text.replace("# trust = true", "trust = true"))
    assert read_plan(trusting).model.trust


def test_texts_of_scikit_learn_are_no_rows_of_numbers(folder, tiny_sklearn_text):
    """A plan for them could make no candidate."""
    shutil.copyfile(tiny_sklearn_text, folder / "tfidf.skops")
    with pytest.raises(ModelError, match="takes raw texts in scikit-learn"):
        drafted(folder, "tfidf.skops", REVIEWS)


def test_images_are_no_rows_of_a_table(folder, tiny_onnx_image):
    shutil.copyfile(tiny_onnx_image, folder / "image.onnx")
    with pytest.raises(ModelError, match="takes images"):
        drafted(folder, "image.onnx", NUMBERS)


def test_no_model_at_all_is_named(folder):
    (folder / "model.xyz").touch()
    with pytest.raises(ModelError, match=r"unknown suffix '\.xyz'"):
        drafted(folder, "model.xyz", NUMBERS)


def test_an_exported_program_asks_for_its_classes_too(folder):
    import torch

    rows = ({0: torch.export.Dim("rows")},)
    program = torch.export.export(torch.nn.Linear(4, 3), (torch.zeros(2, 4),), dynamic_shapes=rows)
    torch.export.save(program, folder / "linear.pt2")
    plan = drafted(folder, "linear.pt2", NUMBERS)
    assert plan.model.classes == ["ash", "birch", "oak"]
    assert plan.task.test["main"]["columns"] == ["d", "c", "b", "a"]


def test_a_numeric_draft_with_rows_to_learn_from_tries_trees(folder):
    (folder / "train.csv").write_text(NUMBERS)
    plan = drafted(folder, "trees.skops", NUMBERS, train="train.csv")
    assert [recipe.name for recipe in plan.recipes] == ["onnx", "trees"]


def test_classes_that_a_file_does_not_name_are_proposed_with_a_question(folder):
    rows = "a,b,c,d,label\n1,2,3,4,oak\n2,3,4,5,äsche\n3,4,5,6,birch\n"
    plan = drafted(folder, "linear.onnx", rows)
    assert plan.model.classes == ["birch", "oak", "äsche"]
    assert "is this the order of its outputs?" in plan.text
    assert "classes" not in drafted_text(folder, "bert")


def drafted_text(folder: Path, model: str) -> str:
    (folder / "again.csv").write_text(REVIEWS)
    return draft_plan(folder / model, folder / "again.csv", folder / "again.toml").read_text()


def test_a_model_beside_a_tokenizer_takes_texts(folder, tiny_onnx_text):
    plan = folder / "p.toml"
    (folder / "test.csv").write_text(REVIEWS)
    draft_plan(tiny_onnx_text, folder / "test.csv", plan)
    found = read_plan(plan)
    assert found.task.kind == "text-classification"
    assert found.model.classes == ["negative", "positive"]


@pytest.mark.parametrize("model", ["linear.onnx", "LINEAR.ONNX"])
@pytest.mark.parametrize("word", ["😀", "tab\tand \x7f", "back\\slash 'n' quotes"])
def test_any_word_stands_in_a_plan(folder, word, model):
    if model != "linear.onnx":
        (folder / "linear.onnx").rename(folder / model)
    rows = f"{word},b,c,d,label {word}\n1,2,3,4,{word}\n2,3,4,5,y\n3,4,5,6,x\n"
    name = f"{word}.csv"
    plan = drafted(folder, model, rows.replace("label " + word, "y"), name)
    assert plan.task.test["main"]["path"] == str(folder / name)
    assert plan.task.test["main"]["columns"] == [word, "b", "c", "d"]
    assert plan.model.classes == sorted([word, "x", "y"])


def test_an_empty_cell_is_no_class(folder):
    rows = "a,b,c,d,label\n1,2,3,4,oak\n2,3,4,5,\n3,4,5,6,birch\n"
    assert drafted(folder, "linear.onnx", rows).model.classes == ["birch", "oak"]


CONFIGS = ("no json", "{}", None, "[]", "7", *(f'{{"id2label": {bad}}}' for bad in (
    "null", "7", '["a", "b"]', '"ab"', '{"x": "a"}', '{"0": 1}',
)))  # fmt: skip


@pytest.mark.parametrize("config", CONFIGS)
def test_a_folder_that_tells_no_classes_falls_back_on_names(folder, config):
    path = folder / "bert" / "config.json"
    path.unlink() if config is None else path.write_text(config)
    rows = "text,mood,label\na film,positive,x\na day,negative,y\n"
    assert drafted(folder, "bert", rows).task.test["main"]["label"] == "label"


@pytest.mark.parametrize(
    ("model", "rows", "error", "said"),
    [
        ("brt", REVIEWS, ModelError, "brt: no such model"),
        ("bert", "a,label\n1,2\n3,4\n", DataError, "no column of text; found a, label"),
        ("bert", "text\na film\na film\n", DataError, "no column that could be the label"),
        ("trees.skops", "a,label\nx,oak\ny,ash\n", DataError, "no column of numbers"),
        ("bert", "", DataError, "test.csv: "),
    ],
)
def test_what_cannot_be_drafted_is_said_and_leaves_no_plan(folder, model, rows, error, said):
    with pytest.raises(error) as caught:
        drafted(folder, model, rows)
    assert said in str(caught.value)
    assert not list(folder.glob("surefoot.toml*"))


@pytest.mark.parametrize(
    ("name", "said"), [("test.xlsx", "cannot read '.xlsx' files"), ("no.csv", "cannot be read")]
)
def test_a_file_that_cannot_be_read_is_named(folder, name, said):
    (folder / "test.xlsx").write_bytes(b"PK")
    with pytest.raises(DataError, match=f"{name}: {said}"):
        draft_plan(folder / "bert", folder / name, folder / "p.toml")
    with pytest.raises(DataError, match=r"cannot read '.xlsx' files; known: .csv"):
        drafted(folder, "bert", REVIEWS, train="test.xlsx")
    assert not list(folder.glob("*.toml"))


def test_a_plan_that_exists_is_left_alone(folder):
    (folder / "surefoot.toml").write_text("mine")
    with pytest.raises(PlanError, match="exists already; remove it, or name another file"):
        drafted(folder, "bert", REVIEWS)
    assert (folder / "surefoot.toml").read_text() == "mine"


def test_a_draft_that_would_not_run_is_taken_back(folder):
    with pytest.raises(PlanError, match=r"task\.train\.path: no such file .*nowhere\.csv"):
        drafted(folder, "bert", REVIEWS, train="nowhere.csv")
    assert not list(folder.glob("surefoot.toml*"))


def test_labels_are_text_even_where_the_file_has_numbers(folder):
    config = json.loads((folder / "bert" / "config.json").read_text())
    config["id2label"] = {"0": "0", "1": "1"}
    (folder / "bert" / "config.json").write_text(json.dumps(config))
    rows = "text,stars,sentiment\na film,5,1\na day,1,0\na night,2,0\n"
    assert drafted(folder, "bert", rows).task.test["main"]["label"] == "sentiment"


def test_an_encoder_without_a_head_is_refused_with_what_to_do(folder):
    config = json.loads((folder / "bert" / "config.json").read_text())
    (folder / "bert" / "config.json").write_text(json.dumps({**config, "architectures": ["Bert"]}))
    with pytest.raises(ModelError, match=r"an encoder without a head \(Bert\); fine-tune it"):
        drafted(folder, "bert", REVIEWS)
    (folder / "bert" / "head.safetensors").touch()
    assert drafted(folder, "bert", REVIEWS).model.path == str(folder / "bert")
