"""Small files in every format that a data source reads."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

ROWS = "text,label,lang,x\nhello,b,en,1.5\nhola,a,es,2\nhallo,b,de,3\n"


@pytest.fixture
def write(tmp_path):
    """Write a file into a fresh folder and give its path as text."""

    def written(content: str | bytes, name: str = "rows.csv") -> str:
        data = content.encode() if isinstance(content, str) else content
        (tmp_path / name).write_bytes(data)
        return str(tmp_path / name)

    return written


@pytest.fixture
def table_file(tmp_path):
    """The same rows as a csv, jsonl or parquet file."""

    def written(source: str, content: str = ROWS) -> str:
        csv = tmp_path / "source.csv"
        csv.write_text(content)
        if source == "csv":
            return str(csv)
        target = tmp_path / f"rows.{source}"
        form = {"jsonl": "FORMAT json", "parquet": "FORMAT parquet"}[source]
        with duckdb.connect() as connection:
            connection.execute(f"COPY (SELECT * FROM read_csv('{csv}')) TO '{target}' ({form})")
        return str(Path(target))

    return written
