"""The command line: one small file per verb; it parses, calls and prints."""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from typing import Any, TextIO, cast

import click

from surefoot.core.errors import MachineError, MismatchError, SurefootError
from surefoot.core.printable import printable

VERBS = {
    "demo": "Make a real model lean on real data, and judge it.",
    "init": "Look at a model and a data file, and write a plan that runs.",
    "power": "Say which budgets of a plan its data can decide.",
    "evaluate": "Measure all that a plan asks for, without a verdict.",
    "run": "Run a plan: all stages up to the bundle and its verdict.",
    "report": "Write a run's report: a page, text, Markdown, JSON or JUnit XML.",
    "flips": "Show the rows whose answer a candidate changed.",
    "gate": "Show a run's verdict, or test the gate with planted faults.",
    "cascade": "Say which answers of a lean model may stand, and at what cost.",
    "serve": "Serve the lean model over HTTP, the fallback behind it.",
    "decisions": "Say what a decision log holds, and how much was right.",
    "diff": "Say what moved between two runs or bundles.",
    "waive": "Sign for a budget that is not shown to hold, until a day.",
    "export": "Write a candidate in a form that other tools read.",
    "card": "Write a model card, or a dossier after the EU AI Act.",
    "verify": "Look into a bundle: whole, concluded rightly, the same here?",
    "sign": "Sign a bundle with a key of yours.",
    "pack": "Write a bundle as one zip file.",
    "compare": "Judge a candidate from two files of predictions alone.",
    "list": "List the plugins of each kind, or the options of one.",
}
"""In the order of the work; the texts stand here so that help imports no verb."""


class Verbs(click.Group):
    """Verbs that are imported only when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs in the order of the work."""
        return [*VERBS]

    def invoke(self, ctx: click.Context) -> Any:
        """Call the verb."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            # Not our output, see `_Patient`. click would end with 1: a budget failed.
            raise RuntimeError("a process that took part in the work has ended") from error

    def get_command(
        self,
        ctx: click.Context,
        cmd_name: str,
    ) -> click.Command | None:
        """Import the verb's file."""
        if cmd_name not in VERBS:
            return None
        command: click.Command = import_module(f"surefoot.cli.{cmd_name}").command
        return command

    def format_commands(
        self,
        ctx: click.Context,
        formatter: click.HelpFormatter,
    ) -> None:
        """List the verbs from `VERBS`."""
        with formatter.section("Verbs"):
            formatter.write_dl([*VERBS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the nearest verb when there is none of that name."""
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            from surefoot.core.errors import nearest

            ctx.fail(f"no verb '{args[0]}'; {nearest(args[0], VERBS)}")
        return super().resolve_command(ctx, args)


@click.command(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="surefoot")
def program() -> None:
    """Make models lean, and prove that they hold up."""


class _Patient:
    """A stream that goes on in silence when whoever read it has gone.

    So `surefoot run | head -1` still ends with the exit code of the verdict.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write, or do as if."""
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._to_nobody()
            return len(text)

    def flush(self) -> None:
        """Hand over what was written, or forget it."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._to_nobody()

    def _to_nobody(self) -> None:
        # What the stream still holds goes there too, so that the end of the program is quiet.
        os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


def main() -> None:
    """Run the program; every error is one line on stderr, with the documented exit code."""
    out, err = cast("TextIO", _Patient(sys.stdout)), cast("TextIO", _Patient(sys.stderr))
    with redirect_stdout(out), redirect_stderr(err):
        code = _exit_code()
        out.flush()
        err.flush()
    sys.exit(code)


def _exit_code() -> int:
    try:
        return int(program(standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        return 2
    except SurefootError as error:
        # What it quotes may be of others: a log, an endpoint, a file of rows.
        lines = "\n".join(map(printable, str(error).split("\n")))
        click.echo(f"surefoot: {lines}", err=True)
        return 4 if isinstance(error, MachineError | MismatchError) else 2
    except (KeyboardInterrupt, click.Abort):
        click.echo("surefoot: interrupted; the same command resumes", err=True)
        return 130
    except Exception as error:
        if os.environ.get("SUREFOOT_DEBUG"):
            traceback.print_exc()
        what = f"internal error, {type(error).__name__}: {printable(str(error))}; "
        more = "SUREFOOT_DEBUG=1 shows where; please report it"
        if isinstance(error, OSError) and error.filename is not None:
            name = printable(str(error.filename))
            what, more = f"{name}: {error.strerror}; ", "SUREFOOT_DEBUG=1 shows where"
        click.echo(f"surefoot: {what}{more}", err=True)
        return 2
