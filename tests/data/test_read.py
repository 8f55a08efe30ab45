from __future__ import annotations

from pathlib import Path

import pytest

from surefoot.core.errors import DataError, PluginError
from surefoot.data import check, fingerprint, overlap, read

BANKING = Path(__file__).parents[2].parent / "shared" / "data" / "banking77"


def test_unknown_source():
    with pytest.raises(PluginError, match="no source called 'cvs'; did you mean 'csv'"):
        read("cvs", {}, name="d", slices={})


def test_unknown_and_missing_options(table_file):
    options = {"path": table_file("csv"), "label": "label"}
    with pytest.raises(DataError, match="d: source 'csv' has no option 'txt'; did you mean 'text'"):
        read("csv", options | {"txt": "text"}, name="d", slices={})
    with pytest.raises(DataError, match="source 'csv' needs the option 'label'"):
        read("csv", {"path": options["path"]}, name="d", slices={})


def test_its_own_slices_go_before_those_of_the_plan(table_file):
    options = {"path": table_file("csv"), "label": "label", "text": "text"}
    own = {"es": "lang = 'de'"}
    plan = {"es": "lang = 'es'", "en": "lang = 'en'"}
    d = read("csv", options | {"slices": own}, name="d", slices=plan)
    assert d.name == "d"
    assert d.slices["es"].tolist() == [False, False, True]
    assert d.slices["en"].tolist() == [True, False, False]


def test_a_file_that_may_not_be_read(table_file):
    path = table_file("csv")
    Path(path).chmod(0)
    if Path(path).stat().st_uid == 0:
        pytest.skip("root may read every file")
    with pytest.raises(DataError, match=r"source.csv: cannot be read: Permission denied"):
        read("csv", {"path": path, "label": "label", "text": "text"}, name="d", slices={})


@pytest.mark.skipif(not BANKING.is_dir(), reason="the BANKING77 files are not beside the checkout")
def test_real_data():
    def load(name):
        options = {"path": str(BANKING / f"{name}.csv"), "text": "text", "label": "category"}
        slices = {"short": "length(text) < 40", "card": "category LIKE '%card%'"}
        return read("csv", options, name=name, slices=slices)

    train, test = load("train"), load("test")
    assert (len(train), len(test)) == (10_003, 3_080)
    assert train.classes == test.classes
    assert len(test.classes) == 77
    assert len({*train.ids.tolist()}) == len(train)
    assert test.slices["card"].sum() == sum("card" in test.classes[k] for k in test.labels)
    assert len(overlap(train, test)) == len({*train.inputs.tolist()} & {*test.inputs.tolist()})
    assert test.fingerprint == fingerprint(test)
    check(test, "task.test.main")
