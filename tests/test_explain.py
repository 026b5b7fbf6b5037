"""What became of an order in words, from a result and from a journal; what a figure means; and the commands that say it."""

import json
import os
import re

import numpy as np
import pytest
from click.testing import CliRunner

import hft
from fastcore.records import KINDS
from hft import Strategy
from hft.cli import CONFIGURATION, USAGE, main
from hft.explain import FIGURES, explain_journal
from hft.feeds import synthetic
from hft.figures import mean_size
from hft.project import create, explain, find, read, run

pytestmark = pytest.mark.thin


def command(*words):
    done = CliRunner().invoke(main, [str(word) for word in words], env={key: None for key in os.environ if key.startswith("HFT_")})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    place = tmp_path_factory.mktemp("explain") / "mm"
    create(place)
    path = place / "run.toml"
    path.write_text(path.read_text().replace("messages = 100000", "messages = 10000"))
    done = command("backtest", place, "--latency", "order=1ms,response=3ms")
    assert done.exit_code == 0, done.output
    return place


@pytest.fixture(scope="module")
def result(project):
    return hft.load(find(directory=project))


def waited(result):
    """A filled order that had stood behind others."""
    orders = result.orders
    return int(orders["order"][np.flatnonzero((orders["filled"] > 0) & (orders["ahead"] > 300))[0]])


def test_life_of_an_order_is_that_of_the_tables(result):
    number = waited(result)
    orders, fills = result.orders, result.fills
    row = {name: orders[name][orders["order"] == number][0] for name in orders}
    head, *lines = result.explain(number).splitlines()
    assert head == f"order {number}, SYNTH"

    def clock(stamp):
        return str(stamp)[11:26]

    sent = row["venue_entered"] - np.timedelta64(1, "ms")
    assert lines[0] == f"  {clock(sent)}  sent, 1 ms on its way"
    entered = f"at the venue: {row['side']} {row['size']:g} at {row['price']:.10g}; {row['ahead']:,.0f} stand before it"
    assert lines[1] == f"  {clock(row['venue_entered'])}  {entered}; we learn of it 3 ms later"
    own = np.flatnonzero(fills["order"] == number)
    told = [line for line in lines if " filled at " in line]
    assert len(told) == len(own)
    for i, line in zip(own, told, strict=True):
        fill = {name: fills[name][i] for name in fills}
        words = f"{fill['size']:g} of {row['size']:g} filled at {fill['price']:.10g}: "
        assert line.startswith(f"  {clock(fill['venue_time'])}  {words}")
        edge = (1 if row["side"] == "buy" else -1) * (fill["mid"] - fill["price"])
        better = f"{abs(edge):.4g} {'better' if edge >= 0 else 'worse'} than that"
        assert f"mid {fill['mid']:.10g}, {better} (market event {fill['event']:,}" in line
        ahead = fills["ahead"][i]
        assert (f"; {ahead:,.0f} stood before it" if ahead else "; nothing stood before it") in line
    assert ("the last of it" in told[-1]) == (row["state"] == "filled")


def test_place_in_the_queue_is_told_from_the_same_run_again(result):
    """The steps between arrival and fill fall from what stood before it to what stood before it at the fill."""
    number = waited(result)
    orders, fills = result.orders, result.fills
    steps = re.findall(r"moves up: (?:([\d,]+) stand|nothing stands)", explain(result, number))
    places = [int(step.replace(",", "") or 0) for step in steps]
    assert places and places == sorted(places, reverse=True)
    assert places[0] < orders["ahead"][orders["order"] == number][0]
    assert places[-1] >= fills["ahead"][fills["order"] == number][0]


def test_another_strategy_in_the_file_is_noticed(project, tmp_path):
    import shutil

    place = tmp_path / "mm"
    shutil.copytree(project, place)
    shutil.rmtree(place / "results")
    command("backtest", place)
    kept = hft.load(find(directory=place))
    number = waited(kept)
    assert "moves up" in explain(kept, number)
    path = place / "strategy.py"
    path.write_text(path.read_text().replace("Param(0.5,", "Param(0.6,"))
    assert "at the venue" in explain(kept, number) and "moves up" not in explain(kept, number)
    path.unlink()
    assert "at the venue" in explain(kept, number) and "moves up" not in explain(kept, number)


def test_cancelled_and_refused_orders_are_told(result):
    orders = result.orders
    number = int(orders["order"][orders["state"] == "cancelled"][0])
    assert re.search(r"cancelled with [\d,]+ left; we learn of it 3 ms later$", result.explain(number))

    class Crosses(Strategy):
        def on_book(self, m):
            if m.two_sided:
                m.quote(bid=m.bid, size=100)

    from hft.feeds.itch import ItchFeed

    run = hft.backtest(Crosses(), ItchFeed("s", chunks=synthetic.iterate(3_000, 1)), latency="normal(5ms,2ms)")
    reports = run._reports.copy()
    reports["kind"][0], reports["match_id"][0] = KINDS["reject"], 28
    run._arrays["reports"] = reports
    text = run.explain(int(reports["order_id"][0]))
    assert "refused: self trade" in text
    assert "sent" not in text  # random latencies: only a journal knows


def test_unknown_orders_and_figures_name_what_there_is(result):
    last = int(result._reports["order_id"].max())
    for number in (0, last + 1, -5):
        with pytest.raises(LookupError, match=rf"there is no order {number:,} in the run: orders are 1\.\.{last:,}"):
            result.explain(number)
    with pytest.raises(LookupError, match="there is no figure markuot; did you mean markout\\?; figures are profit, markout, fills"):
        result.explain("markuot")


@pytest.mark.parametrize("name", list(FIGURES))
def test_figures_are_explained_with_their_values(result, name):
    text, stats = result.explain(name), result.stats
    own, row = stats["currencies"]["USD"], stats["symbols"]["SYNTH"]
    markout = {line["horizon_ns"]: line for line in own["markouts"]}
    assert len(max(text.split("\n\n")[0].splitlines(), key=len)) <= 80
    values = {
        "profit": [f"{own['spread']:+.2f}", f"{own['drift']:+.2f}", f"{own['profit']:+.2f}"],
        "markout": [f"{markout[h]['all']:+.3f}" for h in (0, 10**7, 10**9)] + [f"cause {cause}" for cause in stats["causes"]],
        "fills": [f"{part:.1%}" for part in stats["causes"].values()],
        "position": [mean_size(row["position_mean"]), f"{row['position_largest']:g}", f"{stats['turnover']:.1f} times"],
        "ratios": ["not given", f"{own['worst_fall']['amount']:.2f}"],
    }[name]
    for value in values:
        assert value in text


def test_commands_tell_of_the_last_run_and_of_any(project, monkeypatch):
    monkeypatch.chdir(project)
    assert command("explain", "markout").stdout.startswith("Mark-out: where the market went after our fills")
    first = find().name
    assert command("backtest", "--set", "size=30").stdout.endswith("next: hft report --open     hft explain markout\n")
    second = find().name
    assert first != second
    assert command("explain", first[:5], "1").stdout.startswith("order 1, SYNTH\n")
    assert command("explain", f"results/{first}", "1").stdout == command("explain", first, "1").stdout
    done = command("report", first)
    assert find().name == second  # still
    assert done.stdout.strip() == f"results/{first}/report.html"
    assert (project / "results" / first / "report.html").read_text("utf-8").count("<svg") > 5
    assert hft.load(f"results/{first}").id == first
    command("backtest", "--latency", "order=1ms,response=3ms")  # the first one again: it is the last now, and there is no third
    assert find().name == first
    assert len(list((project / "results").iterdir())) == 2
    command("backtest", "--set", "size=31", "--no-save")
    assert find().name == first


def test_what_is_not_there_is_said(project, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for words in (("report",), ("explain", "markout")):
        done = command(*words)
        assert done.exit_code == CONFIGURATION
        assert "there is no run in" in done.stderr and "hft backtest makes one" in done.stderr
    monkeypatch.chdir(project)
    done = command("explain", "nothing", "1")
    assert done.exit_code == CONFIGURATION
    assert re.search(r"there is no run nothing in .*, there are \w{8}", done.stderr)
    done = command("explain", "99999")
    assert (done.exit_code, "there is no order 99,999 in the run: orders are 1.." in done.stderr) == (CONFIGURATION, True)
    assert command("explain", "a", "b", "c").exit_code == USAGE
    assert command("report", "-o", tmp_path / "x.pdf").exit_code == USAGE


def test_error_in_a_hook_leaves_what_was_done(tmp_path):
    place = tmp_path / "mm"
    create(place)
    path = place / "strategy.py"
    path.write_text(path.read_text().replace("    def on_fill(self, m, fill):\n", "    def on_fill(self, m, fill):\n        1 / 0\n"))
    done = command("backtest", place)
    assert done.exit_code == 1
    assert re.search(r"^What was done so far: .*results/\w{8}\nError: .*strategy.py:\d+ in on_fill: ZeroDivisionError", done.stderr, re.M)
    kept = hft.load(find(directory=place))
    assert kept.fills.rows == 1
    assert "ZeroDivisionError" in kept.stopped
    assert f"stopped: {kept.stopped}" in str(kept)


def test_result_is_printed_where_it_cannot_be_kept(project, tmp_path):
    import shutil

    shutil.copytree(project, tmp_path / "mm")
    shutil.rmtree(tmp_path / "mm" / "results")
    (tmp_path / "mm" / "results").write_text("a file")
    done = command("backtest", tmp_path / "mm")
    assert done.exit_code == 1
    assert done.stdout.endswith("next: hft report --open     hft explain markout\n")
    assert (tmp_path / "mm" / "results").read_text() == "a file"


def test_beginning_that_several_runs_have_is_refused(tmp_path):
    from hft.config import ConfigError

    for name in ("aa1", "aa2"):
        (tmp_path / "results" / name).mkdir(parents=True)
        (tmp_path / "results" / name / "result.json").touch()
    with pytest.raises(ConfigError, match="several runs begin with aa: aa1, aa2"):
        find("aa", tmp_path)
    assert find("aa2", tmp_path).name == "aa2"


def test_same_project_has_the_same_id_anywhere(project, tmp_path):
    import shutil

    shutil.copytree(project, tmp_path / "elsewhere")
    one, two = (run(read(place)) for place in (project, tmp_path / "elsewhere"))
    assert one.id == two.id
    assert json.dumps(one.stats) == json.dumps(two.stats)


# ---- journals ----


@pytest.fixture(scope="module")
def journal(tmp_path_factory):
    place = tmp_path_factory.mktemp("journal") / "run"
    done = command("demo", "--messages", "5000", "--journal", place, "--latency", "1ms", "--json")
    assert done.exit_code == 0, done.output
    return place


def test_journal_tells_what_was_sent(journal):
    from hft.journal import read as read_journal

    _, _, events = read_journal(journal)
    sent = events[events["kind"] == KINDS["order"]][0]
    number = int(sent["order_id"])
    text = command("explain", journal, number).stdout
    side = "buy" if sent["side"] > 0 else "sell"
    assert text.splitlines()[0] == f"order {number}"
    assert f"sent: {side} {sent['size']:,} lots at {sent['price']:,} ticks\n" in text
    assert "; we learn of it 1 ms later" in text
    replaced = events[events["kind"] == KINDS["replace"]][0]
    after = explain_journal(journal, str(int(replaced["match_id"])))
    assert f"lots at {replaced['price']:,} ticks, in the place of order {replaced['order_id']}\n" in after
    assert f"asked to make way for order {replaced['match_id']}: " in explain_journal(journal, str(int(replaced["order_id"])))
    pulls = events[events["kind"] == KINDS["pull"]]
    if len(pulls):
        assert "asked to be cancelled\n" in explain_journal(journal, str(int(pulls["order_id"][0])))


def test_journal_knows_orders_alone(journal):
    with pytest.raises(LookupError, match="there is no order 0 in the run: orders are 1"):
        explain_journal(journal, "0")
    with pytest.raises(LookupError, match="a journal tells the lives of orders alone: markout"):
        explain_journal(journal, "markout")
