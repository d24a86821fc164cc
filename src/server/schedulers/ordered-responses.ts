import type { ServerError } from '../../core/index.ts';
import type { Parameters } from '../../protocol/index.ts';
import type { Tensor } from '../../tensor/index.ts';
import type { Hold } from '../backends/contract.ts';
import type { ScheduledRequest } from './contract.ts';
import { WrappedRequest } from './wrapped-request.ts';

/**
 * Delivers answers in the order in which requests were taken from the queue (`preserve_ordering`), whichever instance
 * is done first. An answer that has to wait keeps its buffers.
 */
export class OrderedResponses {
  private readonly entries: OrderedRequest[] = [];

  /** The same request, answering in its turn. Call in the order that has to be kept. */
  wrap(request: ScheduledRequest): ScheduledRequest {
    const entry = new OrderedRequest(request, () => this.flush());
    this.entries.push(entry);
    return entry;
  }

  private flush(): void {
    for (let head = this.entries[0]; head; head = this.entries[0]) {
      for (const deliver of head.waiting.splice(0)) deliver();
      if (!head.finished) return;
      this.entries.shift();
    }
  }
}

class OrderedRequest extends WrappedRequest {
  finished = false;
  /** Answers that had to wait for earlier requests. */
  readonly waiting: (() => void)[] = [];
  private readonly flush: () => void;

  constructor(origin: ScheduledRequest, flush: () => void) {
    super(origin);
    this.flush = flush;
  }

  override respond(outputs: readonly Tensor[], final: boolean, hold?: Hold, parameters?: Parameters): void {
    // Whether its turn has come shows when it is delivered: at once, or later with the buffers kept until then.
    let delivered = false;
    let release: (() => void) | undefined;
    this.answer(() => {
      delivered = true;
      this.origin.respond(outputs, final, hold, parameters);
      release?.();
    }, final);
    if (!delivered) release = hold?.();
  }

  override finish(): void {
    this.answer(() => this.origin.finish(), true);
  }

  override fail(error: ServerError, final = true): void {
    this.answer(() => this.origin.fail(error, final), final);
  }

  private answer(deliver: () => void, final: boolean): void {
    this.waiting.push(deliver);
    this.finished ||= final;
    this.flush();
  }
}
