"""Pictures that are decoded at once share a bounded amount of memory."""

import subprocess
import sys
import threading

import pytest

from training.images.memory import Budget

pytestmark = pytest.mark.unit


def test_no_more_is_held_at_once_than_the_limit_and_all_get_their_turn() -> None:
    budget, lock = Budget(100), threading.Lock()
    held, most, done = 0, 0, []

    def decode(size: int) -> None:
        nonlocal held, most
        with budget.reserved(size):
            with lock:
                held += min(size, 100)
                most = max(most, held)
            with lock:
                held -= min(size, 100)
        done.append(size)

    sizes = [60, 30, 100, 50, 500, 10] * 20
    threads = [threading.Thread(target=decode, args=(size,)) for size in sizes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == sorted(sizes)
    assert most <= 100


def test_a_failure_gives_back_what_was_held() -> None:
    budget = Budget(100)
    with pytest.raises(KeyError), budget.reserved(80):
        raise KeyError
    with budget.reserved(100):
        pass


def test_an_ordinary_photo_does_not_wait_for_a_huge_one() -> None:
    budget = Budget(100, free=10)
    with budget.reserved(100), budget.reserved(9):
        pass


CHILD = """
import resource, struct, sys, threading, zlib
import imagehash
from training.images.images import decode, inspect

def png(side, depth, colour, channels):
    row = bytes(1 + side * channels * depth // 8)
    packer = zlib.compressobj(1)
    body = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", side, side, depth, colour, 0, 0, 0)
    return b"\\x89PNG\\r\\n\\x1a\\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

inspect(png(64, 8, 2, 3))
bombs = [png(8_000, 16, 0, 1), *[png(9_000, 8, 6, 4)] * 2]
before = peak()
threads = [threading.Thread(target=inspect, args=(bomb,)) for bomb in bombs[:2]]
threads += [threading.Thread(target=decode, args=(bomb,), kwargs={"fit": 224}) for bomb in bombs[2:]]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(peak() - before)
"""


def test_big_pictures_at_once_take_600_mb_at_most() -> None:
    """Without the bound: 2.5 GB for the one of 16 bits alone, and 324 MB and copies for each other."""
    child = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CHILD], capture_output=True, text=True, check=True
    )
    assert int(child.stdout) <= 600_000_000
