import re
import shutil
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot.core.errors import PlanError
from surefoot.plan import read_plan, step
from surefoot.plan.read import set_key
from surefoot.plan.typed import typed

GOOD = """
[task]
kind = "text-classification"
test.main = { use = "csv", path = "data/test.csv", text = "body", label = "intent" }

[model]
path = "model.onnx"

[evaluate]
slices = { short = "length(body) < 40" }

[[candidate]]
name = "int8"
steps = ["quantize_dynamic", { use = "refit_head", l2 = 2 }]

[[budget]]
quantity = "accuracy"
max_drop = 0.01
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    for name in ("data/test.csv", "data/train.csv", "model.onnx", "model.skops"):
        (tmp_path / name).touch()
    return tmp_path


def problems(folder: Path, text: str, *overrides: str) -> list[str]:
    (folder / "p.toml").write_text(text)
    with pytest.raises(PlanError) as caught:
        read_plan(folder / "p.toml", overrides)
    assert all(line.startswith(f"{folder / 'p.toml'}: ") for line in str(caught.value).splitlines())
    return list(caught.value.problems)


def plan(folder: Path, text: str = GOOD, *overrides: str):
    (folder / "p.toml").write_text(text)
    return read_plan(folder / "p.toml", overrides)


def test_a_sound_plan_is_typed_with_absolute_paths_and_defaults(folder):
    read = plan(folder)
    assert read.task.test["main"]["path"] == str(folder / "data/test.csv")
    assert read.model.path == str(folder / "model.onnx")
    assert read.files() == (folder / "data/test.csv",)
    (recipe,) = read.recipes
    assert [s.use for s in recipe.steps] == ["quantize_dynamic", "refit_head"]
    assert recipe.steps[1].options == (("l2", 2),)
    assert (read.budgets[0].max_drop, read.budgets[0].level) == (0.01, 0.95)
    assert read.evaluate.latency.batch == [1, 32]
    assert read.text == GOOD
    assert "text" not in read.resolved()


def test_a_plan_without_candidates_gets_the_standard_ones(folder):
    text = GOOD[: GOOD.index("[[candidate]]")] + GOOD[GOOD.index("[[budget]]") :]
    names = [r.name for r in plan(folder, text).recipes]
    assert names == ["int8-per-tensor", "int8-per-channel"]
    skops = text.replace("model.onnx", "model.skops")
    assert problems(folder, skops) == [
        "candidate: no standard one fits a scikit-learn model of texts; name [[candidate]]"
    ]
    train = 'task.train={ use = "csv", path = "data/train.csv", text = "b", label = "i" }'
    assert "static" in [r.name for r in plan(folder, text, train).recipes]


@pytest.mark.parametrize(
    ("model", "names", "exported"),
    [
        ("m.onnx", ["int8-per-tensor", "int8-per-channel"], False),
        ("M.ONNX", ["int8-per-tensor", "int8-per-channel"], False),
        ("m.skops", ["onnx"], True),
        ("m.PKL", ["onnx"], True),
        ("m.pickle", ["onnx"], True),
        ("m.joblib", ["onnx"], True),
        ("m.PT2", ["onnx", "int8-per-tensor", "int8-per-channel"], True),
        ("bert", ["onnx", "int8-per-tensor", "int8-per-channel"], True),
    ],
)
def test_the_standard_candidates_fit_the_format_of_the_model(folder, model, names, exported):
    (folder / model).mkdir() if model == "bert" else (folder / model).touch()
    text = GOOD.replace('"model.onnx"', f'"{model}"')
    bare = text.partition("[[candidate]]")[0] + "[[budget]]" + text.partition("[[budget]]")[2]
    if names == ["onnx"]:
        bare = bare.replace("text-classification", "tabular-classification")
    found = plan(folder, bare)
    assert [recipe.name for recipe in found.recipes] == names
    for recipe in found.recipes:
        assert (recipe.steps[0].use == "export_onnx") == exported


def test_standard_candidates_of_numbers_learn_where_they_can(folder):
    text = GOOD[: GOOD.index("[[candidate]]")] + GOOD[GOOD.index("[[budget]]") :]
    text = text.replace("text-classification", "tabular-classification").replace(
        "model.onnx", "model.skops"
    )
    train = 'task.train={ use = "csv", path = "data/train.csv", columns = ["b"], label = "i" }'
    assert [r.name for r in plan(folder, text).recipes] == ["onnx"]
    assert [r.name for r in plan(folder, text, train).recipes] == ["onnx", "trees"]


def test_the_format_of_a_model_is_known_in_capitals(folder):
    (folder / "M.ONNX").touch()
    plan(folder, GOOD.replace('"model.onnx"', '"M.ONNX"'))
    exported = GOOD.replace('"model.onnx"', '"M.ONNX"').replace('["quant', '["export_onnx", "quant')
    assert any("'export_onnx' needs" in line for line in problems(folder, exported))


def test_everything_is_reported_at_once_and_nothing_twice(folder):
    found = problems(
        folder,
        """
strategy = 1
[task]
kind = "text-clasification"
sed = 1
test.main = { use = "cvs", path = "data/test.csv" }
test.other = { use = "csv", path = "dta/test.csv", lable = "x", text = 3 }
[model]
path = "modl.onnx"
trust = "yes"
[evaluate]
slices = { street = 3 }
latency.batch = [0, "x"]
latency.secnds = 3
[[candidate]]
name = "a/b"
steps = ["quantise_dynamic", 3, { use = "drop_layers", keep = "two" }, { per_channel = true }]
[[budget]]
quantity = "acuracy"
max_drop = "0.01"
level = 2
[[budget]]
quantty = "flips"
at_most = 0.1
""",
    )
    for expected in (
        "strategy: unknown key; known: ",
        "task.kind: 'text-clasification' is not allowed; did you mean 'text-classification'?",
        "task.sed: unknown key; did you mean 'seed'?",
        "task.test.main.use: no source called 'cvs'; did you mean 'csv'?",
        "task.test.other.lable: unknown option of source 'csv'; did you mean 'label'?",
        "task.test.other.label: missing; source 'csv' needs it",
        "task.test.other.text: should be text, found 3",
        f"task.test.other.path: no such file {folder}/dta; did you mean 'data'?",
        f"model.path: no such file {folder}/modl.onnx; did you mean 'model.onnx'?",
        "model.trust: should be true or false, found 'yes'",
        "evaluate.slices.street: should be text, found 3",
        "evaluate.latency.batch[0]: must be at least 1, found 0",
        "evaluate.latency.batch[1]: should be a whole number, found 'x'",
        "evaluate.latency.secnds: unknown key; did you mean 'seconds'?",
        "candidate[0].name: 'a/b' becomes a file name",
        "candidate[0].steps[0].use: no step called 'quantise_dynamic'; did you mean 'quantize_dyn",
        "candidate[0].steps[1]: should be text or a table, found 3",
        "candidate[0].steps[2].keep: should be a whole number, found 'two'",
        "candidate[0].steps[3].use: missing; known: ",
        "budget[0].max_drop: should be a number, found '0.01'",
        "budget[0].level: must be between 0.5 and 1, found 2",
        "budget[0].quantity: 'acuracy' is not measured; did you mean 'accuracy'?",
        "budget[1].quantty: unknown key; did you mean 'quantity'?",
        "budget[1].quantity: missing",
    ):
        matching = [line for line in found if line.startswith(expected)]
        assert len(matching) == 1, (expected, found)
        found.remove(matching[0])
    assert found == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[[candidate]]", "[candidate]", "candidate: there may be several; write [[candidate]]"),
        ('name = "int8"', 'name = "baseline"', "candidate[0].name: 'baseline' is taken"),
        ('name = "int8"', 'name = ".."', "candidate[0].name: '..' becomes a file name"),
        ('name = "int8"', 'name = ""', "candidate[0].name: '' becomes a file name"),
        ("test.main", 'test."../x"', "task.test.../x: '../x' becomes a file name"),
        ("test.main", "test.train", "task.test.train: 'train' is taken"),
        ('"refit_head"', '"drop_layers", keep = 2', "steps[1]: 'drop_layers' needs huggingface"),
        ('["quantize_dynamic", ', '["export_onnx", ', "'export_onnx' needs huggingface or pt2"),
        ('name = "int8"', 'name = "int8"\nruntime = "torch"', "runtime: 'torch' runs huggingface"),
        ('name = "int8"', 'name = "int8"\nruntime = "torhc"', "did you mean 'torch'?"),
        ("max_drop = 0.01", 'max_drop = 0.01\ndataset = "mian"', "did you mean 'main'?"),
        ("max_drop = 0.01", 'max_drop = 0.01\nslice = "shrt"', "did you mean 'short'?"),
        ('slices = { short = "length(body) < 40" }', "", None),
        (
            '"accuracy"\nmax_drop = 0.01',
            '"p99_ms"\nat_most = 9.0\nbatch = 8',
            "batch: 8 is not one",
        ),
        ("max_drop = 0.01", "max_drop = nan", "max_drop: must be between 0 and 1, found nan"),
        ('text = "body"', "text = 1979-05-27", None),
        ('path = "data/test.csv", ', "", "task.test.main.path: missing; source 'csv' needs it"),
        ('[model]\npath = "model.onnx"', "", "model: missing"),
        ('[[budget]]\nquantity = "accuracy"\nmax_drop = 0.01', "", "budget: none, so there is"),
    ],
)
def test_one_slip_is_one_problem(folder, old, new, said):
    assert old in GOOD
    text = GOOD.replace(old, new)
    if said is None:
        assert plan(folder, text)
        return
    (found,) = problems(folder, text)
    assert said in found


def test_a_slice_budget_needs_slices(folder):
    text = GOOD.replace('slices = { short = "length(body) < 40" }', "") + 'slice = "*"\n'
    assert problems(folder, text) == ["budget[0].slice: no slice called '*'; known: none"]


def test_names_given_twice_are_named_once(folder):
    again = '[[candidate]]\nname = "int8"\nsteps = []\n'
    assert problems(folder, GOOD + again) == ["candidate[1].name: 'int8' is taken; choose another"]


def test_contradicting_budgets(folder):
    more = '[[budget]]\nquantity = "accuracy"\nat_least = 0.9\n'
    more += '[[budget]]\nquantity = "accuracy"\nat_most = 0.8\ndataset = "main"\n'
    assert problems(folder, GOOD + more) == [
        "budget[2]: contradicts budget[1]: no accuracy can keep both"
    ]


def test_toml_that_is_none_a_missing_plan_and_a_folder(folder):
    assert "not valid TOML: " in problems(folder, "[task\n")[0]
    with pytest.raises(PlanError, match=r"no such plan; here are: .*p\.toml"):
        read_plan(folder / "q.toml")
    with pytest.raises(PlanError, match="no such plan; `surefoot init MODEL DATA` writes one"):
        read_plan(folder / "nowhere" / "q.toml")
    with pytest.raises(PlanError, match="cannot be read: "):
        read_plan(folder)
    (folder / "b.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(PlanError, match="cannot be read: "):
        read_plan(folder / "b.toml")


@pytest.mark.parametrize(
    ("override", "of", "value"),
    [
        ("budget[0].max_drop=0.02", lambda p: p.budgets[0].max_drop, 0.02),
        ("evaluate.latency.batch=[1, 8]", lambda p: p.evaluate.latency.batch, [1, 8]),
        ("task.name=my task", lambda p: p.task.name, "my task"),
        ("model.trust = true", lambda p: p.model.trust, True),
        ("candidate[0].steps[0]=refit_head", lambda p: p.recipes[0].steps[0].use, "refit_head"),
    ],
)
def test_overrides_win_over_the_file(folder, override, of, value):
    assert of(plan(folder, GOOD, override)) == value


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("budget", "--set 'budget': is not of the form table.key=value"),
        ("=3", "--set '=3': is not of the form table.key=value"),
        ("budget[7].level=0.9", "--set 'budget[7].level=0.9': 'budget[7].level' does not name"),
        ("model.path.deep=1", "--set 'model.path.deep=1': 'model.path.deep' does not name"),
        ("modl.trust=true", "modl: unknown key; did you mean 'model'?"),
        ("model=3", "model: should be a table, found 3"),
        ("evaluate.batch=", "evaluate.batch: should be a whole number, found ''"),
    ],
)
def test_malformed_overrides(folder, override, said):
    (found,) = problems(folder, GOOD, override)
    assert found.startswith(said)


def test_a_step_is_checked_as_in_a_plan():
    assert step("quantize_dynamic", per_channel=False).options == (("per_channel", False),)
    with pytest.raises(PlanError, match="did you mean 'per_channel'"):
        step("quantize_dynamic", perchannel=False)
    with pytest.raises(PlanError, match="weights: should be one of 'int8', 'uint8', found 'int4'"):
        step("quantize_dynamic", weights="int4")


toml = st.recursive(
    st.booleans() | st.integers(-3, 3) | st.text("ab./", max_size=3) | st.floats(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("as"), inner, max_size=2),
    max_leaves=6,
)


@given(
    st.sampled_from(
        ["task", "model", "budget", "candidate", "evaluate", "task.test", "evaluate.slices", "strs",
         "budget[0]", "candidate[0].steps", "candidate[0].steps[1]", "evaluate.latency"]
    ),
    toml,
)  # fmt: skip
def test_no_value_anywhere_breaks_the_reader(key, value):
    tables = tomllib.loads(GOOD)
    assert not list(set_key(tables, f"{key}=0"))
    place = tables
    *parents, last = (int(p) if p.isdigit() else p for p in re.findall(r"\w+", key))
    for part in parents:
        place = place[part]
    place[last] = value
    file, broken = typed(tables)
    assert file.task.kind == "text-classification"
    assert all(line.startswith(key.partition(".")[0][:4]) for line in broken.values())


def test_a_plan_that_moved_with_its_files_says_the_same(folder, tmp_path):
    """What a run is named by must not depend on where its folder lies."""
    here = plan(folder)
    there = tmp_path / "moved" / "deep"
    shutil.copytree(folder / "data", there / "data")
    for name in ("model.onnx", "p.toml"):
        shutil.copyfile(folder / name, there / name)
    assert read_plan(there / "p.toml").resolved() == here.resolved()
    assert str(folder) not in str(here.resolved())
    changed = read_plan(there / "p.toml", ["budget[0].max_drop=0.02"])
    assert changed.resolved() != here.resolved()


def test_every_file_of_data_is_listed_once(folder):
    (folder / "tokenizer.json").touch()
    again = 'task.test.again={ use = "csv", path = "data/test.csv", text = "b", label = "i" }'
    train = 'task.train={ use = "csv", path = "data/train.csv", text = "b", label = "i" }'
    read = plan(folder, GOOD, again, train, 'model.tokenizer="tokenizer.json"')
    names = ("data/test.csv", "data/train.csv")
    assert sorted(read.files()) == [folder / name for name in names]


def test_equal_recipes_hash_alike(folder):
    recipes = plan(folder, GOOD).recipes
    assert {recipes[0]: 1}[plan(folder, GOOD).recipes[0]] == 1


def test_a_tokenizer_that_is_not_there_is_named(folder):
    assert problems(folder, GOOD, 'model.tokenizer="tokenisr.json"')[0].startswith(
        f"model.tokenizer: no such file {folder}/tokenisr.json"
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ('evaluate.shifts=["typo"]', "evaluate.shifts[0].use: no shift called 'typo'; did you"),
        ('evaluate.shifts=["blur"]', "'blur' shifts image inputs, and the task's are text"),
        ('evaluate.shifts=[{use="typos",severity=6.0}]', "above 0 and at most 5, found 6"),
        ('evaluate.shifts=[{use="typos",severity=-1.0}]', "above 0 and at most 5, found -1"),
        ('evaluate.shifts=[{use="typos",severity=0.0}]', "above 0 and at most 5, found 0"),
        ('evaluate.shifts=[{use="typos",severity="3"}]', "severity: should be a number, found '3'"),
        ('evaluate.shifts=["covariate_shift"]', "'covariate_shift' shifts numeric inputs, and the"),
        ('evaluate.shifts=[{use="typos",force=1}]', "shifts[0].force: unknown option of shift"),
        ('evaluate.shifts=["typos","typos"]', "evaluate.shifts[1]: 'typos' of severity 1 is given"),
        ("evaluate.shifts=[3]", "evaluate.shifts[0]: should be"),
        ('budget.0.shift="typos"', "budget[0].shift: no shift called 'typos'"),
    ],
)
def test_a_wrong_shift_is_named(folder, change, said):
    with pytest.raises(PlanError) as caught:
        plan(folder, GOOD, change)
    assert said in str(caught.value)


def test_shifts_are_calls_with_options(folder):
    read = plan(folder, GOOD, 'evaluate.shifts=["case",{use="typos",severity=2.5}]')
    assert [(call.use, dict(call.options)) for call in read.shifts] == [
        ("case", {}), ("typos", {"severity": 2.5}),
    ]  # fmt: skip


OUTSIDE = 'out_of_scope = { use = "csv", path = "data/train.csv", text = "body" }\n'


def with_outside(call: str = OUTSIDE) -> str:
    return GOOD.replace("[model]", call + "\n[model]", 1)


def test_out_of_scope_rows_are_a_source_that_needs_no_label(folder):
    read = plan(folder, with_outside())
    assert read.task.out_of_scope["path"] == str(folder / "data/train.csv")
    assert folder / "data/train.csv" in read.files()
    assert read.resolved()["task"]["out_of_scope"]["path"] == "data/train.csv"


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (OUTSIDE.replace("train.csv", "trian.csv"), "task.out_of_scope.path: no such file"),
        (OUTSIDE.replace("csv", "cvs", 1), "task.out_of_scope.use: no source called 'cvs'"),
        (OUTSIDE.replace("text =", "txet ="), "task.out_of_scope.txet: unknown option"),
        (
            'out_of_scope = { use = "npz", path = "data/train.csv", inputs = "x" }',
            "task.out_of_scope.label: missing; source 'npz' needs it",
        ),
        ('out_of_scope = "rows.csv"', "task.out_of_scope: should be"),
        (
            'test.out_of_scope = { use = "csv", path = "data/test.csv", label = "a", text = "b" }',
            "task.test.out_of_scope: 'out_of_scope' is taken",
        ),
    ],
)
def test_what_is_wrong_with_out_of_scope_rows(folder, call, line):
    assert any(problem.startswith(line) for problem in problems(folder, with_outside(call)))


def test_a_broken_key_hides_no_other_that_begins_alike(folder):
    found = problems(folder, GOOD, 'evaluate.shift=["typos"]', 'evaluate.shifts=["typo"]')
    assert [line.partition(":")[0] for line in found] == [
        "evaluate.shift",
        "evaluate.shifts[0].use",
    ]
    found = problems(folder, GOOD, "evaluate.see=3", "evaluate.seeds=0", 'evaluate.batc="x"')
    assert [line.partition(":")[0] for line in found] == [
        "evaluate.see",
        "evaluate.batc",
        "evaluate.seeds",
    ]
    # What is wrong with what stands in for a broken value stays hidden.
    found = problems(folder, GOOD, 'evaluate.seeds="x"', 'evaluate.seed="x"')
    assert [line.partition(":")[0] for line in found] == ["evaluate.seeds", "evaluate.seed"]


NO_NAME = "evaluate.load: loads have names; write [evaluate.load.NAME], for example"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ('evaluate.load={scenario="server",target_qps=50,seconds=30}', NO_NAME),
        ('evaluate.load={scenario="server",url={}}', NO_NAME),
        ('evaluate.load=[{scenario="server"}]', NO_NAME),
        ("evaluate.load=3", NO_NAME),
        ("evaluate.load.peak=3", "evaluate.load.peak: should be a table, found 3"),
        (
            'budget={quantity="p99_ms",at_most=20,load="peak"}',
            "budget: there may be several; write [[budget]]",
        ),
        (
            'evaluate.envelope={axis="typos",max_drop=0.1}',
            "evaluate.envelope: there may be several; write [[evaluate.envelope]]",
        ),
        (
            'candidate={name="int8",steps=["quantize_dynamic"]}',
            "candidate: there may be several; write [[candidate]]",
        ),
    ],
)
def test_tables_of_another_shape_are_met_with_how_to_write_them(folder, change, said):
    under_load = '\n[[budget]]\nquantity = "p99_ms"\nat_most = 20\nload = "peak"\n'
    loaded = "load" in change and not change.startswith("budget")
    (found,) = problems(folder, GOOD + under_load * loaded, change)
    assert found.startswith(said)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ('evaluate.checks=["golde"]', "evaluate.checks[0].use: no check called 'golde'; did you"),
        ('evaluate.checks=[{use="edits",row=1}]', "checks[0].row: unknown option of check 'edits'"),
        ('evaluate.checks=[{use="edits",rows="many"}]', "checks[0].rows: should be a whole number"),
        ('evaluate.checks=[{use="edits",rows=0}]', "checks[0].rows: must be at least 1, found 0"),
        ('evaluate.checks=[{use="term_swaps",swaps=["he"]}]', "checks[0].swaps: should be a list"),
        ('evaluate.checks=["golden","golden"]', "evaluate.checks[1]: 'golden' is given twice"),
        ("evaluate.checks=[3]", "evaluate.checks[0]: should be"),
        ('evaluate.checks=["membership"]', "'membership' asks training rows too; name them as"),
        (
            'evaluate.checks=[{use="membership",dataset="mein"}]',
            "checks[0].dataset: no test set 'mein'; did you mean 'main'?",
        ),
        ("evaluate.check_rows=0", "evaluate.check_rows: must be at least 1, found 0"),
        ('budget.0.quantity="golden"', "budget[0].quantity: add 'golden' to evaluate.checks"),
        (
            'budget.0={quantity="batch_invariance",at_most=0.0}',
            "budget[0].quantity: add 'batch_invariance' to evaluate.checks",
        ),
    ],
)
def test_a_wrong_check_is_named(folder, change, said):
    with pytest.raises(PlanError) as caught:
        plan(folder, GOOD, change)
    assert said in str(caught.value)


def test_a_check_that_does_not_fit_the_inputs_is_named(folder):
    changes = ('task.kind="image-classification"', 'evaluate.checks=["edits"]')
    said = problems(folder, GOOD, *changes)
    assert "evaluate.checks[0].use: 'edits' checks text inputs, and the task's are image" in said


def test_a_check_may_stand_in_a_budget(folder):
    swaps = 'evaluate.checks=["golden",{use="term_swaps",swaps=[["he","she"]]}]'
    limit = 'budget.0={quantity="term_swaps",at_most=0.01}'
    read = plan(folder, GOOD, swaps, limit)
    assert [(call.use, dict(call.options)) for call in read.checks] == [
        ("golden", {}), ("term_swaps", {"swaps": (("he", "she"),)}),
    ]  # fmt: skip
    assert read.metrics() == ("accuracy",)
    assert hash(read.checks[1])
    wrong = 'budget.0={quantity="term_swaps",at_most=0.01,slice="*"}'
    assert problems(folder, GOOD, swaps, wrong)[0].startswith(
        "budget[0].slice: 'term_swaps' asks rows of its own; leave slice out"
    )


def test_a_fixed_list_may_have_no_failure_at_all_and_a_sampled_rate_may_not(folder):
    checks = 'evaluate.checks=["golden","finite"]'
    none = 'budget.0={{quantity="{}",at_most=0.0}}'
    assert plan(folder, GOOD, checks, none.format("golden")).budgets[0].at_most == 0
    (said,) = problems(folder, GOOD, checks, none.format("finite"))
    assert said == "budget[0].at_most: no number of rows shows a rate of 0; give 0.005, for example"


STORED = """
[[candidate]]
name = "student"
steps = [{ use = "distill_static", outputs = "data/scores.csv" }]
"""


def test_files_that_options_name_lie_where_the_plan_does(folder):
    (folder / "data" / "scores.csv").touch()
    (recipe,) = [r for r in plan(folder, GOOD + STORED).recipes if r.name == "student"]
    assert dict(recipe.steps[0].options) == {"outputs": str(folder / "data" / "scores.csv")}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("data/score.csv", "no such file: 'data/score.csv'; did you mean 'scores.csv'?"),
        ("gone/scores.csv", "no such file: 'gone/scores.csv'; known: none"),
    ],
)
def test_a_file_that_an_option_names_must_be_there(folder, change, said):
    (folder / "data" / "scores.csv").touch()
    text = GOOD + STORED.replace("data/scores.csv", change)
    assert problems(folder, text) == [f"candidate[1].steps[0].outputs: {said}"]
    number = GOOD + STORED.replace('"data/scores.csv"', "3")
    (line,) = problems(folder, number)
    assert line == "candidate[1].steps[0].outputs: should be a path, found 3"
