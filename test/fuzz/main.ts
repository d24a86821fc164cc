/**
 * Tries inputs that are changed at random, as many as you like:
 *
 *   npm run fuzz                          10 million inputs, shared out among all targets
 *   npm run fuzz -- --inputs=100000 --only=http1,http2 --seed=7
 */
import { parseArgs } from 'node:util';
import { fuzz, TARGETS } from './run.ts';

const { values } = parseArgs({
  options: {
    inputs: { type: 'string', default: '10000000' },
    only: { type: 'string', default: Object.keys(TARGETS).join(',') },
    seed: { type: 'string', default: String(Math.floor(Date.now() / 1000)) },
  },
});
const targets = values.only.split(',');
const inputs = Math.ceil(Number(values.inputs) / targets.length);

for (const target of targets) {
  const started = performance.now();
  let shown = 0;
  await fuzz(target, inputs, Number(values.seed), (tried) => {
    if (tried < inputs && performance.now() - shown < 1000) return;
    shown = performance.now();
    const rate = tried / ((shown - started) / 1000);
    process.stderr.write(`\r${target}: ${tried} of ${inputs} inputs, ${rate.toFixed(0)} a second, seed ${values.seed}`);
  });
  process.stderr.write('\n');
}
process.stdout.write(`nothing found in ${inputs * targets.length} inputs\n`);
