import type { LevelResult } from './report.ts';
import type { Range } from './options.ts';

export interface SearchOptions {
  readonly levels: Range;
  readonly binary: boolean;
  /** Nanoseconds; 0 for none. */
  readonly latencyLimitNs: number;
}

/**
 * Visits the levels of a range: one after the other until the latency limit is passed, or by halving the part of the
 * range in which that happens.
 * @param visit measures a level; `undefined` ends the search
 */
export async function search(
  { levels, binary, latencyLimitNs }: SearchOptions,
  visit: (level: number) => Promise<LevelResult | undefined>,
): Promise<readonly LevelResult[]> {
  const results: LevelResult[] = [];
  const within = async (level: number): Promise<boolean | undefined> => {
    const result = await visit(level);
    if (!result) return undefined;
    results.push(result);
    if (result.measurement.stability.kind === 'incomplete') return undefined;
    return latencyLimitNs === 0 || result.measurement.latency <= latencyLimitNs;
  };
  const { start, end, step } = levels;
  if (!binary) {
    const last = end === 0 ? Number.POSITIVE_INFINITY : end;
    for (let level = start; level <= last; level += step) if (!(await within(level))) break;
    return results;
  }
  let [low, high] = [start, end];
  if (!(await within(low)) || (await within(high)) !== false) return results;
  while (high - low > step) {
    // Whole numbers stay whole.
    const middle = Number.isInteger(start) && Number.isInteger(step) ? Math.floor((low + high) / 2) : (low + high) / 2;
    if (middle === low) break;
    const good = await within(middle);
    if (good === undefined) break;
    if (good) low = middle;
    else high = middle;
  }
  return results;
}
