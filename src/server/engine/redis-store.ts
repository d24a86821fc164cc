import { createClient, RESP_TYPES } from '@redis/client';
import { errorMessage, type Logger } from '../../core/index.ts';
import type { KeyValueStore } from './response-cache.ts';

/** Where a Redis server is, and who we are to it. */
export interface RedisAddress {
  readonly host: string;
  readonly port: number;
  readonly user: string | undefined;
  readonly password: string | undefined;
  /** How long one command may take, in milliseconds. */
  readonly timeoutMillis: number;
}

/** A Redis server as a store. While it cannot be reached, commands fail at once instead of piling up. */
export function createRedisStore(address: RedisAddress, logger: Logger): KeyValueStore {
  const client = createClient({
    socket: { host: address.host, port: address.port, connectTimeout: address.timeoutMillis },
    ...(address.user === undefined ? {} : { username: address.user }),
    ...(address.password === undefined ? {} : { password: address.password }),
    disableOfflineQueue: true,
    commandOptions: { timeout: address.timeoutMillis },
  }).withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
  let reachable = true;
  client.on('error', (error: unknown) => {
    if (reachable) logger.warn(`redis at ${address.host}:${address.port}: ${errorMessage(error)}`);
    reachable = false;
  });
  client.on('ready', () => {
    if (!reachable) logger.info(`redis at ${address.host}:${address.port} is there again`);
    reachable = true;
  });
  const connected = client.connect().catch(() => undefined);
  return {
    async get(key) {
      await connected;
      return (await client.get(key)) ?? undefined;
    },
    async set(key, value) {
      await connected;
      await client.set(key, value);
    },
    async close() {
      client.destroy();
    },
  };
}
