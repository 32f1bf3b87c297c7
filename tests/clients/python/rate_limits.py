"""The rate limits of the library `limits`, whose windows are scripts.

Argument: the server's port on the loopback interface.
"""

import sys
import threading
import time

import redis
from limits import RateLimitItemPerHour, RateLimitItemPerSecond, storage, strategies

from steps import expect

STRATEGIES = [
    strategies.FixedWindowRateLimiter,
    strategies.MovingWindowRateLimiter,
    strategies.SlidingWindowCounterRateLimiter,
]


def contended(limiter, limit):
    """How many of many threads' hits are let through."""
    allowed = []

    def hit():
        for _ in range(10):
            if limiter.hit(limit, "contended"):
                allowed.append(1)

    threads = [threading.Thread(target=hit) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(allowed)


def main(port):
    client = redis.Redis(port=int(port))
    place = storage.storage_from_string(f"redis://127.0.0.1:{port}")
    for strategy in STRATEGIES:
        limiter = strategy(place)
        client.flushall()
        hourly = RateLimitItemPerHour(20)
        expect([limiter.hit(hourly, "user") for _ in range(25)], [True] * 20 + [False] * 5)
        expect(limiter.test(hourly, "user"), False)
        expect(limiter.test(hourly, "other"), True)
        expect(limiter.get_window_stats(hourly, "user").remaining, 0)
        expect(limiter.hit(hourly, "other", cost=19), True)
        client.script_flush()
        expect(limiter.get_window_stats(hourly, "other").remaining, 1)
        limiter.clear(hourly, "user")
        expect(limiter.hit(hourly, "user"), True)
        expect(contended(limiter, hourly), 20)

        shortly = RateLimitItemPerSecond(3)
        deadline = time.monotonic() + 30
        while limiter.hit(shortly, "user"):
            pass
        while not limiter.hit(shortly, "user"):
            assert time.monotonic() < deadline, "the window never ends"
            time.sleep(0.05)
        place.reset()
        expect(client.keys("LIMITS*"), [])


main(*sys.argv[1:])
