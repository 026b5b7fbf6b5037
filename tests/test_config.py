"""Every key of a configuration is written down with its facts, and a wrong name is an error that gives the right one."""

import os
import tomllib
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from hft import keys
from hft.cli import CONFIGURATION, USAGE, main
from hft.config import Config, ConfigError, Run, Section, convert, load, variables
from hft.feeds import FORMATS, FormatError, open_feed
from hft.project import RunFile

pytestmark = pytest.mark.thin

PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"
SECTIONS = [type(part) for part in (getattr(Config(), name) for name in Config.__struct_fields__) if isinstance(part, Section)]


def hft(*words, **variables):
    clean = {key: None for key in os.environ if key.startswith("HFT_")}
    done = CliRunner().invoke(main, [str(word) for word in words], env=clean | variables)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


@pytest.mark.parametrize(("form", "words"), [(Config, ()), (RunFile, ("--project",))])
def test_printed_file_is_the_defaults_and_passes_its_check(tmp_path, form, words):
    path = tmp_path / "all.toml"
    path.write_text(hft("config", *words).stdout)
    assert msgspec.convert(tomllib.loads(path.read_text()), form) == form()
    done = hft("config", "--check", path)
    assert (done.exit_code, done.stdout.startswith(f"{path}: right, ")) == (0, True)
    assert ("run.toml" in done.stdout) == (form is RunFile)


@pytest.mark.parametrize("section", [*SECTIONS, RunFile])
def test_every_key_says_what_it_means_and_every_meaning_has_a_key(section):
    found = keys.keys_of(section)
    assert [key.name for key in found if not key.doc.endswith((".", "?"))] == []
    assert [key.name for key in found] == list(section.__struct_fields__)
    text = keys.toml(form=section)
    for key in found:
        assert f"{key.name} = {key.default}" in text or f"# {key.name} =" in text or f"[{key.name}]" in text


def test_facts_of_a_key():
    found = {key.name: key for section in SECTIONS for key in keys.keys_of(section)}
    assert found["horizon_s"].facts == "number, s, > 0 and < 1e12"
    assert found["order_shares"].facts == "whole number, shares, >= 1 and <= 2^40"
    assert found["fill_decay_per_usd"].unit == "1/USD"
    assert found["short_sale"].type == '"above_bid" or "held"'
    assert (found["symbol"].range, found["symbol"].default) == ("1 to 64 characters", None)
    assert found["tiers"].type == "list of [number, text or number, text or number]"
    assert found["skip_malformed"].facts == "true or false"


def test_values_of_ones_own_stand_in_the_file():
    run = {"strategy": "x.py", "symbol": 'A"\\', "parameters": {"size": 5}}
    written = tomllib.loads(keys.toml({"run": run, "limits": {"max_loss_usd": 3.0}}))
    config = msgspec.convert(written, Config)
    assert (config.run.symbol, config.run.parameters, config.limits.max_loss_usd) == ('A"\\', {"size": 5}, 3.0)


@pytest.mark.artefact
@pytest.mark.skipif(not PAGE.is_file(), reason="no docs here: only the installed package is tested")
@pytest.mark.parametrize(("form", "words"), [(Config, ()), (RunFile, ("--project",))])
def test_page_of_the_reference_is_made_of_the_types(form, words):
    assert hft("config", "--markdown", *words).stdout in PAGE.read_text("utf-8")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[run]\nsimbol = 'X'", "there is no key simbol in [run]; did you mean symbol?"),
        ("[limts]\nmax_order_shares = 5", "there is no key limts; did you mean limits?"),
        ("[run]\norder_shares = 5", "there is no key order_shares in [run]; it is a key of [market_maker]"),
        ("[venue]\nxyz = 5", "there is no key xyz in [venue]; there are queue"),
        ("symbols = []\nlatncy = '1ms'", "there is no key latncy; did you mean latency?"),
        ("latency = 'soon'", "a duration must be a number with ns, us, ms or s"),
        ("[latency]\norder = 'soon'", "a duration must be a number with ns, us, ms or s"),
        ("messages = 3", "Expected `int` >= 1000 - at `$.messages`"),
        ("[run]\nparameters = {size = 5}", "parameters are those of a strategy of your own, avellaneda has none: size"),
    ],
)
def test_check_says_what_is_wrong_with_a_file(tmp_path, text, says):
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    done = hft("config", "--check", path)
    assert (done.exit_code, done.stderr.startswith(f"Error: {path}: "), says in done.stderr) == (CONFIGURATION, True, True), done.stderr


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("HFT_LIMIT_MAX_ORDER_SHARES", "; did you mean HFT_LIMITS_MAX_ORDER_SHARES?"),
        ("HFT_RUN_SIMBOL", "; did you mean HFT_RUN_SYMBOL?"),
        ("HFT_DEMO_SED", "; did you mean HFT_DEMO_SEED?"),
        ("HFT_STORE_EXPORT_FORC", "; did you mean HFT_STORE_EXPORT_FORCE?"),
        ("HFT_QZ", "; hft config lists the keys"),
    ],
)
def test_variable_that_stands_for_nothing_is_an_error(name, meant):
    done = hft("config", **{name: "5"})
    assert done.exit_code == CONFIGURATION
    assert f"environment variable {name} stands for no key or option{meant}" in done.stderr


def test_variables_of_keys_and_options_are_known():
    known = dict.fromkeys(("HFT_REPLAY_STRATEGY", "HFT_DEMO_SEED", "HFT_STORE_EXPORT_FORCE", "HFT_BACKTEST_LATENCY"), "1")
    assert hft("config", **known, **dict.fromkeys(variables(), "1"), HFT_NOT_SET="").exit_code == 0


def test_wrong_value_of_a_variable_names_it():
    with pytest.raises(ConfigError, match="environment variable HFT_MARKET_MAKER_HORIZON_S: Expected `float`"):
        load(None, {"HFT_MARKET_MAKER_HORIZON_S": "long"})


@pytest.mark.parametrize("format_name", sorted(FORMATS))
def test_option_that_no_feed_has_is_an_error_for_every_format(tmp_path, format_name):
    (tmp_path / "x").write_bytes(b"")
    done = hft("replay", tmp_path / "x", "--format", format_name, "--option", "chunk_event=5")
    assert (done.exit_code, "did you mean chunk_events?" in done.stderr) == (USAGE, True), done.stderr
    with pytest.raises(FormatError, match="did you mean chunk_events"):
        open_feed(tmp_path / "x", format_name, chunk_event=5)


def test_wrong_commands_and_formats_name_the_right_ones(tmp_path):
    assert "No such command 'dmo'; did you mean demo?" in hft("dmo").stderr
    assert "did you mean itch?" in hft("replay", __file__, "--format", "ihtch").stderr


def test_unknown_key_of_a_part_of_a_struct_is_told_as_it_is():
    with pytest.raises(ConfigError, match="^Expected `int`"):
        convert({"sample_every": []}, Run)


# ---- limits that contradict each other ----

BOTH = "min_order_shares must not exceed max_order_shares: "


def loaded(tmp_path, text="", variables=None, **limits):
    path = tmp_path / "limits.toml"
    path.write_text(text)
    return load(path, variables or {}, given={"limits": limits}).limits


def test_limits_are_judged_when_all_that_is_said_is_known(tmp_path):
    """A value of one layer that contradicts those below it, the defaults among them, is judged with those above it."""
    file, variable = "[limits]\nmin_order_shares = 2000", {"HFT_LIMITS_MAX_ORDER_SHARES": "3000"}
    assert loaded(tmp_path, file, variable).max_order_shares == 3000
    assert loaded(tmp_path, file, max_order_shares=4000).min_order_shares == 2000
    assert loaded(tmp_path, "", {"HFT_LIMITS_MIN_ORDER_SHARES": "2000"}, max_order_shares=4000).min_order_shares == 2000
    assert loaded(tmp_path, "[limits]\nmin_order_shares = 5\nmax_order_shares = 4", {"HFT_LIMITS_MIN_ORDER_SHARES": "3"}).min_order_shares == 3
    for wrong in (
        lambda: loaded(tmp_path, file),
        lambda: loaded(tmp_path, "", {"HFT_LIMITS_MIN_ORDER_SHARES": "2000"}),
        lambda: loaded(tmp_path, min_order_shares=2000),
    ):
        with pytest.raises(ConfigError, match=f"^{BOTH}min_order_shares=2000.0 max_order_shares=1000 .the default."):
            wrong()
    with pytest.raises(ConfigError, match=f"^{BOTH}min_order_shares=2000.0 max_order_shares=1500 - at"):
        loaded(tmp_path, file, {"HFT_LIMITS_MAX_ORDER_SHARES": "1500"})


def test_wrong_values_beside_a_contradiction_are_still_told(tmp_path):
    for text in ("[limits]\nmin_order_shares = 2000\n[run]\nsimbol = 'x'", "[run]\nsimbol = 'x'\n[limits]\nmin_order_shares = 2000"):
        with pytest.raises(ConfigError, match="there is no key simbol in .run.|min_order_shares must not exceed"):
            loaded(tmp_path, text)
        with pytest.raises(ConfigError, match="there is no key simbol in .run."):
            loaded(tmp_path, text, max_order_shares=4000)


def test_limits_of_a_project_are_judged_with_those_of_the_command(tmp_path):
    from hft.project import read

    (tmp_path / "run.toml").write_text("[limits]\nmin_order_shares = 5\nmax_order_shares = 4")
    with pytest.raises(ConfigError, match=BOTH + "min_order_shares=5.0 max_order_shares=4 - at"):
        read(tmp_path)
    assert read(tmp_path, {"limits": {"max_order_shares": "9"}}).limits.max_order_shares == 9
    done = hft("config", "--check", tmp_path / "run.toml")
    assert (done.exit_code, BOTH in done.stderr) == (CONFIGURATION, True)
    done = hft("backtest", tmp_path, "--limit", "max_order_shares=9")
    assert BOTH not in done.stderr
