from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from surefoot.core.errors import ModelError
from surefoot.models import open_model
from surefoot.models.formats.huggingface import huggingface, save


def tokens() -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(0)
    ids = torch.from_numpy(rng.integers(4, 60, (3, 9)))
    mask = torch.ones_like(ids)
    mask[1, 5:] = mask[2, 2:] = 0
    return {"input_ids": ids * mask, "attention_mask": mask}


def test_the_logits_are_those_of_transformers(tiny_bert: Path) -> None:
    from transformers import BertForSequenceClassification

    reference = BertForSequenceClassification.from_pretrained(tiny_bert).eval()
    with torch.no_grad():
        found, expected = huggingface(tiny_bert)(**tokens()), reference(**tokens()).logits
    torch.testing.assert_close(found, expected)


def test_encoder_and_head_are_mean_pooling_and_a_product(tiny_encoder, texts, adopted) -> None:
    """Against transformers alone, one row at a time and without any padding."""
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer
    from transformers import AutoModel

    tokenizer = Tokenizer.from_file(str(tiny_encoder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    encoder = AutoModel.from_pretrained(tiny_encoder).eval()
    head = load_file(tiny_encoder / "head.safetensors")
    with torch.no_grad():
        ids = [torch.tensor([tokenizer.encode(str(row)).ids]) for row in texts]
        features = [encoder(input_ids=i).last_hidden_state[0].mean(0).numpy() for i in ids]
    logits = np.stack(features) @ head["weight"].T + head["bias"]
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    with open_model(adopted(tiny_encoder)) as predict:
        np.testing.assert_allclose(predict(texts), expected, atol=1e-5)


def test_cls_pooling_takes_the_first_token(tiny_encoder: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_encoder, tmp_path / "cls")
    config = tmp_path / "cls" / "1_Pooling" / "config.json"
    config.write_text(
        json.dumps({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False})
    )
    module = huggingface(tmp_path / "cls")
    with torch.no_grad():
        states = module.encoder(**tokens()).last_hidden_state
        torch.testing.assert_close(module.features(**tokens()), states[:, 0])


@pytest.mark.parametrize("mode", [{"pooling_mode": "mean"}, {}])
def test_mean_is_the_pooling_of_newer_files_and_of_none(tiny_encoder, tmp_path, mode) -> None:
    shutil.copytree(tiny_encoder, tmp_path / "mean")
    config = tmp_path / "mean" / "1_Pooling" / "config.json"
    config.write_text(json.dumps(mode))
    assert huggingface(tmp_path / "mean").pooling == "mean"
    config.write_text(json.dumps({"pooling_mode_max_tokens": True}))
    with pytest.raises(ModelError, match="pooling 'pooling_mode_max_tokens' is not supported"):
        huggingface(tmp_path / "mean")


@pytest.mark.parametrize("fixture", ["tiny_bert", "tiny_encoder"])
def test_what_is_saved_is_loaded(fixture, request, tmp_path, capfd) -> None:
    module = huggingface(request.getfixturevalue(fixture))
    save(module, tmp_path)
    again = huggingface(tmp_path)
    assert not again.training
    with torch.no_grad():
        torch.testing.assert_close(again(**tokens()), module(**tokens()), rtol=0, atol=0)
    assert capfd.readouterr() == ("", "")


def test_weights_of_half_precision_are_computed_in_single(tiny_bert, tmp_path) -> None:
    from transformers import BertForSequenceClassification

    BertForSequenceClassification.from_pretrained(tiny_bert).half().save_pretrained(tmp_path)
    assert {p.dtype for p in huggingface(tmp_path).parameters()} == {torch.float32}


def test_a_head_without_bias_is_refused(tiny_encoder, tmp_path) -> None:
    from safetensors.numpy import save_file

    shutil.copytree(tiny_encoder, tmp_path / "bare")
    save_file({"weight": np.zeros((2, 32), np.float32)}, tmp_path / "bare" / "head.safetensors")
    with pytest.raises(ModelError, match="holds weight; needs weight and bias"):
        huggingface(tmp_path / "bare")


@pytest.mark.parametrize("content", ["{", "[1]", "null", '"mean"'])
def test_a_broken_pooling_file_is_named(tiny_encoder, tmp_path, content) -> None:
    shutil.copytree(tiny_encoder, tmp_path / "broken")
    (tmp_path / "broken" / "1_Pooling" / "config.json").write_text(content)
    with pytest.raises(ModelError, match=r"1_Pooling/config.json: is no JSON object"):
        huggingface(tmp_path / "broken")


def test_code_beside_the_weights_is_not_run_whatever_the_terminal_says(
    tiny_bert, tmp_path, monkeypatch
) -> None:
    folder = tmp_path / "theirs"
    shutil.copytree(tiny_bert, folder)
    config = json.loads((folder / "config.json").read_text())
    own = {"model_type": "theirs", "auto_map": {"AutoConfig": "theirs.Config"}}
    (folder / "config.json").write_text(json.dumps(config | own))
    bomb = f"from pathlib import Path; Path({str(tmp_path / 'exploded')!r}).touch()"
    (folder / "theirs.py").write_text(bomb)
    cache = "transformers.dynamic_module_utils.HF_MODULES_CACHE"
    monkeypatch.setattr(cache, str(tmp_path / "modules"))
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    with pytest.raises(ModelError, match="cannot be loaded by transformers"):
        huggingface(folder)
    assert not (tmp_path / "exploded").exists()


def test_weights_in_a_pickle_are_not_loaded(tiny_bert, tmp_path) -> None:
    from safetensors.torch import load_file

    folder = tmp_path / "pickled"
    shutil.copytree(tiny_bert, folder)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="cannot be loaded by transformers"):
        huggingface(folder)
