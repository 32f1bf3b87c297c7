// ioredis with scripts of its own, and two libraries on it that are scripts: redlock and
// rate-limiter-flexible.
//
// Argument: the server's port on the loopback interface.

const assert = require('node:assert/strict');
const { Redis } = require('ioredis');
const { RateLimiterRedis } = require('rate-limiter-flexible');
const { default: Redlock, ExecutionError } = require('redlock');
const { ask, run, until } = require('./steps');

async function scripts(client) {
  client.defineCommand('add', {
    numberOfKeys: 1,
    lua: "return {redis.call('INCRBY', KEYS[1], ARGV[1]), KEYS[1], false, {ok = 'DONE'}}",
  });
  assert.deepEqual(await client.add('n', 2), [2, 'n', null, 'DONE']);
  await client.script('FLUSH');
  assert.deepEqual(await client.add('n', 2), [4, 'n', null, 'DONE']);

  const pipeline = client.pipeline();
  for (let number = 0; number < 100; number += 1) pipeline.add('n', 1);
  const replies = await pipeline.exec();
  assert.deepEqual(replies.map(([error, reply]) => [error, reply[0]]).at(-1), [null, 104]);

  const transaction = client.multi().set('n', 0);
  for (let number = 0; number < 10; number += 1) transaction.add('n', 1);
  assert.equal((await transaction.exec()).at(-1)[1][0], 10);
  await assert.rejects(client.eval("return redis.call('LPUSH', KEYS[1], 1)", 1, 'n'), /WRONGTYPE/);

  await client.function('LOAD', 'REPLACE', "#!lua name=l\nredis.register_function('f', function(keys) return keys end)");
  assert.deepEqual(await client.fcall('f', 2, 'a', 'b'), ['a', 'b']);
  const dump = await client.functionBuffer('DUMP');
  await client.function('DELETE', 'l');
  await client.function('RESTORE', dump);
  assert.deepEqual((await client.function('LIST')).length, 1);
  await client.function('FLUSH');
}

async function locks(client) {
  const redlock = new Redlock([client], { retryCount: 500, retryDelay: 2, retryJitter: 2 });
  const lock = await redlock.acquire(['lock a', 'lock b'], 20_000);
  await assert.rejects(redlock.acquire(['lock b'], 1_000, { retryCount: 1 }), ExecutionError);
  const longer = await lock.extend(40_000);
  assert.ok((await client.pttl('lock a')) > 20_000);
  await client.script('FLUSH');
  await longer.release();
  assert.equal(await client.exists('lock a', 'lock b'), 0);

  await client.set('counter', 0);
  const increment = () =>
    redlock.using(['lock a'], 20_000, async () => {
      await client.set('counter', Number(await client.get('counter')) + 1);
    });
  await Promise.all(Array.from({ length: 30 }, increment));
  assert.equal(await client.get('counter'), '30');
}

async function limits(client) {
  const limiter = new RateLimiterRedis({ storeClient: client, points: 10, duration: 60 });
  const hits = await Promise.allSettled(Array.from({ length: 25 }, () => limiter.consume('user')));
  assert.equal(hits.filter(({ status }) => status === 'fulfilled').length, 10);
  assert.equal(hits.at(-1).reason.consumedPoints, 25);
  await client.script('FLUSH');
  assert.equal((await limiter.consume('other', 4)).remainingPoints, 6);
  await limiter.reward('other', 4);
  assert.equal((await limiter.get('other')).remainingPoints, 10);

  const short = new RateLimiterRedis({ storeClient: client, keyPrefix: 'short', points: 1, duration: 1 });
  await short.consume('user');
  await assert.rejects(short.consume('user'), ({ msBeforeNext }) => msBeforeNext <= 1000);
  await until(() => short.consume('user').then(() => true, () => false));
}

async function restart(client) {
  assert.equal((await client.add('n', 1))[0], 11);
  await ask('restart');
  assert.equal((await client.add('n', 1))[0], 12);
}

run(async (port) => {
  const client = new Redis({ port: Number(port), maxRetriesPerRequest: null });
  client.on('error', () => {});
  await client.flushall();
  await scripts(client);
  await locks(client);
  await limits(client);
  await restart(client);
});
