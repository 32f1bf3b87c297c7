"""The task queue dramatiq, whose broker is one large script.

Argument: the server's port on the loopback interface.
"""

import collections
import logging
import sys
import threading
import time

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker

from steps import expect

lock = threading.Lock()
runs = collections.Counter()
early = []


def ran(name):
    with lock:
        runs[name] += 1
        return runs[name]


def main(port):
    client = redis.Redis(port=int(port))
    client.flushall()
    # What fails here is meant to.
    logging.getLogger("dramatiq").setLevel(logging.CRITICAL + 1)
    broker = RedisBroker(url=f"redis://127.0.0.1:{port}")
    dramatiq.set_broker(broker)

    @dramatiq.actor
    def plain(number):
        ran(f"plain {number}")

    @dramatiq.actor(queue_name="other")
    def later(number, due):
        ran(f"later {number}")
        if time.time() < due:
            early.append(number)

    @dramatiq.actor(max_retries=3, min_backoff=20, max_backoff=100)
    def third_time(number):
        if ran(f"third time {number}") < 3:
            raise RuntimeError("not yet")

    @dramatiq.actor(max_retries=0)
    def never(number):
        ran(f"never {number}")
        raise RuntimeError("always")

    for number in range(200):
        plain.send(number)
    for number in range(20):
        delay = 100 + 10 * number
        later.send_with_options(args=(number, time.time() + delay / 1000), delay=delay)
    for number in range(10):
        third_time.send(number)
        never.send(number)

    workers = [dramatiq.Worker(broker, worker_threads=4, worker_timeout=50) for _ in range(2)]
    for worker in workers:
        worker.start()
    client.script_flush()
    for queue in ("default", "other"):
        broker.join(queue, timeout=60_000)
    for worker in workers:
        worker.join()
        worker.stop()

    wanted = {f"plain {number}": 1 for number in range(200)}
    wanted |= {f"later {number}": 1 for number in range(20)}
    wanted |= {f"third time {number}": 3 for number in range(10)}
    wanted |= {f"never {number}": 1 for number in range(10)}
    expect(dict(runs), wanted)
    expect(early, [])
    # The dead-letter queue has what failed for good.
    expect(client.zcard("dramatiq:default.XQ"), 10)


main(*sys.argv[1:])
