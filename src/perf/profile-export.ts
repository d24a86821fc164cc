import type { LoadMode, PerfOptions } from './options.ts';
import type { LevelResult } from './report.ts';

/** Nanoseconds since 1970 at which the generator's clock was 0. */
export type ClockOrigin = bigint;

/** The requests of all levels, as `--profile-export-file` has them; times are nanoseconds since 1970. */
export function* profileExport(
  results: readonly LevelResult[],
  { mode }: PerfOptions,
  origin: ClockOrigin,
  version: string,
): Iterable<string> {
  const time = (nanoseconds: number): string => String(origin + BigInt(Math.round(nanoseconds)));
  yield '{"experiments":[';
  for (const [index, { level, measurement }] of results.entries()) {
    yield `${index > 0 ? ',' : ''}{"experiment":{"mode":"${modeName(mode)}","value":${level}},"requests":[`;
    const completions = (measurement.recorder.completions ?? [])
      .filter(({ error }) => !error)
      .toSorted((a, b) => a.sent - b.sent);
    for (const [at, { sent, responseTimes, sequenceId }] of completions.entries()) {
      const sequence = sequenceId === undefined ? '' : `,"sequence_id":${sequenceId}`;
      yield `${at > 0 ? ',' : ''}{"timestamp":${time(sent)}${sequence},"response_timestamps":[${responseTimes.map(time).join(',')}]}`;
    }
    const ends = completions.map(({ end }) => end);
    const bounds =
      ends.length > 0
        ? [time(completions[0]?.sent ?? 0), time(ends.reduce((last, end) => Math.max(last, end), 0))]
        : [];
    yield `],"window_boundaries":[${bounds.join(',')}]}`;
  }
  yield `],"version":"${version}","service_kind":"triton","endpoint":""}`;
}

function modeName(mode: LoadMode): string {
  switch (mode.kind) {
    case 'concurrency':
    case 'periodic':
      return 'concurrency';
    case 'request_rate':
    case 'intervals':
      return 'request_rate';
    default:
      return mode satisfies never;
  }
}
