"""redis-py as it is, on a server whose stock names lead to the module.

Arguments: the server's unix socket and its port on the loopback interface.
"""

import asyncio
import sys
import threading

import redis
import redis.asyncio
from redis.exceptions import (
    LockError,
    LockNotOwnedError,
    NoScriptError,
    ReadOnlyError,
    ResponseError,
    WatchError,
)

from steps import ask, expect, expect_error, text

COUNT = """
local total = redis.call('INCRBY', KEYS[1], ARGV[1])
redis.call('RPUSH', KEYS[2], total)
return {total, redis.call('LRANGE', KEYS[2], 0, -1), {ok = 'DONE'}, false, 1.9}
"""

LIBRARY = """#!lua name=books
redis.register_function('add', function(keys, args) return redis.call('SADD', keys[1], unpack(args)) end)
redis.register_function{
    function_name = 'titles',
    callback = function(keys) local all = redis.call('SMEMBERS', keys[1]) table.sort(all) return all end,
    flags = {'no-writes'},
    description = 'all titles',
}
"""


def scripts(client):
    client.flushall()
    client.script_flush()
    count = client.register_script(COUNT)
    expect(client.script_exists(count.sha), [False])
    reply = count(keys=["n", "l"], args=[5])  # NOSCRIPT, SCRIPT LOAD, EVALSHA
    expect([reply[0], [text(it) for it in reply[1]], text(reply[2]), reply[3:]], [5, ["5"], "DONE", [None, 1]])
    expect(client.script_exists(count.sha, "0" * 40), [True, False])
    expect(client.script_load(COUNT), count.sha)
    client.script_flush("ASYNC")
    expect_error(NoScriptError, "No matching script", lambda: client.evalsha(count.sha, 2, "n", "l", 1))
    expect(count(keys=["n", "l"], args=[5])[0], 10)
    expect(client.evalsha(count.sha, 2, "n", "l", 1)[0], 11)

    expect(text(client.eval("return ARGV[1]", 0, "żółw")), "żółw")
    expect(client.eval_ro("return redis.call('GET', KEYS[1])", 1, "nothing"), None)
    expect(client.evalsha_ro(client.script_load("return #KEYS"), 2, "a", "b"), 2)
    expect_error(ResponseError, "my error", lambda: client.eval("error('my error')", 0))
    expect_error(ResponseError, "WRONGTYPE", lambda: client.eval("return redis.call('LPUSH', 'n', 1)", 0))
    expect_error(ResponseError, "Write commands are not allowed",
                 lambda: client.eval_ro("return redis.call('SET', 'a', 1)", 0))
    expect_error(ResponseError, "NOTBUSY", client.script_kill)


def functions(client):
    client.flushall()
    client.function_flush("SYNC")
    expect(text(client.function_load(LIBRARY)), "books")
    expect_error(ResponseError, "Library 'books' already exists", lambda: client.function_load(LIBRARY))
    expect(text(client.function_load(LIBRARY, replace=True)), "books")
    expect(client.fcall("add", 1, "s", "b", "a"), 2)
    expect([text(it) for it in client.fcall("titles", 1, "s")], ["a", "b"])
    expect([text(it) for it in client.fcall_ro("titles", 1, "s")], ["a", "b"])
    expect_error(ResponseError, "Can not execute a script with write flag",
                 lambda: client.fcall_ro("add", 1, "s", "c"))

    def libraries(**options):
        return [record(it) for it in client.function_list(**options)]

    [library] = libraries(withcode=True)
    expect([library["library_name"], library["engine"], library["library_code"]], ["books", "LUA", LIBRARY])
    found = sorted((record(it) for it in library["functions"]), key=lambda it: it["name"])
    expect([it["name"] for it in found], ["add", "titles"])
    expect(found[1]["description"], "all titles")
    expect([text(it) for it in found[1]["flags"]], ["no-writes"])
    expect(libraries(library="nothing*"), [])
    engines = record(record(client.function_stats())["engines"])
    expect(record(engines["LUA"]), {"libraries_count": 1, "functions_count": 2})

    dump = raw(client).function_dump()
    expect_error(ResponseError, "Library books already exists", lambda: client.function_restore(dump))
    client.function_delete("books")
    expect(libraries(), [])
    expect_error(ResponseError, "Function not found", lambda: client.fcall("titles", 1, "s"))
    for policy in ["APPEND", "FLUSH", "REPLACE"]:
        client.function_restore(dump, policy)
        expect([it["library_name"] for it in libraries()], ["books"])
    expect([text(it) for it in client.fcall("titles", 1, "s")], ["a", "b"])
    expect_error(ResponseError, "NOTBUSY", client.function_kill)


def record(reply):
    """A reply of names and values as a dictionary; RESP2 has a flat array for it."""
    if not isinstance(reply, dict):
        reply = dict(zip(reply[::2], reply[1::2]))
    return {text(name): text(value) for name, value in reply.items()}


def raw(client):
    """The same server for a client that leaves bytes alone, which a dump needs."""
    options = dict(client.connection_pool.connection_kwargs, decode_responses=False)
    pool = redis.ConnectionPool(client.connection_pool.connection_class, **options)
    return redis.Redis(connection_pool=pool)


def locks(client):
    client.flushall()
    lock = client.lock("lock", timeout=20)
    assert lock.acquire(blocking=False)
    other = client.lock("lock", timeout=20)
    expect(other.acquire(blocking=False), False)
    expect(other.acquire(blocking_timeout=0.05), False)
    lock.extend(30)
    assert 40_000 < client.pttl("lock") <= 50_000, client.pttl("lock")
    lock.extend(10, replace_ttl=True)
    assert client.pttl("lock") <= 10_000
    lock.reacquire()
    assert 10_000 < client.pttl("lock") <= 20_000
    lock.release()
    expect(client.exists("lock"), 0)
    expect_error(LockError, "unlocked", lock.release)
    assert lock.acquire()
    client.set("lock", "stolen")
    for work in [lock.reacquire, lambda: lock.extend(1), lock.release]:
        expect_error(LockNotOwnedError, "no longer own", work)
    client.delete("lock")

    # Without the lock some of these increments would be lost.
    def increment():
        for _ in range(15):
            with client.lock("lock", timeout=60, sleep=0.001):
                client.set("counter", int(client.get("counter") or 0) + 1)

    workers = [threading.Thread(target=increment) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    expect(int(client.get("counter")), 6 * 15)


def pipelines(client):
    client.flushall()
    client.script_flush()
    count = client.register_script(COUNT)
    for transaction in (True, False):
        client.flushall()
        client.script_flush()
        pipeline = client.pipeline(transaction=transaction)
        pipeline.set("n", 7)
        for _ in range(100):
            count(keys=["n", "l"], args=[1], client=pipeline)
        pipeline.eval("return redis.call('LLEN', KEYS[1])", 1, "l")
        pipeline.get("n")
        replies = pipeline.execute()
        expect([it[0] for it in replies[1:101]], list(range(8, 108)))
        expect([replies[101], text(replies[102])], [100, "107"])

        pipeline = client.pipeline(transaction=transaction)
        pipeline.eval("redis.call('SET', KEYS[1], 'kept') error('x')", 1, "k")
        pipeline.get("k")
        replies = pipeline.execute(raise_on_error=False)
        assert isinstance(replies[0], ResponseError), replies
        expect(text(replies[1]), "kept")

    # What a script changes is seen by whoever watches it.
    pipeline = client.pipeline()
    pipeline.watch("n")
    client.eval("return redis.call('INCR', KEYS[1])", 1, "n")
    pipeline.multi()
    pipeline.get("n")
    expect_error(WatchError, "", pipeline.execute)


async def asynchronous(port, protocol):
    async with redis.asyncio.Redis(port=port, protocol=protocol) as client:
        await client.flushall()
        await client.script_flush()
        count = client.register_script(COUNT)
        replies = await asyncio.gather(*(count(keys=["n", "l"], args=[1]) for _ in range(50)))
        expect(sorted(it[0] for it in replies), list(range(1, 51)))

        async def increment():
            for _ in range(5):
                async with client.lock("lock", timeout=60, sleep=0.001):
                    await client.set("counter", int(await client.get("counter") or 0) + 1)

        await asyncio.gather(*(increment() for _ in range(6)))
        expect(int(await client.get("counter")), 30)


def restart(client):
    """What is kept in memory only is gone with the server; the client must not notice."""
    client.flushall()
    count = client.register_script(COUNT)
    lock = client.lock("lock", timeout=60)
    expect(count(keys=["n", "l"], args=[1])[0], 1)
    assert lock.acquire(blocking=False)
    client.function_load(LIBRARY, replace=True)
    expect(client.fcall("add", 1, "s", "a"), 1)
    ask("restart")
    expect(client.script_exists(count.sha), [False])
    expect(count(keys=["n", "l"], args=[1])[0], 2)
    lock.extend(10)
    lock.release()
    expect([text(it) for it in client.fcall_ro("titles", 1, "s")], ["a"])
    client.function_flush()


def replica(client):
    """A server that only reads says so to scripts as the client expects it."""
    client.replicaof("127.0.0.1", "1")
    write = client.register_script("return redis.call('SET', KEYS[1], 1)")
    expect_error(ReadOnlyError, "", lambda: write(keys=["n"]))
    client.replicaof("NO", "ONE")
    expect(text(write(keys=["n"])), "OK")


def main(socket, port):
    for protocol in (2, 3):
        for decode in (False, True):
            options = {"protocol": protocol, "decode_responses": decode}
            for place in ({"unix_socket_path": socket}, {"host": "127.0.0.1", "port": int(port)}):
                client = redis.Redis(**place, **options)
                scripts(client)
                functions(client)
                pipelines(client)
        locks(client)
        asyncio.run(asynchronous(int(port), protocol))
        replica(client)
        restart(client)


main(*sys.argv[1:])
