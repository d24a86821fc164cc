import type { Logger, ServerError } from '../../core/index.ts';
import type { ModelConfig, Parameters } from '../../protocol/index.ts';
import type { DeviceInventory } from '../../repository/index.ts';
import type { Tensor } from '../../tensor/index.ts';

/**
 * Keeps the buffers under a response's tensors from being used again; the returned function lets go of them.
 * Called synchronously, while the response is delivered, or not at all.
 */
export type Hold = () => () => void;

/** One request inside an execution, as a backend sees it. */
export interface ExecutionUnit {
  readonly requestId: string;
  /** Of the request, without those that the server itself acts on. */
  readonly parameters: Parameters;
  /** Inputs in the model's own shapes: batch dimension first when the model batches, reshapes applied. */
  readonly inputs: readonly Tensor[];
  /** Rows of this request in the batch; 1 for a model that does not batch. */
  readonly batchSize: number;
  /** Names of the wanted outputs; `undefined` for all. */
  readonly outputs: ReadonlySet<string> | undefined;
  /** The client has gone: a long execution may stop. */
  readonly cancelled: boolean;
  /** Delivers one response. A backend that is not decoupled calls this once, with `final` true, or `fail`. */
  respond(outputs: readonly Tensor[], final: boolean, hold?: Hold): void;
  /** Ends the request without a further response: what a decoupled model does. */
  finish(): void;
  fail(error: ServerError): void;
  /** Takes the request back into the queue for one more step (`iterative_sequence`) in place of an end. */
  reschedule(): void;
}

/** Where the time of an execution went, in nanoseconds. */
export interface ExecutionReport {
  readonly computeInputNs: number;
  readonly computeInferNs: number;
  readonly computeOutputNs: number;
}

/** One instance of a model. The scheduler gives it one execution at a time. */
export interface BackendInstance {
  readonly name: string;
  /** Executes a batch; answers every unit, then calls `done` once. Never throws. */
  execute(units: readonly ExecutionUnit[], done: (report: ExecutionReport) => void): void;
  [Symbol.asyncDispose](): Promise<void>;
}

/** What a backend is told about a model version. */
export interface ModelContext {
  /** Normalized; a backend completes it in place in `loadModel` when `autoComplete` is set. */
  readonly config: ModelConfig;
  readonly version: number;
  /** The model's folder. */
  readonly modelPath: string;
  /** The version's folder. */
  readonly versionPath: string;
  readonly autoComplete: boolean;
  readonly devices: DeviceInventory;
  readonly logger: Logger;
  /** `--backend-config=BACKEND,KEY=VALUE` settings, the global ones included. */
  readonly backendConfig: ReadonlyMap<string, string>;
}

/** What one entry of an instance group comes to. */
export interface InstanceSpec {
  readonly name: string;
  readonly kind: 'cpu' | 'gpu' | 'model';
  readonly deviceId: number;
}

/** A model version that a backend has loaded. */
export interface BackendModel {
  createInstance(spec: InstanceSpec): Promise<BackendInstance>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A way to run models, by the name that configurations use. */
export interface Backend {
  readonly name: string;
  /** @throws ServerError when the model cannot be served as configured */
  loadModel(context: ModelContext): Promise<BackendModel>;
  [Symbol.asyncDispose](): Promise<void>;
}
