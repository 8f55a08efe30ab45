import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest

from surefoot import plugins
from surefoot.core.errors import PluginError


@pytest.mark.parametrize("kind", plugins.FOLDERS)
def test_every_plugin_has_its_function_and_a_summary(kind):
    assert plugins.names(kind)
    for name in plugins.names(kind):
        assert callable(plugins.find(kind, name))
        assert plugins.summary(kind, name), f"{kind} {name} has no docstring"


def test_private_files_are_no_plugins():
    assert not [n for kind in plugins.FOLDERS for n in plugins.names(kind) if n.startswith("_")]


def test_listing_imports_no_plugin():
    code = (
        "import sys; from surefoot import plugins\n"
        "for kind in plugins.FOLDERS:\n"
        "    for name in plugins.names(kind): plugins.summary(kind, name)\n"
        "print([m for m in sys.modules if m.startswith('surefoot.') and m.count('.') > 2])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_an_unknown_name_is_met_with_the_nearest():
    with pytest.raises(PluginError, match=r"no metric called 'acuracy'; did you mean 'accuracy'"):
        plugins.find("metric", "acuracy")


def test_options_are_the_keyword_only_arguments():
    options = plugins.options("step", "quantize_dynamic")
    assert options["per_channel"].type is bool
    assert options["per_channel"].default is True
    assert not {"model", "task", "folder"} & set(options)


def test_a_third_party_plugin_takes_the_same_look_up(tmp_path: Path):
    (tmp_path / "their_metrics.py").write_text(
        'def margin(scores, labels, *, power: float = 2.0):\n    """How sure it was."""\n'
    )
    (tmp_path / "broken_metrics.py").write_text("import no_such_library\n")
    info = tmp_path / "their_metrics-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-metrics\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[surefoot.metric]\nmargin = their_metrics:margin\nbroken = broken_metrics:broken\n"
        "absent = their_metrics:absent\n"
    )
    code = """
from surefoot import plugins
from surefoot.core.errors import PluginError
print(plugins.names("metric"), plugins.summary("metric", "margin"))
power = plugins.options("metric", "margin")["power"]
print(power.default, len(plugins.version("metric", "margin")))
for name in ("broken", "absent"):
    try:
        plugins.find("metric", name)
    except PluginError as error:
        print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": tmp_path}
    )
    lines = done.stdout.splitlines()
    assert "'margin'" in lines[0], done.stderr
    assert "'accuracy'" in lines[0]
    assert lines[0].endswith("How sure it was.")
    assert lines[1] == "2.0 64"
    assert "cannot be imported: No module named 'no_such_library'" in lines[2]
    assert "has no function 'absent'" in lines[3]


def test_the_version_changes_with_the_private_files_beside_a_plugin(tmp_path: Path):
    package = tmp_path / "theirs"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "margin.py").write_text("def margin(scores, labels): ...\n")
    info = tmp_path / "theirs-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[surefoot.metric]\nmargin = theirs.margin:margin\n")
    code = "from surefoot import plugins; print(plugins.version('metric', 'margin'))"
    versions = []
    for source in ("A = 1\n", "A = 2\n"):
        (package / "_rows.py").write_text(source)
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": tmp_path})
        versions.append(done.stdout)
    assert all(versions)
    assert versions[0] != versions[1]


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (str, "text"),
        (int | None, "a whole number"),
        (list[str] | None, "a list, each text"),
        (dict[str, str], "a table"),
        (str | dict[str, int], "text or a table"),
        (Literal["a", "b"], "one of 'a', 'b'"),
    ],
)
def test_annotations_in_words(hint, words):
    assert plugins.in_words(hint) == words
