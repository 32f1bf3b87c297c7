"""The cluster client of redis-py on a cluster whose nodes all run the module.

Arguments: the port of one node, and how many nodes there are.
"""

import sys

from redis.cluster import RedisCluster
from redis.exceptions import NoScriptError, RedisClusterException, ResponseError

from steps import expect, expect_error, text

INCREMENT = "return {redis.call('INCRBY', KEYS[1], ARGV[1]), KEYS[1]}"

LIBRARY = """#!lua name=counter
redis.register_function('add', function(keys, args) return redis.call('INCRBY', keys[1], args[1]) end)
"""


def main(port, count):
    for protocol in (2, 3):
        client = RedisCluster(host="127.0.0.1", port=int(port), protocol=protocol)
        expect(len(client.get_primaries()), int(count))
        client.flushall()
        client.script_flush()
        increment = client.register_script(INCREMENT)
        keys = [f"key:{number}" for number in range(60)]
        nodes = {client.get_node_from_key(key).name for key in keys}
        expect(len(nodes), int(count))
        for key in keys:
            expect([text(it) for it in increment(keys=[key], args=[2])], [2, key])
        for node in client.get_primaries():
            expect(client.execute_command("SCRIPT EXISTS", increment.sha, target_nodes=node), [True])

        # One node forgets; the client loads the script again where it is missing.
        forgetful = client.get_node_from_key(keys[0])
        client.execute_command("SCRIPT FLUSH", target_nodes=forgetful)
        expect_error(NoScriptError, "No matching script", lambda: client.evalsha(increment.sha, 1, keys[0], 1))
        for key in keys:
            expect(increment(keys=[key], args=[1])[0], 3)
        for key in keys:
            expect(client.evalsha(increment.sha, 1, key, 1)[0], 4)
            expect(client.eval(INCREMENT, 1, key, 1)[0], 5)
            expect(int(client.eval_ro("return redis.call('GET', KEYS[1])", 1, key)), 5)
        pair = client.evalsha(client.script_load("return #KEYS"), 2, "{tag}a", "{tag}b")
        expect(pair, 2)
        expect_error((RedisClusterException, ResponseError), "",
                     lambda: client.eval("return 1", 2, keys[0], keys[1]))

        # The client's pipelines leave out its methods for scripts.
        pipeline = client.pipeline()
        for key in keys:
            pipeline.execute_command("EVAL", INCREMENT, 1, key, 1)
        expect([it[0] for it in pipeline.execute()], [6] * len(keys))

        client.function_flush("SYNC")
        client.function_load(LIBRARY)
        for key in keys:
            expect(client.fcall("add", 1, key, 4), 10)
        expect_error(ResponseError, "Function not found", lambda: client.fcall("nothing", 1, keys[0]))

        with client.lock("lock", timeout=20) as lock:
            lock.extend(20)
        client.close()


main(*sys.argv[1:])
