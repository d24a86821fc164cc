import { type Clock, NANOS_PER_MICRO, NANOS_PER_MILLI } from '../../src/core/index.ts';

interface Timer {
  readonly at: number;
  readonly callback: () => void;
}

/** Time that only moves when a test says so. */
export class VirtualClock implements Clock {
  private time = 0;
  private timers: Timer[] = [];
  private turn: (() => void)[] = [];

  now(): number {
    return this.time;
  }

  epochMillis(): number {
    return this.time / NANOS_PER_MILLI;
  }

  after(nanoseconds: number, callback: () => void): () => void {
    const timer: Timer = { at: this.time + nanoseconds, callback };
    this.timers.push(timer);
    return () => {
      this.timers = this.timers.filter((other) => other !== timer);
    };
  }

  soon(callback: () => void): void {
    this.turn.push(callback);
  }

  /** Runs what was put off to the end of the turn. */
  settle(): void {
    while (this.turn.length > 0) for (const callback of this.turn.splice(0)) callback();
  }

  /** Lets `micros` microseconds pass, running timers in order. */
  advance(micros: number): void {
    const end = this.time + micros * NANOS_PER_MICRO;
    for (;;) {
      this.settle();
      const next = this.timers.filter((timer) => timer.at <= end).toSorted((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.timers = this.timers.filter((timer) => timer !== next);
      this.time = Math.max(this.time, next.at);
      next.callback();
    }
    this.time = end;
    this.settle();
  }
}
