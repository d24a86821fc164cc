import { type DataType, tensorToJson } from '../tensor/index.ts';
import type { LoadMode, PerfOptions } from './options.ts';
import type { LevelResult } from './report.ts';
import { createOutputReader } from './response-outputs.ts';

/** Nanoseconds since 1970 at which the generator's clock was 0. */
export type ClockOrigin = bigint;

/**
 * The requests of all levels, as `--profile-export-file` has them: times in nanoseconds since 1970, the values of the
 * first row of inputs, and those of outputs that came as binary tensors.
 */
export function* profileExport(
  results: readonly LevelResult[],
  options: PerfOptions,
  origin: ClockOrigin,
  version: string,
): Iterable<string> {
  const { mode } = options;
  const read = createOutputReader(options);
  const time = (nanoseconds: number): string => String(origin + BigInt(Math.round(nanoseconds)));
  yield '{"experiments":[';
  for (const [index, { level, measurement }] of results.entries()) {
    yield `${index > 0 ? ',' : ''}{"experiment":{"mode":"${modeName(mode)}","value":${level}},"requests":[`;
    const completions = (measurement.recorder.completions ?? [])
      .filter(({ error }) => !error)
      .toSorted((a, b) => a.sent - b.sent);
    for (const [at, { sent, responseTimes, sequenceId, tensors }] of completions.entries()) {
      const sequence = sequenceId === undefined ? '' : `,"sequence_id":${sequenceId}`;
      const inputs = tensors?.steps[0]?.inputs.map(({ name, datatype, data }) => member(name, datatype, data)) ?? [];
      const outputs = tensors?.bodies.map((body) => {
        const found = read ? [...read(body)] : [];
        return `{${found.map(([name, { datatype, data }]) => member(name, datatype, data)).join(',')}}`;
      });
      yield `${at > 0 ? ',' : ''}{"timestamp":${time(sent)}${sequence},"request_inputs":{${inputs.join(',')}},`;
      yield `"response_timestamps":[${responseTimes.map(time).join(',')}],"response_outputs":[${outputs?.join(',') ?? ''}]}`;
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

/** A tensor as a member of a JSON object. */
function member(name: string, datatype: DataType, data: Uint8Array): string {
  return `${JSON.stringify(name)}:${datatype === 'FP16' || datatype === 'BF16' ? '[]' : tensorToJson(data, datatype)}`;
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
