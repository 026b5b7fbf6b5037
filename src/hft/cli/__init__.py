"""The command ``hft``: subcommands are imported when they are used, exit codes say what went wrong.

0 ok, 1 failed, 2 usage, 3 configuration, 4 corrupt data, 5 stopped by a risk limit, 130 interrupted.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from fastcore import __version__

FAILED, USAGE, CONFIGURATION, CORRUPT, STOPPED, INTERRUPTED = 1, 2, 3, 4, 5, 130

COMMANDS = {
    "replay": "hft.cli.replay:replay",
    "demo": "hft.cli.replay:demo",
    "verify": "hft.cli.verify:verify",
    "bench": "hft.cli.bench:bench",
    "store": "hft.cli.store:store",
}


class LazyGroup(click.Group):
    """A group whose commands live in modules that are imported on use, and whose errors become exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name].split(":")
        command: click.Command = getattr(import_module(module), name)
        return command

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
        except (click.Abort, KeyboardInterrupt):
            click.echo("Interrupted.", err=True)
            code = INTERRUPTED
        except Exception as error:
            code = exit_code(error)
            if code is None:
                raise
            click.echo(f"Error: {error}", err=True)
        sys.exit(code if isinstance(code, int) else 0)


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
    if isinstance(error, (FastcoreError, OSError, MemoryError)):
        return FAILED
    return None


@click.group(cls=LazyGroup, context_settings={"auto_envvar_prefix": "HFT", "help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(prog)s %(version)s")
def main() -> None:
    """Replay market data through the compiled trading core, and measure it."""
