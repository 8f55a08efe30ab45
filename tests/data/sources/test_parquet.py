from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from surefoot.core.errors import DataError
from surefoot.data.sources.parquet import parquet


@pytest.mark.parametrize("content", [b"no parquet at all", b"PAR1abcd"])
def test_not_a_parquet_file(write, content):
    path = write(content, "rows.parquet")
    with pytest.raises(DataError, match="is it a Parquet file, and complete") as caught:
        parquet(path=path, text="text", label="label")
    assert "\n" not in str(caught.value)


def test_a_truncated_file(table_file, write):
    whole = Path(table_file("parquet")).read_bytes()
    with pytest.raises(DataError, match="is it a Parquet file, and complete"):
        parquet(path=write(whole[:-20], "cut.parquet"), text="text", label="label")


def test_integer_labels_sort_as_text(tmp_path):
    target = tmp_path / "r.parquet"
    duckdb.execute(
        f"COPY (SELECT 't' || i AS text, (i % 11)::INT AS label FROM range(22) t(i)) TO '{target}'"
    )
    d = parquet(path=str(target), text="text", label="label", slices={"ten": "label >= 10"})
    assert d.classes[:3] == ("0", "1", "10")
    assert [d.classes[k] for k in d.labels[:11]] == [str(i) for i in range(11)]
    assert d.slices["ten"].sum() == 2
