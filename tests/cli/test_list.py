import pytest
from click.testing import CliRunner

from surefoot import plugins
from surefoot.cli.list import command
from surefoot.core.errors import PluginError


def listed(*arguments: str) -> str:
    result = CliRunner().invoke(command, arguments, standalone_mode=False)
    if result.exception:
        raise result.exception
    return result.output


def test_every_plugin_of_every_kind_is_listed_with_its_summary():
    text = listed()
    for kind in plugins.FOLDERS:
        assert f"{kind}:\n" in text
        for name in plugins.names(kind):
            assert name in text
            assert plugins.summary(kind, name) in text


def test_one_kind_alone():
    text = listed("metric")
    assert "accuracy" in text
    assert "step:" not in text


def test_the_options_of_one_plugin_in_the_words_of_a_plan():
    text = listed("step", "quantize_dynamic")
    assert "  per_channel: true or false; default True\n" in text
    assert "  weights: one of 'int8', 'uint8'; default 'int8'\n" in text
    assert "folder:" not in text.partition("Options:")[2]
    assert "  keep: a whole number; must be given\n" in listed("step", "drop_layers")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["stpe"], "did you mean 'step'"), (["metric", "acuracy"], "did you mean 'accuracy'")],
)
def test_a_wrong_word_is_met_with_the_nearest(arguments, said):
    with pytest.raises(PluginError, match=said):
        listed(*arguments)
