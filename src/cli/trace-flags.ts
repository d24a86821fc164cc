import {
  DEFAULT_TRACE_SETTINGS,
  TRACE_LEVELS,
  TRACE_MODES,
  type TraceLevel,
  type TraceMode,
  type TracingOptions,
} from '../server/engine/index.ts';
import { type FlagValues, UsageError } from './flags.ts';

const OTEL_URL = 'http://localhost:4318/v1/traces';
const OTEL_QUEUE = 2048;
const OTEL_DELAY_MS = 5000;
const OTEL_BATCH = 512;

/** `--trace-config`, and the older `--trace-*` flags where it says nothing. */
export function tracingOptions(flags: FlagValues): TracingOptions {
  const given = new TraceFlags(flags);
  const levels = new Set(given.all('', 'level', 'trace-level').map(parseLevel));
  const mode = given.last('', 'mode');
  return {
    settings: {
      levels: levels.has('OFF') ? [] : TRACE_LEVELS.filter((level) => levels.has(level)),
      rate: given.number('', 'rate', DEFAULT_TRACE_SETTINGS.rate, 'trace-rate'),
      count: given.number('', 'count', DEFAULT_TRACE_SETTINGS.count, 'trace-count'),
      logFrequency: given.number('triton', 'log-frequency', 0, 'trace-log-frequency'),
      file: given.last('triton', 'file', 'trace-file') ?? '',
      mode: mode === undefined ? 'triton' : parseMode(mode),
    },
    openTelemetry: {
      url: given.last('opentelemetry', 'url') ?? OTEL_URL,
      resource: new Map([['service.name', 'triton-inference-server'], ...resources(given)]),
      maxQueueSize: given.number('opentelemetry', 'bsp_max_queue_size', OTEL_QUEUE),
      scheduleDelayMillis: given.number('opentelemetry', 'bsp_schedule_delay', OTEL_DELAY_MS),
      maxExportBatchSize: given.number('opentelemetry', 'bsp_max_export_batch_size', OTEL_BATCH),
    },
  };
}

const SETTINGS: Readonly<Record<string, readonly string[]>> = {
  '': ['level', 'rate', 'count', 'mode'],
  triton: ['file', 'log-frequency'],
  opentelemetry: ['url', 'resource', 'bsp_max_queue_size', 'bsp_schedule_delay', 'bsp_max_export_batch_size'],
};

/** The values of `--trace-config=[MODE,]SETTING=VALUE`. */
class TraceFlags {
  private readonly flags: FlagValues;
  private readonly values = new Map<string, string[]>();

  constructor(flags: FlagValues) {
    this.flags = flags;
    for (const entry of flags.all('trace-config')) {
      const match = /^(?:([a-z]+),)?([a-z_-]+)=(.*)$/.exec(entry);
      if (!match) {
        throw new UsageError(
          `--trace-config option format is '<trace mode>,<setting>=<value>' or '<setting>=<value>'. Got '${entry}'`,
        );
      }
      const [, mode = '', setting = '', value = ''] = match;
      const known = SETTINGS[mode];
      if (!known)
        throw new UsageError(`--trace-config: unknown trace mode '${mode}', it is one of ${TRACE_MODES.join(', ')}`);
      if (!known.includes(setting)) {
        throw new UsageError(
          `Bad option: "--trace-config ${mode === '' ? '' : `${mode},`}${setting}": it takes ${known.join(', ')}`,
        );
      }
      const key = `${mode},${setting}`;
      this.values.set(key, [...(this.values.get(key) ?? []), value]);
    }
  }

  all(mode: string, setting: string, older?: string): readonly string[] {
    return this.values.get(`${mode},${setting}`) ?? (older === undefined ? [] : this.flags.all(older));
  }

  last(mode: string, setting: string, older?: string): string | undefined {
    return this.all(mode, setting, older).at(-1);
  }

  number(mode: string, setting: string, fallback: number, older?: string): number {
    const text = this.last(mode, setting, older);
    if (text === undefined) return fallback;
    if (!/^-?\d+$/.test(text)) throw new UsageError(`--trace-config: ${setting} must be a number, got '${text}'`);
    return Number(text);
  }
}

/** Older names for levels stand for what they came to mean. */
const OLDER_LEVELS: Readonly<Record<string, TraceLevel>> = { MIN: 'TIMESTAMPS', MAX: 'TIMESTAMPS' };

function parseLevel(text: string): TraceLevel {
  const name = text.toUpperCase();
  const level = OLDER_LEVELS[name] ?? TRACE_LEVELS.find((known) => known === name);
  if (level) return level;
  throw new UsageError(`invalid value for trace level option: '${text}', it is one of ${TRACE_LEVELS.join(', ')}`);
}

function parseMode(text: string): TraceMode {
  const mode = TRACE_MODES.find((known) => known === text.toLowerCase());
  if (mode) return mode;
  throw new UsageError(`invalid value for trace mode option: '${text}', it is one of ${TRACE_MODES.join(', ')}`);
}

function resources(given: TraceFlags): readonly (readonly [string, string])[] {
  return given.all('opentelemetry', 'resource').map((text) => {
    const equals = text.indexOf('=');
    if (equals <= 0) throw new UsageError(`--trace-config: resource must be KEY=VALUE, got '${text}'`);
    return [text.slice(0, equals), text.slice(equals + 1)];
  });
}
