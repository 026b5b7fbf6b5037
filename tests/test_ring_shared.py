"""Rings in shared memory: other processes, other layouts, crashed peers, names that go and names that stay."""

import errno
import mmap
import os
import signal
import struct
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import numpy as np
import pytest

from fastcore.broadcast import BroadcastRing
from fastcore.errors import CorruptDataError, LayoutError, PeerDeadError, RingError
from fastcore.records import EVENT_DTYPE
from fastcore.ring import RingBuffer

SHM = Path("/dev/shm")
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at the files in /dev/shm")
posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")


def place(name, content):
    (SHM / name).touch(0o600)
    (SHM / name).write_bytes(content)


def events(*prices):
    rows = np.zeros(len(prices), EVENT_DTYPE)
    rows["price"] = prices
    return rows


@pytest.fixture
def name():
    value = f"fc-test-{uuid.uuid4().hex[:12]}"
    yield value
    RingBuffer.unlink(value)


def child(code, *arguments, **options):
    """Start a Python process that runs `code` with numpy and the ring imported; it prints and reads lines."""
    head = "import sys, time, os\nimport numpy as np\nfrom fastcore.ring import *\nfrom fastcore.broadcast import *\n"
    head += "from fastcore.records import EVENT_DTYPE\n"
    return subprocess.Popen(
        [sys.executable, "-c", head + code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
        **options,
    )


def finish(process):
    """Close the pipes of a child and wait for it."""
    with process:
        pass
    return process.returncode


def kill(process):
    process.send_signal(signal.SIGKILL)
    finish(process)


def test_records_cross_processes_in_order(name):
    ring = RingBuffer(64, name=name, role="consumer")
    process = child(
        """
ring = RingBuffer.attach(sys.argv[1], role="producer")
rows = np.zeros(5000, EVENT_DTYPE)
rows["price"] = np.arange(5000)
assert ring.push_batch(rows, timeout=30) == 5000
ring.close()
""",
        name,
    )
    out = np.zeros(100, EVENT_DTYPE)
    seen = []
    while len(seen) < 5000:
        seen += out["price"][: ring.pop_batch(out, timeout=30)].tolist()
    with pytest.raises(RingError, match="closed: published=5000"):
        ring.pop(30)
    assert finish(process) == 0
    assert seen == list(range(5000))


def test_late_consumer_gets_what_a_gone_producer_left(name):
    process = child("ring = RingBuffer(8, name=sys.argv[1]); ring.push(bytes(64)); ring.close(); ring.detach()", name)
    assert finish(process) == 0
    with pytest.raises(FileExistsError, match="nobody read"):
        RingBuffer(8, name=name)
    ring = RingBuffer.attach(name)
    assert int(ring.pop(1)["seq"]) == 1
    assert ring.producer_alive is None
    ring.detach()
    with pytest.raises(FileNotFoundError):
        RingBuffer.attach(name)


@linux
def test_last_to_detach_removes_the_name(name):
    producer = RingBuffer(8, name=name)
    consumer = RingBuffer.attach(name)
    producer.push(events(1))
    producer.detach()
    producer.detach()
    assert (SHM / name).exists()
    assert int(consumer.pop()["price"]) == 1
    consumer.detach()
    assert not (SHM / name).exists()


@linux
def test_dropped_handles_remove_the_name(name):
    producer = RingBuffer(8, name=name)
    consumer = RingBuffer.attach(name)
    del producer
    assert (SHM / name).exists()
    del consumer
    assert not (SHM / name).exists()


@linux
def test_interpreter_exit_removes_the_name(name):
    assert finish(child("ring = RingBuffer(8, name=sys.argv[1]); sys.keep = ring", name)) == 0
    assert not (SHM / name).exists()


@linux
def test_a_later_ring_of_the_name_is_left_alone(name):
    old = RingBuffer(8, name=name)
    assert RingBuffer.unlink(name)
    new = RingBuffer(8, name=name)
    old.detach()
    assert (SHM / name).exists()
    new.detach()
    assert not (SHM / name).exists()


@linux
@posix
def test_name_of_a_killed_creator_is_removed_by_the_survivor(name):
    process = child("ring = RingBuffer(8, name=sys.argv[1]); print('up'); time.sleep(60)", name)
    assert process.stdout.readline() == "up\n"
    ring = RingBuffer.attach(name)
    assert ring.producer_pid == process.pid
    assert ring.producer_alive is True
    kill(process)
    assert ring.producer_alive is False
    ring.detach()
    assert not (SHM / name).exists()


@posix
def test_name_of_a_killed_creator_can_be_used_again(name):
    process = child("ring = RingBuffer(8, name=sys.argv[1], role='both'); print('up'); time.sleep(60)", name)
    assert process.stdout.readline() == "up\n"
    with pytest.raises(FileExistsError):
        RingBuffer(16, name=name)
    kill(process)
    ring = RingBuffer(16, name=name)
    assert ring.capacity == 16
    ring.detach()


@posix
def test_dead_producer_is_an_error_after_its_records(name):
    process = child(
        "ring = RingBuffer(8, name=sys.argv[1]); [ring.push(bytes(64)) for i in range(3)]; print('up'); time.sleep(60)", name
    )
    assert process.stdout.readline() == "up\n"
    ring = RingBuffer.attach(name)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert [int(ring.pop(10)["seq"]) for _ in range(3)] == [1, 2, 3]
    with pytest.raises(PeerDeadError, match=f"the producer is gone: name={name}, pid={process.pid}, consumed=3"):
        ring.pop(10)
    finish(process)
    # Another producer goes on where the dead one stopped.
    successor = RingBuffer.attach(name, role="producer")
    successor.push(events(9))
    assert int(ring.pop()["seq"]) == 4


@posix
def test_zombie_counts_as_dead(name):
    process = child("ring = RingBuffer(8, name=sys.argv[1]); print('up'); time.sleep(60)", name)
    process.stdout.readline()
    ring = RingBuffer.attach(name)
    process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while ring.producer_alive and time.monotonic() < deadline:  # killed, not waited for
        time.sleep(0.01)
    assert ring.producer_alive is False
    finish(process)


@posix
def test_dead_consumer_is_an_error_when_the_ring_is_full(name):
    ring = RingBuffer(2, name=name)
    process = child("ring = RingBuffer.attach(sys.argv[1]); print('up'); time.sleep(60)", name)
    process.stdout.readline()
    assert ring.consumer_alive is True
    kill(process)
    ring.push_batch(events(1, 2))
    with pytest.raises(PeerDeadError, match=f"the consumer is gone: name={name}, pid={process.pid}, unread=2"):
        ring.push(events(3), timeout=10)
    successor = RingBuffer.attach(name)
    ring.push(events(3), timeout=10) if successor.try_pop() else None
    assert [int(successor.pop()["price"]) for _ in range(2)] == [2, 3]


@posix
def test_dead_broadcast_consumer_can_be_evicted(name):
    ring = BroadcastRing(2, name=name)
    process = child("c = BroadcastRing.attach(sys.argv[1]).consumer(); print('up'); time.sleep(60)", name)
    process.stdout.readline()
    assert [row["alive"] for row in ring.consumers] == [True]
    kill(process)
    ring.push_batch(events(1, 2))
    with pytest.raises(PeerDeadError, match="evict_dead"):
        ring.push(events(3), timeout=10)
    with ring.consumer() as c:
        assert ring.evict_dead() == 1
        assert int(c.pop()["price"]) == 1
        ring.push(events(3), timeout=10)
        assert len(ring.consumers) == 1
    ring.detach()


def test_broadcast_crosses_processes(name):
    ring = BroadcastRing(64, name=name, consumers=3)
    code = """
c = BroadcastRing.attach(sys.argv[1]).consumer()
print("up")
out = np.zeros(100, EVENT_DTYPE)
total = count = 0
try:
    while True:
        n = c.pop_batch(out, timeout=30)
        total += int(out["price"][:n].sum())
        count += n
except Exception as error:
    print(total, count, c.lost, type(error).__name__)
"""
    processes = [child(code, name) for _ in range(2)]
    for p in processes:
        assert p.stdout.readline() == "up\n"
    with ring:
        for start in range(0, 2000, 100):
            assert ring.push_batch(events(*range(start, start + 100)), timeout=30) == 100
    for p in processes:
        assert p.stdout.readline() == f"{sum(range(2000))} 2000 0 RingError\n"
        finish(p)


# ---- layouts


@linux
@pytest.mark.parametrize(
    ("offset", "data", "message"),
    [
        (0, b"NOTARING", "magic of a ring: .*found="),
        (8, struct.pack("=I", 2), "version of a ring: .*found=0x2, asked=0x1"),
        (12, struct.pack("=I", 0x04030201), "byte order of a ring: .*found=0x4030201, asked=0x1020304"),
        (16, struct.pack("=I", 2), "kind of ring: .*found=2"),
        (20, struct.pack("=I", 128), "record size asked for: .*found=128, asked=64"),
        (24, struct.pack("=Q", 1), "dtype hash asked for: .*found=1, asked="),
        (32, struct.pack("=Q", 16), "geometry must fit its memory: .*capacity=16"),
        (32, struct.pack("=Q", 0), "geometry must fit its memory: .*capacity=0"),
        (32, struct.pack("=Q", 2**63), "geometry must fit its memory"),
        (40, struct.pack("=Q", 5), "geometry must fit its memory: .*consumers=5"),
        (40, struct.pack("=Q", 2**64 - 1), "geometry must fit its memory"),
        (64, struct.pack("=Q", 15), "geometry must fit its memory"),
        (72, struct.pack("=Q", 63), "geometry must fit its memory"),
        (80, struct.pack("=Q", 0), "geometry must fit its memory"),
    ],
)
def test_attach_checks_every_field(name, offset, data, message):
    ring = RingBuffer(8, name=name)
    raw = bytearray((SHM / name).read_bytes())
    raw[offset : offset + len(data)] = data
    other = name + "-x"
    place(other, raw)
    try:
        with pytest.raises(LayoutError, match=message):
            RingBuffer.attach(other)
        # What is not a ring of ours is never removed for us.
        if offset < 16:
            with pytest.raises(FileExistsError):
                RingBuffer(8, name=other)
    finally:
        os.unlink(SHM / other)
    ring.detach()


@linux
@pytest.mark.parametrize("size", [0, 100, 511, 512, 512 + 8 * 64 - 1])
def test_attach_to_truncated_memory(name, size):
    ring = RingBuffer(8, name=name)
    other = name + "-x"
    place(other, (SHM / name).read_bytes()[:size])
    try:
        with pytest.raises(LayoutError, match=f"bytes={size}"):
            RingBuffer.attach(other)
    finally:
        os.unlink(SHM / other)
    ring.detach()


@linux
def test_pid_that_was_used_again_is_another_process(name):
    ring = RingBuffer(8, name=name, role="consumer")
    with open(SHM / name, "r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        (mine,) = struct.unpack_from("=Q", memory, 400)
        assert mine >> 32 == os.getpid()
        # Our own pid, started at another time.
        struct.pack_into("=Q", memory, 392, mine ^ 1)
        assert ring.producer_pid == os.getpid()
        assert ring.producer_alive is False
        struct.pack_into("=Q", memory, 392, mine)
        assert ring.producer_alive is True
        struct.pack_into("=Q", memory, 392, mine ^ 1)
    RingBuffer.attach(name, role="producer").push(events(1))
    ring.pop()


@linux
def test_full_shared_memory_is_an_error_and_not_a_crash(name):
    status = os.statvfs(SHM)
    free = status.f_bavail * status.f_frsize
    capacity = 2
    while capacity * 64 <= free:
        capacity *= 2
    if capacity * 64 > 2**39:
        pytest.skip("/dev/shm is larger than a ring may be")
    with pytest.raises(OSError, match=name) as info:
        RingBuffer(capacity, name=name)
    assert info.value.errno in (errno.ENOSPC, errno.ENOMEM)
    assert not (SHM / name).exists()


@linux
def test_nothing_is_left_behind_by_a_killed_creation(name):
    before = set(os.listdir(SHM))
    ring = RingBuffer(1024, name=name)
    assert set(os.listdir(SHM)) - before >= {name}
    assert not [entry for entry in os.listdir(SHM) if entry.startswith(f".{name}")]
    ring.detach()


@linux
def test_shared_memory_is_private_to_the_user(name):
    ring = RingBuffer(8, name=name)
    assert (SHM / name).stat().st_mode & 0o777 == 0o600
    ring.detach()


@posix
def test_forked_child_takes_nothing_with_it(name):
    ring = RingBuffer(8, name=name, role="both")
    pid = os.fork()
    if pid == 0:
        ring.detach()
        del ring
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert ring.producer_alive
    assert RingBuffer.attach  # the name is still there
    with pytest.raises(FileExistsError):
        RingBuffer(8, name=name)
    ring.detach()


# ---- races: every legal outcome, and no other


@pytest.fixture
def busy_threads():
    """Let threads change places as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def test_one_of_many_racing_creators_wins(name, busy_threads):
    # A ring that is being made must not look like a dead one, which the next creator may remove.
    for _ in range(200):
        made, refused = [], []
        barrier = threading.Barrier(4)

        def create(made=made, refused=refused, barrier=barrier):
            barrier.wait()
            try:
                made.append(RingBuffer(8, name=name))
            except FileExistsError:
                refused.append(1)

        threads = [threading.Thread(target=create) for _ in range(4)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        assert (len(made), len(refused)) == (1, 3)
        made[0].detach()


def test_one_of_many_racing_consumers_gets_the_role(name):
    ring = RingBuffer(8, name=name)
    for _ in range(30):
        got, refused = [], []
        barrier = threading.Barrier(4)

        def attach(got=got, refused=refused, barrier=barrier):
            barrier.wait()
            try:
                got.append(RingBuffer.attach(name))
            except RingError:
                refused.append(1)

        threads = [threading.Thread(target=attach) for _ in range(4)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        assert (len(got), len(refused)) == (1, 3)
        got[0].detach()
    ring.detach()


# ---- memory is input: what another process writes there


@linux
@pytest.mark.parametrize("mode", [0o666, 0o640, 0o604])
def test_ring_that_others_may_open_is_refused(name, mode):
    ring = RingBuffer(8, name=name)
    os.chmod(SHM / name, mode)
    with pytest.raises(PermissionError, match=f"alone: uid={os.geteuid()}, mode={mode:#o}, asked=0o600"):
        RingBuffer.attach(name)
    ring.detach()


@linux
@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root gives files away")
def test_ring_of_another_user_is_refused_and_left_alone(name):
    ring = RingBuffer(8, name=name)
    os.chown(SHM / name, 12345, -1)
    with pytest.raises(PermissionError, match="alone: uid=12345"):
        RingBuffer.attach(name)
    with pytest.raises(FileExistsError):
        RingBuffer(8, name=name)
    ring.detach()


def overwrite(name, *words):
    with open(SHM / name, "r+b") as file:
        for offset, value in words:
            os.pwrite(file.fileno(), struct.pack("=Q", value), offset)


@linux
@pytest.mark.parametrize("call", ["pop", "pop_batch", "peek"])
def test_number_that_is_not_due_is_an_error(name, call):
    ring = RingBuffer(8, name=name, role="both")
    overwrite(name, (512, 5))
    arguments = (np.zeros(1, EVENT_DTYPE),) if call == "pop_batch" else ()
    with pytest.raises(CorruptDataError, match=r"record that is due, or an earlier one: seq=5, due=1"):
        getattr(ring, call)(*arguments, timeout=0.05)
    with BroadcastRing(8, name=name + "-o", overrun=True) as other, other.consumer() as consumer:
        overwrite(name + "-o", (512 + 8 * 128, 5))
        with pytest.raises(CorruptDataError, match="yet to come: due=1"):
            consumer.pop(timeout=0.05)


@linux
def test_geometry_is_read_once(name):
    ring = RingBuffer(8, name=name, role="both")
    overwrite(name, (64, 2**40), (72, 2**20), (80, 2**40), (32, 2**40), (40, 2**30))
    assert ring.capacity == 8
    for _ in range(3):
        assert ring.push_batch(events(1, 2, 3, 4, 5)) == 5
        assert ring.pop_batch(np.zeros(5, EVENT_DTYPE)) == 5
    ring.try_claim(3)
    overwrite(name, (128, 2**40 + 7))  # a row of three no longer fits behind this cursor
    ring.commit()


@linux
@posix
def test_slot_that_is_never_readable_ends_at_the_deadline_and_at_a_signal(name):
    code = """
ring = RingBuffer(8, name=sys.argv[1], role="both")
print("up")
for timeout in (0.05, None):
    try:
        ring.pop(timeout)
    except Exception as error:
        print(type(error).__name__)
    except KeyboardInterrupt:
        print("interrupted")
"""
    process = child(code, name)
    assert process.stdout.readline() == "up\n"
    with open(SHM / name, "r+b") as file, mmap.mmap(file.fileno(), 0) as memory:

        def flip():
            while not done.is_set():
                struct.pack_into("=Q", memory, 512, 5)
                struct.pack_into("=Q", memory, 512, 0)

        done = threading.Event()
        thread = threading.Thread(target=flip)
        thread.start()
        assert process.stdout.readline() in ("TimeoutError\n", "CorruptDataError\n")
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() in ("interrupted\n", "CorruptDataError\n")
        done.set()
        thread.join()
    finish(process)


@linux
@posix
@pytest.mark.parametrize("kind", ["single", "broadcast"])
def test_forked_child_cannot_move_the_cursors_of_its_parent(name, kind):
    ring = RingBuffer(8, name=name, role="both") if kind == "single" else BroadcastRing(8, name=name)
    consumer = ring if kind == "single" else ring.consumer()
    ring.push_batch(events(1, 2, 3))
    view = consumer.peek(3)
    pid = os.fork()
    if pid == 0:
        refused = 0
        for call in (consumer.pop, consumer.release, lambda: ring.push(events(4)), lambda: ring.try_claim(1), ring.close):
            try:
                call()
            except RingError as error:
                refused += "a forked process must attach to a ring anew" in str(error)
        os._exit(0 if refused == 4 and ring.closed and view["price"].sum() == 0 else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert not ring.closed
    assert [int(consumer.pop()["price"]) for _ in range(3)] == [1, 2, 3]
    ring.push(events(4))
    assert int(consumer.pop(timeout=10)["price"]) == 4
