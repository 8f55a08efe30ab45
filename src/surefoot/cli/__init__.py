"""The command line: one small file per verb; it parses, calls and prints."""

from __future__ import annotations

import os
import sys
import traceback
from importlib import import_module

import click

from surefoot.core.errors import MachineError, SurefootError

VERBS = {
    "demo": "Make a real model lean on real data, and judge it.",
    "init": "Look at a model and a data file, and write a plan that runs.",
    "power": "Say which budgets of a plan its data can decide.",
    "run": "Run a plan: all stages up to the bundle and its verdict.",
    "compare": "Judge a candidate from two files of predictions alone.",
    "list": "List the plugins of each kind, or the options of one.",
}
"""In the order of the work; the texts stand here so that help imports no verb."""


class Verbs(click.Group):
    """Verbs that are imported only when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs in the order of the work."""
        return list(VERBS)

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
            formatter.write_dl(list(VERBS.items()))

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


def main() -> None:
    """Run the program; every error is one line on stderr, with the documented exit code."""
    try:
        sys.exit(program(standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except SurefootError as error:
        click.echo(f"surefoot: {error}", err=True)
        sys.exit(4 if isinstance(error, MachineError) else 2)
    except (KeyboardInterrupt, click.Abort):
        click.echo("surefoot: interrupted; the same command resumes", err=True)
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read our output has gone: `surefoot run | head` is no error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        if os.environ.get("SUREFOOT_DEBUG"):
            traceback.print_exc()
        click.echo(
            f"surefoot: internal error, {type(error).__name__}: {error}; "
            "SUREFOOT_DEBUG=1 shows where; please report it",
            err=True,
        )
        sys.exit(2)
