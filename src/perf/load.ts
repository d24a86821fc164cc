import { type Clock, NANOS_PER_MILLI } from '../core/index.ts';
import type { ClientError } from '../client/index.ts';
import type { Completion, Recorder } from './recorder.ts';
import { type NextRequest, type RequestSource, SequenceSource } from './requests.ts';
import type { InferTransport } from './transport.ts';

/** After a broken connection a slot waits this long, so that a dead server is not asked all the time. */
const RETRY_MS = 50;

export interface LoadParts {
  readonly transport: InferTransport;
  readonly source: RequestSource;
  readonly clock: Clock;
  /** Keeps each response and when it came. */
  readonly keep: boolean;
  /** Looks at a response; what it returns is what is wrong with it. */
  readonly validate: ((request: NextRequest, body: Buffer) => ClientError | undefined) | undefined;
}

/** Requests of one kind of load, on numbered slots that have one request each at a time. */
export abstract class Load {
  protected readonly parts: LoadParts;
  /** Gets what ends from now on. */
  recorder: Recorder;
  /** Called after a request has ended. */
  onEnd: () => void = () => undefined;
  protected outstanding = 0;
  protected stopping = false;
  private idle: (() => void) | undefined;

  constructor(parts: LoadParts, recorder: Recorder) {
    this.parts = parts;
    this.recorder = recorder;
  }

  /** A slot's request has ended. */
  protected abstract freed(slot: number, error: ClientError | undefined): void;

  /** Stops sending; resolves when nothing is under way. Sequences are brought to their ends. */
  async stop(): Promise<void> {
    this.stopping = true;
    const { source } = this.parts;
    if (source instanceof SequenceSource) {
      for (const slot of source.unfinished()) if (!this.busy.has(slot)) this.send(slot, this.parts.clock.now());
    }
    if (this.outstanding > 0) await new Promise<void>((resolve) => (this.idle = resolve));
  }

  private readonly busy = new Set<number>();

  protected send(slot: number, intended: number): void {
    const { clock, transport, source, keep, validate } = this.parts;
    const request = source.next(slot);
    this.outstanding++;
    this.busy.add(slot);
    let began = 0;
    let responses = 0;
    let wrong: ClientError | undefined;
    const times: number[] = [];
    const bodies: Buffer[] = [];
    const sent = clock.now();
    let written = sent;
    const end = (error: ClientError | undefined): void => {
      const now = clock.now();
      this.ended(slot, {
        intended,
        sent,
        written,
        began: began || now,
        end: now,
        error,
        responses,
        responseTimes: times,
        sequenceId: request.sequence?.id,
        tensors: keep ? { steps: request.steps, bodies } : undefined,
      });
    };
    transport.infer(slot, request.parts, {
      began: () => (began = clock.now()),
      response(body) {
        responses++;
        if (keep) {
          times.push(clock.now());
          bodies.push(Buffer.from(body));
        }
        if (validate) wrong ??= validate(request, body);
      },
      done: () => end(wrong),
      failed: end,
    });
    written = clock.now();
  }

  private ended(slot: number, completion: Completion): void {
    this.outstanding--;
    this.busy.delete(slot);
    this.recorder.record(completion);
    this.onEnd();
    const { error } = completion;
    const { source } = this.parts;
    if (this.stopping) {
      const unfinished = source instanceof SequenceSource && source.unfinished().includes(slot);
      if (unfinished && !error) this.send(slot, this.parts.clock.now());
      else if (this.outstanding === 0) this.idle?.();
      return;
    }
    this.freed(slot, error);
  }
}

/** So many requests at a time, the next one as soon as one has ended. */
export class ConcurrencyLoad extends Load {
  private level = 0;
  /** Requests that may still be sent. */
  private left = Number.POSITIVE_INFINITY;
  private readonly onResponse: () => void;

  /** @param onResponse called for each request that has ended, before the next one is sent */
  constructor(parts: LoadParts, recorder: Recorder, onResponse: () => void = () => undefined) {
    super(parts, recorder);
    this.onResponse = onResponse;
  }

  /** @param requests ends after so many */
  start(level: number, requests = Number.POSITIVE_INFINITY): void {
    const before = this.level;
    this.level = level;
    this.left = requests;
    for (let slot = before; slot < level; slot++) this.next(slot);
  }

  protected freed(slot: number, error: ClientError | undefined): void {
    this.onResponse();
    if (error && error.failure !== 'server') setTimeout(() => this.next(slot), RETRY_MS);
    else this.next(slot);
  }

  private next(slot: number): void {
    if (this.stopping || this.left <= 0) return;
    this.left--;
    this.send(slot, this.parts.clock.now());
  }
}

/** Longest time that is left to a timer; what is nearer is waited for by looking again and again. */
const TIMER_MARGIN_MS = 2;

/** Requests at times that do not depend on the answers. */
export class ScheduledLoad extends Load {
  private readonly interval: () => number;
  private readonly slots: number;
  private readonly free: number[] = [];
  private used = 0;
  /** Times of requests that wait for a slot. */
  private readonly waiting: number[] = [];
  private due = 0;
  private left = Number.POSITIVE_INFINITY;
  /** Requests whose time has come. */
  scheduled = 0;

  /**
   * @param interval nanoseconds from one request to the next
   * @param slots most requests at a time
   */
  constructor(parts: LoadParts, recorder: Recorder, interval: () => number, slots: number) {
    super(parts, recorder);
    this.interval = interval;
    this.slots = slots;
  }

  /** @param requests ends after so many */
  start(requests = Number.POSITIVE_INFINITY): void {
    this.left = requests;
    this.due = this.parts.clock.now() + this.interval();
    this.pump();
  }

  /** Requests that are late because all slots have one. */
  get held(): number {
    return this.waiting.length;
  }

  override stop(): Promise<void> {
    this.waiting.length = 0;
    return super.stop();
  }

  protected freed(slot: number): void {
    const intended = this.waiting.shift();
    if (intended === undefined) this.free.push(slot);
    else this.send(slot, intended);
  }

  private readonly pump = (): void => {
    if (this.stopping) return;
    const now = this.parts.clock.now();
    while (this.due <= now && this.left > 0) {
      this.left--;
      this.scheduled++;
      this.dispatch(this.due);
      this.due += this.interval();
    }
    if (this.left <= 0) return;
    const wait = (this.due - now) / NANOS_PER_MILLI;
    if (wait > TIMER_MARGIN_MS) setTimeout(this.pump, Math.floor(wait - TIMER_MARGIN_MS + 1));
    else setImmediate(this.pump);
  };

  private dispatch(intended: number): void {
    // The slot that was free last has a warm connection.
    const slot = this.free.pop() ?? (this.used < this.slots ? this.used++ : undefined);
    if (slot === undefined) this.waiting.push(intended);
    else this.send(slot, intended);
  }
}
