"""What a plan says of the runtimes that its steps choose is checked before anything runs."""

import pytest

from surefoot import plugins
from surefoot.core.errors import PlanError
from surefoot.plan import read_plan

PLAN = """
[task]
kind = "text-classification"
test.main = {{ use = "csv", path = "rows.csv", text = "text", label = "label" }}
[model]
path = "{model}"
[[candidate]]
name = "lean"
{more}
steps = [{steps}]
[[budget]]
quantity = "accuracy"
max_drop = 0.01
"""


@pytest.fixture
def problems(tmp_path):
    """The problems of a plan whose candidate has these steps."""
    (tmp_path / "rows.csv").write_text("text,label\nfine,good\npoor,bad\n")
    (tmp_path / "big.onnx").touch()
    (tmp_path / "big").mkdir()

    def read(steps, more="", model="big.onnx"):
        path = tmp_path / "surefoot.toml"
        path.write_text(PLAN.format(model=model, more=more, steps=steps))
        try:
            read_plan(path)
        except PlanError as error:
            return list(error.problems)
        return []

    return read


def test_a_runtime_that_fits_is_no_problem(problems):
    assert problems('{ use = "set_runtime", runtime = "openvino", threads = 2 }') == []


def test_a_format_that_is_kept_is_checked_further_on(problems):
    (found,) = problems('{ use = "set_runtime", threads = 2 }, "quantize_static"', model="big")
    assert "'quantize_static' needs onnx, but is given huggingface" in found


@pytest.mark.parametrize(
    ("steps", "more", "complaint"),
    [
        (
            '{ use = "set_runtime", runtime = "openvnio" }',
            "",
            "candidate[0].steps[0].runtime: no runtime called 'openvnio'; did you mean 'openvino'?",
        ),
        (
            '{ use = "set_runtime", runtime = "torch" }',
            "",
            (
                "candidate[0].steps[0].runtime: 'torch' runs huggingface or pt2 or torchscript,"
                " but the steps give onnx"
            ),
        ),
        (
            '{ use = "set_runtime", runtime = "openvino" }',
            'runtime = "onnxruntime"',
            (
                "candidate[0].runtime: 'onnxruntime', but candidate[0].steps[0].runtime says"
                " 'openvino'; leave one out"
            ),
        ),
        (
            '{ use = "set_runtime", threads = 0 }',
            "",
            "candidate[0].steps[0].threads: must be at least 1, found 0",
        ),
        (
            '{ use = "set_runtime", graph_level = "most" }',
            "",
            "candidate[0].steps[0].graph_level: should be",
        ),
    ],
)
def test_what_cannot_be_is_said(problems, steps, more, complaint):
    (found,) = problems(steps, more)
    assert found.startswith(complaint)


def test_a_later_step_may_choose_another(problems):
    steps = (
        '{ use = "set_runtime", runtime = "torch" }, "export_onnx",'
        ' { use = "set_runtime", runtime = "openvino" }'
    )
    assert problems(steps, model="big") == []


def test_a_runtime_that_is_not_installed_is_said(problems, monkeypatch):
    module = plugins.module("runtime", "openvino")
    monkeypatch.setattr(module, "LIBRARY", ("no_such_library", "openvino"))
    (found,) = problems('{ use = "set_runtime", runtime = "openvino" }')
    assert found.endswith("no_such_library is not installed; pip install 'surefoot[openvino]'")
