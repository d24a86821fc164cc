import { internalError, type ServerError } from '../../core/index.ts';
import {
  type InferenceOutcome,
  type InferenceRequest,
  isFinal,
  NO_PARAMETERS,
  type Parameters,
  type SequenceFlags,
} from '../../protocol/index.ts';
import type { RequestTrace } from '../../telemetry/index.ts';
import type { Tensor } from '../../tensor/index.ts';
import type { ExecutionReport, Hold } from '../backends/contract.ts';
import type { ScheduledRequest } from '../schedulers/index.ts';
import type { CheckedRequest } from './check-request.ts';
import { classify } from './classification.ts';
import { traceTensors } from './tracing/index.ts';
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
  /** Called for every response, before it is delivered; they are counted from 0. */
  responded(inference: PendingInference, index: number, outcome: InferenceOutcome): void;
  responseParameters(request: InferenceRequest): Parameters | undefined;
}

/** A request between the front end and an instance: its place in the queue and the way its answers go back. */
export class PendingInference implements ScheduledRequest {
  readonly request: InferenceRequest;
  readonly checked: CheckedRequest;
  readonly receivedAt: number;
  readonly enqueuedAt: number;
  readonly executed: ((report: ExecutionReport) => void) | undefined;
  readonly trace: RequestTrace | undefined;
  private readonly host: InferenceHost;
  private readonly sink: OutcomeSink;
  private ended = false;
  private again: (() => void) | undefined;
  private responses = 0;
  cancelled = false;
  startedAt = 0;

  constructor(
    host: InferenceHost,
    request: InferenceRequest,
    checked: CheckedRequest,
    receivedAt: number,
    enqueuedAt: number,
    sink: OutcomeSink,
    executed?: (report: ExecutionReport) => void,
    trace?: RequestTrace,
  ) {
    this.host = host;
    this.request = request;
    this.checked = checked;
    this.receivedAt = receivedAt;
    this.enqueuedAt = enqueuedAt;
    this.sink = sink;
    this.executed = executed;
    this.trace = trace;
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

  get priority(): number | bigint {
    return this.request.priority;
  }

  get timeoutMicros(): number {
    return this.request.timeoutMicros;
  }

  get sequence(): SequenceFlags | undefined {
    return this.request.sequence;
  }

  get parameters(): Parameters {
    return this.request.parameters;
  }

  get traceparent(): string | undefined {
    return this.request.arrival?.traceparent;
  }

  get batchKey(): string | undefined {
    return this.checked.batchKey;
  }

  started(at: number): void {
    this.startedAt = at;
  }

  respond(tensors: readonly Tensor[], final: boolean, hold?: Hold, parameters?: Parameters): void {
    if (this.ended) return;
    if (this.trace?.wantsTensors) traceTensors(this.trace, 'TENSOR_BACKEND_OUTPUT', tensors);
    let outputs: readonly Tensor[];
    try {
      outputs = this.present(tensors);
    } catch (error) {
      this.fail(error as ServerError);
      return;
    }
    this.deliver({
      kind: 'response',
      final,
      response: {
        modelName: this.host.name,
        modelVersion: String(this.host.version),
        id: this.request.id,
        outputs,
        parameters: this.host.responseParameters(this.request) ?? parameters ?? NO_PARAMETERS,
        ...(hold ? { hold } : {}),
      },
    });
  }

  finish(): void {
    if (!this.ended) this.deliver({ kind: 'empty-final' });
  }

  fail(error: ServerError, final = true): void {
    if (this.ended) return;
    this.deliver({ kind: 'error', error, final });
  }

  /** Says how to put the request back into its scheduler. */
  reschedulable(again: () => void): void {
    this.again = again;
  }

  reschedule(): void {
    if (this.again) this.again();
    else this.fail(internalError('the request cannot be rescheduled'));
  }

  private deliver(outcome: InferenceOutcome): void {
    this.host.responded(this, this.responses, outcome);
    this.responses++;
    if (isFinal(outcome)) this.end(outcome.kind === 'error' ? outcome.error : undefined);
    this.sink(outcome);
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
