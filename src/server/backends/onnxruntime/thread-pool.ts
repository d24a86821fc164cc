import { availableParallelism } from 'node:os';
import { SessionThread } from './session-thread.ts';

/** What a pool needs to know of an instance to decide where it lives. */
export interface Resident {
  /** Time spent executing since the last call, in nanoseconds. */
  takeBusyNs(): number;
  /** Moves to another thread, between two executions. */
  moveTo(thread: SessionThread): Promise<void>;
}

export interface PoolLimits {
  /** Threads that serve one instance each. */
  readonly dedicated: number;
  /** Threads that share all other instances. */
  readonly shared: number;
}

export const DEFAULT_POOL_LIMITS: PoolLimits = { dedicated: 32, shared: Math.max(2, availableParallelism()) };

/**
 * Threads without an instance that wait for the next one. A thread that ends leaves behind memory which the allocator
 * does not reuse for the next thread: models that are loaded and unloaded again and again would make the process grow.
 */
const SPARE_THREADS = 2;

/** How often placements are looked at, and how busy a shared instance must be to earn a thread of its own. */
const REBALANCE_MS = 1_000;
const HOT_SHARE = 0.05;

interface Home {
  readonly thread: SessionThread;
  readonly kind: 'dedicated' | 'shared';
}

/**
 * A bounded number of threads for any number of instances. Early instances get a thread each; further ones share.
 * Once a second the busiest instance on a shared thread changes places with an idle one that has its own.
 */
export class ThreadPool {
  private readonly limits: PoolLimits;
  private readonly homes = new Map<Resident, Home>();
  private readonly shared: SessionThread[] = [];
  private readonly spare: SessionThread[] = [];
  private dedicatedCount = 0;
  private timer: NodeJS.Timeout | undefined;
  private moving = false;

  constructor(limits: PoolLimits = DEFAULT_POOL_LIMITS) {
    this.limits = limits;
  }

  /** A thread for a new instance; it must be given to {@link settle} or {@link release} afterwards. */
  acquire(): { readonly thread: SessionThread; readonly kind: Home['kind'] } {
    if (this.dedicatedCount < this.limits.dedicated) {
      this.dedicatedCount++;
      return { thread: this.freshThread(), kind: 'dedicated' };
    }
    return { thread: this.sharedThread(), kind: 'shared' };
  }

  settle(resident: Resident, home: Home): void {
    this.homes.set(resident, home);
    if (home.kind === 'shared' && !this.timer) {
      this.timer = setInterval(() => void this.rebalance(), REBALANCE_MS);
      this.timer.unref();
    }
  }

  /** Forgets an instance; its thread ends, or waits for another one, if nobody else is on it. */
  async leave(resident: Resident): Promise<void> {
    const home = this.homes.get(resident);
    this.homes.delete(resident);
    if (home) await this.release(home);
  }

  async release(home: Home): Promise<void> {
    if (home.kind === 'dedicated') {
      this.dedicatedCount--;
      const reusable = home.thread.alive && home.thread.sessions === 0;
      if (reusable && this.spare.length < SPARE_THREADS) this.spare.push(home.thread);
      else await home.thread[Symbol.asyncDispose]();
    } else if (home.thread.sessions === 0) {
      const index = this.shared.indexOf(home.thread);
      if (index >= 0) this.shared.splice(index, 1);
      await home.thread[Symbol.asyncDispose]();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.timer);
    const threads = new Set([...this.homes.values()].map((home) => home.thread).concat(this.shared, this.spare));
    this.homes.clear();
    this.spare.length = 0;
    await Promise.all([...threads].map((thread) => thread[Symbol.asyncDispose]()));
  }

  private freshThread(): SessionThread {
    for (let thread = this.spare.pop(); thread; thread = this.spare.pop()) if (thread.alive) return thread;
    return new SessionThread();
  }

  private sharedThread(): SessionThread {
    const alive = this.shared.filter((thread) => thread.alive);
    this.shared.splice(0, this.shared.length, ...alive);
    if (this.shared.length < this.limits.shared) {
      const thread = new SessionThread();
      this.shared.push(thread);
      return thread;
    }
    return this.shared.reduce((least, thread) => (thread.sessions < least.sessions ? thread : least));
  }

  /** Looks at what every instance did since the last time; moves at most one pair. */
  async rebalance(): Promise<void> {
    let hot: { resident: Resident; busy: number } | undefined;
    let cold: { resident: Resident; busy: number } | undefined;
    for (const [resident, home] of this.homes) {
      const busy = resident.takeBusyNs();
      if (home.kind === 'shared' && (!hot || busy > hot.busy)) hot = { resident, busy };
      if (home.kind === 'dedicated' && (!cold || busy < cold.busy)) cold = { resident, busy };
    }
    if (this.moving || !hot || hot.busy < HOT_SHARE * REBALANCE_MS * 1e6) return;
    this.moving = true;
    try {
      if (this.dedicatedCount < this.limits.dedicated) await this.move(hot.resident, 'dedicated');
      else if (cold && cold.busy * 4 < hot.busy) {
        await this.move(cold.resident, 'shared');
        await this.move(hot.resident, 'dedicated');
      }
    } finally {
      this.moving = false;
    }
  }

  /** Moves an instance off a thread that has died. */
  async rescue(resident: Resident): Promise<void> {
    const from = this.homes.get(resident);
    if (!from || from.thread.alive) return;
    const home = this.acquire();
    try {
      await resident.moveTo(home.thread);
    } catch (error) {
      await this.release(home);
      throw error;
    }
    this.homes.set(resident, home);
    await this.release(from);
  }

  private async move(resident: Resident, kind: Home['kind']): Promise<void> {
    const from = this.homes.get(resident);
    if (!from || from.kind === kind) return;
    if (kind === 'dedicated') this.dedicatedCount++;
    const home: Home = { kind, thread: kind === 'dedicated' ? this.freshThread() : this.sharedThread() };
    try {
      await resident.moveTo(home.thread);
    } catch (error) {
      await this.release(home);
      throw error;
    }
    if (this.homes.has(resident)) {
      this.homes.set(resident, home);
      await this.release(from);
    } else {
      await this.release(home);
    }
  }
}
