import type { ServerError } from '../../core/index.ts';
import { type InferenceOutcome, type InferenceRequest, NO_PARAMETERS } from '../../protocol/index.ts';
import type { Tensor } from '../../tensor/index.ts';
import type { Hold } from '../backends/contract.ts';
import type { ScheduledRequest } from '../schedulers/index.ts';
import type { CheckedRequest } from './check-request.ts';
import { classify } from './classification.ts';
import { reshaped, type TensorSpec } from './tensor-spec.ts';

/** Receives what an inference comes to: any number of responses and one end. */
export type OutcomeSink = (outcome: InferenceOutcome) => void;

/** What a pending inference needs of its model. */
export interface InferenceHost {
  readonly name: string;
  readonly version: number;
  readonly batching: boolean;
  readonly outputs: readonly TensorSpec[];
  readonly labels: ReadonlyMap<string, readonly string[]>;
  /** Called once, when the inference has ended. */
  ended(inference: PendingInference, error: ServerError | undefined): void;
}

/** A request between the front end and an instance: its place in the queue and the way its answers go back. */
export class PendingInference implements ScheduledRequest {
  readonly request: InferenceRequest;
  readonly checked: CheckedRequest;
  readonly receivedAt: number;
  readonly enqueuedAt: number;
  private readonly host: InferenceHost;
  private readonly sink: OutcomeSink;
  private ended = false;
  cancelled = false;
  startedAt = 0;

  constructor(
    host: InferenceHost,
    request: InferenceRequest,
    checked: CheckedRequest,
    receivedAt: number,
    enqueuedAt: number,
    sink: OutcomeSink,
  ) {
    this.host = host;
    this.request = request;
    this.checked = checked;
    this.receivedAt = receivedAt;
    this.enqueuedAt = enqueuedAt;
    this.sink = sink;
  }

  get requestId(): string {
    return this.request.id;
  }

  get inputs(): readonly Tensor[] {
    return this.checked.inputs;
  }

  get batchSize(): number {
    return this.checked.batchSize;
  }

  get outputs(): ReadonlySet<string> | undefined {
    return this.checked.outputs;
  }

  get batchKey(): string | undefined {
    return this.checked.batchKey;
  }

  started(at: number): void {
    this.startedAt = at;
  }

  respond(tensors: readonly Tensor[], final: boolean, hold?: Hold): void {
    if (this.ended) return;
    let outputs: readonly Tensor[];
    try {
      outputs = this.present(tensors);
    } catch (error) {
      this.fail(error as ServerError);
      return;
    }
    if (final) this.end(undefined);
    this.sink({
      kind: 'response',
      final,
      response: {
        modelName: this.host.name,
        modelVersion: String(this.host.version),
        id: this.request.id,
        outputs,
        parameters: NO_PARAMETERS,
        ...(hold ? { hold } : {}),
      },
    });
  }

  fail(error: ServerError): void {
    if (this.ended) return;
    this.end(error);
    this.sink({ kind: 'error', error, final: true });
  }

  private end(error: ServerError | undefined): void {
    this.ended = true;
    this.host.ended(this, error);
  }

  /** Outputs in the configured order and shapes, with classifications where asked for. */
  private present(tensors: readonly Tensor[]): readonly Tensor[] {
    const { batching, outputs, labels } = this.host;
    const presented: Tensor[] = [];
    for (const spec of outputs) {
      const tensor = tensors.find((candidate) => candidate.name === spec.name);
      if (!tensor) continue;
      const restored = restoreShape(tensor, spec, batching);
      const classes = this.request.outputs.find((output) => output.name === spec.name)?.classification ?? 0;
      presented.push(classes > 0 ? classify(restored, classes, labels.get(spec.name), batching) : restored);
    }
    return presented;
  }
}

/** Undoes the output's reshape; a model output without dimensions is shown with those of the configuration. */
function restoreShape(tensor: Tensor, spec: TensorSpec, batching: boolean): Tensor {
  if (spec.reshape) {
    const dims = batching ? tensor.shape.slice(1) : tensor.shape;
    const shape = reshaped(dims, spec.reshape, spec.dims);
    return { ...tensor, shape: batching ? [tensor.shape[0] ?? 1, ...shape] : shape };
  }
  if (tensor.shape.length === 0 && spec.fixed) return { ...tensor, shape: spec.dims };
  return tensor;
}
