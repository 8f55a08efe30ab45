from surefoot.core import errors
from surefoot.core.errors import DataError, PlanError, SurefootError, nearest


def test_a_line_says_where_what_and_the_fix():
    error = DataError("no column 'labl'", where="a.csv", fix="did you mean 'label'?")
    assert str(error) == "a.csv: no column 'labl'; did you mean 'label'?"


def test_a_plan_error_keeps_every_problem_on_its_line():
    error = PlanError(["task: missing", "model: missing"], where="p.toml")
    assert error.problems == ("task: missing", "model: missing")
    assert str(error).splitlines() == ["p.toml: task: missing", "p.toml: model: missing"]
    assert str(PlanError("one")) == "one"


def test_nearest_suggests_or_lists_but_never_floods():
    assert nearest("acuracy", ["accuracy", "flips"]) == "did you mean 'accuracy'?"
    assert nearest("zzz", ["b", "a"]) == "known: a, b"
    assert nearest("zzz", []) == "known: none"
    assert nearest("zzz", map(str, range(50))).endswith("…")


def test_the_tree_at_the_top_of_the_file_is_the_tree_of_the_code():
    classes = [c for c in vars(errors).values() if getattr(c, "__module__", "") == errors.__name__]
    classes = [c for c in classes if isinstance(c, type)]
    assert len(classes) == 11
    assert all(issubclass(c, SurefootError) and c.__name__ in str(errors.__doc__) for c in classes)
