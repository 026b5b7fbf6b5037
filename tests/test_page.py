"""Pages and pictures of a result: what is drawn is what the tables say, small and without anything from elsewhere."""

import re
import xml.etree.ElementTree as ET
from html import unescape

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit import examples

import hft
from fastcore.risk import RiskLimits
from hft import Strategy
from hft.feeds import synthetic
from hft.page import draw, nice, times
from hft.panels import COLUMNS, Layer, Panel, best_quotes, panels, thin

pytestmark = pytest.mark.thin
SECOND = 10**9


class Maker(Strategy):
    def on_book(self, m):
        if m.two_sided:
            self.record(m, spread=m.spread)
            m.quote(bid=m.bid if m.position < 300 else None, ask=m.ask if m.position > -300 else None, size=100)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    place = tmp_path_factory.mktemp("page") / "day.itch"
    place.write_bytes(b"".join(synthetic.iterate(12_000, 4)))
    return place


@pytest.fixture(scope="module")
def result(path):
    return hft.backtest(Maker(), path, limits=RiskLimits(1_000, 800, 1 << 40), maker_fee="-0.001%")


@examples(100)
@given(st.lists(st.floats(-1e6, 1e6) | st.just(float("nan")), max_size=300), st.integers(1, 40))
def test_thinned_curve_keeps_minima_and_maxima(values, columns):
    x, y = np.arange(len(values)) * 7, np.array(values, float)
    span = (0, max(1, 7 * len(values)))
    a, b = thin(x, y, span, columns)
    known = ~np.isnan(y)
    assert len(a) <= max(2 * columns + 2, 0)
    assert not np.isnan(b).any()
    assert (np.diff(a) > 0).all()
    assert set(zip(a.tolist(), b.tolist(), strict=True)) <= set(zip(x[known].tolist(), y[known].tolist(), strict=True))
    column = np.clip(x * columns // span[1], 0, columns - 1)
    thinned = np.clip(a * columns // span[1], 0, columns - 1)
    for c in range(columns):
        own, kept = y[known & (column == c)], b[thinned == c]
        if len(own):
            assert (own.min(), own.max()) == (kept.min(), kept.max())


def test_best_quotes_are_those_of_the_orders(result):
    orders = result.orders
    begins, ends = (orders[name].astype(np.int64) for name in ("venue_entered", "venue_ended"))
    edges = np.linspace(begins.min(), np.max(ends), 60).astype(np.int64)
    for side, best in (("buy", max), ("sell", min)):
        found = best_quotes(result, "SYNTH", side, edges)
        for i, value in enumerate(found):
            own = [
                price
                for price, b, e, s in zip(orders["price"], begins, ends, orders["side"], strict=True)
                if s == side and b < edges[i + 1] and (e > edges[i] or e < 0)
            ]
            assert (best(own) if own else None) == (None if np.isnan(value) else value)


def test_panels_show_what_the_tables_say(result):
    shown = {panel.title: panel for panel in panels(result)}
    assert list(shown) == [
        "profit and its parts, USD", "below the highest profit so far, USD", "mark-out after a fill, bps of value",
        "profit by hour of the day (UTC), USD", "position", "mid, own quotes and fills", "recorded: spread", "time to the first fill, orders",
        "size ahead of orders that were filled, as they came",
    ]  # fmt: skip
    own = result.stats["currencies"]["USD"]
    last = {layer.label: layer.y[-1] for layer in shown["profit and its parts, USD"].layers}
    rounded = 1e-4  # of a tick times a lot, in the points of the curve
    assert last == {
        "net": pytest.approx(own["profit"], abs=rounded), "spread earned": pytest.approx(own["spread"]),
        "drift after fills": pytest.approx(own["drift"], abs=rounded), "fees": pytest.approx(-own["fees"]),
    }  # fmt: skip
    assert shown["below the highest profit so far, USD"].layers[0].y.min() == pytest.approx(-own["worst_fall"]["amount"])
    assert shown["profit by hour of the day (UTC), USD"].layers[0].y.sum() == pytest.approx(own["profit"], abs=rounded)
    position, *limits = shown["position"].layers
    assert np.abs(position.y).max() == result.stats["symbols"]["SYNTH"]["position_largest"]
    assert [layer.y.tolist() for layer in limits] == [[800.0], [-800.0]]
    assert "(limit 800)" in str(result)
    buys, sells = shown["mid, own quotes and fills"].layers[-2:]
    assert (len(buys.x), len(sells.x)) == (result.stats["buys"], result.stats["sells"])
    assert shown["time to the first fill, orders"].layers[0].y.sum() == result.stats["orders_filled"]
    band = shown["mark-out after a fill, bps of value"].layers[0]
    assert band.kind == "band" and len(band.x) == sum(row["range"] is not None for row in own["markouts"]) > 5


def test_page_is_whole_and_takes_nothing_from_elsewhere(result, tmp_path):
    place = result.report(tmp_path / "x.html")
    page = place.read_text("utf-8")
    assert not re.search(r"<script|<link|<img|@import|url\(|https?://|src=", page)
    assert page.startswith("<!DOCTYPE html>")
    assert unescape(re.search("<pre>(.*?)</pre>", page, re.S)[1]).rstrip() == str(result).rsplit("\n", 1)[0]
    pictures = [ET.fromstring(text) for text in re.findall("<svg.*?</svg>", page, re.S)]
    assert len(pictures) == len(panels(result))
    assert not re.search(r"\bnan\b|\binf\b", "".join(re.findall(' d="[^"]*"| points="[^"]*"', page)))
    numbers = [float(n) for n in re.findall(r"[HV ](\d+\.\d)\b", page)]
    assert len(numbers) > 1_000 and max(numbers) <= 900


def test_page_of_a_run_without_fills_and_of_one_without_data(path):
    class Idle(Strategy):
        def on_book(self, m):
            pass

    from hft.page import page

    shown = [panel.title for panel in panels(hft.backtest(Idle(), path))]
    assert "mid, own quotes and fills" in shown and "mark-out after a fill, bps of value" not in shown
    assert page(hft.backtest(Idle(), path)).endswith("</html>\n")


def test_names_are_checked_before_anything_is_written(result, tmp_path):
    with pytest.raises(ValueError, match=r"a report must end in .html"):
        result.report(tmp_path / "x.pdf")
    with pytest.raises(ValueError, match=r"plot must end in .svg, .png or .pdf"):
        result.plot(tmp_path / "x.html")
    assert list(tmp_path.iterdir()) == []


def test_plot_draws_the_panels(result, tmp_path):
    result.plot(tmp_path / "x.svg")
    text = (tmp_path / "x.svg").read_text()
    assert text.count("<g id=\"axes_") == len(panels(result))


def test_many_fills_leave_a_small_page():
    """A million events with 200,000 fills: the curves of a page are as long as it is wide."""
    n = 200_000
    t = np.sort(np.random.default_rng(1).integers(0, 23_400 * SECOND, n))
    walk = np.cumsum(np.random.default_rng(2).normal(size=n))
    curves = [Layer(kind, kind, *thin(t, y, (0, 23_400 * SECOND))) for kind, y in (("line", walk), ("step", -walk))]
    panel = Panel("p", "time", curves)
    assert len(draw(panel)) < 2 * 2 * COLUMNS * 20


def test_marks_of_axes_are_round_and_few():
    assert nice(-0.3, 1.9) == pytest.approx([0, 0.5, 1.0, 1.5])
    assert nice(166.03, 166.11) == pytest.approx([166.04, 166.06, 166.08, 166.1])
    for low, high in ((0.0, 1e-9), (-1e12, 5.0), (3.0, 3.0001)):
        assert 1 <= len(nice(low, high)) <= 6
    assert [name for _, name in times(34_200e9, 57_600e9)] == ["10:00", "11:00", "12:00", "13:00", "14:00", "15:00", "16:00"]
    assert [name for _, name in times(0, 10 * 86_400e9)] == ["1970-01-01", "1970-01-03", "1970-01-05", "1970-01-07", "1970-01-09", "1970-01-11"]
    assert [name for _, name in times(0, 4e9)] == ["00:00:00", "00:00:01", "00:00:02", "00:00:03", "00:00:04"]


def test_page_tells_the_latency_by_stage_where_it_was_measured(path, result, tmp_path):
    from hft.page import latency

    measured = hft.backtest(Maker(), path, sample_every=16)
    table = latency(measured)
    stages = {name: times for name, times in measured.engine.stopwatch.stages.items() if times.count}
    assert re.findall(r"<tr><td>([^<]+)</td>", table) == list(stages) != []
    assert all(f"<td>{times.percentile(99.0)}</td>" in table for times in stages.values())
    assert table in measured.report(tmp_path / "a.html").read_text("utf-8")
    measured.save(tmp_path / "kept")
    assert latency(hft.load(tmp_path / "kept")) == table
    assert latency(result) == ""
    assert measured.orders_hash == hft.backtest(Maker(), path).orders_hash
