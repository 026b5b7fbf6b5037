"""The command ``hft``: subcommands are imported when they are used, exit codes say what went wrong.

0 ok, 1 failed, 2 usage, 3 configuration, 4 corrupt data, 5 stopped by a risk limit, 130 interrupted.
"""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from fastcore import __version__

FAILED, USAGE, CONFIGURATION, CORRUPT, STOPPED, INTERRUPTED = 1, 2, 3, 4, 5, 130

# Where each command lives, and the first sentence of its help, so that a list of commands imports none of them.
COMMANDS = {
    "init": (
        "hft.cli.project:init",
        "Write a strategy that runs as it is into DIRECTORY: strategy.py, run.toml, a test and a README.",
    ),
    "backtest": ("hft.cli.project:backtest", "Run the strategy in DIRECTORY (. by default) as its run.toml says, and print what it did."),
    "report": ("hft.cli.project:report", "Write the result of RUN (the last one by default) as one HTML file that works offline."),
    "explain": (
        "hft.cli.project:explain",
        "Tell the life of order WHAT, or what figure WHAT means (profit, markout, fills, position, ratios), of RUN.",
    ),
    "replay": (
        "hft.cli.replay:replay",
        "Replay FILE (any format that hft.feeds reads; - is the standard input) through book, market maker and venue.",
    ),
    "config": ("hft.cli.config:config", "Print every key of a configuration as TOML, with defaults, units and ranges; or check a file."),
    "demo": (
        "hft.cli.replay:demo",
        "Replay a synthetic day: order flow made up by a seeded generator, written as real ITCH bytes.",
    ),
    "rerun": ("hft.cli.replay:rerun", "Run the journal in DIRECTORY again, and say whether the orders are the same, or where first not."),
    "inspect": (
        "hft.cli.inspect:inspect",
        "Say what each FILE holds: format, symbols, times, kinds, gaps, clocks, books, what looks wrong, and how to replay it.",
    ),
    "verify": (
        "hft.cli.verify:verify",
        "Build the books of each FILE and compare them with its reference, or with what the data themselves carry.",
    ),
    "bench": ("hft.cli.bench:bench", "Compare every hot path with plain Python, NumPy, Numba and other libraries."),
    "store": (
        "hft.cli.store:store",
        "Look at tick stores and directories of them, check them, and move records in and out.",
    ),
}


class LazyGroup(click.Group):
    """A group whose commands live in modules that are imported on use, and whose errors become exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name][0].split(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from hft.conditions import suggestion

            raise click.UsageError(f"{error.message.rstrip('.')}{suggestion(args[0], COMMANDS) or '.'}", ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        limit = formatter.width - 6 - max(map(len, COMMANDS))
        with formatter.section("Commands"):
            formatter.write_dl([(name, short_help(name, limit)) for name in COMMANDS])

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, prog_name: str | None = None, *, standalone_mode: bool = True, **extra: Any
    ) -> Any:
        if not standalone_mode:
            return super().main(args, prog_name, standalone_mode=False, **extra)
        try:
            code = super().main(args, prog_name, standalone_mode=False, **extra)
        except click.ClickException as error:
            error.show()
            code = error.exit_code
        except (click.Abort, KeyboardInterrupt) as error:
            if isinstance(error.__cause__, EOFError):
                click.echo(f"Error: data must be whole: {error.__cause__}", err=True)
                code = CORRUPT
            else:
                click.echo("Interrupted.", err=True)
                code = INTERRUPTED
        except BrokenPipeError:
            # As a program that SIGPIPE ends: nothing more can be said on stdout.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            code = FAILED
        except Exception as error:
            code = exit_code(error)
            if code is None:
                raise
            click.echo(f"Error: {error}", err=True)
        sys.exit(code if isinstance(code, int) else 0)


def short_help(name: str, limit: int) -> str:
    """Return the help of a command in at most `limit` characters, without importing the command."""
    return click.Command(name, help=COMMANDS[name][1]).get_short_help_str(limit)


def exit_code(error: Exception) -> int | None:
    """Return the exit code of an error that needs no traceback; None for one that does."""
    from fastcore.errors import CorruptDataError, FastcoreError, LayoutError
    from hft.config import ConfigError
    from hft.feeds import FormatError

    if isinstance(error, ConfigError):
        return CONFIGURATION
    if isinstance(error, FormatError):
        return USAGE
    if isinstance(error, (CorruptDataError, LayoutError)):
        return CORRUPT
    if isinstance(error, (FastcoreError, OSError, ImportError, MemoryError)):
        return FAILED
    return None


@click.group(cls=LazyGroup, context_settings={"auto_envvar_prefix": "HFT", "help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(prog)s %(version)s")
def main() -> None:
    """Replay market data through the compiled trading core, and measure it."""
    check_variables([name for name, value in os.environ.items() if value and name.startswith("HFT_")])


def check_variables(names: Sequence[str]) -> None:
    """Refuse variables that stand for no key and no option."""
    if not names:
        return
    from hft.conditions import suggestion
    from hft.config import ConfigError, variables

    known = variables()
    if any(name not in known for name in names):
        known += [variable for name in COMMANDS for variable in option_variables(f"HFT_{name}", main.get_command(click.Context(main), name))]
    for name in names:
        if name not in known:
            hint = suggestion(name, known) or "; hft config lists the keys"
            raise ConfigError(f"environment variable {name} stands for no key or option{hint}")


def option_variables(prefix: str, command: click.Command | None) -> list[str]:
    """Names of the variables that stand for the options of a command, and of those below it."""
    if isinstance(command, click.Group):
        return [name for key, below in command.commands.items() for name in option_variables(f"{prefix}_{key}", below)]
    return [] if command is None else [f"{prefix}_{param.name}".upper().replace("-", "_") for param in command.params]
