"""A transformer of uneven layers is written with what differs, and read again as it was."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from surefoot.core.errors import ModelError
from surefoot.models.formats import huggingface as folders
from surefoot.models.formats._classifiers import SequenceClassifier
from surefoot.models.formats._structure import STRUCTURE, write_structure

LAYER = "bert.encoder.layer"


@pytest.fixture
def bert():
    """A BERT of two layers with 4 heads, of random weights."""
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=30,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=20,
    )
    return BertForSequenceClassification(config).eval()


def narrow(model, layer, heads):
    """Leave so many heads in a layer, as pruning does."""
    attention = model.bert.encoder.layer[layer].attention
    for name in ("query", "key", "value"):
        setattr(attention.self, name, nn.Linear(32, 8 * heads))
    attention.output.dense = nn.Linear(8 * heads, 32)
    attention.self.num_attention_heads, attention.self.all_head_size = heads, 8 * heads


def shorten(model, layer, width):
    """Leave so many hidden units in a layer."""
    block = model.bert.encoder.layer[layer]
    block.intermediate.dense = nn.Linear(32, width)
    block.output.dense = nn.Linear(width, 32)


def thin(model, layer, rank):
    """Split a layer's first hidden product in two of a rank."""
    parts = nn.Sequential(nn.Linear(32, rank, bias=False), nn.Linear(rank, 48))
    model.bert.encoder.layer[layer].intermediate.dense = parts


CHANGES = {
    "heads of one layer": [(narrow, 0, 1)],
    "other heads in each": [(narrow, 0, 3), (narrow, 1, 1)],
    "hidden units": [(shorten, 1, 7)],
    "low rank": [(thin, 0, 5)],
    "all of it": [(narrow, 0, 2), (shorten, 0, 16), (narrow, 1, 1), (thin, 1, 3)],
}


def answers(module):
    ids = torch.from_numpy(np.random.default_rng(0).integers(0, 30, (3, 9)))
    with torch.no_grad():
        return module(ids, torch.ones_like(ids)).numpy()


def written(model, folder):
    folders.save(SequenceClassifier(model), folder)
    return folder


def changed(model, name):
    for change, *place in CHANGES[name]:
        change(model, *place)
    return model.eval()


@pytest.mark.parametrize("name", CHANGES)
def test_what_was_written_is_read_and_written_alike(bert, tmp_path, name):
    model = changed(bert, name)
    wanted = answers(SequenceClassifier(model))
    again = folders.huggingface(written(model, tmp_path))
    np.testing.assert_allclose(answers(again), wanted, atol=1e-6)
    assert not again.training
    (tmp_path / "again").mkdir()
    folders.save(again, tmp_path / "again")
    first, second = ((path / STRUCTURE).read_text() for path in (tmp_path, tmp_path / "again"))
    assert first == second


def test_an_even_model_gets_no_file(bert, tmp_path):
    write_structure(bert, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_names_what_differs_and_nothing_else(bert, tmp_path):
    narrow(bert, 1, 3)
    thin(bert, 0, 5)
    write_structure(bert, tmp_path)
    attention = f"{LAYER}.1.attention"
    assert json.loads((tmp_path / STRUCTURE).read_text()) == {
        f"{LAYER}.0.intermediate.dense": {"low_rank": [32, 5, 48]},
        f"{attention}.self": {"num_attention_heads": 3, "all_head_size": 24},
        f"{attention}.self.query": {"linear": [32, 24]},
        f"{attention}.self.key": {"linear": [32, 24]},
        f"{attention}.self.value": {"linear": [32, 24]},
        f"{attention}.output.dense": {"linear": [24, 32]},
    }


DENSE = f"{LAYER}.0.intermediate.dense"
SELF = f"{LAYER}.0.attention.self"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[]", "is no table of modules; make the model again"),
        ('{"bert": 3}', "is no table of modules"),
        (json.dumps({DENSE: {}}), f"'{DENSE}' does not fit the model that config.json"),
        (json.dumps({DENSE: {"linear": [32]}}), r"\[32\] are no 2 sizes of at most 48"),
        (json.dumps({DENSE: {"linear": [32, 0]}}), r"\[32, 0\] are no 2 sizes"),
        (json.dumps({DENSE: {"linear": [32, 49]}}), r"\[32, 49\] are no 2 sizes"),
        (json.dumps({DENSE: {"linear": [32, True]}}), r"\[32, True\] are no 2 sizes"),
        (json.dumps({DENSE: {"linear": [32, 4.0]}}), r"\[32, 4.0\] are no 2 sizes"),
        (json.dumps({DENSE: {"linear": 3}}), "does not fit"),
        (json.dumps({DENSE: {"low_rank": [32, 48]}}), "are no 3 sizes of at most 48"),
        (json.dumps({f"{LAYER}.7": {"linear": [1, 1]}}), f"'{LAYER}.7' does not fit"),
        (json.dumps({"nowhere": {"x": 1}}), "'nowhere' does not fit"),
        (json.dumps({SELF: {"num_attention_heads": 0}}), "'num_attention_heads' is no size"),
        (json.dumps({SELF: {"num_attention_heads": "2"}}), "'num_attention_heads' is no size"),
        (json.dumps({SELF: {"training": 1}}), "'training' is no size"),
        (json.dumps({SELF: {"unknown": 1}}), "'unknown'"),
        (json.dumps({DENSE: {"linear": [32, 40]}}), "weights do not fit structure.json: .*dense"),
        (json.dumps({DENSE: {"low_rank": [32, 4, 48]}}), r"weights are missing, the first is"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(bert, tmp_path, text, reason):
    written(bert, tmp_path)
    (tmp_path / STRUCTURE).write_text(text)
    with pytest.raises(ModelError, match=reason) as caught:
        folders.huggingface(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_weights_that_are_not_there_are_named(bert, tmp_path):
    from safetensors.torch import load_file, save_file

    narrow(bert, 0, 1)
    written(bert, tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["classifier.bias"]
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=r"1 weights are missing, the first is 'classifier\.bias'"):
        folders.huggingface(tmp_path)
