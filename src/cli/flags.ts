import { didYouMean } from '../core/index.ts';

/** A command-line mistake: one sentence for the user, exit status 2. */
export class UsageError extends Error {}

export const FLAG_KINDS = ['string', 'integer', 'number', 'boolean', 'switch'] as const;
export type FlagKind = (typeof FLAG_KINDS)[number];

/** One flag: what the parser needs and what `--help` and the reference say. */
export interface FlagSpec {
  /** Without the dashes. */
  readonly name: string;
  readonly kind: FlagKind;
  /** May be given several times. */
  readonly multiple?: boolean;
  /** One letter, for `-x VALUE` or `-xVALUE`. */
  readonly short?: string;
  /** Other names for the same flag. */
  readonly aliases?: readonly string[];
  readonly choices?: readonly string[];
  readonly minimum?: number;
  readonly maximum?: number;
  /** Shown in the reference; the command applies it. */
  readonly defaultText: string;
  readonly group: string;
  readonly help: string;
}

/** Flags as given, typed by their kind. */
export class FlagValues {
  private readonly values = new Map<string, readonly string[]>();

  add(name: string, value: string): void {
    this.values.set(name, [...(this.values.get(name) ?? []), value]);
  }

  has(name: string): boolean {
    return this.values.has(name);
  }

  /** The last value, or the default. */
  string(name: string, fallback: string): string {
    return this.values.get(name)?.at(-1) ?? fallback;
  }

  optional(name: string): string | undefined {
    return this.values.get(name)?.at(-1);
  }

  all(name: string): readonly string[] {
    return this.values.get(name) ?? [];
  }

  number(name: string, fallback: number): number {
    const text = this.values.get(name)?.at(-1);
    return text === undefined ? fallback : Number(text);
  }

  boolean(name: string, fallback: boolean): boolean {
    const text = this.values.get(name)?.at(-1);
    return text === undefined ? fallback : isTrue(text);
  }
}

const TRUE: ReadonlySet<string> = new Set(['true', '1', 'yes', 'on']);
const FALSE: ReadonlySet<string> = new Set(['false', '0', 'no', 'off']);

function isTrue(text: string): boolean {
  return TRUE.has(text.toLowerCase());
}

/**
 * Parses `--flag=value`, `--flag value` and switches.
 * @param refused flags that are known and not served, with the reason
 * @throws UsageError naming the flag, the value and what is allowed
 */
export function parseFlags(
  argv: readonly string[],
  specs: readonly FlagSpec[],
  refused: Readonly<Record<string, string>> = {},
): FlagValues {
  const byName = new Map<string, FlagSpec>();
  for (const spec of specs) for (const name of [spec.name, ...(spec.aliases ?? [])]) byName.set(name, spec);
  const values = new FlagValues();
  const words = spellOut(argv, specs);
  for (let index = 0; index < words.length; index++) {
    const word = words[index] ?? '';
    if (!word.startsWith('--')) throw new UsageError(`unexpected argument '${word}': flags start with --`);
    const equals = word.indexOf('=');
    const name = equals < 0 ? word.slice(2) : word.slice(2, equals);
    const spec = byName.get(name);
    if (!spec) {
      const reason = refused[name];
      if (reason !== undefined) throw new UsageError(`--${name} is not supported: ${reason}`);
      throw new UsageError(`unknown flag --${name}${didYouMean(name, byName.keys())}`);
    }
    let value = equals < 0 ? undefined : word.slice(equals + 1);
    const next = words[index + 1];
    if (value === undefined && spec.kind === 'switch') value = 'true';
    else if (value === undefined && next !== undefined && !next.startsWith('--')) {
      value = next;
      index++;
    } else if (value === undefined && spec.kind === 'boolean') value = 'true';
    if (value === undefined) throw new UsageError(`--${name} needs a value`);
    checkValue(spec, name, value);
    values.add(spec.name, value);
  }
  return values;
}

/** Long names in place of single letters. */
function spellOut(argv: readonly string[], specs: readonly FlagSpec[]): readonly string[] {
  const byLetter = new Map(specs.flatMap((spec) => (spec.short === undefined ? [] : [[spec.short, spec] as const])));
  if (byLetter.size === 0) return argv;
  const words: string[] = [];
  for (let index = 0; index < argv.length; index++) {
    const word = argv[index] ?? '';
    const spec = /^-[^-]/.test(word) ? byLetter.get(word[1] ?? '') : undefined;
    if (!spec) {
      if (/^-[^-\d]/.test(word)) throw new UsageError(`unknown flag ${word}`);
      words.push(word);
      continue;
    }
    const rest = word.slice(2).replace(/^=/, '');
    if (spec.kind === 'switch') {
      words.push(`--${spec.name}`);
      // Switches may be written together.
      if (rest !== '') words.push(...spellOut([`-${rest}`], specs));
      continue;
    }
    const value = rest === '' ? argv[++index] : rest;
    if (value === undefined) throw new UsageError(`${word} needs a value`);
    words.push(`--${spec.name}=${value}`);
  }
  return words;
}

function checkValue(spec: FlagSpec, name: string, value: string): void {
  if (spec.choices && !spec.choices.includes(value)) {
    throw new UsageError(
      `--${name} must be one of ${spec.choices.join(', ')}, got '${value}'${didYouMean(value, spec.choices)}`,
    );
  }
  switch (spec.kind) {
    case 'string':
      return;
    case 'boolean':
    case 'switch':
      if (!TRUE.has(value.toLowerCase()) && !FALSE.has(value.toLowerCase())) {
        throw new UsageError(`--${name} must be true or false, got '${value}'`);
      }
      return;
    case 'integer':
    case 'number': {
      const number = Number(value);
      const wellFormed =
        value.trim() !== '' && (spec.kind === 'integer' ? Number.isInteger(number) : Number.isFinite(number));
      const { minimum = Number.NEGATIVE_INFINITY, maximum = Number.POSITIVE_INFINITY } = spec;
      if (!wellFormed || number < minimum || number > maximum) {
        throw new UsageError(`--${name} must be ${describeRange(spec)}, got '${value}'`);
      }
      return;
    }
    default:
      spec.kind satisfies never;
  }
}

function describeRange({ kind, minimum, maximum }: FlagSpec): string {
  const noun = kind === 'integer' ? 'an integer' : 'a number';
  if (minimum !== undefined && maximum !== undefined) return `${noun} from ${minimum} to ${maximum}`;
  return minimum === undefined ? noun : `${noun} >= ${minimum}`;
}

/** The flags as text for `--help`, by group. */
export function formatFlags(specs: readonly FlagSpec[]): string {
  const groups = new Map<string, FlagSpec[]>();
  for (const spec of specs) groups.set(spec.group, [...(groups.get(spec.group) ?? []), spec]);
  const sections: string[] = [];
  for (const [group, members] of groups) {
    const lines = members.map((spec) => {
      const value = spec.kind === 'switch' ? '' : `=<${spec.choices ? spec.choices.join('|') : spec.kind}>`;
      const letter = spec.short === undefined ? '' : `-${spec.short}, `;
      return `  ${letter}--${spec.name}${value}\n      ${spec.help} [default: ${spec.defaultText}]`;
    });
    sections.push(`${group}:\n${lines.join('\n')}`);
  }
  return sections.join('\n\n');
}
