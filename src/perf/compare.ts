import { meanOf, studentT } from './confidence.ts';
import { percentileOf, type SavedLevel, type SavedRun, type SavedWindow } from './saved-run.ts';

/** How two levels differ in one respect. */
export interface Difference {
  readonly what: string;
  readonly unit: string;
  readonly before: number;
  readonly after: number;
  /** After by before, less 1. */
  readonly change: number;
  /** Where the true change is with 95 % confidence; `undefined` when too few windows tell. */
  readonly interval: readonly [low: number, high: number] | undefined;
}

export interface LevelComparison {
  readonly level: number;
  readonly differences: readonly Difference[];
}

/** Compares the levels that two runs share. Windows are the samples: requests of one window are not independent. */
export function compareRuns(before: SavedRun, after: SavedRun): readonly LevelComparison[] {
  return before.levels.flatMap((first): LevelComparison[] => {
    const second = after.levels.find(({ level }) => level === first.level);
    return second ? [{ level: first.level, differences: differences(first, second) }] : [];
  });
}

function differences(first: SavedLevel, second: SavedLevel): readonly Difference[] {
  const difference = (
    what: string,
    unit: string,
    valueOf: (level: SavedLevel) => number,
    sampleOf: ((window: SavedWindow) => number) | undefined,
  ): Difference => {
    const [before, after] = [valueOf(first), valueOf(second)];
    const interval = sampleOf && welch(first.windows.map(sampleOf), second.windows.map(sampleOf));
    return { what, unit, before, after, change: before === 0 ? 0 : after / before - 1, interval };
  };
  return [
    difference(
      'throughput',
      'infer/sec',
      ({ throughput }) => throughput,
      ({ throughput }) => throughput,
    ),
    difference(
      'average latency',
      'usec',
      ({ average }) => average,
      ({ average }) => average,
    ),
    difference('p50 latency', 'usec', (level) => percentileOf(level, 50), undefined),
    difference(
      'p99 latency',
      'usec',
      (level) => percentileOf(level, 99),
      ({ p99 }) => p99,
    ),
    difference('p99.9 latency', 'usec', (level) => percentileOf(level, 99.9), undefined),
  ];
}

/** Welch's interval for the difference of two means, as shares of the first one. */
export function welch(before: readonly number[], after: readonly number[]): readonly [number, number] | undefined {
  if (before.length < 2 || after.length < 2) return undefined;
  const [first, second] = [meanOf(before), meanOf(after)];
  if (first.mean === 0) return undefined;
  const variance = first.ofMean + second.ofMean;
  const freedom =
    variance === 0
      ? 1
      : variance ** 2 / (first.ofMean ** 2 / (before.length - 1) + second.ofMean ** 2 / (after.length - 1));
  const half = studentT(freedom) * Math.sqrt(variance);
  const difference = second.mean - first.mean;
  // Nothing falls by more than all of it.
  return [Math.max(-1, (difference - half) / first.mean), (difference + half) / first.mean];
}

const percent = (share: number): string => `${share >= 0 ? '+' : ''}${(share * 100).toFixed(1)} %`;

/** What is said of a comparison, in lines of text. */
export function comparisonText(before: SavedRun, after: SavedRun): string {
  const compared = compareRuns(before, after);
  const lines = [`A: ${describe(before)}`, `B: ${describe(after)}`, ''];
  if (compared.length === 0) lines.push('The runs have no level in common.');
  const unlike = (['model', 'protocol', 'batchSize', 'mode'] as const).filter((key) => before[key] !== after[key]);
  if (unlike.length > 0)
    lines.push(
      `Mind that the runs differ in ${unlike.map((key) => `${key} (${before[key]}, ${after[key]})`).join(' and ')}.`,
      '',
    );
  for (const { level, differences: list } of compared) {
    lines.push(`${before.mode === 'concurrency' ? 'Concurrency' : 'Request rate'} ${level}`);
    const width = Math.max(...list.map(({ what }) => what.length));
    for (const { what, unit, before: a, after: b, change, interval } of list) {
      const values = `${format(a).padStart(9)} -> ${format(b).padStart(9)} ${unit.padEnd(9)} ${percent(change).padStart(9)}`;
      lines.push(`  ${what.padEnd(width)} ${values}  ${verdict(interval)}`.trimEnd());
    }
    const remarks = [before, after].flatMap((run, index) =>
      (run.levels.find((each) => each.level === level)?.remarks ?? []).map((remark) => `  ${'AB'[index]} is ${remark}`),
    );
    lines.push(...remarks, '');
  }
  return `${lines.join('\n').trimEnd()}\n`;
}

function describe({ model, protocol, server, batchSize, date }: SavedRun): string {
  return `${model} over ${protocol} on ${server}, batch size ${batchSize}, ${date}`;
}

function format(value: number): string {
  return value >= 1000 ? value.toFixed(0) : String(Number(value.toPrecision(4)));
}

/** Whether a difference is more than chance. */
function verdict(interval: Difference['interval']): string {
  if (!interval) return '';
  const [low, high] = interval;
  const range = `${percent(low)} to ${percent(high)} with 95 % confidence`;
  return low > 0 || high < 0 ? `significant (${range})` : `not significant (${range})`;
}
