import { readFileSync } from 'node:fs';
import { errorMessage } from '../core/index.ts';
import type { ConnectionLimits, TlsOptions } from '../server/frontends/grpc/index.ts';
import {
  RESTRICTED_APIS,
  type RestrictedApi,
  type Restriction,
  type Restrictions,
} from '../server/frontends/restrictions.ts';
import { type FlagValues, UsageError } from './flags.ts';

/** Restricted gRPC groups are asked for by this header and the key. */
const GRPC_KEY_PREFIX = 'triton-grpc-protocol-';

/**
 * `--http-restricted-api=API[,API...]:KEY=VALUE` and `--grpc-restricted-protocol` alike.
 * @throws UsageError in Triton's words
 */
export function restrictions(flags: FlagValues, kind: 'http' | 'grpc'): Restrictions {
  const [flag, noun, prefix] =
    kind === 'http'
      ? (['http-restricted-api', 'api', ''] as const)
      : (['grpc-restricted-protocol', 'protocol', GRPC_KEY_PREFIX] as const);
  const groups = new Map<RestrictedApi, Restriction>();
  for (const entry of flags.all(flag)) {
    const match = /^([^:=]+):([^=]+)=(.*)$/.exec(entry);
    if (!match) throw new UsageError(`--${flag} must be ${noun}[,${noun}...]:KEY=VALUE, got '${entry}'`);
    for (const name of (match[1] ?? '').split(',')) {
      const api = RESTRICTED_APIS.find((known) => known === name);
      if (!api) {
        throw new UsageError(`unknown restricted ${noun} '${name}'. Allowed ${noun}s: ${RESTRICTED_APIS.join(', ')}`);
      }
      if (groups.has(api)) throw new UsageError(`${noun} '${api}' can not be specified in multiple config groups`);
      groups.set(api, { header: prefix + (match[2] ?? ''), value: match[3] ?? '' });
    }
  }
  return groups;
}

/** A whole header name has to match. */
export function forwardPattern(flags: FlagValues, flag: string): RegExp | undefined {
  const pattern = flags.optional(flag);
  if (pattern === undefined || pattern === '') return undefined;
  // Triton's expressions may say at their beginning that case does not count.
  const caseless = pattern.startsWith('(?i)');
  try {
    return new RegExp(`^(?:${caseless ? pattern.slice('(?i)'.length) : pattern})$`, caseless ? 'i' : '');
  } catch (error) {
    throw new UsageError(`--${flag}: '${pattern}' is not a regular expression: ${errorMessage(error)}`);
  }
}

/** zlib levels of Triton's names. */
const COMPRESSION_LEVELS = { none: 0, low: 1, medium: 6, high: 9 } as const;
export const COMPRESSION_NAMES = ['none', 'low', 'medium', 'high'] as const;

export function compressionLevel(flags: FlagValues): number {
  const name = flags.string('grpc-infer-response-compression-level', 'none');
  return COMPRESSION_LEVELS[COMPRESSION_NAMES.find((known) => known === name) ?? 'none'];
}

/** @throws UsageError for files that are missing */
export function tlsOptions(flags: FlagValues): TlsOptions | undefined {
  const mutual = flags.boolean('grpc-use-ssl-mutual', false);
  if (!flags.boolean('grpc-use-ssl', false) && !mutual) return undefined;
  const read = (flag: string): Buffer => {
    const path = flags.optional(flag);
    if (path === undefined) throw new UsageError(`--grpc-use-ssl needs --${flag}`);
    try {
      return readFileSync(path);
    } catch (error) {
      throw new UsageError(`--${flag}: ${errorMessage(error)}`);
    }
  };
  return {
    cert: read('grpc-server-cert'),
    key: read('grpc-server-key'),
    clientAuthorities: mutual ? read('grpc-root-cert') : undefined,
  };
}

const SECOND = 1000;

/** The defaults are tritonserver's. */
export function connectionLimits(flags: FlagValues): ConnectionLimits {
  return {
    keepaliveTime: flags.number('grpc-keepalive-time', 7_200_000),
    keepaliveTimeout: flags.number('grpc-keepalive-timeout', 20_000),
    keepaliveWithoutCalls: flags.boolean('grpc-keepalive-permit-without-calls', false),
    minPingInterval: flags.number('grpc-http2-min-recv-ping-interval-without-data', 300_000),
    maxPingStrikes: flags.number('grpc-http2-max-ping-strikes', 2),
    maxAge: flags.number('grpc-max-connection-age', 0) * SECOND,
    maxAgeGrace: flags.number('grpc-max-connection-age-grace', 0) * SECOND,
  };
}
