"""`surefoot list`."""

from __future__ import annotations

import inspect

import click


@click.command("list", help="List the plugins of each KIND; with a NAME, its options.")
@click.argument("kind", required=False)
@click.argument("name", required=False)
def command(kind: str | None, name: str | None) -> None:
    """Print the plugins found, or one plugin's docstring."""
    from surefoot import plugins
    from surefoot.core.errors import PluginError, nearest

    if kind is not None and kind not in plugins.FOLDERS:
        raise PluginError(f"no kind called '{kind}'", fix=nearest(kind, plugins.FOLDERS))
    if kind and name:
        click.echo(f"{inspect.getdoc(plugins.find(kind, name))}\n\nOptions:")
        for option in plugins.options(kind, name).values():
            needed = option.default is inspect.Parameter.empty
            default = "must be given" if needed else f"default {option.default!r}"
            click.echo(f"  {option.name}: {plugins.in_words(option.type)}; {default}")
        return
    for each in [kind] if kind else plugins.FOLDERS:
        click.echo(f"{each}:")
        for plugin in plugins.names(each):
            click.echo(f"  {plugin:<18} {plugins.summary(each, plugin)}")
