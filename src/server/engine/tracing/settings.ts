import { internalError, invalidArgument, unsupported } from '../../../core/index.ts';

export const TRACE_LEVELS = ['OFF', 'TIMESTAMPS', 'TENSORS'] as const;
export type TraceLevel = (typeof TRACE_LEVELS)[number];

export const TRACE_MODES = ['triton', 'opentelemetry'] as const;
export type TraceMode = (typeof TRACE_MODES)[number];

/** The settings of the trace extension (https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_trace.md). */
export interface TraceSettings {
  /** Empty for OFF. */
  readonly levels: readonly TraceLevel[];
  /** One request in this many is traced; 0 for none. */
  readonly rate: number;
  /** Traces still to be taken; -1 for no limit. */
  readonly count: number;
  /** Traces per numbered file; 0 writes one file. */
  readonly logFrequency: number;
  readonly file: string;
  readonly mode: TraceMode;
}

/** What one level of settings says itself; `undefined` leaves it to the level above. */
export type TraceOverride = {
  readonly [Key in 'levels' | 'rate' | 'count' | 'logFrequency']?: TraceSettings[Key] | undefined;
};

export const DEFAULT_TRACE_SETTINGS: TraceSettings = {
  levels: [],
  rate: 1000,
  count: -1,
  logFrequency: 0,
  file: '',
  mode: 'triton',
};

/** Under the names of the extension: strings all, the level a list. */
export function describeTraceSettings(settings: TraceSettings): {
  readonly trace_level: readonly string[];
  readonly trace_rate: string;
  readonly trace_count: string;
  readonly log_frequency: string;
  readonly trace_file: string;
  readonly trace_mode: TraceMode;
} {
  return {
    trace_level: settings.levels.length === 0 ? ['OFF'] : settings.levels,
    trace_rate: String(settings.rate),
    trace_count: String(settings.count),
    log_frequency: String(settings.logFrequency),
    trace_file: settings.file,
    trace_mode: settings.mode,
  };
}

/** A setting as it came: strings, or `null` to leave it to the level above again. */
export type TraceSettingValue = readonly string[] | null;

/**
 * Applies a change to one level of settings. Unknown names are ignored, as in Triton.
 * @throws INVALID_ARG or UNSUPPORTED in Triton's words
 */
export function changeOverride(
  before: TraceOverride,
  change: Readonly<Record<string, TraceSettingValue>>,
): TraceOverride {
  let after = before;
  for (const [name, value] of Object.entries(change)) {
    switch (name) {
      case 'trace_level': {
        const levels = value === null ? undefined : parseLevels(value);
        if (levels !== 'unknown') after = { ...after, levels };
        break;
      }
      case 'trace_rate':
        after = { ...after, rate: value === null ? undefined : parseNumber(name, value, 0) };
        break;
      case 'trace_count':
        after = { ...after, count: value === null ? undefined : parseNumber(name, value, -1) };
        break;
      case 'log_frequency':
        after = { ...after, logFrequency: value === null ? undefined : parseNumber(name, value, 0) };
        break;
      case 'trace_file':
        throw unsupported('trace file location can not be updated through network protocol');
      default:
        break;
    }
  }
  return after;
}

/** Names that Triton does not know leave the levels as they are. */
function parseLevels(names: readonly string[]): readonly TraceLevel[] | 'unknown' {
  if (names.includes('OFF')) {
    if (names.length > 1) throw invalidArgument("Expect only one trace level 'OFF' is specified");
    return [];
  }
  const levels = TRACE_LEVELS.filter((level) => names.includes(level));
  return levels.length === 0 ? 'unknown' : levels;
}

const LARGEST = { trace_rate: 4_294_967_295, trace_count: 2_147_483_647, log_frequency: 4_294_967_295 } as const;

function parseNumber(name: keyof typeof LARGEST, [text = '']: readonly string[], smallest: number): number {
  if (!/^-?\d+$/.test(text)) throw invalidArgument(`Unable to parse '${name}', got: ${text}`);
  const value = Number(text);
  const largest = LARGEST[name];
  if (value > largest || (smallest === 0 && value < 0)) {
    throw invalidArgument(
      `Unable to parse '${name}', value is out of range [ ${smallest === 0 ? 0 : -2_147_483_648}, ${largest} ], got: ${text}`,
    );
  }
  if (value < smallest) throw invalidArgument(`Unable to parse '${name}'. Expecting value >= ${smallest}, got:${text}`);
  return value;
}

/** A JSON body as a change of settings: Triton takes nothing but strings, lists of strings and `null`. */
export function traceChangeOfJson(
  body: Readonly<Record<string, unknown>>,
): Readonly<Record<string, TraceSettingValue>> {
  const change: Record<string, TraceSettingValue> = {};
  for (const [name, value] of Object.entries(body)) {
    if (value === null) {
      change[name] = null;
    } else if (name === 'trace_level') {
      if (!Array.isArray(value)) throw internalError('attempt to access JSON non-array as array');
      change[name] = value.map(String);
    } else if (typeof value === 'string') {
      change[name] = [value];
    } else if (name in LARGEST || name === 'trace_file') {
      throw internalError('attempt to access JSON non-string as string');
    }
  }
  return change;
}
