import type { ServerError } from '../../core/index.ts';
import type { Parameters } from '../../protocol/index.ts';
import type { Tensor } from '../../tensor/index.ts';
import type { Hold } from '../backends/contract.ts';
import type { ScheduledRequest } from './contract.ts';
import type { Sequence } from './sequence.ts';
import { WrappedRequest } from './wrapped-request.ts';

/** A request as one step of its sequence: with control and state tensors, and the state outputs kept back. */
export class SequenceRequest extends WrappedRequest {
  readonly belongsTo: Sequence;
  readonly start: boolean;
  readonly end: boolean;
  /** Joined when the request starts: the states are those of the step before. */
  private joined: readonly Tensor[] | undefined;
  private over = false;

  constructor(origin: ScheduledRequest, sequence: Sequence, start: boolean, end: boolean) {
    super(origin);
    this.belongsTo = sequence;
    this.start = start;
    this.end = end;
  }

  override get inputs(): readonly Tensor[] {
    return this.joined ?? this.origin.inputs;
  }

  override get outputs(): ReadonlySet<string> | undefined {
    const { outputs } = this.origin;
    const { stateOutputs } = this.belongsTo;
    return outputs && stateOutputs.length > 0 ? new Set([...outputs, ...stateOutputs]) : outputs;
  }

  /** Requests whose states have grown to different shapes cannot share a batch either. */
  override get batchKey(): string | undefined {
    const shapes = this.belongsTo.states.shapes(this.start);
    return shapes === '' ? this.origin.batchKey : `${this.origin.batchKey ?? ''}#${shapes}`;
  }

  /** Puts the control and state tensors behind the request's own inputs. */
  override started(at: number): void {
    this.joined ??= [...this.origin.inputs, ...this.belongsTo.addedInputs(this.start, this.end)];
    this.origin.started(at);
  }

  override respond(outputs: readonly Tensor[], final: boolean, hold?: Hold, parameters?: Parameters): void {
    const rest = this.belongsTo.states.keep(outputs);
    this.origin.respond(rest, final, hold, parameters);
    if (final) this.ended();
  }

  override finish(): void {
    this.origin.finish();
    this.ended();
  }

  override fail(error: ServerError, final = true): void {
    this.origin.fail(error, final);
    if (final) this.ended();
  }

  override reschedule(): void {
    this.over = true;
    this.belongsTo.again(this);
  }

  private ended(): void {
    if (this.over) return;
    this.over = true;
    this.belongsTo.finished(this);
  }
}
