"""Names of others lead nowhere else."""

import pytest

from surefoot.core.errors import BundleError
from surefoot.core.within import within


def test_a_path_inside_is_given_as_it_is(tmp_path):
    assert within(tmp_path, "models", "a b", "x.onnx") == tmp_path / "models" / "a b" / "x.onnx"


@pytest.mark.parametrize("name", ["..", "../x", "/etc/passwd", "a/../../x", "a\x00b"])
def test_a_path_outside_is_refused(tmp_path, name):
    with pytest.raises(BundleError, match=r"outside of the bundle|names no file"):
        within(tmp_path / "bundle", name)


def test_a_link_to_outside_is_refused(tmp_path):
    (tmp_path / "bundle").mkdir()
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "bundle" / "model.onnx").symlink_to(tmp_path / "secret")
    with pytest.raises(BundleError, match=r"'model\.onnx' lies outside"):
        within(tmp_path / "bundle", "model.onnx")
