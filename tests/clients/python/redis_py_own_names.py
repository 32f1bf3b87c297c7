"""Scripts through redis-py on the LUA.* names: load, run by digest, miss, load again.

Arguments: the server's unix socket and its port on the loopback interface.
"""

import sys

import redis
from redis.exceptions import NoScriptError, ResponseError

SCRIPT = """
local total = redis.call('INCRBY', KEYS[1], ARGV[1])
redis.call('RPUSH', KEYS[2], total)
return {total, redis.call('LRANGE', KEYS[2], 0, -1), {ok = 'DONE'}, false, 1.9}
"""


class LuaScript:
    """What redis-py's register_script returns, on the LUA.* names."""

    def __init__(self, client, text):
        self.client = client
        self.text = text
        self.sha = client.execute_command("LUA.SCRIPT LOAD", text)
        self.reloads = 0

    def __call__(self, keys=(), args=(), client=None):
        client = client or self.client
        request = (self.sha, len(keys), *keys, *args)
        try:
            return client.execute_command("LUA.EVALSHA", *request)
        except NoScriptError:
            self.reloads += 1
            self.sha = client.execute_command("LUA.SCRIPT LOAD", self.text)
            return client.execute_command("LUA.EVALSHA", *request)


def expect(found, wanted):
    assert found == wanted, f"{found!r} is not {wanted!r}"


def expect_error(kind, text, work):
    try:
        found = work()
    except kind as error:
        assert text in str(error), f"{error} does not say {text!r}"
    else:
        raise AssertionError(f"{found!r} instead of an error")


def flow(client, text):
    """The whole life of one script; `text` turns values that the client returns into str."""
    client.flushall()
    client.execute_command("LUA.SCRIPT FLUSH")

    script = LuaScript(client, SCRIPT)
    # The library always returns its own digests as str.
    expect(text(script.sha), client.script_load(SCRIPT))
    reply = script(keys=["n", "l"], args=[5])
    expect(reply[0], 5)
    expect([text(item) for item in reply[1]], ["5"])
    expect(text(reply[2]), "DONE")
    expect(reply[3:], [None, 1])

    client.execute_command("LUA.SCRIPT FLUSH", "ASYNC")
    expect([bool(it) for it in client.execute_command("LUA.SCRIPT EXISTS", script.sha)], [False])
    missing = lambda: client.execute_command("LUA.EVALSHA", script.sha, 0)
    expect_error(NoScriptError, "No matching script", missing)
    reply = script(keys=["n", "l"], args=[5])
    expect(reply[0], 10)
    expect(script.reloads, 1)
    expect([bool(it) for it in client.execute_command("LUA.SCRIPT EXISTS", script.sha)], [True])

    run = lambda *words: client.execute_command("LUA.EVAL", *words)
    expect(run("return {1, 2, {3, 'x'}}", 0)[:2], [1, 2])
    expect(text(run("return ARGV[1]", 0, "żółw")), "żółw")
    expect(run("return redis.call('GET', 'nothing')", 0), None)
    expect(run("return true", 0), 1)
    expect_error(ResponseError, "my error", lambda: run("error('my error')", 0))
    expect_error(ResponseError, "WRONGTYPE", lambda: run("return redis.call('LPUSH', 'n', 1)", 0))
    expect_error(ResponseError, "Write commands are not allowed",
                 lambda: client.execute_command("LUA.EVAL_RO", "return redis.call('SET', 'a', 1)", 0))

    pipeline = client.pipeline(transaction=True)
    for _ in range(100):
        pipeline.execute_command("LUA.EVAL", "return redis.call('INCR', KEYS[1])", 1, "counter")
    expect(pipeline.execute(), list(range(1, 101)))

    pipeline = client.pipeline(transaction=False)
    script(keys=["n", "l"], args=[1], client=pipeline)
    pipeline.execute_command("LUA.EVAL", "error('x')", 0)
    replies = pipeline.execute(raise_on_error=False)
    expect(replies[0][0], 11)
    assert isinstance(replies[1], ResponseError), replies[1]

    # The same work by the library's own way, on the stock names, gives the same data.
    stock = client.register_script(SCRIPT)
    expect(stock(keys=["n2", "l2"], args=[5])[0], 5)


def main(socket, port):
    for protocol in (2, 3):
        for decode in (False, True):
            text = (lambda value: value) if decode else (lambda value: value.decode())
            options = {"protocol": protocol, "decode_responses": decode}
            flow(redis.Redis(unix_socket_path=socket, **options), text)
            flow(redis.Redis(host="127.0.0.1", port=int(port), **options), text)


main(*sys.argv[1:])
