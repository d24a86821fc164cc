import { errorMessage, internalError } from '../core/index.ts';

const BIG_INTEGER = /[:[,\s]-?\d{16,}/;
const NON_FINITE = /\b(?:NaN|Inf(?:inity)?)\b/;

/**
 * `JSON.parse` for request bodies: integers beyond 2^53 come out as `bigint`, and the `NaN`, `Inf` and `Infinity`
 * that Triton's parser takes as numbers are taken here too.
 * @throws INTERNAL, as Triton answers, when the text is not JSON.
 */
export function parseJsonText(text: string): unknown {
  try {
    return parseExactJson(text);
  } catch (error) {
    if (!NON_FINITE.test(text)) throw malformed(error);
  }
  try {
    return JSON.parse(quoteNonFinite(text), restoreNonFinite);
  } catch (error) {
    throw malformed(error);
  }
}

/**
 * `JSON.parse` with integers beyond 2^53 as `bigint`.
 * @throws SyntaxError
 */
export function parseExactJson(text: string): unknown {
  return BIG_INTEGER.test(text) ? JSON.parse(text, exactIntegers) : JSON.parse(text);
}

/** Engines that pass the source text to the reviver keep big integers exact; older ones give the nearest number. */
function exactIntegers(_key: string, value: unknown, context?: { source?: string }): unknown {
  if (typeof value !== 'number' || Number.isSafeInteger(value)) return value;
  const source = context?.source;
  return source !== undefined && /^-?\d+$/.test(source) ? BigInt(source) : value;
}

declare global {
  interface JSON {
    /** A value that `stringify` writes as it is; part of every engine that gives revivers the source text. */
    rawJSON(text: string): unknown;
  }
}

/** `JSON.stringify` for what {@link parseJsonText} gives: a `bigint` is written as the number it is. */
export function jsonText(value: unknown): string {
  return JSON.stringify(value, (_key, member: unknown) =>
    typeof member === 'bigint' ? JSON.rawJSON(String(member)) : member,
  );
}

const MARK = 'goodput:non-finite:';

/** Turns bare NaN and Infinity, outside of strings, into marked strings. */
function quoteNonFinite(text: string): string {
  return text.replace(/"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Inf(?:inity)?)\b/g, (token) =>
    token.startsWith('"') ? token : `"${MARK}${token}"`,
  );
}

function restoreNonFinite(_key: string, value: unknown): unknown {
  if (typeof value !== 'string' || !value.startsWith(MARK)) return value;
  const token = value.slice(MARK.length);
  if (token.endsWith('NaN')) return Number.NaN;
  return token.startsWith('-') ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
}

function malformed(error: unknown): Error {
  return internalError(`failed to parse the request JSON buffer: ${errorMessage(error)}`);
}

export type JsonObject = Readonly<Record<string, unknown>>;

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
