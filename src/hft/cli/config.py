"""``hft config``: every key of a configuration, and what is wrong with a file of them."""

from pathlib import Path

import click

from hft import keys
from hft.config import Config, Section, read
from hft.project import RunFile

HEADS: dict[type, str] = {
    Config: "Of hft replay and hft demo: --config FILE. A key may be left out; on the command line and in the environment, as\n"
    "HFT_SECTION_KEY, it counts before the file. Shares are units of the instrument, USD its quote currency.",
    RunFile: "Of hft backtest: run.toml in the directory of the strategy. A key may be left out; options of the command count before it.",
}


@click.command()
@click.option("--check", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Say what is wrong with a file.")
@click.option("--project", is_flag=True, help="The run.toml of hft backtest, instead of the file of hft replay and hft demo.")
@click.option("--markdown", is_flag=True, help="Print tables instead of TOML.")
def config(file: Path | None, project: bool, markdown: bool) -> None:
    """Print every key of a configuration as TOML, with defaults, units and ranges; or check a file."""
    if file is not None:
        forms: tuple[type[Section], ...] = (RunFile,) if project else (Config, RunFile)
        written, meant = read(file, *forms)
        count = sum(len(value) if isinstance(value, dict) else 1 for value in written.values())
        click.echo(f"{file}: right, {count} keys of {'run.toml' if isinstance(meant, RunFile) else 'hft replay --config'}")
        return
    form = RunFile if project else Config
    if markdown:
        click.echo(keys.markdown(form), nl=False)
    else:
        click.echo("\n".join(f"# {line}" for line in HEADS[form].splitlines()) + "\n\n" + keys.toml(form=form), nl=False)
