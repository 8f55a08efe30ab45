"""Writes docs/cli.md and docs/plugins.md from the code: `python scripts/write_reference.py`.

With `--check` it writes nothing and fails when a page is stale.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import click

from surefoot import plugins
from surefoot.cli import VERBS, program

DOCS = Path(__file__).parent.parent / "docs"
WIDTH = 96
WRITTEN = "<!-- Written by scripts/write_reference.py; edit the code instead. -->\n"


def cli_page() -> str:
    """The help text of the program and of every verb."""
    context = click.Context(
        program, info_name="surefoot", terminal_width=WIDTH, **program.context_settings
    )
    sections = [_text_block(program.get_help(context))]
    for verb in VERBS:
        command = program.get_command(context, verb)
        assert command is not None
        inner = click.Context(command, info_name=verb, parent=context)
        sections += [f"## surefoot {verb}\n", _text_block(command.get_help(inner))]
    return "\n".join(["# Command line\n", WRITTEN, *sections])


def plugins_page() -> str:
    """A table of the plugins of each kind, with their options."""
    lines = ["# Plugins\n", WRITTEN]
    for kind, folder in plugins.FOLDERS.items():
        lines += [f"## {kind}\n", f"In `src/surefoot/{folder}/`.\n"]
        lines += ["| name | what it does | options |", "|---|---|---|"]
        lines += [_row(kind, name) for name in plugins.names(kind)]
        lines.append("")
    return "\n".join(lines)


def _row(kind: str, name: str) -> str:
    summary = plugins.summary(kind, name).replace("|", "\\|")
    options = ", ".join(_option(option) for option in plugins.options(kind, name).values())
    page = DOCS / f"{kind}s" / f"{name}.md"
    shown = f"[`{name}`]({kind}s/{name}.md)" if page.exists() else f"`{name}`"
    return f"| {shown} | {summary} | {options} |"


def _option(option: plugins.Option) -> str:
    required = option.default is inspect.Parameter.empty
    return f"`{option.name}`" if required else f"`{option.name} = {option.default!r}`"


def _text_block(text: str) -> str:
    return f"```text\n{text}\n```\n"


def main(*, check: bool) -> int:
    """Write the pages, or say which are stale."""
    stale = 0
    for file, text in ((DOCS / "cli.md", cli_page()), (DOCS / "plugins.md", plugins_page())):
        if not check:
            file.write_text(text)
        elif not file.exists() or file.read_text() != text:
            print(f"docs/{file.name} is stale; run: python scripts/write_reference.py")
            stale = 1
    return stale


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))
