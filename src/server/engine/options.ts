import type { Clock, Logger } from '../../core/index.ts';
import type { DeviceInventory } from '../../repository/index.ts';

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
  readonly startThreshold: number;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Settings for one backend, from `--backend-config`. */
  backendConfig(backend: string): ReadonlyMap<string, string>;
}
