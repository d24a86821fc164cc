import type { ResourceLimit } from '../server/engine/index.ts';
import { type FlagValues, UsageError } from './flags.ts';

/** `--rate-limit` as tritonserver spells its values. */
export const RATE_LIMIT_MODES = ['off', 'execution_count'] as const;

/**
 * The resources of `--rate-limit-resource=NAME:COUNT[:DEVICE]`; `undefined` when executions are not limited.
 * @throws UsageError naming the entry
 */
export function rateLimits(flags: FlagValues): readonly ResourceLimit[] | undefined {
  const limits = flags.all('rate-limit-resource').map(parseLimit);
  return flags.string('rate-limit', 'off') === 'execution_count' ? limits : undefined;
}

function parseLimit(entry: string): ResourceLimit {
  const match = /^([^:]+):(\d+)(?::(\d+))?$/.exec(entry);
  if (!match) {
    throw new UsageError(
      `--rate-limit-resource option format is '<resource_name>:<count>:<device>' or '<resource_name>:<count>'. Got ${entry}`,
    );
  }
  return {
    name: match[1] ?? '',
    count: Number(match[2]),
    device: match[3] === undefined ? undefined : Number(match[3]),
  };
}
