// What the programs of this folder share: asking the test that runs them, waiting, ending.
//
// The test owns the servers. A program that needs one restarted prints a request on its standard
// output and waits for the answer on its standard input.

const readline = require('node:readline');

const DEADLINE = 90_000;
const POLL = 5;

/** Has the test do something to its servers, and waits until that is done. */
async function ask(request) {
  const lines = readline.createInterface({ input: process.stdin });
  console.log(`request: ${request}`);
  const answer = await new Promise((resolve) => lines.once('line', resolve));
  lines.close();
  process.stdin.pause();
  if (answer !== 'done') throw new Error(`${answer} to ${request}`);
}

/** Waits until `condition` holds; a program that waits in vain is ended by `run`. */
async function until(condition) {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, POLL));
}

/** Runs a program, whose end is the end of the process, in time and with all that goes wrong told. */
function run(main) {
  const end = (error) => {
    console.error(error);
    process.exit(1);
  };
  process.on('unhandledRejection', end);
  setTimeout(() => end(new Error(`not done after ${DEADLINE} ms`)), DEADLINE).unref();
  main(...process.argv.slice(2)).then(() => process.exit(0), end);
}

module.exports = { ask, run, until };
