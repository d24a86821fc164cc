import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import type { InferenceRequest } from '../protocol/index.ts';
import { isDataType } from '../tensor/index.ts';
import type { DataStep } from './input-data.ts';
import { PerfError } from './perf-error.ts';

/** The first line of a recording; every further one is a request. */
export const RECORDING_HEADER = '{"goodput_recording":1}';

interface RecordedInput {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
  /** Base64. */
  readonly data: string;
}

interface RecordedRequest {
  /** Microseconds since the recording began. */
  readonly at: number;
  readonly model: string;
  readonly inputs: readonly RecordedInput[];
}

/** A request as a line of a recording. */
export function recordedLine(at: number, { modelName, inputs }: InferenceRequest): string {
  const request: RecordedRequest = {
    at: Math.round(at),
    model: modelName,
    inputs: inputs.map(({ name, datatype, shape, data }) => ({
      name,
      datatype,
      shape,
      data: Buffer.from(data).toString('base64'),
    })),
  };
  return JSON.stringify(request);
}

/** Whether a file is a recording. */
export function isRecording(path: string): boolean {
  const head = Buffer.alloc(RECORDING_HEADER.length);
  try {
    const file = openSync(path, 'r');
    const length = readSync(file, head);
    closeSync(file);
    return head.toString('latin1', 0, length) === RECORDING_HEADER;
  } catch {
    return false;
  }
}

/** The requests of one model in a recording. */
export interface Recording {
  readonly steps: readonly DataStep[];
  /** Nanoseconds before each request. */
  readonly intervals: readonly number[];
}

/** @throws PerfError when there is no request for the model, or a line is broken */
export function readRecording(path: string, model: string): Recording {
  const steps: DataStep[] = [];
  const intervals: number[] = [];
  const models = new Set<string>();
  let last = 0;
  for (const [index, line] of readFileSync(path, 'utf8').split('\n').entries()) {
    if (index === 0 || line === '') continue;
    const request = parseLine(line, `'${path}', line ${index + 1}`);
    models.add(request.model);
    if (request.model !== model) continue;
    intervals.push(Math.max(0, request.at - last) * 1000);
    last = request.at;
    const inputs = request.inputs.map(({ name, datatype, shape, data }) => {
      if (!isDataType(datatype)) throw new PerfError(`'${path}', line ${index + 1}: '${datatype}' is no data type`);
      return { name, datatype, shape, data: Buffer.from(data, 'base64') };
    });
    steps.push({ inputs, expected: new Map(), whole: true });
  }
  if (steps.length === 0) {
    const others = models.size > 0 ? `, only for ${[...models].join(', ')}` : '';
    throw new PerfError(`the recording '${path}' has no request for model '${model}'${others}`);
  }
  // Nothing is waited for before the first request.
  intervals[0] = 0;
  return { steps, intervals };
}

function parseLine(line: string, where: string): RecordedRequest {
  try {
    return JSON.parse(line) as RecordedRequest;
  } catch {
    throw new PerfError(`${where}: it is no recorded request`);
  }
}
