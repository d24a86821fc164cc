import { cpus } from 'node:os';

/** Measures how busy the machine's cores were, over intervals of at least some length. */
export class CpuUsage {
  private readonly intervalMillis: number;
  private last = snapshot();
  private lastAt = performance.now();
  private value = 0;

  constructor(intervalMillis: number) {
    this.intervalMillis = intervalMillis;
  }

  /** 0 to 1, since the last look that was long enough ago. */
  take(): number {
    const at = performance.now();
    if (at - this.lastAt < this.intervalMillis && this.value > 0) return this.value;
    const now = snapshot();
    const total = now.total - this.last.total;
    const busy = total - (now.idle - this.last.idle);
    this.last = now;
    this.lastAt = at;
    this.value = total > 0 ? Math.min(1, Math.max(0, busy / total)) : 0;
    return this.value;
  }
}

function snapshot(): { readonly total: number; readonly idle: number } {
  let total = 0;
  let idle = 0;
  for (const { times } of cpus()) {
    total += times.user + times.nice + times.sys + times.idle + times.irq;
    idle += times.idle;
  }
  return { total, idle };
}
