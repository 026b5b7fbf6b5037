"""Quote around a price with the compiled core: the model, its volatility, and where an order would stand in the queue.

Run: python examples/avellaneda_quotes.py
"""

from fastcore.avellaneda import Quoter
from fastcore.book import OrderBook
from fastcore.flow import EwmaVolatility
from fastcore.records import BUY, KINDS, SELL
from fastcore.sim.venue import Venue


def main() -> None:
    # Prices in USD, time in seconds, inventory in orders of 100 shares; ticks of 1/10,000 USD on a grid of one cent.
    quoter = Quoter(
        "avellaneda_stoikov",
        gamma=0.5,
        k=20.0,
        sigma=0.02,
        inventory_unit=100.0,
        tick_size=0.0001,
        increment_ticks=100,
        low_increment_ticks=1,
        low_below_ticks=10_000,
    )
    volatility = EwmaVolatility(half_life=60.0, interval_ns=1_000_000_000)
    for second, mid in enumerate((100.00, 100.02, 100.01, 100.03, 100.02)):
        volatility.update(mid, second * 1_000_000_000)
    quoter.quote(100.02, inventory=300, time_left=60.0, volatility=volatility.volatility)
    print(f"volatility {volatility.volatility:.4f} USD per root second, reservation price {quoter.reservation:.4f}")
    bid, ask = quoter.bid_ticks, quoter.ask_ticks
    assert bid is not None
    assert ask is not None
    print(f"bid {bid / 10_000:.2f}, ask {ask / 10_000:.2f}: long 300 shares, so both are lower")

    # The same bid in a book where 500 shares wait before it.
    book, venue = OrderBook(), Venue()
    book.add(1, BUY, bid, 500)
    venue.submit(book, BUY, bid, 100)
    print("queue ahead of our order:", venue.orders()[0][4])
    for order_id, size in ((1, 500), (2, 80)):
        if order_id == 2:
            book.add(2, BUY, bid, 200)
        side, price, _, stamp = book.order(order_id)  # type: ignore[misc]
        book.execute(order_id, size)
        venue.apply(KINDS["execute"], side, price, size, stamp)
    reports = venue.take_reports()
    fills = reports[reports["kind"] == KINDS["fill"]]
    print(f"filled {fills['size'].sum()} of 100: what was executed behind us would have been ours")
    assert fills["size"].tolist() == [80]
    assert SELL == -1


if __name__ == "__main__":
    main()
