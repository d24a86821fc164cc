import type { ServerError } from '../../core/index.ts';
import type { Tensor } from '../../tensor/index.ts';
import type { Hold } from '../backends/contract.ts';
import type { ScheduledRequest } from './contract.ts';

interface Entry {
  finished: boolean;
  /** Answers that had to wait for earlier requests. */
  readonly waiting: (() => void)[];
}

/**
 * Delivers answers in the order in which requests were taken from the queue (`preserve_ordering`), whichever instance
 * is done first. An answer that has to wait keeps its buffers.
 */
export class OrderedResponses {
  private readonly entries: Entry[] = [];

  /** The same request, answering in its turn. Call in the order that has to be kept. */
  wrap(request: ScheduledRequest): ScheduledRequest {
    const entry: Entry = { finished: false, waiting: [] };
    this.entries.push(entry);
    const answer = (deliver: () => void, final: boolean): void => {
      entry.waiting.push(deliver);
      entry.finished ||= final;
      this.flush();
    };
    return {
      origin: request,
      requestId: request.requestId,
      inputs: request.inputs,
      batchSize: request.batchSize,
      outputs: request.outputs,
      enqueuedAt: request.enqueuedAt,
      batchKey: request.batchKey,
      get cancelled() {
        return request.cancelled;
      },
      started: (at) => request.started(at),
      respond: (outputs: readonly Tensor[], final: boolean, hold?: Hold) => {
        if (this.entries[0] === entry && entry.waiting.length === 0) {
          answer(() => request.respond(outputs, final, hold), final);
          return;
        }
        const release = hold?.();
        answer(() => {
          request.respond(outputs, final, hold);
          release?.();
        }, final);
      },
      fail: (error: ServerError) => answer(() => request.fail(error), true),
    };
  }

  private flush(): void {
    for (let head = this.entries[0]; head; head = this.entries[0]) {
      for (const deliver of head.waiting.splice(0)) deliver();
      if (!head.finished) return;
      this.entries.shift();
    }
  }
}
