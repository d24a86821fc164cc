import { type Clock, invalidArgument } from '../../core/index.ts';
import type { ExecutionPermit } from './contract.ts';

/** What an instance needs while it runs (Triton's `ModelRateLimiter.Resource`). */
export interface ResourceNeed {
  readonly name: string;
  /** Shared by all devices, instead of existing once on each. */
  readonly global: boolean;
  readonly count: number;
}

/** An instance's `rate_limiter` settings. */
export interface RateLimit {
  readonly resources: readonly ResourceNeed[];
  /** An instance of priority 2 gets half as many chances as one of priority 1; 0 counts as 1. */
  readonly priority: number;
}

/** `--rate-limit-resource=NAME:COUNT:DEVICE`; without a device the count holds for every device. */
export interface ResourceLimit {
  readonly name: string;
  readonly count: number;
  readonly device: number | undefined;
}

/** One instance's place with the limiter. */
interface Seat {
  readonly model: string;
  readonly device: number;
  readonly limit: RateLimit;
  executions: number;
  granted: (() => void) | undefined;
  holding: boolean;
  /** When the wish was uttered: equal priorities are served in this order. */
  turn: number;
}

const GLOBAL = 'global';

/**
 * Lets an instance run only while the resources that it declares are free, over all models
 * (https://github.com/triton-inference-server/server/blob/main/docs/user_guide/rate_limiter.md). Among those that wait,
 * the one with the lowest product of priority and executions is next, and nobody overtakes it.
 */
export class RateLimiter {
  private readonly limits: readonly ResourceLimit[];
  private readonly seats = new Set<Seat>();
  private readonly used = new Map<string, number>();
  private turns = 0;
  private granting = false;
  private readonly clock: Pick<Clock, 'soon'>;
  private grantSoon = false;

  constructor(limits: readonly ResourceLimit[], clock: Pick<Clock, 'soon'>) {
    this.limits = limits;
    this.clock = clock;
  }

  /**
   * Checks that an instance could ever run.
   * @throws INVALID_ARG in Triton's words
   */
  check(limits: readonly { readonly limit: RateLimit; readonly device: number }[]): void {
    const needs = [...this.seats, ...limits].flatMap(({ limit }) => limit.resources);
    for (const { name } of needs) {
      const kinds = new Set(needs.filter((need) => need.name === name).map((need) => need.global));
      if (kinds.size > 1) {
        throw invalidArgument(
          `Resource "${name}" is present as both global and device-specific resource in the model configuration.`,
        );
      }
    }
    for (const { limit, device } of limits) {
      for (const need of limit.resources) {
        const fixed = this.fixedLimit(need, device);
        if (fixed === undefined || fixed >= need.count) continue;
        const most = Math.max(...needs.filter((other) => other.name === need.name).map((other) => other.count));
        throw invalidArgument(
          `Resource count for "${need.name}" is limited to ${fixed} which will prevent scheduling of one or more model instances, the minimum required count is ${most}`,
        );
      }
    }
  }

  /** A permit for one instance, and a function to call when the instance is gone. */
  admit(model: string, device: number, limit: RateLimit): { permit: ExecutionPermit; leave: () => void } {
    const seat: Seat = { model, device, limit, executions: 0, granted: undefined, holding: false, turn: 0 };
    this.seats.add(seat);
    return {
      permit: {
        request: (granted) => {
          if (seat.holding || seat.granted) return;
          seat.granted = granted;
          seat.turn = this.turns++;
          this.grant();
        },
        release: (executed) => {
          seat.granted = undefined;
          if (executed) seat.executions++;
          if (seat.holding) this.put(seat, -1);
          seat.holding = false;
          this.grantLater();
        },
      },
      leave: () => {
        seat.granted = undefined;
        if (seat.holding) this.put(seat, -1);
        this.seats.delete(seat);
        this.grantLater();
      },
    };
  }

  /** Units of a resource that are in use, by `NAME` or `NAME:DEVICE`. */
  get usage(): ReadonlyMap<string, number> {
    return this.used;
  }

  /** Who gave resources back has the chance to ask for them again: priority decides, not who was first to notice. */
  private grantLater(): void {
    if (this.grantSoon) return;
    this.grantSoon = true;
    this.clock.soon(() => {
      this.grantSoon = false;
      this.grant();
    });
  }

  private grant(): void {
    // A granted instance may finish at once and come back here: the loop below sees what it gave back.
    if (this.granting) return;
    this.granting = true;
    for (let next = this.nextWaiting(); next && this.fits(next); next = this.nextWaiting()) {
      const { granted } = next;
      next.granted = undefined;
      next.holding = true;
      this.put(next, 1);
      granted?.();
    }
    this.granting = false;
  }

  private nextWaiting(): Seat | undefined {
    let best: Seat | undefined;
    for (const seat of this.seats) {
      if (!seat.granted) continue;
      if (!best || scaled(seat) < scaled(best) || (scaled(seat) === scaled(best) && seat.turn < best.turn)) best = seat;
    }
    return best;
  }

  private fits(seat: Seat): boolean {
    return seat.limit.resources.every(
      (need) => (this.used.get(keyOf(need, seat.device)) ?? 0) + need.count <= this.limitOf(need, seat.device),
    );
  }

  private put(seat: Seat, sign: 1 | -1): void {
    for (const need of seat.limit.resources) {
      const key = keyOf(need, seat.device);
      this.used.set(key, (this.used.get(key) ?? 0) + sign * need.count);
    }
  }

  /** Without a setting of its own, a resource exists as often as its most demanding instance needs it. */
  private limitOf(need: ResourceNeed, device: number): number {
    const fixed = this.fixedLimit(need, device);
    if (fixed !== undefined) return fixed;
    let most = 0;
    for (const seat of this.seats) {
      if (!need.global && seat.device !== device) continue;
      for (const other of seat.limit.resources) {
        if (other.name === need.name) most = Math.max(most, other.count);
      }
    }
    return most;
  }

  private fixedLimit(need: ResourceNeed, device: number): number | undefined {
    const named = this.limits.filter((limit) => limit.name === need.name);
    if (named.length === 0) return undefined;
    const everywhere = named.findLast((limit) => limit.device === undefined)?.count;
    if (need.global) return everywhere ?? Math.max(...named.map((limit) => limit.count));
    return named.findLast((limit) => limit.device === device)?.count ?? everywhere ?? 0;
  }
}

function keyOf({ name, global }: ResourceNeed, device: number): string {
  return global ? `${name}:${GLOBAL}` : `${name}:${device}`;
}

function scaled(seat: Seat): number {
  return seat.executions * Math.max(1, seat.limit.priority);
}
