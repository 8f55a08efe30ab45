"""Writes the logs that the tests of their readers make up; `written/` holds real ones."""

import json
import zipfile

import pytest


@pytest.fixture
def write(tmp_path):
    """Writes records as lines, a log as JSON, or a log as the members of an .eval file."""

    def written(name, content):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == ".jsonl":
            file.write_text("".join(json.dumps(record) + "\n" for record in content))
        elif file.suffix == ".eval":
            header = {key: value for key, value in content.items() if key != "samples"}
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("header.json", json.dumps(header))
                archive.writestr("summaries.json", json.dumps(content["samples"]))
        else:
            file.write_text(json.dumps(content, indent=2))
        return file

    return written
