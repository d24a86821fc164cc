import { ClientError, type DurationName, type KserveClient, type ModelStatistics } from '../client/index.ts';
import type { ModelInfo } from './model-info.ts';

/** What the server counted of a model at some time, by model. */
export type ServerSnapshot = ReadonlyMap<string, ModelStatistics>;

/** What the server counted of a model within a window. */
export interface ServerWindow {
  readonly name: string;
  readonly version: string;
  readonly inferences: number;
  readonly executions: number;
  readonly successes: number;
  readonly cacheHits: number;
  /** Averages by successful request, in nanoseconds. */
  readonly average: Readonly<
    Record<
      'request' | 'queue' | 'computeInput' | 'computeInfer' | 'computeOutput' | 'cacheHit' | 'cacheMiss' | 'overhead',
      number
    >
  >;
}

/** Asks for the statistics of a model and those it is composed of; `undefined` where a server has none. */
export async function takeSnapshot(client: KserveClient, model: ModelInfo): Promise<ServerSnapshot | undefined> {
  const found = new Map<string, ModelStatistics>();
  try {
    for (const { name, version } of [model, ...model.composing]) {
      // Of several versions, the one that requests without a version go to is the highest.
      const all = await client.statistics(name, version);
      const highest = all.toSorted((a, b) => Number(a.version) - Number(b.version)).at(-1);
      if (highest) found.set(name, highest);
    }
  } catch (error) {
    if (error instanceof ClientError) return undefined;
    throw error;
  }
  return found;
}

/** What happened between two snapshots, the model first, then those it is composed of. */
export function windowsBetween(
  before: ServerSnapshot | undefined,
  after: ServerSnapshot | undefined,
): readonly ServerWindow[] {
  if (!before || !after) return [];
  return [...after.values()].map((end): ServerWindow => {
    const start = before.get(end.name);
    const count = (name: DurationName): number => end.durations[name].count - (start?.durations[name].count ?? 0);
    const ns = (name: DurationName): number => end.durations[name].ns - (start?.durations[name].ns ?? 0);
    const successes = count('success');
    const each = (value: number): number => (successes > 0 ? value / successes : 0);
    const parts =
      ns('queue') +
      ns('compute_input') +
      ns('compute_infer') +
      ns('compute_output') +
      ns('cache_hit') +
      ns('cache_miss');
    return {
      name: end.name,
      version: end.version,
      inferences: end.inferenceCount - (start?.inferenceCount ?? 0),
      executions: end.executionCount - (start?.executionCount ?? 0),
      successes,
      cacheHits: count('cache_hit'),
      average: {
        request: each(ns('success')),
        queue: each(ns('queue')),
        computeInput: each(ns('compute_input')),
        computeInfer: each(ns('compute_infer')),
        computeOutput: each(ns('compute_output')),
        cacheHit: each(ns('cache_hit')),
        cacheMiss: each(ns('cache_miss')),
        overhead: Math.max(0, each(ns('success') - parts)),
      },
    };
  });
}
