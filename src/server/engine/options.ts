import type { Clock, Logger } from '../../core/index.ts';
import type { DeviceInventory } from '../../repository/index.ts';
import type { Backend } from '../backends/contract.ts';
import type { ResourceLimit } from '../schedulers/index.ts';
import type { ResponseCache } from './response-cache.ts';
import type { TracingOptions } from './tracing/index.ts';

export const MODEL_CONTROL_MODES = ['none', 'poll', 'explicit'] as const;
export type ModelControlMode = (typeof MODEL_CONTROL_MODES)[number];

/** What the engine is started with. */
export interface EngineOptions {
  readonly repositories: readonly string[];
  readonly controlMode: ModelControlMode;
  /** Models to load at start in explicit mode; `*` for all. */
  readonly loadModels: readonly string[];
  readonly pollSeconds: number;
  readonly autoComplete: boolean;
  readonly configName: string | undefined;
  readonly strictDevices: boolean;
  /** Ready only when every model loaded; otherwise ready once loading has ended. */
  readonly strictReadiness: boolean;
  readonly devices: DeviceInventory;
  readonly loadThreads: number;
  /** Bytes of inputs that may be in flight over all models; further requests are refused. */
  readonly maxInflightBytes: number;
  /** Times that a version which failed to load is tried again. */
  readonly loadRetries: number;
  /** Each repository has names of its own. */
  readonly namespacing: boolean;
  /** `--cache-config`; `undefined` for no response cache. */
  readonly cache: (() => ResponseCache) | undefined;
  /** Other servers use the same cache. */
  readonly sharedCache: boolean;
  /** `--rate-limit=execution_count` and its resources; `undefined` when executions are not limited. */
  readonly rateLimits: readonly ResourceLimit[] | undefined;
  /** `TRITONSERVER_DELAY_SCHEDULER` and `TRITONSERVER_BACKLOG_DELAY_SCHEDULER`, for tests of schedulers. */
  readonly startThreshold: number;
  readonly backlogThreshold: number;
  /** Keep quantiles of the last minute (`--metrics-config summary_latencies=true`). */
  readonly summaries: boolean;
  readonly tracing: TracingOptions;
  /** A number in [0, 1): for traffic splits. */
  readonly random: () => number;
  readonly clock: Clock;
  readonly logger: Logger;
  /** A backend that does not come with the server; `undefined` when there is none of that name. */
  findBackend(name: string): Promise<Backend | undefined>;
  /** Settings for one backend, from `--backend-config`. */
  backendConfig(backend: string): ReadonlyMap<string, string>;
}
