// BullMQ as it is, whose every step is a script, on a server whose stock names lead to the module.
//
// Argument: the server's port on the loopback interface.

const assert = require('node:assert/strict');
const { FlowProducer, Queue, QueueEvents, UnrecoverableError, Worker } = require('bullmq');
const { Redis } = require('ioredis');
const { ask, run, until } = require('./steps');

let connection;
const opened = [];

function open(Kind, name, ...rest) {
  const options = { ...rest.pop(), connection };
  const it = new Kind(name, ...rest, options);
  it.on('error', (error) => {
    // A server that is being restarted refuses connections for a while.
    if (!['ECONNREFUSED', 'ECONNRESET'].includes(error.code)) console.error(name, error);
  });
  opened.push(it);
  return it;
}

const queue = (name) => open(Queue, name, {});

/** Closes what a part has opened, so that its workers are idle no more. */
async function close() {
  await Promise.all(opened.splice(0).map((it) => it.close()));
}

/** Workers that count how often each job ran, and what they do with it. */
function workers(name, count, options, work = async () => 'done') {
  const runs = new Map();
  const order = [];
  const process = async (job, token) => {
    runs.set(job.id, (runs.get(job.id) ?? 0) + 1);
    order.push(job.name);
    return work(job, token);
  };
  for (let number = 0; number < count; number += 1) open(Worker, name, process, options);
  return { runs, order };
}

async function expectCounts(queue, wanted) {
  const all = { waiting: 0, active: 0, delayed: 0, failed: 0, completed: 0, prioritized: 0, paused: 0 };
  all['waiting-children'] = 0;
  const counts = await queue.getJobCounts(...Object.keys(all));
  assert.deepEqual(counts, { ...all, ...wanted }, queue.name);
}

async function settled(queue, finished) {
  await until(async () => {
    const { completed, failed } = await queue.getJobCounts('completed', 'failed');
    assert.ok(completed + failed <= finished, `${queue.name}: ${completed} and ${failed}`);
    return completed + failed === finished;
  });
}

/** Plain, delayed, retried and failing jobs together, with many workers. */
async function everyKindOfJobRunsAsOftenAsItShould(client) {
  const jobs = queue('work');
  const events = open(QueueEvents, 'work', {});
  const completions = new Map();
  events.on('completed', ({ jobId }) => completions.set(jobId, (completions.get(jobId) ?? 0) + 1));
  await events.waitUntilReady();

  const early = [];
  const { runs } = workers('work', 3, { concurrency: 10 }, async (job) => {
    if (job.name === 'later' && Date.now() < job.timestamp + job.opts.delay) early.push(job.id);
    if (job.name === 'third time' && job.attemptsMade < 2) throw new Error('not yet');
    if (job.name === 'never') throw new Error('always');
    if (job.name === 'hopeless') throw new UnrecoverableError('at once');
    await job.updateProgress(50);
    await job.log('half way');
    return { number: job.data.number };
  });
  const make = (name, count, options) =>
    Array.from({ length: count }, (_, number) => ({ name, data: { number }, opts: options(number) }));
  const added = await jobs.addBulk([
    ...make('plain', 300, () => ({})),
    ...make('later', 50, (number) => ({ delay: 100 + 5 * number })),
    ...make('third time', 20, () => ({ attempts: 3, backoff: { type: 'exponential', delay: 20 } })),
    ...make('never', 10, () => ({ attempts: 2, backoff: { type: 'fixed', delay: 20 } })),
    ...make('hopeless', 5, () => ({ attempts: 5 })),
  ]);
  // The same id twice is one job.
  await jobs.add('plain', { number: 1 }, { jobId: 'named' });
  await jobs.add('plain', { number: 2 }, { jobId: 'named' });
  await client.script('FLUSH');
  await settled(jobs, 386);
  const times = { plain: 1, later: 1, 'third time': 3, never: 2, hopeless: 1 };
  for (const job of added) assert.equal(runs.get(job.id), times[job.name], `${job.name} ${job.id}`);
  assert.equal(runs.get('named'), 1);
  assert.equal(runs.size, 386);
  assert.deepEqual(early, []);
  await until(() => completions.size === 371);
  assert.deepEqual([...completions.values()].filter((count) => count !== 1), []);
  await expectCounts(jobs, { completed: 371, failed: 15 });

  const one = await jobs.getJob(added[7].id);
  assert.deepEqual([one.returnvalue, one.progress, await one.getState()], [{ number: 7 }, 50, 'completed']);
  assert.deepEqual((await jobs.getJobLogs(one.id)).logs, ['half way']);
  await one.remove();
  assert.equal((await jobs.clean(0, 1000, 'completed')).length, 370);
  await jobs.retryJobs({ state: 'failed' });
  await settled(jobs, 15);
  await expectCounts(jobs, { failed: 15 });
  await close();
}

async function jobsOfHigherPriorityRunFirst() {
  const jobs = queue('priorities');
  await jobs.pause();
  const added = [];
  for (let number = 0; number < 60; number += 1) {
    const priority = (number * 7) % 11;
    added.push({ name: `${priority}/${number}`, data: {}, opts: { priority } });
  }
  await jobs.addBulk(added);
  const last = await jobs.add('11/60', {}, { priority: 11 });
  const moved = await jobs.add('12/61', {}, { priority: 12 });
  await moved.changePriority({ priority: 1 });
  const delayed = await jobs.add('0/62', {}, { delay: 3_600_000 });
  await delayed.promote();
  const { order } = workers('priorities', 1, { concurrency: 1 });
  await jobs.resume();
  await settled(jobs, 63);
  const wanted = added.map((job, at) => [job.opts.priority, at, job.name]);
  wanted.push([11, 60, last.name], [1, 61, moved.name], [0, 62, delayed.name]);
  wanted.sort((one, other) => one[0] - other[0] || one[1] - other[1]);
  assert.deepEqual(order, wanted.map(([, , name]) => name));
  await expectCounts(jobs, { completed: 63 });
  await close();
}

async function noMoreJobsStartThanTheLimiterAllows() {
  const jobs = queue('limited');
  const [max, duration, count] = [5, 200, 20];
  await jobs.addBulk(Array.from({ length: count }, (_, number) => ({ name: 'limited', data: { number } })));
  const begin = Date.now();
  let last = begin;
  const work = async () => {
    last = Math.max(last, Date.now());
  };
  const { runs } = workers('limited', 2, { concurrency: 5, limiter: { max, duration } }, work);
  await settled(jobs, count);
  assert.equal(runs.size, count);
  // A window begins with its first job, so this many jobs need all windows but the last in full.
  const least = (count / max - 1) * duration;
  assert.ok(last - begin >= least - 5, `${last - begin} ms`);
  await expectCounts(jobs, { completed: count });
  await close();
}

async function schedulersMakeEachJobOnce() {
  const jobs = queue('scheduled');
  const { order } = workers('scheduled', 2, { concurrency: 5 });
  await jobs.upsertJobScheduler('every', { every: 60, limit: 6 }, { name: 'every' });
  await jobs.upsertJobScheduler('cron', { pattern: '* * * * * *', limit: 2 }, { name: 'cron' });
  await jobs.upsertJobScheduler('far', { pattern: '0 0 1 1 *' }, { name: 'far' });
  await jobs.upsertJobScheduler('far', { pattern: '0 0 2 1 *' }, { name: 'far' });
  await settled(jobs, 8);
  const found = order.filter((name) => name === 'every');
  assert.deepEqual([order.length, found.length], [8, 6]);
  assert.equal((await jobs.getJobScheduler('far')).pattern, '0 0 2 1 *');
  await expectCounts(jobs, { completed: 8, delayed: 1 });
  assert.equal(await jobs.removeJobScheduler('far'), true);
  await expectCounts(jobs, { completed: 8 });
  await close();
}

async function parentsRunAfterTheirChildren() {
  const parents = queue('parents');
  const children = queue('children');
  const flows = new FlowProducer({ connection });
  opened.push(flows);
  const sum = async (job) => Object.values(await job.getChildrenValues()).reduce((a, b) => a + b, 0);
  workers('parents', 2, { concurrency: 5 }, sum);
  workers('children', 2, { concurrency: 5 }, async (job) => {
    if (job.data.fails) throw new Error('a child fails');
    return job.name === 'inner' ? sum(job) : job.data.value;
  });
  const leaves = (count, options = {}) =>
    Array.from({ length: count }, (_, at) => ({
      name: 'leaf', queueName: 'children', data: { value: at + 1, ...options }, opts: { failParentOnFailure: true },
    }));
  const inner = { name: 'inner', queueName: 'children', children: leaves(4) };
  const trees = await flows.addBulk(
    Array.from({ length: 10 }, () => ({ name: 'root', queueName: 'parents', children: [inner, ...leaves(9)] })),
  );
  const lost = await flows.add({ name: 'root', queueName: 'parents', children: leaves(1, { fails: true }) });
  await settled(parents, 11);
  for (const tree of trees) {
    const root = await parents.getJob(tree.job.id);
    assert.equal(root.returnvalue, 10 + 45);
    assert.equal((await root.getDependenciesCount()).processed, 10);
  }
  assert.equal(await lost.job.getState(), 'failed');
  await expectCounts(parents, { completed: 10, failed: 1 });
  await expectCounts(children, { completed: 10 * (1 + 4 + 9), failed: 1 });
  await close();
}

/** A job whose worker is gone without a word is given to another. */
async function aStalledJobIsGivenToAnotherWorker() {
  const jobs = queue('stalled');
  const idle = open(Worker, 'stalled', null, { lockDuration: 100 });
  await jobs.add('stalled', {});
  const taken = await idle.getNextJob('a token');
  assert.equal(taken.name, 'stalled');
  const { runs } = workers('stalled', 1, { stalledInterval: 100 });
  await settled(jobs, 1);
  assert.deepEqual([...runs.values()], [1]);
  await assert.rejects(taken.moveToCompleted('late', 'a token', false), /./);
  await expectCounts(jobs, { completed: 1 });
  await close();
}

/** The scripts are gone with the server's memory; the jobs are in its append-only file. */
async function aRestartLosesNothing() {
  const jobs = queue('restarted');
  const { runs } = workers('restarted', 2, { concurrency: 5 });
  await jobs.addBulk(Array.from({ length: 50 }, (_, number) => ({ name: 'before', data: { number } })));
  await settled(jobs, 50);
  await jobs.pause();
  await jobs.addBulk(Array.from({ length: 50 }, (_, number) => ({ name: 'after', data: { number } })));
  await jobs.add('after', {}, { delay: 50 });
  await ask('restart');
  await jobs.resume();
  await settled(jobs, 101);
  assert.deepEqual([runs.size, Math.max(...runs.values())], [101, 1]);
  await expectCounts(jobs, { completed: 101 });
  await jobs.obliterate();
  await expectCounts(jobs, {});
  await close();
}

run(async (port) => {
  connection = { host: '127.0.0.1', port: Number(port), maxRetriesPerRequest: null };
  const client = new Redis(connection);
  client.on('error', () => {});
  await client.flushall();
  await everyKindOfJobRunsAsOftenAsItShould(client);
  await jobsOfHigherPriorityRunFirst();
  await noMoreJobsStartThanTheLimiterAllows();
  await schedulersMakeEachJobOnce();
  await parentsRunAfterTheirChildren();
  await aStalledJobIsGivenToAnotherWorker();
  await aRestartLosesNothing();
});
