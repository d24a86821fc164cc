import { cpus } from 'node:os';

/** Measures how busy the machine's cores were since the last time it was asked. */
export class CpuUsage {
  private last = snapshot();

  /** 0 to 1; 0 when no time has passed. */
  take(): number {
    const now = snapshot();
    const total = now.total - this.last.total;
    const busy = total - (now.idle - this.last.idle);
    this.last = now;
    return total > 0 ? Math.min(1, Math.max(0, busy / total)) : 0;
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
