import { configError, type SourcePosition } from './source-position.ts';

export const PUNCTUATION = ['{', '}', '<', '>', '[', ']', ':', ',', ';'] as const;
export type Punctuation = (typeof PUNCTUATION)[number];

export type Token =
  | { readonly kind: 'punctuation'; readonly text: Punctuation; readonly position: SourcePosition }
  | { readonly kind: 'identifier'; readonly text: string; readonly position: SourcePosition }
  | { readonly kind: 'number'; readonly text: string; readonly position: SourcePosition }
  | { readonly kind: 'string'; readonly text: string; readonly position: SourcePosition }
  | { readonly kind: 'end'; readonly text: ''; readonly position: SourcePosition };

const punctuation: ReadonlySet<string> = new Set(PUNCTUATION);
const NUMBER = /[+-]?(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?[fF]?)/y;
const IDENTIFIER = /-?[A-Za-z_][A-Za-z0-9_./]*/y;
const SPACE = /(?:\s|#[^\n]*)+/y;

/**
 * Splits protobuf text format into tokens; string tokens come out unescaped.
 * @param file name to put in front of errors
 */
export function tokenize(text: string, file: string): Token[] {
  const tokens: Token[] = [];
  const source = text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
  const positions = new PositionCounter(source);
  let offset = 0;
  const match = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = offset;
    return pattern.exec(source)?.[0];
  };
  for (;;) {
    offset += match(SPACE)?.length ?? 0;
    const position = positions.at(offset);
    const char = source[offset];
    if (char === undefined) {
      tokens.push({ kind: 'end', text: '', position });
      return tokens;
    }
    if (punctuation.has(char)) {
      tokens.push({ kind: 'punctuation', text: char as Punctuation, position });
      offset += 1;
      continue;
    }
    if (char === '"' || char === "'") {
      const literal = readString(source, offset, file, position);
      tokens.push({ kind: 'string', text: literal.text, position });
      offset = literal.end;
      continue;
    }
    const identifier = match(IDENTIFIER);
    const number = identifier === undefined ? match(NUMBER) : undefined;
    const word = identifier ?? number;
    if (word === undefined) throw configError(file, position, `unexpected character '${char}'`);
    tokens.push({ kind: identifier === undefined ? 'number' : 'identifier', text: word, position });
    offset += word.length;
  }
}

/** Turns offsets, asked for in rising order, into lines and columns. */
class PositionCounter {
  private readonly source: string;
  private offset = 0;
  private line = 1;
  private lineStart = 0;

  constructor(source: string) {
    this.source = source;
  }

  at(offset: number): SourcePosition {
    for (; this.offset < offset; this.offset++) {
      if (this.source[this.offset] === '\n') {
        this.line++;
        this.lineStart = this.offset + 1;
      }
    }
    return { line: this.line, column: offset - this.lineStart + 1 };
  }
}

const SIMPLE_ESCAPES: Readonly<Record<string, number>> = {
  a: 7,
  b: 8,
  f: 12,
  n: 10,
  r: 13,
  t: 9,
  v: 11,
  '\\': 92,
  "'": 39,
  '"': 34,
  '?': 63,
};

function readString(
  source: string,
  start: number,
  file: string,
  position: SourcePosition,
): { readonly text: string; readonly end: number } {
  const quote = source[start];
  const bytes: number[] = [];
  let offset = start + 1;
  for (;;) {
    const char = source[offset];
    if (char === undefined || char === '\n') throw configError(file, position, 'string literal is not closed');
    if (char === quote) return { text: Buffer.from(bytes).toString('utf8'), end: offset + 1 };
    if (char !== '\\') {
      const point = source.codePointAt(offset) ?? 0;
      const whole = String.fromCodePoint(point);
      bytes.push(...Buffer.from(whole, 'utf8'));
      offset += whole.length;
      continue;
    }
    const escape = readEscape(source, offset + 1);
    if (escape === undefined) {
      throw configError(file, position, `unknown escape '\\${source[offset + 1] ?? ''}' in a string literal`);
    }
    bytes.push(...escape.bytes);
    offset = escape.end;
  }
}

function readEscape(
  source: string,
  offset: number,
): { readonly bytes: readonly number[]; readonly end: number } | undefined {
  const rest = source.slice(offset, offset + 10);
  const octal = /^[0-7]{1,3}/.exec(rest)?.[0];
  if (octal !== undefined) return { bytes: [Number.parseInt(octal, 8) & 0xff], end: offset + octal.length };
  const hex = /^[xX]([0-9a-fA-F]{1,2})/.exec(rest);
  if (hex) return { bytes: [Number.parseInt(hex[1] ?? '', 16)], end: offset + hex[0].length };
  const unicode = /^(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))/.exec(rest);
  if (unicode) {
    const point = Number.parseInt(unicode[1] ?? unicode[2] ?? '', 16);
    if (point > 0x10ffff) return undefined;
    return { bytes: [...Buffer.from(String.fromCodePoint(point), 'utf8')], end: offset + unicode[0].length };
  }
  const simple = SIMPLE_ESCAPES[rest[0] ?? ''];
  return simple === undefined ? undefined : { bytes: [simple], end: offset + 1 };
}
