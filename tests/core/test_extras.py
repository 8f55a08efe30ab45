import pytest

from surefoot.core.errors import ModelError
from surefoot.core.extras import require


def test_a_missing_library_says_how_to_install_it():
    with pytest.raises(ModelError, match=r"no_such_library is not installed; pip install 'suref"):
        require("no_such_library", extra="compress", error=ModelError)
    assert require("json", extra="compress", error=ModelError).dumps([]) == "[]"


def test_a_broken_library_says_what_is_wrong_with_it(tmp_path, monkeypatch):
    (tmp_path / "broken_library.py").write_text("import no_such_part")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModelError, match="cannot be imported: No module named 'no_such_part'"):
        require("broken_library", extra="compress", error=ModelError)
