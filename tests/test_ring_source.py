"""A ring as a source: idle while it is empty, at its end when it is closed, and everything in order across threads."""

import ctypes
import os
import platform
import signal
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from fastcore.engine import Engine
from fastcore.market import Market
from fastcore.records import BUY, EVENT_DTYPE, KINDS
from fastcore.ring import RingBuffer
from fastcore.ring_source import RingSource

NUMBERS = np.dtype([("seq", np.uint64), ("value", np.int64)])


def adds(n, first=1):
    out = np.zeros(n, EVENT_DTYPE)
    out["order_id"] = out["exch_ns"] = np.arange(first, first + n)
    out["kind"], out["side"], out["price"], out["size"] = KINDS["add"], BUY, 100, 1
    return out


def test_run_is_idle_until_there_is_something_and_ends_when_the_ring_is_closed():
    ring, market = RingBuffer(64, EVENT_DTYPE), Market(symbols=4)
    engine = Engine(RingSource(ring), market)
    assert engine.run() == "idle"
    ring.push_batch(adds(10))
    assert engine.run() == "idle"
    assert market.events == 10
    ring.push_batch(adds(5, 11))
    ring.close()
    assert engine.run() == "end"
    assert market.events == 15
    assert market.book_errors == 0
    assert market.books.book(0).best_bid_size == 15


@pytest.mark.threads
def test_events_of_another_thread_come_whole_and_in_order():
    ring, market = RingBuffer(256, EVENT_DTYPE), Market(symbols=4)
    events = adds(20_000)

    def publish():
        at = 0
        while at < len(events):
            at += ring.push_batch(events[at : at + 37])
        ring.close()

    thread = threading.Thread(target=publish)
    thread.start()
    engine = Engine(RingSource(ring), market)
    while engine.run() == "idle":
        pass
    thread.join()
    assert (market.events, market.book_errors) == (20_000, 0)
    assert engine.last_ns == 20_000


def test_ring_must_hold_events():
    with pytest.raises(TypeError, match="ring must hold events"):
        RingSource(RingBuffer(8, NUMBERS))


class Stepped:
    """A traced child, instruction by instruction (Linux on x86-64)."""

    STEP, CONTINUE, PEEK, POKE, GETREGS, SETREGS = 9, 7, 1, 4, 12, 13

    def __init__(self, work):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.libc.ptrace.argtypes, self.libc.ptrace.restype = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p], ctypes.c_long
        self.registers = (ctypes.c_uint64 * 27)()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os._exit(work(self.stop))
            finally:
                os._exit(99)
        self.status = os.waitpid(self.pid, 0)[1]
        if not os.WIFSTOPPED(self.status):
            pytest.skip("this system does not trace")

    def stop(self):
        if self.libc.ptrace(0, 0, None, None):
            os._exit(98)  # it would stop for ever
        os.kill(os.getpid(), signal.SIGSTOP)

    def ask(self, request, address=None, data=None):
        return self.libc.ptrace(request, self.pid, address, data)

    def go(self, request):
        self.ask(request)
        self.status = os.waitpid(self.pid, 0)[1]
        return os.WIFSTOPPED(self.status)

    def at(self):
        self.ask(self.GETREGS, None, ctypes.addressof(self.registers))
        return self.registers[16]

    def run_to(self, address):
        word = self.ask(self.PEEK, address)
        self.ask(self.POKE, address, (word & ~0xFF | 0xCC) & 2**64 - 1)
        assert self.go(self.CONTINUE) and self.at() == address + 1
        self.ask(self.POKE, address, word & 2**64 - 1)
        self.registers[16] = address
        self.ask(self.SETREGS, None, ctypes.addressof(self.registers))


@pytest.mark.skipif(sys.platform != "linux" or platform.machine() != "x86_64", reason="steps through instructions of x86-64")
@pytest.mark.skipif("san" in os.environ.get("LD_PRELOAD", ""), reason="a sanitizer does not let itself be traced")
def test_event_and_close_between_any_two_instructions_of_a_poll_are_seen():
    name = f"fc-steps-{os.getpid()}"

    def polls(stop):
        market = Market(symbols=1)
        engine = Engine(RingSource(RingBuffer.attach(name)), market)
        assert engine.run() == "idle"
        stop()
        while engine.run() == "idle":
            pass
        return market.events

    def spans():
        maps = Path(f"/proc/{child.pid}/maps").read_text().splitlines()
        parts = [line.split() for line in maps if "/ring_source." in line and " r-xp " in line]
        return [tuple(int(end, 16) for end in part[0].split("-")) for part in parts]

    def inside(place):
        return any(low <= place < high for low, high in code)

    begin, places, at = None, [0], -2
    while at < len(places):  # the first child tells where the source is entered, the second which instructions from there are its own
        ring = RingBuffer(8, EVENT_DTYPE, name=name)
        child = Stepped(polls)
        try:
            if begin is None:
                code = spans()
                while not inside(child.at()):
                    assert child.go(Stepped.STEP)
                begin = child.at()
            else:
                child.run_to(begin)
                for step in range(600 if at < 0 else places[at]):
                    if at < 0 and inside(child.at()):
                        places.append(step + 1)
                    assert child.go(Stepped.STEP)
            ring.push_batch(adds(1))
            ring.close()
            child.go(Stepped.CONTINUE)
            assert os.waitstatus_to_exitcode(child.status) == 1, f"the event was lost: instruction={at} of {len(places)}"
        finally:
            if os.WIFSTOPPED(child.status):
                os.kill(child.pid, signal.SIGKILL)
                os.waitpid(child.pid, 0)
            ring.detach()
            RingBuffer.unlink(name)
        at += 1
    assert len(places) > 20
