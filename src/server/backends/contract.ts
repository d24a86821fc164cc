import type { Logger, ServerError } from '../../core/index.ts';
import type {
  InferenceOutcome,
  InferenceRequest,
  ModelConfig,
  Parameters,
  SequenceFlags,
} from '../../protocol/index.ts';
import type { DeviceInventory } from '../../repository/index.ts';
import type { CustomMetrics } from '../../telemetry/index.ts';
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
  /** Set when the request belongs to a sequence. */
  readonly sequence: SequenceFlags | undefined;
  /** What the client gave the request to wait in the queue, in microseconds; 0 for nothing. */
  readonly timeoutMicros: number;
  /** W3C trace context of a traced request. */
  readonly traceparent: string | undefined;
  /** The client has gone: a long execution may stop. */
  readonly cancelled: boolean;
  /** Delivers one response. A backend that is not decoupled calls this once, with `final` true, or `fail`. */
  respond(outputs: readonly Tensor[], final: boolean, hold?: Hold, parameters?: Parameters): void;
  /** Ends the request without a further response: what a decoupled model does. */
  finish(): void;
  /** A response that is an error; `final` unless a decoupled model says otherwise. */
  fail(error: ServerError, final?: boolean): void;
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

/** What a load request brings along instead of what lies in the repository. */
export interface LoadOverride {
  /** A whole configuration as JSON. */
  readonly config?: string;
  /** Contents by path inside the model's folder; with any, the repository's own files are not looked at. */
  readonly files?: ReadonlyMap<string, Uint8Array>;
}

/** What a model may ask of the server that runs it: other models' inferences and life, metrics of its own. */
export interface ServerAccess {
  /**
   * Runs an inference. Errors found before it is queued are thrown; later ones go to `sink`.
   * @returns a function that cancels the request
   */
  infer(request: InferenceRequest, sink: (outcome: InferenceOutcome) => void): () => void;
  /** Whether a model answers with any number of responses. Throws when it is not there. */
  isDecoupled(name: string, version: string): boolean;
  load(name: string, override?: LoadOverride): Promise<void>;
  unload(name: string, withSteps: boolean): Promise<void>;
  isModelReady(name: string, version: string): boolean;
  readonly metrics: CustomMetrics;
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
  readonly server: ServerAccess;
}

/** What one entry of an instance group comes to. */
export interface InstanceSpec {
  readonly name: string;
  readonly kind: 'cpu' | 'gpu' | 'model';
  readonly deviceId: number;
}

/** A model version that a backend has loaded. */
export interface BackendModel {
  /** Whether its instances can execute now; a model without this always can. */
  readonly ready?: boolean;
  /** What its metadata shows besides names and shapes. */
  readonly properties?: Readonly<Record<string, string>>;
  createInstance(spec: InstanceSpec): Promise<BackendInstance>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A way to run models, by the name that configurations use. */
export interface Backend {
  readonly name: string;
  /** Its models may ask other models: at a stop they go first. */
  readonly asksModels?: boolean;
  /** @throws ServerError when the model cannot be served as configured */
  loadModel(context: ModelContext): Promise<BackendModel>;
  [Symbol.asyncDispose](): Promise<void>;
}
