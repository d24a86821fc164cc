import type { ServerError } from '../../core/index.ts';
import type { Parameters, SequenceFlags } from '../../protocol/index.ts';
import type { RequestTrace } from '../../telemetry/index.ts';
import type { Tensor } from '../../tensor/index.ts';
import type { Hold } from '../backends/contract.ts';
import type { ScheduledRequest } from './contract.ts';

/** A request that stands for another one; schedulers override what they change. */
export class WrappedRequest implements ScheduledRequest {
  readonly origin: ScheduledRequest;

  constructor(origin: ScheduledRequest) {
    this.origin = origin;
  }

  get requestId(): string {
    return this.origin.requestId;
  }

  get parameters(): Parameters {
    return this.origin.parameters;
  }

  get inputs(): readonly Tensor[] {
    return this.origin.inputs;
  }

  get batchSize(): number {
    return this.origin.batchSize;
  }

  get outputs(): ReadonlySet<string> | undefined {
    return this.origin.outputs;
  }

  get enqueuedAt(): number {
    return this.origin.enqueuedAt;
  }

  get batchKey(): string | undefined {
    return this.origin.batchKey;
  }

  get priority(): number | bigint {
    return this.origin.priority;
  }

  get timeoutMicros(): number {
    return this.origin.timeoutMicros;
  }

  get sequence(): SequenceFlags | undefined {
    return this.origin.sequence;
  }

  get trace(): RequestTrace | undefined {
    return this.origin.trace;
  }

  get traceparent(): string | undefined {
    return this.origin.traceparent;
  }

  get cancelled(): boolean {
    return this.origin.cancelled;
  }

  started(at: number): void {
    this.origin.started(at);
  }

  respond(outputs: readonly Tensor[], final: boolean, hold?: Hold, parameters?: Parameters): void {
    this.origin.respond(outputs, final, hold, parameters);
  }

  finish(): void {
    this.origin.finish();
  }

  fail(error: ServerError, final?: boolean): void {
    this.origin.fail(error, final);
  }

  reschedule(): void {
    this.origin.reschedule();
  }
}
