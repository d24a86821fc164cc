import { fuzzHttp1 } from './http1-target.ts';
import { fuzzHttp2 } from './http2-target.ts';
import { fuzzInferRequest } from './infer-target.ts';
import { Random } from './mutator.ts';

/** What can be fuzzed, by name. Each makes an input out of random numbers, and throws when something is wrong. */
export const TARGETS: Readonly<Record<string, (random: Random, index: number) => Promise<void>>> = {
  http1: fuzzHttp1,
  http2: fuzzHttp2,
  infer: fuzzInferRequest,
};

/** Inputs that are under way at a time. */
const AT_ONCE = 50;

/**
 * Tries so many inputs of a target.
 * @param progress called now and then with the number of inputs tried
 */
export async function fuzz(
  target: string,
  inputs: number,
  seed: number,
  progress?: (tried: number) => void,
): Promise<void> {
  const one = TARGETS[target];
  if (!one) throw new Error(`unknown target '${target}': one of ${Object.keys(TARGETS).join(', ')}`);
  for (let start = 0; start < inputs; start += AT_ONCE) {
    const count = Math.min(AT_ONCE, inputs - start);
    // Each input has a seed of its own, so that it can be tried again alone.
    await Promise.all(
      Array.from({ length: count }, (_, offset) => {
        const index = start + offset;
        return one(new Random(Math.imul(seed + index, 0x9e_37_79_b1)), index);
      }),
    );
    progress?.(start + count);
  }
}
