import { createHash } from 'node:crypto';
import type { Clock } from '../../core/index.ts';
import type { Parameters } from '../../protocol/index.ts';
import type { Tensor } from '../../tensor/index.ts';
import type { Hold } from '../backends/contract.ts';
import { cancelledError, type ScheduledRequest, WrappedRequest } from '../schedulers/index.ts';
import type { ResponseCache } from './response-cache.ts';
import type { ModelStatistics } from './statistics.ts';

/** A model's part of the response cache. */
export interface CachedModel {
  readonly cache: ResponseCache;
  /** Different for models and configurations that must not share answers. */
  readonly prefix: string;
}

/** A request whose answer may be in the cache, or comes into it. */
export class CachingRequest extends WrappedRequest {
  private readonly model: CachedModel;
  private readonly statistics: ModelStatistics;
  private readonly clock: Clock;
  private readonly key: string;
  private lookupNs = 0;

  constructor(origin: ScheduledRequest, model: CachedModel, statistics: ModelStatistics, clock: Clock) {
    super(origin);
    this.model = model;
    this.statistics = statistics;
    this.clock = clock;
    this.key = keyOf(model.prefix, origin);
  }

  /**
   * Answers from the cache, or calls `miss`. A cache that fails is a miss.
   * @returns a promise when the cache has to be waited for
   */
  lookUp(miss: () => void): Promise<void> | undefined {
    const start = this.clock.now();
    const found = (outputs: readonly Tensor[] | undefined): void => {
      if (this.cancelled) {
        this.origin.fail(cancelledError(this.origin));
        return;
      }
      this.lookupNs = this.clock.now() - start;
      if (!outputs) {
        miss();
        return;
      }
      this.statistics.cacheHit(this.lookupNs, start - this.enqueuedAt);
      this.origin.respond(outputs, true);
    };
    const outcome = this.model.cache.lookup(this.key);
    if (outcome instanceof Promise) return outcome.then(found, () => found(undefined));
    found(outcome);
    return undefined;
  }

  override respond(outputs: readonly Tensor[], final: boolean, hold?: Hold, parameters?: Parameters): void {
    const start = this.clock.now();
    this.model.cache.insert(this.key, outputs);
    this.statistics.cacheMiss(this.lookupNs + this.clock.now() - start);
    this.origin.respond(outputs, final, hold, parameters);
  }
}

function keyOf(prefix: string, request: ScheduledRequest): string {
  const hash = createHash('sha256').update(prefix);
  for (const name of [...(request.outputs ?? [])].toSorted()) hash.update(`\0>${name}`);
  for (const { name, datatype, shape, data } of request.inputs) {
    hash.update(`\0<${name}\0${datatype}\0${shape.join()}\0${data.length}\0`).update(data);
  }
  return hash.digest('base64url');
}
