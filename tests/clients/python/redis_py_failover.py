"""A client whose master dies and whose replica is promoted.

Arguments: the ports of the master and of its replica.
"""

import sys

import redis
from redis.exceptions import NoScriptError, ReadOnlyError

from steps import ask, expect, expect_error

COUNT = "return redis.call('INCR', KEYS[1])"
LIBRARY = "#!lua name=lib\nredis.register_function('f', function(keys) return redis.call('INCR', keys[1]) end)"


def main(*ports):
    master, replica = [redis.Redis(port=int(port)) for port in ports]
    count = master.register_script(COUNT)
    expect([count(keys=["n"]) for _ in range(100)], list(range(1, 101)))
    master.function_load(LIBRARY)
    expect(master.fcall("f", 1, "n"), 101)
    lock = master.lock("lock", timeout=60)
    assert lock.acquire(blocking=False)
    expect(master.wait(1, 20_000), 1)

    # A replica gets the effects of a script and not the script.
    expect_error(NoScriptError, "", lambda: replica.evalsha(count.sha, 1, "n"))
    expect_error(ReadOnlyError, "", lambda: count(keys=["n"], client=replica))
    replica.script_flush()
    ask("kill the master")
    expect_error(redis.ConnectionError, "", lambda: count(keys=["n"]))
    replica.replicaof("NO", "ONE")

    expect(int(replica.get("n")), 101)
    expect_error(NoScriptError, "", lambda: replica.evalsha(count.sha, 1, "n"))
    expect(count(keys=["n"], client=replica), 102)
    expect(replica.evalsha(count.sha, 1, "n"), 103)
    expect(replica.fcall("f", 1, "n"), 104)
    taken = replica.lock("lock", timeout=60)
    expect(taken.acquire(blocking=False), False)
    taken.local.token = lock.local.token
    taken.release()
    assert taken.acquire(blocking=False)


main(*sys.argv[1:])
