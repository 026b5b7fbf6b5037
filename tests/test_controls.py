"""Controls of a run: done between two instants, written down before, and done at the same instants by a rerun."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from click.testing import CliRunner

import hft
from fastcore.errors import CorruptDataError, RiskError
from fastcore.records import KINDS
from fastcore.risk import KillSwitch, RiskLimits
from hft.cli import CONFIGURATION, CORRUPT, FAILED, main
from hft.config import ConfigError, Limits
from hft.controls import Control, Controls, read_controls
from hft.feeds import synthetic
from hft.feeds.itch import ItchFeed
from hft.journal import Inputs, read, read_planned, record
from hft.project import create
from hft.strategy import Param, Strategy

SECOND = 1_000_000_000
HOUR = 3_600 * SECOND
CHUNKS = list(synthetic.iterate(12_000, 3))
OPEN, CLOSE = 9 * HOUR + HOUR // 2, 16 * HOUR
STRATEGY = """
from hft import Param, Strategy

class Near(Strategy):
    distance = Param(0.01, "from the best prices", min=0)
    size = Param(10, "of a quote", min=0)

    def on_book(self, m):
        if m.two_sided:
            m.quote(bid=m.bid - self.distance, ask=m.ask + self.distance, size=self.size)
"""
namespace: dict = {"__name__": "near"}
exec(STRATEGY, namespace)
Near = namespace["Near"]


def day():
    return ItchFeed("synthetic", chunks=CHUNKS)


def run(controls=None, **options):
    return hft.backtest(Near(**options.pop("parameters", {})), day(), controls=controls, **options)


def at(share, **what):
    return Control(at_ns=OPEN + round(share * (CLOSE - OPEN)), **what)


def hft_(*words):
    done = CliRunner().invoke(main, [str(word) for word in words], env={key: None for key in os.environ if key.startswith("HFT_")})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def test_parameter_is_another_from_its_time_on():
    plain, moved = run(), run(Controls([at(0.5, parameters={"size": 3}, by="me")]))
    half = OPEN + (CLOSE - OPEN) // 2
    before = [result.orders["size"][result.orders["entered"].astype("i8") < half].tolist() for result in (plain, moved)]
    assert before[0] == before[1]
    assert len(before[0]) > 20
    assert set(moved.orders["size"][moved.orders["entered"].astype("i8") > half + SECOND]) == {3.0}
    assert plain.orders_hash == run().orders_hash != moved.orders_hash


# ---- the market maker that comes with the package ----

def demo(tmp_path, *lines, environment=None):
    """The journal of the built-in maker on a synthetic day under controls, and what its rerun says."""
    place = tmp_path / str(len(list(tmp_path.iterdir())))
    plan = tmp_path / f"{place.name}.jsonl"
    plan.write_text("\n".join(map(json.dumps, lines)))
    words = ("demo", "--messages", 12_000, "--seed", 3, "--latency", "1ms", "--controls", plan, "--journal", place)
    done = CliRunner().invoke(main, [str(word) for word in words], env=environment)
    assert done.exit_code == 0, done.output
    return read(place)[2], hft_("rerun", place).output


def sent(events, since_ns=0):
    """Sides, prices and sizes of orders and replacements that left from then on."""
    rows = events[np.isin(events["kind"], [KINDS["order"], KINDS["replace"]]) & (events["local_ns"] >= since_ns)]
    return rows["side"], rows["price"], rows["size"]


def test_parameters_of_the_maker_are_others_from_their_time_on(tmp_path):
    half = OPEN + (CLOSE - OPEN) // 2
    plain, _ = demo(tmp_path)
    moved, again = demo(tmp_path, {"at_ns": half, "parameters": {"order_shares": 30}, "by": "me"})
    assert again.startswith("The same ")
    before = [events[events["local_ns"] < half] for events in (plain, moved)]
    assert before[0].tobytes() == before[1].tobytes()
    assert np.median(sent(plain, half)[2]) == 100
    assert np.median(sent(moved, half)[2]) == 30, "replacements count what is filled besides"
    assert (moved["kind"] == KINDS["control"]).sum() == 1


def test_every_parameter_of_the_maker_that_may_change_changes_its_orders(tmp_path):
    plain, _ = demo(tmp_path)
    early = OPEN + (CLOSE - OPEN) // 10
    for parameters in (
        {"risk_aversion_per_usd": 5.0}, {"fill_decay_per_usd": 20.0}, {"horizon_s": 2_000.0}, {"order_shares": 50},
        {"inventory_limit_shares": 100}, {"min_spread_usd": 0.3}, {"mid_move_usd": 0.02},
    ):  # fmt: skip
        moved, again = demo(tmp_path, {"at_ns": early, "parameters": parameters})
        assert again.startswith("The same "), parameters
        assert [a.tolist() for a in sent(moved)] != [a.tolist() for a in sent(plain)], parameters
    same, _ = demo(tmp_path, {"at_ns": early, "parameters": {"order_shares": 100}})
    assert [a.tolist() for a in sent(same)] == [a.tolist() for a in sent(plain)]


def test_estimate_of_the_volatility_goes_on(tmp_path):
    """A change of nothing keeps the model's present volatility; without an estimate it is a parameter like the others."""
    from fastcore.avellaneda import Quoter
    from fastcore.flow import EwmaVolatility
    from fastcore.strategies.maker import MarketMaker

    def quoter():
        return Quoter("avellaneda_stoikov", gamma=0.1, k=1.5, sigma=0.5, tick_size=0.01)

    volatility = EwmaVolatility(half_life=10.0, interval_ns=SECOND, variance=0.25)
    maker = MarketMaker(0, quoter(), volatility, order_lots=10, ticks_per_price=100.0)
    for t, price in enumerate((100.0, 100.5, 99.9)):
        volatility.update(price, t * SECOND)
    maker.quoter.volatility = volatility.volatility
    maker.change(quoter(), order_lots=5, time_left=1.0)
    assert maker.quoter.volatility == volatility.volatility != 0.5
    fixed = {"HFT_MARKET_MAKER_VOLATILITY_HALF_LIFE_S": "0"}
    plain, _ = demo(tmp_path, environment=fixed)
    moved, again = demo(tmp_path, {"at_ns": OPEN, "parameters": {"volatility_usd_per_sqrt_s": 1.0}}, environment=fixed)
    assert again.startswith("The same ")
    assert [a.tolist() for a in sent(moved)] != [a.tolist() for a in sent(plain)]


@pytest.mark.parametrize(
    ("parameters", "rule"),
    [
        ({"order_share": 5}, "there is no key order_share; did you mean order_shares?"),
        ({"order_shares": 0}, "Expected `int` >= 1 - at `$.order_shares`"),
        ({"volatility_half_life_s": 5}, "the estimate of the volatility cannot be another while a run goes on: volatility_half_life_s"),
        ({"volatility_usd_per_sqrt_s": 5}, "the estimate of the volatility cannot be another while a run goes on"),
    ],
)
def test_parameters_that_the_maker_does_not_have_are_refused_at_the_start(tmp_path, parameters, rule):
    (tmp_path / "plan.jsonl").write_text(json.dumps({"at_ns": OPEN, "parameters": parameters}))
    done = hft_("demo", "--messages", 1000, "--controls", tmp_path / "plan.jsonl")
    assert done.exit_code == CONFIGURATION, done.output
    assert rule in done.stderr


def test_limits_change_by_one_audited_call():
    limits = RiskLimits("off", "off", "off")
    own = at(0.5, limits={"max_order_lots": 50}, symbol="SYNTH", by="x")
    controls = Controls([at(0.25, limits={"max_order_lots": 5}, by="risk officer"), own])
    result = run(controls, limits=limits)
    assert [(c.key, c.before, c.after, c.by) for c in limits.audit] == [
        ("max_order_lots", "off", 5, "risk officer"), ("max_order_lots", 5, 50, "x"),
    ]  # fmt: skip
    refused = result.rejects["time"].astype("i8")
    assert len(refused) > 3
    assert controls.done[0].at_ns <= refused.min()
    assert refused.max() < controls.done[1].at_ns, "its own limit stands in the place of that of all"
    assert controls.waiting == 0


def test_kill_pulls_everything_at_once_until_armed():
    controls = Controls([at(0.3, action="kill", by="a"), at(0.6, action="arm", by="b"), at(0.7, action="new_day")])
    result = run(controls)
    killed, armed = controls.done[0].at_ns, controls.done[1].at_ns
    entered, ended = result.orders["entered"].astype("i8"), result.orders["ended"].astype("i8")
    assert not ((entered > killed) & (entered < armed)).any()
    assert (entered > armed).any()
    works = (entered <= killed) & (ended >= killed)
    assert works.any()
    assert (ended[works] == killed).all(), "without latency they are gone at that very time"


def test_order_of_asking_does_not_matter_and_later_ones_are_told():
    planned = [at(0.5, parameters={"size": 3}), at(0.2, parameters={"size": 7}), at(2.0, action="kill")]
    one, two = Controls(planned), Controls(planned[::-1])
    assert run(one).orders_hash == run(two).orders_hash
    assert (one.waiting, [control.parameters for control in one.done]) == (1, [{"size": 7}, {"size": 3}])


def test_other_threads_ask_while_the_run_goes_on(tmp_path):
    """What they asked for is in the journal with its time, and that time alone says the orders."""
    begun = threading.Event()

    class Slow(Near):
        def on_start(self):
            begun.set()
            time.sleep(0.05)

    controls = Controls()

    def ask():
        begun.wait()
        controls.set(size=4, by="thread")
        controls.change(max_order_lots=5, by="thread")
        controls.kill(by="thread")

    thread = threading.Thread(target=ask)
    thread.start()
    with record(tmp_path / "a", Inputs("backtest", [], {}, {})) as recording:
        first = hft.backtest(Slow(), day(), controls=controls, recording=recording)
    thread.join()
    assert [c.by for c in controls.done] == ["thread"] * 3
    assert first.engine.desk.limits.killed == "kill switch"
    planned = read_planned(tmp_path / "a")
    assert planned == controls.done
    again = hft.backtest(Near(), day(), controls=Controls(planned))
    assert again.orders_hash == first.orders_hash


def test_kill_switch_of_another_process_is_a_control_of_its_own(tmp_path):
    switch = KillSwitch(tmp_path / "kill")

    class Killed(Near):
        def on_book(self, m):
            super().on_book(m)
            if self.now > OPEN + 2 * HOUR:
                KillSwitch(tmp_path / "kill").kill()

    with record(tmp_path / "a", Inputs("backtest", [], {}, {})) as recording:
        first = hft.backtest(Killed(), day(), limits=RiskLimits("off", "off", "off", kill_switch=switch), recording=recording)
    assert first.engine.desk.limits.killed == "kill switch"
    (planned,) = read_planned(tmp_path / "a")
    assert (planned.action, planned.at_ns > OPEN + 2 * HOUR) == ("kill", True)
    again = hft.backtest(Near(), day(), limits=RiskLimits("off", "off", "off"), controls=Controls([planned]))
    assert again.orders_hash == first.orders_hash


def test_switch_that_is_cleared_may_be_armed_and_is_seen_again(tmp_path):
    switch = KillSwitch(tmp_path / "kill")

    class Switches(Near):
        def on_book(self, m):
            super().on_book(m)
            hours = (self.now - OPEN) / HOUR
            (switch.kill if 1 < hours < 2 or hours > 5 else switch.clear)()

    controls = Controls([at(3 / 6.5, action="arm", by="me")])
    result = hft.backtest(Switches(), day(), limits=RiskLimits("off", "off", "off", kill_switch=switch), controls=controls)
    assert [control.action for control in controls.done] == ["kill", "arm", "kill"]
    entered = (result.orders["entered"].astype("i8") - OPEN) / HOUR
    assert not ((entered > 2) & (entered < 3)).any()
    assert ((entered > 3) & (entered < 5)).any()


PLAN = [
    at(0.1, limits={"max_order_lots": 9}, by="one"), at(0.2, parameters={"size": 8}), at(0.3, action="kill"), at(0.4, action="arm"),
    at(0.5, limits={"max_position_lots": 30}, symbol="SYNTH"), at(0.6, action="new_day"), at(0.7, parameters={"distance": 0.0}),
]  # fmt: skip


@pytest.fixture
def plan(tmp_path):
    lines = [json.dumps({k: v for k, v in {"at_ns": c.at_ns, "limits": c.limits, "parameters": c.parameters, "action": c.action,
                                           "symbol": c.symbol}.items() if v is not None}) for c in PLAN]  # fmt: skip
    path = tmp_path / "plan.jsonl"
    path.write_text("\n".join(lines) + "\n\n")
    return path


@pytest.fixture
def files(tmp_path):
    (tmp_path / "day.itch").write_bytes(b"".join(CHUNKS))
    (tmp_path / "mine.py").write_text(STRATEGY)
    create(tmp_path / "mm")
    (tmp_path / "mm" / "strategy.py").write_text(STRATEGY)
    return tmp_path


@pytest.mark.parametrize("latency", ["0", "order=1ms,response=normal(2ms,1ms),feed=3ms"])
def test_rerun_does_the_controls_at_the_same_instants(files, plan, latency):
    runs = {
        "replay": ("replay", files / "day.itch", "--strategy", files / "mine.py"),
        "backtest": ("backtest", files / "mm", "--data", files / "day.itch"),
    }
    for name, words in runs.items():
        done = hft_(*words, "--latency", latency, "--controls", plan, "--journal", files / name)
        assert done.exit_code == 0, done.output
        inputs, ended, events = read(files / name)
        assert (events["kind"] == KINDS["control"]).sum() == len(PLAN)
        assert [i["symbol"] for i in inputs.instruments] == ["SYNTH"]
        assert inputs.seeds["strategy"] == 0
        assert hft_("rerun", files / name).stdout == f"The same {ended:,} events.\n"
        (files / name / "controls.jsonl").write_text("")
        done = hft_("rerun", files / name)
        assert done.exit_code == FAILED, "a rerun without them is another run"


def test_run_of_a_strategy_in_python_that_is_killed_is_run_again_with_its_controls(files, plan):
    """SIGKILL in a hook: what was sent before is in the store, controls included, without a flush."""
    ends = f"""        import os, signal
        if self.now > {OPEN + 5 * HOUR} and not os.environ.get("ALIVE"):
            os.kill(os.getpid(), signal.SIGKILL)
        if m.two_sided:"""
    code = STRATEGY.replace("        if m.two_sided:", ends)
    (files / "mine.py").write_text(code)
    words = ["replay", str(files / "day.itch"), "--strategy", str(files / "mine.py"), "--controls", str(plan), "--journal", str(files / "j")]
    done = subprocess.run([sys.executable, "-m", "hft", *words], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    _, ended, events = read(files / "j")
    assert ended is None
    assert (events["kind"] == KINDS["control"]).sum() == 7
    os.environ["ALIVE"] = "1"
    try:
        hft_(*words[:-1], files / "whole")
    finally:
        del os.environ["ALIVE"]
    whole = read(files / "whole")[2]
    assert len(events) == (whole["local_ns"] <= OPEN + 5 * HOUR).sum(), "to the last message"
    again = subprocess.run(
        [sys.executable, "-m", "hft", "rerun", str(files / "j")], capture_output=True, text=True, env={**os.environ, "ALIVE": "1"}
    )
    assert again.stdout == f"The same {len(events):,} events, as far as the journal goes: its run did not end.\n", again.stderr


def test_message_is_in_the_store_before_it_is_sent(files):
    """Whoever reads the store while the run goes on finds every order that has a report."""
    from fastcore.records import EVENT_DTYPE
    from fastcore.tickstore import TickStore

    seen = []

    class Reads(Near):
        def on_order(self, m, order):
            if len(seen) < 20 and not order.refused:
                with TickStore(files / "j" / "events.ticks") as store:
                    assert store.dtype == EVENT_DTYPE
                    events = store.records()
                    sent = events[(events["kind"] == KINDS["order"]) | (events["kind"] == KINDS["replace"])]
                    seen.append(order.id in {*sent["order_id"].tolist(), *sent["match_id"].tolist()})

    with record(files / "j", Inputs("backtest", [], {}, {})) as recording:
        hft.backtest(Reads(), day(), recording=recording)
    assert seen == [True] * 20


def test_error_in_a_control_ends_the_run_and_so_does_its_rerun(files):
    plan = files / "bad.jsonl"
    plan.write_text(json.dumps({"at_ns": OPEN + HOUR, "limits": {"max_order_lots": 5, "min_order_lots": 6}}))
    done = hft_("replay", files / "day.itch", "--strategy", files / "mine.py", "--controls", plan, "--journal", files / "j")
    assert "min_order_lots must not exceed max_order_lots" in done.output
    assert done.exit_code != 0
    switch = KillSwitch()
    switch.kill()
    with pytest.raises(RiskError, match="the kill switch must be up"):
        run(Controls([at(0.5, action="arm")]), limits=RiskLimits("off", "off", "off", kill_switch=switch))


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("{", "plan.jsonl:1: "),
        ('{"at_ns": 1}', "a control must be one of limits, parameters and action"),
        ('{"at_ns": 1, "action": "arm", "limits": {}}', "a control must be one of limits, parameters and action"),
        ('{"at_ns": 1, "at": "2020-01-01", "action": "arm"}', "at and at_ns must not both be given"),
        ('{"at": "noon", "action": "arm"}', "plan.jsonl:1: "),
        ('{"at_ns": 1, "action": "stop"}', "Invalid enum value 'stop'"),
        ('{"action": "kill"}', "a planned control must have a time"),
        ('{"at_ns": 1, "limits": {"max_ordr_lots": 1}}', "there is no such limit: max_ordr_lots; did you mean max_order_lots?"),
        ('{"at_ns": 1, "limits": {}, "symbol": "SYNT"}', "a symbol must be in the run: symbol='SYNT'; did you mean SYNTH?"),
        ('{"at_ns": 1, "parameters": {"siz": 1}}', "Near has no parameter siz; did you mean size?"),
        ('{"at_ns": 1, "parameters": {"size": -1}}', "size must be in 0.."),
        ('{"at_ns": 1, "parameters": {"size": 1}, "strategy": "Far"}', "there is no such strategy with parameters: strategy='Far'"),
    ],
)
def test_plans_that_mean_nothing_are_refused_at_the_start(files, line, rule):
    path = files / "plan.jsonl"
    path.write_text(line)
    done = hft_("replay", files / "day.itch", "--strategy", files / "mine.py", "--controls", path)
    assert done.exit_code == CONFIGURATION, done.output
    assert rule in done.stderr
    assert "orders" not in done.stdout


def test_time_may_be_text(tmp_path):
    path = tmp_path / "plan.jsonl"
    path.write_text('{"at": "1970-01-01T12:00:00Z", "action": "kill"}')
    assert [control.due_ns for control in read_controls(path)] == [12 * HOUR]


def test_controls_without_a_run_are_refused():
    with pytest.raises(ConfigError, match="controls belong to a run that has begun"):
        Controls().kill()
    done = hft_("demo", "--messages", 1000, "--strategy", "none", "--controls", os.devnull)
    assert done.exit_code in (0, 2)


def test_journal_of_another_version_or_cut_short_is_said(files):
    hft_("replay", files / "day.itch", "--strategy", files / "mine.py", "--journal", files / "j")
    text = (files / "j" / "run.json").read_text()
    (files / "j" / "run.json").write_text(text.replace('"version": 1', '"version": 2'))
    done = hft_("rerun", files / "j")
    assert (done.exit_code, "a journal must be of version 1: " in done.stderr, "version=2" in done.stderr) == (CORRUPT, True, True)
    (files / "j" / "run.json").write_text(text[: len(text) // 2])
    assert hft_("rerun", files / "j").exit_code == CORRUPT
    (files / "j" / "run.json").write_text(text)
    whole = (files / "j" / "events.ticks").read_bytes()
    (files / "j" / "events.ticks").write_bytes(whole[:8192])
    done = hft_("rerun", files / "j")
    assert done.exit_code != 0
    assert "Traceback" not in done.output
    (files / "j" / "events.ticks").write_bytes(b"")
    assert hft_("rerun", files / "j").exit_code == CORRUPT
    (files / "j" / "events.ticks").write_bytes(whole)
    (files / "j" / "controls.jsonl").write_text("nonsense\n")
    with pytest.raises(CorruptDataError, match=r"controls.jsonl of a journal must be what a run wrote"):
        read_planned(files / "j")
    (files / "j" / "controls.jsonl").write_text('{"at_ns": 5, "action": "kill"}\n{"at_ns": 6, "act')
    assert [control.at_ns for control in read_planned(files / "j")] == [5], "a line that was not finished is none"


# ---- what changes no order ----


class Every_(Near):
    step = Param(0.02, "its own distance", min=0)

    def on_book(self, m):
        if m.two_sided:
            m.quote(bid=m.bid - self.step, ask=m.ask + self.step, size=5)


def test_sampling_journal_and_controls_of_nothing_change_no_order(files):
    path, strategy = files / "day.itch", files / "mine.py"

    def reports(*words):
        assert hft_("replay", path, "--strategy", strategy, "--journal", files / str(len(seen)), *words).exit_code == 0
        seen.append(read(files / str(len(seen)))[2].tobytes())

    seen: list = []
    for words in ((), ("--sample", 1), ("--sample", 0), ("--latency", "0")):
        reports(*words)
    assert len(set(seen)) == 1
    plain = run()
    with record(files / "j", Inputs("backtest", [], {}, {})) as recording:
        assert hft.backtest(Near(), day(), recording=recording).orders_hash == plain.orders_hash


def test_desks_of_their_own_change_no_order_of_each_other(files):
    path = files / "day.itch"
    limits = Limits(max_order_shares=None, max_position_shares=40, price_collar_usd=None, max_fills_per_minute=5)
    options = {"latency": "order=1ms,response=normal(2ms,1ms)", "limits": limits}
    alone = {"near": hft.backtest({"near": Near()}, path, **options), "every": hft.backtest({"every": Every_()}, path, **options)}
    for order in (("near", "every"), ("every", "near")):
        kinds = {"near": Near, "every": Every_}
        together = hft.backtest_each({name: kinds[name]() for name in order}, path, **options)
        assert {name: result.orders_hash for name, result in together.items()} == {name: r.orders_hash for name, r in alone.items()}
    assert alone["near"].orders_hash != alone["every"].orders_hash
    for arguments in ((day(), {}), (path, {"limits": RiskLimits()})):
        with pytest.raises(ValueError, match="desks of their own need data that can be read again"):
            hft.backtest_each({"near": Near()}, arguments[0], **arguments[1])


def test_order_of_registration_changes_no_order():
    one, two = (hft.backtest({name: kinds[name]() for name in order}, day())
                for kinds in ({"a": Near, "b": Watches},) for order in (("a", "b"), ("b", "a")))  # fmt: skip
    assert one.orders_hash == two.orders_hash == hft.backtest(Near(), day()).orders_hash


class Watches(Strategy):
    """Looks on: on one account with another, and wants nothing."""

    def on_book(self, m):
        self.record(m, mid=m.mid if m.two_sided else 0.0)

    def on_trade(self, m, trade):
        self.log(f"{trade.price}")
