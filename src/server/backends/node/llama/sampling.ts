import { invalidArgument } from '../../../../core/index.ts';
import { isJsonObject, type Parameters, parseJsonText } from '../../../../protocol/index.ts';
import type { ModelRequest } from '../model-api.ts';

/** How an answer is generated. */
export interface Sampling {
  /** `undefined`: as many as the context holds. */
  readonly maxTokens: number | undefined;
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
  readonly seed: number | undefined;
  readonly stop: readonly string[];
  readonly repeatPenalty: number;
  readonly frequencyPenalty: number;
  readonly presencePenalty: number;
  /** Alternatives to show for each token; `undefined` for no probabilities at all. */
  readonly logprobs: number | undefined;
  readonly ignoreEos: boolean;
}

interface Limits {
  readonly least: number;
  readonly most: number;
  readonly integer?: boolean;
}

/** Settings that are numbers, by the name of their input or parameter. */
export const NUMBERS = {
  max_tokens: { least: 1, most: 2 ** 31 - 1, integer: true },
  temperature: { least: 0, most: 100 },
  top_k: { least: 0, most: 2 ** 31 - 1, integer: true },
  top_p: { least: 0, most: 1 },
  min_p: { least: 0, most: 1 },
  seed: { least: 0, most: 2 ** 32 - 1, integer: true },
  repeat_penalty: { least: 0, most: 100 },
  frequency_penalty: { least: -2, most: 2 },
  presence_penalty: { least: -2, most: 2 },
  logprobs: { least: 0, most: 20, integer: true },
} as const satisfies Readonly<Record<string, Limits>>;

type NumberName = keyof typeof NUMBERS;

/**
 * Reads what a request says: inputs first, then the JSON of `sampling_parameters`, then the request's parameters.
 * @throws INVALID_ARG naming the setting, its value and its limits
 */
export function readSampling(request: ModelRequest): Sampling {
  const json = samplingParameters(request);
  const number = (name: NumberName): number | undefined => {
    const value = firstValue(request, name) ?? json[name] ?? request.parameters[name];
    return value === undefined ? undefined : checked(name, Number(value), NUMBERS[name]);
  };
  return {
    maxTokens: number('max_tokens'),
    temperature: number('temperature') ?? 0.8,
    topK: number('top_k') ?? 40,
    topP: number('top_p') ?? 0.95,
    minP: number('min_p') ?? 0,
    seed: number('seed'),
    stop: stopTexts(request, json),
    repeatPenalty: number('repeat_penalty') ?? 1,
    frequencyPenalty: number('frequency_penalty') ?? 0,
    presencePenalty: number('presence_penalty') ?? 0,
    logprobs: number('logprobs'),
    ignoreEos: flag(request, json, 'ignore_eos'),
  };
}

/** A setting that is on or off, off by default. */
export function flag(
  request: ModelRequest,
  json: Parameters | Readonly<Record<string, unknown>>,
  name: string,
): boolean {
  const value = firstValue(request, name) ?? json[name] ?? request.parameters[name];
  return value === true || value === 1 || value === 'true';
}

export function samplingParameters(request: ModelRequest): Readonly<Record<string, unknown>> {
  const text = firstText(request, 'sampling_parameters') ?? request.parameters['sampling_parameters'];
  if (text === undefined || text === '') return {};
  let json: unknown;
  try {
    json = parseJsonText(String(text));
  } catch {
    throw invalidArgument(`sampling_parameters must be a JSON object, got '${String(text)}'`);
  }
  if (!isJsonObject(json)) throw invalidArgument(`sampling_parameters must be a JSON object, got '${String(text)}'`);
  return json;
}

function firstValue(request: ModelRequest, name: string): unknown {
  const tensor = request.inputs[name];
  return tensor?.values[0];
}

/** The text of a BYTES input. */
export function firstText(request: ModelRequest, name: string): string | undefined {
  const value = firstValue(request, name);
  return typeof value === 'string' ? value : undefined;
}

function checked(name: string, value: number, { least, most, integer = false }: Limits): number {
  if (Number.isFinite(value) && value >= least && value <= most && (!integer || Number.isInteger(value))) return value;
  throw invalidArgument(
    `${name} must be ${integer ? 'an integer' : 'a number'} from ${least} to ${most}, got ${value}`,
  );
}

function stopTexts(request: ModelRequest, json: Readonly<Record<string, unknown>>): readonly string[] {
  const texts: unknown = request.inputs['stop']?.values ?? json['stop'] ?? request.parameters['stop'] ?? [];
  const list: readonly unknown[] = typeof texts === 'string' ? [texts] : Array.isArray(texts) ? texts : [texts];
  return list.map((text) => {
    if (typeof text === 'string' && text !== '') return text;
    throw invalidArgument(`stop must be texts that are not empty, got ${JSON.stringify(text)}`);
  });
}
