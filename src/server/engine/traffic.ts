import { createHash } from 'node:crypto';
import { invalidArgument } from '../../core/index.ts';
import type { LoadedModel } from './loaded-model.ts';
import type { VersionState } from './model-registry.ts';

/** How the requests for a model that name no version are shared out between its versions. */
export interface TrafficSplit {
  /** Percent by version; they add up to 100. */
  readonly percent: ReadonlyMap<number, number>;
  /** HTTP header or gRPC metadata key whose value ties a client to one version. */
  readonly stickyHeader: string | undefined;
  /** Where a request without that header goes: a number in [0, 1). */
  readonly random: () => number;
}

/** @throws INVALID_ARG unless the shares are from 0 to 100 and add up to 100 */
export function checkSplit(model: string, percent: ReadonlyMap<number, number>): void {
  let total = 0;
  for (const [version, share] of percent) {
    if (!(share >= 0 && share <= 100)) {
      throw invalidArgument(`traffic of model '${model}': version ${version} must get 0 to 100 percent, got ${share}`);
    }
    total += share;
  }
  if (Math.abs(total - 100) > 1e-6) {
    throw invalidArgument(`traffic of model '${model}': the shares must add up to 100 percent, they make ${total}`);
  }
}

/** The version for one request; `undefined` when the one whose turn it is is not ready. */
export function chooseVersion(
  { percent, random }: TrafficSplit,
  versions: ReadonlyMap<number, VersionState>,
  stickiness: string | undefined,
): LoadedModel | undefined {
  let left = (stickiness === undefined || stickiness === '' ? random() : position(stickiness)) * 100;
  for (const [version, share] of percent) {
    left -= share;
    if (left >= 0) continue;
    const state = versions.get(version);
    return state?.kind === 'ready' ? state.model : undefined;
  }
  return undefined;
}

/** A number in [0, 1) that is the same for the same text. */
function position(text: string): number {
  return createHash('sha256').update(text).digest().readUInt32BE(0) / 2 ** 32;
}
