import type { CorrelationId } from '../../protocol/index.ts';
import type { Tensor } from '../../tensor/index.ts';
import type { ScheduledRequest } from './contract.ts';
import { controlTensors, type SequenceControls } from './sequence-controls.ts';
import { SequenceRequest } from './sequence-request.ts';
import { SequenceStates, type StateSpec } from './sequence-state.ts';

/** Where a sequence runs: one slot of one instance. */
export interface SequenceSlot {
  /** The sequence has a request that may run. */
  wake(): void;
  /** Makes room for another sequence. */
  release(): void;
  /** Takes a request back that has not been started; false when it runs already. */
  withdraw(request: SequenceRequest): boolean;
}

/** What a sequence tells its scheduler. */
export interface SequenceOwner {
  readonly batching: boolean;
  readonly controls: SequenceControls;
  readonly states: readonly StateSpec[];
  /** Nothing of the sequence waits or runs any more: it is over, or it idles. */
  rested(sequence: Sequence): void;
}

/** The requests that share a correlation id, in order; one of them runs at a time. */
export class Sequence {
  readonly id: CorrelationId;
  readonly states: SequenceStates;
  readonly stateOutputs: readonly string[];
  readonly queue: SequenceRequest[] = [];
  private readonly owner: SequenceOwner;
  slot: SequenceSlot | undefined;
  /** Handed to the slot and not answered yet. */
  running: SequenceRequest | undefined;
  /** No further requests will come. */
  closed = false;
  /** Clock time of the last thing that happened to it. */
  lastSeen = 0;

  constructor(id: CorrelationId, owner: SequenceOwner) {
    this.id = id;
    this.owner = owner;
    this.states = new SequenceStates(owner.states);
    this.stateOutputs = owner.states.map((state) => state.outputName);
  }

  get resting(): boolean {
    return this.queue.length === 0 && this.running === undefined;
  }

  add(request: ScheduledRequest, start: boolean, end: boolean): void {
    this.queue.push(new SequenceRequest(request, this, start, end));
    this.slot?.wake();
  }

  /** The next request, ready to run; `undefined` while another one of this sequence runs. */
  peek(): SequenceRequest | undefined {
    return this.running ? undefined : this.queue[0];
  }

  /** Takes the request that `peek` showed. */
  take(): SequenceRequest | undefined {
    this.running = this.queue.shift();
    return this.running;
  }

  addedInputs(start: boolean, end: boolean): readonly Tensor[] {
    if (start) this.states.reset();
    const { controls, batching } = this.owner;
    return [...controlTensors(controls, { start, end, ready: true }, this.id, batching), ...this.states.inputs];
  }

  finished(request: SequenceRequest): void {
    if (this.running === request) this.running = undefined;
    const index = this.queue.indexOf(request);
    if (index >= 0) this.queue.splice(index, 1);
    if (this.resting) this.owner.rested(this);
    else this.slot?.wake();
  }

  /** One more step of the same request. */
  again(request: SequenceRequest): void {
    if (this.running === request) this.running = undefined;
    this.queue.unshift(new SequenceRequest(request.origin, this, false, request.end));
    this.slot?.wake();
  }
}
