from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import joblib
import numpy as np
import pytest
import skops.io

from surefoot.core.errors import DataError, ModelError
from surefoot.core.model import Model
from surefoot.models import open_model, read_model
from surefoot.models.formats.skops import trust

Adopt = Callable[..., Model]
TWO = ["negative", "positive"]
THREE = ["a", "b", "c"]


def copied(source: Path, tmp_path: Path) -> Path:
    """A copy of a model that a test may break."""
    folder = source if source.is_dir() else source.parent
    shutil.copytree(folder, tmp_path / "mine")
    return tmp_path / "mine" if source.is_dir() else tmp_path / "mine" / source.name


def refused(
    adopted: Adopt, path: Path, kind: str = "text", folder: str = "refused", **options: object
) -> str:
    """The one line that a bad model is refused with; what is left must not look like a model."""
    with pytest.raises(ModelError) as caught:
        adopted(path, kind, folder, **options)
    line = str(caught.value)
    assert "\n" not in line
    with pytest.raises(ModelError, match="no model here"):
        read_model(adopted.root / folder)
    return line


# What is taken in


def test_a_sequence_classifier_tells_its_classes_length_and_tensors(adopted, tiny_bert) -> None:
    model = adopted(tiny_bert)
    assert model.format == "huggingface"
    assert model.file == "."
    assert model.signature.classes == ("negative", "positive")
    assert model.signature.tensors == ("input_ids", "attention_mask")
    assert model.signature.max_length == 40  # of tokenizer_config.json, below the 48 positions
    assert read_model(model.path) == model


def test_the_original_is_left_as_it_was_and_not_linked(adopted, tiny_bert, tmp_path) -> None:
    path = copied(tiny_bert, tmp_path)
    before = {f: f.read_bytes() for f in path.rglob("*") if f.is_file()}
    model = adopted(path)
    assert {f: f.read_bytes() for f in path.rglob("*") if f.is_file()} == before
    with (path / "model.safetensors").open("r+b") as stream:
        stream.write(b"spoilt")
    assert read_model(model.path) == model


def test_an_encoder_with_a_head_is_a_classifier(adopted, tiny_encoder, text_task) -> None:
    data = text_task.test["main"]
    with open_model(adopted(tiny_encoder, classes=TWO)) as predict:
        assert (predict(data.inputs).argmax(1) == data.labels).mean() > 0.9


def test_a_shorter_length_of_the_plan_wins(adopted, tiny_bert) -> None:
    assert adopted(tiny_bert, max_length=12).signature.max_length == 12


def test_the_same_names_in_another_order_do_not_move_the_columns(adopted, tiny_bert) -> None:
    assert adopted(tiny_bert, classes=TWO[::-1]).signature.classes == tuple(TWO)


def test_other_names_rename_the_columns(adopted, tiny_bert) -> None:
    assert adopted(tiny_bert, classes=["bad", "good"]).signature.classes == ("bad", "good")


def test_an_onnx_file_brings_its_tokenizer(adopted, tiny_onnx_text, text_task) -> None:
    model = adopted(tiny_onnx_text, classes=TWO)
    assert model.signature.tensors == ("input_ids", "attention_mask")
    assert model.signature.max_length == 16  # of tokenizer.json
    data = text_task.test["main"]
    with open_model(model) as predict:
        assert (predict(data.inputs).argmax(1) == data.labels).mean() > 0.9


@pytest.mark.parametrize("folder_named", [True, False])
def test_the_plan_names_a_tokenizer_elsewhere(
    adopted, tiny_onnx_text, tokenizer_json, tmp_path, folder_named
) -> None:
    path = copied(tiny_onnx_text, tmp_path)
    (path.parent / "tokenizer.json").unlink()
    named = tokenizer_json.parent if folder_named else tokenizer_json
    assert adopted(path, classes=TWO, tokenizer=str(named)).signature.max_length == 16


def test_an_onnx_file_of_numbers_tells_its_width(adopted, tiny_onnx_numeric) -> None:
    signature = adopted(tiny_onnx_numeric, "numeric", classes=THREE).signature
    assert (signature.tensors, signature.width, signature.output) == (("features",), 4, "logits")


def test_an_onnx_file_of_images_tells_its_shape(adopted, tiny_onnx_image) -> None:
    model = adopted(tiny_onnx_image, "image", classes=TWO, mean=[0.5, 0.4, 0.3], std=[0.2])
    assert model.signature.shape == (8, 8, 3)
    assert model.signature.channels_first
    assert model.signature.mean == (0.5, 0.4, 0.3)
    with open_model(model) as predict:
        assert predict(np.zeros((3, 8, 8, 3), np.uint8)).shape == (3, 2)


def test_a_width_that_the_file_leaves_open_comes_from_the_sample(adopted, tmp_path, linear) -> None:
    path = linear(tmp_path / "open.onnx", width="d")
    sample = np.ones((20, 4), np.float32)
    model = adopted(path, "numeric", classes=THREE, sample=sample)
    assert model.signature.width == 4
    with np.load(model.path / "golden.npz") as stored:
        assert stored["inputs"].shape == (8, 4)
    assert "does not tell how many columns" in refused(adopted, path, "numeric", classes=THREE)


def test_outputs_that_add_up_to_one_are_probabilities_unless_the_plan_says_not(
    adopted, tmp_path, linear
) -> None:
    path = linear(tmp_path / "softmax.onnx", softmax=True)
    found = adopted(path, "numeric", classes=THREE, folder="one")
    assert found.signature.output == "probabilities"
    said = adopted(path, "numeric", classes=THREE, folder="two", output="logits")
    assert said.signature.output == "logits"


def test_scikit_learn_tells_classes_and_width(adopted, tiny_sklearn) -> None:
    signature = adopted(tiny_sklearn, "numeric", classes=["oak", "ash", "birch"]).signature
    assert signature.classes == ("ash", "birch", "oak")
    assert signature.width == 4
    assert signature.output == "probabilities"


def test_scikit_learn_takes_raw_texts(adopted, tiny_sklearn_text, text_task) -> None:
    data = text_task.test["main"]
    with open_model(adopted(tiny_sklearn_text)) as predict:
        assert (predict(data.inputs).argmax(1) == data.labels).mean() > 0.9


def test_weights_outside_an_onnx_file_come_along(adopted, tiny_onnx_numeric, tmp_path) -> None:
    import onnx

    proto = onnx.load(tiny_onnx_numeric)
    path = tmp_path / "mine.onnx"
    onnx.save(proto, path, save_as_external_data=True, location="mine.onnx.data", size_threshold=0)
    assert (tmp_path / "mine.onnx.data").exists()
    model = adopted(path, "numeric", classes=THREE)
    with open_model(model) as predict:
        assert predict(np.ones((2, 4), np.float32)).shape == (2, 3)
    assert read_model(model.path) == model


def test_the_padding_token_of_the_model_wins(adopted, tiny_bert, tmp_path) -> None:
    path = copied(tiny_bert, tmp_path)
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"pad_token_id": 1}))
    tokenizer = json.loads((adopted(path).path / "tokenizer.json").read_text())
    assert (tokenizer["padding"]["pad_id"], tokenizer["padding"]["pad_token"]) == (1, "[UNK]")
    assert tokenizer["truncation"]["max_length"] == 40


# What is refused, and how


def test_a_missing_path_names_the_nearest(adopted, tiny_onnx_numeric) -> None:
    line = refused(adopted, tiny_onnx_numeric.with_name("linaer.onnx"), "numeric")
    assert line.endswith("linaer.onnx: no such model; did you mean 'linear.onnx'?")


def test_an_unknown_suffix_lists_the_known_ones(adopted, tmp_path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(b"x")
    line = refused(adopted, path)
    assert "unknown suffix '.tflite'; known: a Hugging Face folder" in line
    assert all(suffix in line for suffix in (".onnx", ".pt2", ".skops", ".pkl", ".joblib", ".pt"))


def test_a_folder_that_holds_a_model_file_points_to_it(adopted, tiny_onnx_numeric) -> None:
    line = refused(adopted, tiny_onnx_numeric.parent)
    assert "a folder without config.json" in line
    assert f"did you mean '{tiny_onnx_numeric}'?" in line


@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.95])
def test_a_truncated_onnx_file(adopted, tiny_onnx_text, tmp_path, share) -> None:
    path = copied(tiny_onnx_text, tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    line = refused(adopted, path, classes=TWO)
    assert line.startswith(f"{path}: ONNX Runtime cannot read it")


@pytest.mark.parametrize("lost", [1, 4000, -2])
def test_a_truncated_safetensors_file_tells_both_sizes(adopted, tiny_bert, tmp_path, lost) -> None:
    path = copied(tiny_bert, tmp_path)
    weights = path / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-lost] if lost > 0 else content + b"xx")
    expected, found = len(content), len(content) - lost
    assert f"{weights}: is not whole: {expected} bytes expected, {found} found" in refused(
        adopted, path
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a safetensors file"),
        (b"<!DOCTYPE html><html>", "not a safetensors file"),
        ((100).to_bytes(8, "little") + b"{", "is not whole: 108 bytes expected, 9 found"),
        ((2).to_bytes(8, "little") + b"[]", "not a safetensors file: its header"),
    ],
)
def test_something_else_than_safetensors(adopted, tiny_encoder, tmp_path, content, message) -> None:
    path = copied(tiny_encoder, tmp_path)
    (path / "head.safetensors").write_bytes(content)
    line = refused(adopted, path, classes=TWO)
    assert "head.safetensors" in line
    assert message in line


def test_a_missing_tokenizer_is_named(adopted, tiny_bert, tmp_path) -> None:
    path = copied(tiny_bert, tmp_path)
    (path / "tokenizer.json").unlink()
    assert f"{path / 'tokenizer.json'}: is missing" in refused(adopted, path)
    line = refused(adopted, path, tokenizer=str(tmp_path / "nowhere.json"))
    assert f"{tmp_path / 'nowhere.json'}: no such tokenizer" in line


def test_an_onnx_file_of_tokens_without_a_tokenizer(adopted, tiny_onnx_text, tmp_path) -> None:
    path = copied(tiny_onnx_text, tmp_path)
    (path.parent / "tokenizer.json").unlink()
    line = refused(adopted, path, classes=TWO)
    assert "takes tokens, and there is no tokenizer.json beside it" in line


def grown(tokenizer: Path) -> int:
    """Give a tokenizer one token more than the model knows; returns how many it has then."""
    content = json.loads(tokenizer.read_text())
    vocabulary = content["model"]["vocab"]
    vocabulary["surplus"] = len(vocabulary)
    tokenizer.write_text(json.dumps(content))
    return len(vocabulary)


def test_a_tokenizer_larger_than_the_embedding(adopted, tiny_bert, tmp_path) -> None:
    path = copied(tiny_bert, tmp_path)
    size = grown(path / "tokenizer.json")
    line = refused(adopted, path)
    assert f"{path / 'tokenizer.json'}: has {size} tokens, the model knows only {size - 1}" in line


def test_a_tokenizer_larger_than_the_embedding_of_an_onnx_file(
    adopted, tiny_onnx_text, tmp_path
) -> None:
    path = copied(tiny_onnx_text, tmp_path)
    size = grown(path.parent / "tokenizer.json")
    line = refused(adopted, path, classes=TWO)
    assert f"the tokenizer has {size} tokens, more than the model knows" in line


def test_outputs_that_do_not_match_the_classes(adopted, tiny_onnx_numeric, tiny_bert) -> None:
    line = refused(adopted, tiny_onnx_numeric, "numeric", classes=TWO)
    assert "gives 4 rows of 3 outputs for 4 rows of 2 classes" in line
    line = refused(adopted, tiny_bert, classes=THREE)
    assert "has 2 classes (negative, positive), the plan 3" in line


def test_an_onnx_file_does_not_name_its_classes(adopted, tiny_onnx_numeric) -> None:
    assert "does not name its classes" in refused(adopted, tiny_onnx_numeric, "numeric")


def test_a_pickle_is_not_loaded_without_trust(adopted, tiny_sklearn, tmp_path) -> None:
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "exploded",))

    for suffix in (".pkl", ".joblib", ".pickle"):
        path = tmp_path / f"model{suffix}"
        joblib.dump(Bomb(), path)
        line = refused(adopted, path, "numeric")
        assert "is a pickle, which runs code when loaded; set trust = true under [model]" in line
    assert not (tmp_path / "exploded").exists()
    joblib.dump(skops.io.load(tiny_sklearn), tmp_path / "good.joblib")
    trusted = adopted(tmp_path / "good.joblib", "numeric", trust=True)
    assert trusted.signature.classes == ("ash", "birch", "oak")


def test_skops_types_that_skops_does_not_know_need_trust(adopted, tmp_path) -> None:
    from sklearn.ensemble import RandomForestClassifier
    from skops import io

    rows = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    forest = RandomForestClassifier(5, random_state=0).fit(rows, np.where(rows[:, 0] > 0, "a", "b"))
    io.dump(forest, tmp_path / "forest.skops")
    assert "does not know to be safe: sklearn.tree._tree.Tree; set trust" in refused(
        adopted, tmp_path / "forest.skops", "numeric"
    )
    # A note that came with the file is not the user's word.
    trust(tmp_path / "forest.skops", tmp_path)
    assert "does not know to be safe" in refused(adopted, tmp_path / "forest.skops", "numeric")
    model = adopted(tmp_path / "forest.skops", "numeric", folder="trusted", trust=True)
    with pytest.raises(ModelError, match=r"types that were trusted once.*set trust = true"):
        read_model(model.path)
    with open_model(read_model(model.path, trust=True)) as predict:
        expected = forest.predict_proba(rows)
        np.testing.assert_allclose(predict(rows), expected, atol=1e-6)


def test_torchscript_is_not_loaded_without_trust(adopted, tmp_path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(b"x")
    assert "may be TorchScript or a pickle" in refused(adopted, path)
    assert "not a readable TorchScript file" in refused(adopted, path, trust=True)


def test_a_fixed_batch_or_length_is_refused(adopted, tmp_path, linear, tiny_onnx_text) -> None:
    path = linear(tmp_path / "fixed.onnx", rows=1)
    line = refused(adopted, path, "numeric", classes=THREE)
    assert "input 'features' takes exactly 1 rows a call; export" in line
    import onnx

    proto = onnx.load(tiny_onnx_text)
    for port in proto.graph.input:
        port.type.tensor_type.shape.dim[1].dim_value = 128
    onnx.save(proto, tmp_path / "fixed_text.onnx")
    line = refused(adopted, tmp_path / "fixed_text.onnx", classes=TWO)
    assert "input 'input_ids' takes exactly 128 tokens; export" in line


def test_inputs_that_text_does_not_give(adopted, tiny_onnx_numeric) -> None:
    line = refused(adopted, tiny_onnx_numeric, classes=THREE)
    assert "takes an input called 'features', which text does not give; known: input_ids" in line


def test_an_encoder_without_a_head(adopted, tiny_encoder, tmp_path) -> None:
    path = copied(tiny_encoder, tmp_path)
    (path / "head.safetensors").unlink()
    line = refused(adopted, path, classes=TWO)
    assert "weights are missing, the first is 'classifier.bias'" in line
    assert "head.safetensors" in line


def test_a_head_of_other_classes(adopted, tiny_encoder, tmp_path) -> None:
    line = refused(adopted, tiny_encoder, classes=THREE)
    assert "has 2 classes (negative, positive), the plan 3" in line
    path = copied(tiny_encoder, tmp_path)
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"id2label": None}))
    line = refused(adopted, path, classes=THREE)
    assert "gives 5 rows of 2 outputs for 5 rows of 3 classes" in line
    assert "does not name its classes" in refused(adopted, path)


def test_more_tokens_than_positions(adopted, tiny_bert) -> None:
    line = refused(adopted, tiny_bert, max_length=49)
    assert "max_length is 49, the model has 48 positions" in line


def test_a_broken_config_is_named(adopted, tiny_bert, tmp_path) -> None:
    path = copied(tiny_bert, tmp_path)
    (path / "config.json").write_text('{"model_type": ')
    assert f"{path / 'config.json'}: not valid JSON" in refused(adopted, path)


def test_an_architecture_that_transformers_does_not_know(adopted, tiny_bert, tmp_path) -> None:
    path = copied(tiny_bert, tmp_path)
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"model_type": "berd"}))
    assert "cannot be loaded by transformers" in refused(adopted, path)


def test_weights_in_a_pickle_only(adopted, tiny_bert, tmp_path) -> None:
    path = copied(tiny_bert, tmp_path)
    (path / "model.safetensors").rename(path / "pytorch_model.bin")
    assert f"{path}: has no model.safetensors" in refused(adopted, path)


def test_a_missing_shard_is_named(adopted, tiny_bert, tmp_path) -> None:
    path = copied(tiny_bert, tmp_path)
    (path / "model.safetensors").rename(path / "model-00001-of-00002.safetensors")
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    assert "model-00002-of-00002.safetensors: is missing" in refused(adopted, path)


@pytest.mark.parametrize(
    "name",
    ["../theirs.safetensors", "/etc/passwd", "a/../../b", "", ".", ".hidden", 3, ["x"], None],
)
def test_a_shard_outside_the_folder_is_refused(adopted, tiny_bert, tmp_path, name) -> None:
    path = copied(tiny_bert, tmp_path)
    shutil.copy(path / "model.safetensors", tmp_path / "theirs.safetensors")
    shards = {"a": "model.safetensors", "b": name}
    (path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    line = refused(adopted, path)
    assert f"index.json: names a shard outside the folder: {name!r}" in line


def test_a_shard_in_another_files_place_is_refused(adopted, tiny_bert, tmp_path) -> None:
    path = copied(tiny_bert, tmp_path)
    index = path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "Signature.json"}}))
    assert "'Signature.json', which is another file's name" in refused(adopted, path)
    index.write_text(json.dumps({"weight_map": ["model.safetensors"]}))
    assert "weight_map is no table of files" in refused(adopted, path)


def test_shards_are_taken_along(adopted, tiny_bert, tmp_path) -> None:
    from safetensors.numpy import load_file, save_file

    path = copied(tiny_bert, tmp_path)
    weights = load_file(path / "model.safetensors")
    shards = {key: f"part-{place % 2}.safetensors" for place, key in enumerate(weights)}
    for shard in set(shards.values()):
        part = {key: weights[key] for key in weights if shards[key] == shard}
        save_file(part, path / shard, metadata={"format": "pt"})
    (path / "model.safetensors").unlink()
    index = {"metadata": {}, "weight_map": shards}
    (path / "model.safetensors.index.json").write_text(json.dumps(index))
    rows = np.array(["a lovely film", "dull"], np.dtypes.StringDType())
    with open_model(adopted(path)) as split, open_model(adopted(tiny_bert, folder="one")) as whole:
        np.testing.assert_array_equal(split(rows), whole(rows))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id2label": ["negative", "positive"]}, "id2label is no table"),
        ({"id2label": {"zero": "negative"}}, "id2label is no table"),
        ({"id2label": "negative"}, "id2label is no table"),
        ([], "config.json: is no JSON object"),
        (None, "config.json: is no JSON object"),
    ],
)
def test_a_malformed_config_is_named(adopted, tiny_bert, tmp_path, change, message) -> None:
    path = copied(tiny_bert, tmp_path)
    config = json.loads((path / "config.json").read_text())
    written = config | change if isinstance(change, dict) else change
    (path / "config.json").write_text(json.dumps(written))
    assert message in refused(adopted, path)


def test_lengths_that_are_none_do_not_count(adopted, tiny_bert, tmp_path) -> None:
    path = copied(tiny_bert, tmp_path)
    (path / "tokenizer_config.json").write_text('{"model_max_length": Infinity}')
    assert adopted(path).signature.max_length == 48  # the positions


def outside(proto, path: Path, location: str) -> Path:
    """An ONNX file whose weights are said to lie at `location`."""
    import onnx

    onnx.save(proto, path, save_as_external_data=True, location="w.bin", size_threshold=0)
    proto = onnx.load(path, load_external_data=False)
    for tensor in proto.graph.initializer:
        tensor.external_data[0].value = location
    path.write_bytes(proto.SerializeToString())
    return path


@pytest.mark.parametrize("location", ["w.bin", "./w.bin", "parts/of/w.bin"])
def test_weights_outside_are_found_by_what_the_file_says(
    adopted, tiny_onnx_numeric, tmp_path, location
) -> None:
    import onnx

    folder = tmp_path / "source"
    (folder / location).parent.mkdir(parents=True)
    path = outside(onnx.load(tiny_onnx_numeric), folder / "mine.onnx", location)
    if not (folder / location).exists():
        (folder / "w.bin").rename(folder / location)
    (folder / "mine.onnx.data").write_bytes(b"named like weights, and none")
    model = adopted(path, "numeric", classes=THREE)
    assert (model.path / location).exists()
    assert not (model.path / "mine.onnx.data").exists()
    rows = np.ones((2, 4), np.float32)
    with (
        open_model(model) as split,
        open_model(adopted(tiny_onnx_numeric, "numeric", "whole", classes=THREE)) as whole,
    ):
        np.testing.assert_array_equal(split(rows), whole(rows))


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("../w.bin", "names weights outside the folder: '../w.bin'"),
        ("/etc/hostname", "names weights outside the folder"),
        ("signature.json", "'signature.json', which is another file's name"),
        ("model.onnx", "'model.onnx', which is another file's name"),
        ("gone.bin", "gone.bin: is missing; copy or download it again"),
    ],
)
def test_weights_outside_the_folder_are_refused(
    adopted, tiny_onnx_numeric, tmp_path, location, message
) -> None:
    import onnx

    (tmp_path / "source").mkdir()
    path = outside(onnx.load(tiny_onnx_numeric), tmp_path / "source" / "mine.onnx", location)
    (tmp_path / "w.bin").write_bytes((tmp_path / "source" / "w.bin").read_bytes())
    assert message in refused(adopted, path, "numeric", classes=THREE)


@pytest.mark.parametrize(
    ("scaling", "message"),
    [
        ({"mean": [0.5, 0.4]}, "mean has 2 values, the images 3 channels; give one value, or 3"),
        ({"std": [0.5, 0.4, 0.3, 0.2]}, "std has 4 values"),
        ({"std": [0.0]}, "std above 0"),
        ({"std": [0.5, -1.0, 0.5]}, "std above 0"),
        ({"mean": [float("nan")]}, "must be finite"),
    ],
)
def test_scaling_has_to_fit_the_images(adopted, tiny_onnx_image, scaling, message) -> None:
    assert message in refused(adopted, tiny_onnx_image, "image", classes=TWO, **scaling)


def test_a_broken_file_is_refused_even_if_trusted(adopted, tiny_sklearn, tmp_path) -> None:
    (tmp_path / "cut.skops").write_bytes(tiny_sklearn.read_bytes()[:500])
    line = refused(adopted, tmp_path / "cut.skops", "numeric", trust=True)
    assert "not a readable skops file" in line


def test_a_hugging_face_folder_is_for_text(adopted, tiny_bert) -> None:
    assert "cannot be used for tabular-classification" in refused(adopted, tiny_bert, "numeric")


def test_a_sample_that_does_not_fit_is_the_datas_fault(adopted, tiny_onnx_numeric) -> None:
    with pytest.raises(DataError, match=r"\(5,\) values, the model takes \(4,\)"):
        adopted(tiny_onnx_numeric, "numeric", classes=THREE, sample=np.ones((2, 5), np.float32))
