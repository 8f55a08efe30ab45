from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from surefoot.core.errors import ModelError
from surefoot.models import open_model
from surefoot.models.formats import _programs
from surefoot.models.formats.pt2 import pt2, save

# torch.export's own code still calls what torch deprecates.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


class Bag(torch.nn.Module):
    """The mean of token scores."""

    def __init__(self, tokens: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.scores = torch.nn.Embedding(tokens, 2)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        mask = attention_mask.unsqueeze(-1).float()
        return (self.scores(input_ids) * mask).sum(1) / mask.sum(1)


@pytest.fixture(scope="module")
def bag(tokenizer_json: Path) -> Bag:
    from tokenizers import Tokenizer

    return Bag(Tokenizer.from_file(str(tokenizer_json)).get_vocab_size()).eval()


def exported(module: torch.nn.Module, path: Path, *, by_name: bool, dynamic: bool = True) -> Path:
    ids = torch.ones(3, 5, dtype=torch.int64)
    axes = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC} if dynamic else None
    # Not the same tensor twice: torch.export would take the two inputs for one.
    named = {"input_ids": ids, "attention_mask": ids.clone()}
    program = torch.export.export(
        module,
        () if by_name else tuple(named.values()),
        named if by_name else None,
        dynamic_shapes=dict.fromkeys(named, axes),
    )
    save(program, path)
    return path


@pytest.mark.parametrize("by_name", [True, False])
def test_programs_run_however_their_inputs_were_given(
    adopted, bag, tokenizer_json, texts, by_name
) -> None:
    path = exported(bag, adopted.root / "bag.pt2", by_name=by_name)
    model = adopted(path, classes=["a", "b"], tokenizer=str(tokenizer_json), max_length=40)
    assert model.signature.tensors == ("input_ids", "attention_mask")
    with open_model(model) as predict:
        found = predict(texts, batch=16)
        tensors = predict._preprocessor.tensors(
            predict._preprocessor.rows(texts), np.arange(len(texts))
        )
    with torch.no_grad():
        logits = bag(**{name: torch.from_numpy(array) for name, array in tensors.items()})
    np.testing.assert_allclose(found, logits.softmax(1).numpy(), atol=1e-6)


def test_a_program_of_one_batch_size_is_refused(adopted, bag, tokenizer_json, tmp_path) -> None:
    path = exported(bag, tmp_path / "fixed.pt2", by_name=False, dynamic=False)
    with pytest.raises(ModelError, match="'input_ids' takes exactly 3 rows a call"):
        adopted(path, classes=["a", "b"], tokenizer=str(tokenizer_json))


def test_a_smaller_embedding_than_the_tokenizer(adopted, tokenizer_json, tmp_path) -> None:
    path = exported(Bag(20), tmp_path / "small.pt2", by_name=True)
    with pytest.raises(
        ModelError, match=r"the tokenizer has \d+ tokens, more than the model knows"
    ):
        adopted(path, classes=["a", "b"], tokenizer=str(tokenizer_json))


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_truncated_program(bag, tmp_path, share) -> None:
    content = exported(bag, tmp_path / "whole.pt2", by_name=False).read_bytes()
    (tmp_path / "cut.pt2").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ModelError, match=r"cut.pt2: not a readable exported program"):
        pt2(tmp_path / "cut.pt2")


@pytest.mark.parametrize("member", ["data/aotinductor/model/run.so", "data/constants/custom_obj_0"])
def test_programs_that_hold_code_are_refused(bag, tmp_path, member) -> None:
    path = exported(bag, tmp_path / "code.pt2", by_name=False)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"code/{member}", b"x")
    with pytest.raises(
        ModelError, match=f"holds code or pickled objects, the first is 'code/{member}"
    ):
        pt2(path)


def test_a_pickle_inside_a_program_is_not_loaded(bag, tmp_path) -> None:
    """The example inputs of a program are loaded by torch.load, which could unpickle anything."""

    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "exploded",))

    source = exported(bag, tmp_path / "good.pt2", by_name=False)
    bomb = tmp_path / "bomb.bin"
    torch.save((Bomb(),), bomb)
    replaced = 0
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(tmp_path / "evil.pt2", "w") as new:
        for item in old.infolist():
            hit = "sample_inputs" in item.filename
            replaced += hit
            new.writestr(item.filename, bomb.read_bytes() if hit else old.read(item))
    assert replaced == 1
    with pytest.raises(ModelError, match="holds pickled objects other than tensors"):
        pt2(tmp_path / "evil.pt2")
    assert not (tmp_path / "exploded").exists()


def rewritten(source: Path, target: Path, change: Callable[[dict], None]) -> Path:
    """A program with another description of its graph."""
    changed = 0
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for item in old.infolist():
            content = old.read(item)
            if "/models/" in item.filename:
                program = json.loads(content)
                change(program)
                content, changed = json.dumps(program).encode(), changed + 1
            new.writestr(item.filename, content)
    assert changed == 1
    return target


def sizes(program: dict) -> list[dict]:
    """The symbolic sizes of a program's tensors."""
    tensors = program["graph_module"]["graph"]["tensor_values"].values()
    return [size["as_expr"] for t in tensors for size in t["sizes"] if "as_expr" in size]


def spec(program: dict, context: str, type: str) -> None:
    """Make a program say that its inputs are of a type with a context of its own."""
    signature = program["graph_module"]["module_call_graph"][0]["signature"]
    protocol, tree = json.loads(signature["in_spec"])
    tree["children_spec"][1] |= {"type": type, "context": context}
    signature["in_spec"] = json.dumps([protocol, tree])


def renamed(program: dict, old: str, new: str) -> None:
    """Give a tensor another name, everywhere."""
    text = json.dumps(program["graph_module"]).replace(json.dumps(old), json.dumps(new))
    program["graph_module"] = json.loads(text)


TOUCH = "__import__('pathlib').Path('exploded').touch()"
ATTACKS = {
    "size": lambda p: sizes(p)[0].update(expr_str=TOUCH),
    "list of sizes": lambda p: sizes(p)[0].update(expr_str=[TOUCH]),
    "size called metadata": lambda p: p["graph_module"]["graph"]["tensor_values"].update(
        metadata={"sizes": [{"as_expr": {"expr_str": TOUCH}}]}
    ),
    "guard": lambda p: p.update(guards_code=[f"{TOUCH} is None"]),
    "guard of attributes": lambda p: p.update(
        guards_code=["L['input_ids'].size.__globals__['x'].system('touch exploded') == 0"]
    ),
    "operator": lambda p: p["graph_module"]["graph"]["nodes"][0].update(
        target="torch.os.system",
        inputs=[{"name": "", "arg": {"as_string": "touch exploded"}, "kind": 1}],
    ),
    "library": lambda p: p["graph_module"]["graph"]["nodes"][0].update(
        target="torch.ops.load_library"
    ),
    "file": lambda p: p["graph_module"]["graph"]["nodes"][0].update(
        target="torch.ops.aten.from_file.default"
    ),
    "name": lambda p: renamed(p, "attention_mask", f"mask=({TOUCH})"),
    "default": lambda p: spec(
        p,
        {"default_factory_module": "antigravity", "default_factory_name": "x", "dict_context": []},
        "collections.defaultdict",
    ),
    "enum": lambda p: spec(
        p, '[{"__enum__": true, "fqn": "antigravity:x", "name": "y"}]', "builtins.dict"
    ),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_text_that_torch_would_run_is_refused(bag, tmp_path, monkeypatch, name) -> None:
    monkeypatch.chdir(tmp_path)
    source = exported(bag, tmp_path / "good.pt2", by_name=False)
    evil = rewritten(source, tmp_path / "evil.pt2", ATTACKS[name])
    with pytest.raises(ModelError, match="holds text that torch would run and did not write"):
        pt2(evil).module()
    assert not (tmp_path / "exploded").exists()


def test_a_program_under_a_name_in_other_case_is_looked_into(bag, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = exported(bag, tmp_path / "good.pt2", by_name=False)
    evil = rewritten(source, tmp_path / "evil.pt2", ATTACKS["size"])
    with zipfile.ZipFile(evil) as old, zipfile.ZipFile(tmp_path / "case.pt2", "w") as new:
        for item in old.infolist():
            new.writestr(item.filename.replace("models/", "MODELS/"), old.read(item))
    with pytest.raises(ModelError, match="holds text that torch would run"):
        pt2(tmp_path / "case.pt2")


def test_every_function_that_torch_writes_into_sizes_is_known() -> None:
    import sympy
    from torch.utils._sympy import functions

    written = [
        name
        for name, value in vars(functions).items()
        if isinstance(value, type)
        and issubclass(value, sympy.Function)
        and value.__module__ == functions.__name__
    ]
    assert {"FloorDiv", "Mod", "PythonMod", "CeilDiv"} <= {*written}
    unknown = [f for f in written if not _programs._is_expression(f"{f}(Symbol('s0'), Integer(2))")]
    assert unknown == []


@pytest.mark.parametrize(
    "text",
    [
        "Symbol('s77', positive=True, integer=True)",
        "Mul(Integer(2), Pow(Symbol('s0', integer=True), Integer(-1)))",
        "2*s0 + (s1 - 1)//2",
        "Max(1, Mod(s0, 4))",
        "Float('0.5', precision=53)",
        "4*L['x'].size()[0]*((-1) + L['x'].size()[2] // 2) >= 2",
        "L['args'][0].stride()[1] != max(1, 2) and not math.isnan(L['y'])",
    ],
)
def test_arithmetic_is_let_through(text) -> None:
    assert _programs._is_expression(text)


@pytest.mark.parametrize(
    "text",
    [
        "exec('x')",
        "open(s0)",
        "Symbol('__import__')",
        "Symbol('s0 + exec(1)')",
        "Add('exec(1)', 1)",
        "().__class__",
        "Symbol('s0').func(1)",
        "Max(*s0)",
        "Max(1, key=exec)",
        "[s0 for s0 in s1]",
        "lambda: s0",
        "L[exec(1)]",
        "math.__loader__",
        "math.sqrt(exec(1))",
        "s0 if s1 else s2",
        "s0\n",
        "s0 # s1",
        "(s0",
        "",
    ],
)
def test_anything_else_is_not(text) -> None:
    assert not _programs._is_expression(text)


@pytest.mark.parametrize("lost", ["archive_format", "weights_config", "models/", "sample_inputs"])
def test_a_program_with_a_part_missing(bag, tmp_path, lost) -> None:
    source = exported(bag, tmp_path / "good.pt2", by_name=False)
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(tmp_path / "less.pt2", "w") as new:
        for item in old.infolist():
            if lost not in item.filename:
                new.writestr(item.filename, old.read(item))
    with pytest.raises(ModelError, match=r"less.pt2: not a readable exported program"):
        pt2(tmp_path / "less.pt2")


def test_a_transformer_is_let_through(tiny_bert, tmp_path) -> None:
    from transformers import BertForSequenceClassification

    model = BertForSequenceClassification.from_pretrained(tiny_bert).eval()
    ids, free = torch.ones(3, 7, dtype=torch.int64), torch.export.Dim.DYNAMIC
    named = {"input_ids": ids, "attention_mask": ids.clone()}
    axes = {name: {0: free, 1: free} for name in named}

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            return self.inner(input_ids=input_ids, attention_mask=attention_mask).logits

    save(torch.export.export(Logits(), (), named, dynamic_shapes=axes), tmp_path / "bert.pt2")
    rows = {name: torch.ones(2, 5, dtype=torch.int64) for name in named}
    with torch.no_grad():
        found = pt2(tmp_path / "bert.pt2").module()(**rows)
        torch.testing.assert_close(found, Logits()(**rows))
