"""Models with fewer layers are smaller, load again, and answer with a head of their own."""

from dataclasses import replace

import pytest

from surefoot import models
from surefoot.core.errors import ModelError
from surefoot.models.formats.huggingface import huggingface


@pytest.mark.parametrize("kind", ["encoder", "classifier"])
def test_keeps_the_first_layer_and_refits_the_head(step, request, accuracy, kind):
    model = request.getfixturevalue(kind)
    made = step("drop_layers", model, keep=1)
    before, after = huggingface(model.path), huggingface(made.path)
    assert made.size_bytes < model.size_bytes
    assert accuracy(made) > 0.9
    bodies = [getattr(m, "encoder", None) or m.model.bert for m in (before, after)]
    layers = [body.encoder.layer for body in bodies]
    assert [len(each) for each in layers] == [2, 1]
    first = [dict(each[0].named_parameters()) for each in layers]
    assert all(first[0][name].equal(first[1][name]) for name in first[0])


def test_layers_are_evenly_spaced(tmp_path, step, text_task):
    import torch
    from safetensors.numpy import save_file
    from transformers import BertConfig, BertModel

    from surefoot.core.model import Signature

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=200,
        hidden_size=8,
        num_hidden_layers=6,
        num_attention_heads=1,
        intermediate_size=8,
        max_position_embeddings=48,
    )
    encoder = BertModel(config)
    for place, layer in enumerate(encoder.encoder.layer):
        torch.nn.init.constant_(layer.output.dense.bias, float(place))
    folder = tmp_path / "six"
    encoder.save_pretrained(folder)
    import numpy as np

    save_file(
        {"weight": np.zeros((2, 8), "f4"), "bias": np.zeros(2, "f4")}, folder / "head.safetensors"
    )
    (folder / "tokenizer.json").write_text(tokenizer_text())
    signature = Signature(
        input="text",
        classes=text_task.classes,
        tensors=("input_ids", "attention_mask"),
        max_length=40,
    )
    model = models.seal(folder, name="six", format="huggingface", file=".", signature=signature)
    for keep, chosen in [
        (3, [0, 2, 4]),
        (2, [0, 3]),
        (4, [0, 1, 3, 4]),
        (1, [0]),
        (5, [0, 1, 2, 3, 4]),
    ]:
        made = huggingface(step("drop_layers", model, keep=keep).path)
        biases = [layer.output.dense.bias[0].item() for layer in made.encoder.encoder.layer]
        assert biases == chosen


def tokenizer_text():
    from tokenizers import Tokenizer, pre_tokenizers
    from tokenizers.models import WordLevel

    vocabulary = {"[PAD]": 0, "[UNK]": 1, "lovely": 2, "dull": 3}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer.to_str()


def test_the_same_twice_and_can_be_exported(step, encoder, accuracy):
    made = step("drop_layers", encoder, keep=1)
    assert step("drop_layers", encoder, keep=1).fingerprint == made.fingerprint
    assert models.read_model(encoder.path).fingerprint == encoder.fingerprint
    assert accuracy(step("export_onnx", made)) == accuracy(made)


@pytest.mark.parametrize("keep", [0, -1, 2, 7])
def test_keeps_at_least_one_and_drops_at_least_one(step, encoder, keep):
    with pytest.raises(ModelError, match=f"keep is {keep}, the model has 2 layers; keep 1 to 1"):
        step("drop_layers", encoder, keep=keep)


def test_needs_training_rows(step, encoder, text_task):
    with pytest.raises(ModelError, match="name a data source as train under"):
        step("drop_layers", encoder, on=replace(text_task, train=None), keep=1)
