import { describe, test } from 'node:test';
import { fuzz, TARGETS } from './run.ts';

/** Few inputs, and others each day; many more by `npm run fuzz`. */
const INPUTS: Readonly<Record<string, number>> = { http1: 6000, http2: 6000, infer: 40_000 };
const SEED = Math.floor(Date.now() / 86_400_000);

describe(`inputs changed at random, seed ${SEED}`, () => {
  for (const target of Object.keys(TARGETS)) {
    test(`${target}: nothing but what the protocol allows`, () => fuzz(target, INPUTS[target] ?? 1000, SEED));
  }
});
