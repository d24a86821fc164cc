import type { Logger } from '../core/index.ts';
import { createRedisStore, LocalCache, type ResponseCache, StoreCache } from '../server/engine/index.ts';
import { type FlagValues, UsageError } from './flags.ts';

/** A response cache to be made, and whether other servers use it too. */
export interface CacheChoice {
  readonly create: () => ResponseCache;
  readonly shared: boolean;
}

const REDIS_PORT = 6379;
const REDIS_TIMEOUT_MS = 1000;

/**
 * `--cache-config=local,size=BYTES`, `--cache-config=redis,host=HOST,...`, or the older `--response-cache-byte-size`.
 * @throws UsageError in Triton's words
 */
export function cacheChoice(flags: FlagValues, logger: Logger): CacheChoice | undefined {
  const entries = flags.all('cache-config');
  if (flags.has('response-cache-byte-size')) {
    if (entries.length > 0) {
      throw new UsageError(
        'Incompatible flags --response-cache-byte-size and --cache-config both provided. Please provide one or the other.',
      );
    }
    const size = flags.number('response-cache-byte-size', 0);
    return size === 0 ? undefined : { create: () => new LocalCache(size), shared: false };
  }
  const settings = parseEntries(entries);
  const [name] = settings.keys();
  if (name === undefined) return undefined;
  if (settings.size > 1) {
    throw new UsageError(
      'found multiple cache configurations, but only a single cache is currently supported: multiple cache configurations are not supported',
    );
  }
  const values = settings.get(name) ?? new Map<string, string>();
  if (name === 'local') return localCache(values);
  if (name === 'redis') return redisCache(values, logger);
  throw new UsageError(`--cache-config: unknown cache '${name}', it is one of local, redis`);
}

/** `NAME,KEY=VALUE` entries by name, and the JSON object that newer versions take in place of `KEY=VALUE`. */
function parseEntries(entries: readonly string[]): ReadonlyMap<string, Map<string, string>> {
  const caches = new Map<string, Map<string, string>>();
  for (const entry of entries) {
    const comma = entry.indexOf(',');
    const name = entry.slice(0, comma);
    const rest = entry.slice(comma + 1);
    const equals = rest.indexOf('=');
    const values = caches.get(name) ?? new Map<string, string>();
    caches.set(name, values);
    if (comma > 0 && equals > 0) values.set(rest.slice(0, equals), rest.slice(equals + 1));
    else throw new UsageError(`--cache-config must be NAME,KEY=VALUE, got '${entry}'`);
  }
  return caches;
}

function localCache(values: ReadonlyMap<string, string>): CacheChoice {
  const size = values.get('size');
  if (size === undefined || !/^\d+$/.test(size) || Number(size) === 0) {
    throw new UsageError(`--cache-config: 'local' needs size=BYTES, got '${size ?? ''}'`);
  }
  rejectUnknown('local', values, ['size']);
  return { create: () => new LocalCache(Number(size)), shared: false };
}

function redisCache(values: ReadonlyMap<string, string>, logger: Logger): CacheChoice {
  const host = values.get('host');
  if (host === undefined) throw new UsageError("--cache-config: 'redis' needs host=HOST");
  rejectUnknown('redis', values, ['host', 'port', 'user', 'password', 'connect_timeout', 'socket_timeout']);
  const number = (key: string, fallback: number): number => {
    const text = values.get(key);
    if (text === undefined) return fallback;
    if (!/^\d+$/.test(text)) throw new UsageError(`--cache-config: redis ${key} must be a number, got '${text}'`);
    return Number(text);
  };
  const address = {
    host,
    port: number('port', REDIS_PORT),
    user: values.get('user') ?? process.env['TRITONCACHE_REDIS_USERNAME'],
    password: values.get('password') ?? process.env['TRITONCACHE_REDIS_PASSWORD'],
    timeoutMillis: number('socket_timeout', number('connect_timeout', REDIS_TIMEOUT_MS)),
  };
  return { create: () => new StoreCache(createRedisStore(address, logger), logger), shared: true };
}

function rejectUnknown(cache: string, values: ReadonlyMap<string, string>, known: readonly string[]): void {
  const unknown = [...values.keys()].find((key) => !known.includes(key));
  if (unknown === undefined) return;
  throw new UsageError(`--cache-config: '${cache}' has no setting '${unknown}', it takes ${known.join(', ')}`);
}
