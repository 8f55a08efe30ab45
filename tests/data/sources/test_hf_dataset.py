from __future__ import annotations

import json
import subprocess
import sys

import pytest

from surefoot.core.errors import DataError
from surefoot.data.sources.hf_dataset import hf_dataset

pa = pytest.importorskip("pyarrow")

FEATURES = {
    "text": {"dtype": "string", "_type": "Value"},
    "label": {"names": ["neg", "pos", "it's"], "_type": "ClassLabel"},
}


def save(folder, shards, features=FEATURES):
    """The layout that `datasets.save_to_disk` writes."""
    folder.mkdir(parents=True)
    names = [f"data-{i:05}-of-{len(shards):05}.arrow" for i in range(len(shards))]
    for name, rows in zip(names, shards, strict=True):
        table = pa.Table.from_pylist(rows)
        with pa.ipc.new_stream(folder / name, table.schema) as stream:
            stream.write_table(table, max_chunksize=2)
    state = {"_data_files": [{"filename": name} for name in names]}
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "dataset_info.json").write_text(json.dumps({"features": features}))
    return str(folder)


def rows(start, stop, label=lambda i: i % 2):
    return [{"text": f"row {i}", "label": label(i), "n": i} for i in range(start, stop)]


def test_shards_and_class_names(tmp_path):
    path = save(tmp_path / "d", [rows(0, 5), rows(5, 8, label=lambda _: 2)])
    slices = {"pos": "label = 'pos'", "late": "n >= 5"}
    d = hf_dataset(path=path, text="text", label="label", slices=slices)
    assert d.inputs.tolist() == [f"row {i}" for i in range(8)]
    assert d.classes == ("it's", "neg", "pos")
    assert [d.classes[k] for k in d.labels] == ["neg", "pos", "neg", "pos", "neg", *["it's"] * 3]
    assert d.slices["pos"].tolist() == [False, True, False, True, False, False, False, False]
    assert d.slices["late"].sum() == 3


def test_order_holds_over_many_batches(tmp_path):
    path = save(tmp_path / "d", [rows(0, 3000), rows(3000, 6000)])
    d = hf_dataset(path=path, columns=["n"], label="label")
    assert d.inputs[:, 0].tolist() == list(range(6000))


def test_what_datasets_itself_saves(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])}
    )
    columns = {"text": [f"t{i}" for i in range(10)], "label": [i % 2 for i in range(10)]}
    whole = datasets.Dataset.from_dict(columns, features=features)
    chosen = whole.select([9, 0, 3])  # an index mapping, which saving has to flatten
    both = datasets.DatasetDict({"train": whole, "test": chosen})
    both.save_to_disk(str(tmp_path / "d"), num_shards={"train": 3, "test": 1})
    train = hf_dataset(path=str(tmp_path / "d"), split="train", text="text", label="label")
    test = hf_dataset(path=str(tmp_path / "d"), split="test", text="text", label="label")
    assert train.inputs.tolist() == columns["text"]
    assert test.inputs.tolist() == ["t9", "t0", "t3"]
    assert [test.classes[k] for k in test.labels] == ["pos", "neg", "pos"]


def test_splits(tmp_path):
    save(tmp_path / "d" / "train", [rows(0, 4)])
    (tmp_path / "d" / "dataset_dict.json").write_text('{"splits": ["train"]}')
    options = {"path": str(tmp_path / "d"), "text": "text", "label": "label"}
    assert len(hf_dataset(**options, split="train")) == 4
    with pytest.raises(DataError, match="no split 'trian'; did you mean 'train'"):
        hf_dataset(**options, split="trian")
    with pytest.raises(DataError, match="holds several splits; set 'split' to: train"):
        hf_dataset(**options)
    with pytest.raises(DataError, match="leave 'split' out"):
        hf_dataset(**options | {"path": str(tmp_path / "d" / "train")}, split="train")


def test_no_label_is_minus_one(tmp_path):
    path = save(tmp_path / "d", [rows(0, 3, label=lambda i: 0 if i < 1 else -1)])
    with pytest.raises(DataError, match="row 2 has nothing in column 'label'"):
        hf_dataset(path=path, text="text", label="label")


def test_a_folder_of_something_else(tmp_path):
    with pytest.raises(DataError, match=r"no 'state.json'.*write it with save_to_disk"):
        hf_dataset(path=str(tmp_path), text="text", label="label")


def test_a_truncated_shard(tmp_path):
    path = save(tmp_path / "d", [rows(0, 100)])
    file = tmp_path / "d" / "data-00000-of-00001.arrow"
    file.write_bytes(file.read_bytes()[:300])
    with pytest.raises(DataError, match=r"data-00000-of-00001.arrow: is no complete Arrow stream"):
        hf_dataset(path=path, text="text", label="label")


def test_a_missing_shard(tmp_path):
    path = save(tmp_path / "d", [rows(0, 4)])
    (tmp_path / "d" / "data-00000-of-00001.arrow").unlink()
    with pytest.raises(DataError, match=r"data-00000-of-00001.arrow: no such file"):
        hf_dataset(path=path, text="text", label="label")


def test_without_pyarrow(tmp_path):
    path = save(tmp_path / "d", [rows(0, 4)])
    script = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from surefoot.core.errors import DataError\n"
        "from surefoot.data.sources.hf_dataset import hf_dataset\n"
        "try:\n    hf_dataset(path=sys.argv[1], text='text', label='label')\n"
        "except DataError as error:\n    print(error)\n"
    )
    run = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True)
    assert "pip install 'surefoot[datasets]'" in run.stdout
