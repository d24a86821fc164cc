import { readFileSync } from 'node:fs';
import { infer, output } from './client.ts';

const RATE = 16_000;
const FRAME = 512;
/** Samples of the frame before that the model wants in front of each frame. */
const CONTEXT = 64;
const STATE = 2 * 128;

/** Probability of speech in every 32 ms of a 16 kHz WAV file. */
export async function detectSpeech(base: string, path: string): Promise<readonly number[]> {
  const samples = readWav(path);
  let state = new Float32Array(STATE);
  let context = new Float32Array(CONTEXT);
  const probabilities: number[] = [];
  for (let start = 0; start + FRAME <= samples.length; start += FRAME) {
    const frame = new Float32Array(CONTEXT + FRAME);
    frame.set(context);
    frame.set(samples.subarray(start, start + FRAME), CONTEXT);
    context = frame.slice(-CONTEXT);
    const results = await infer(base, 'silero-vad', [
      { name: 'input', datatype: 'FP32', shape: [1, frame.length], data: frame },
      { name: 'state', datatype: 'FP32', shape: [2, 1, 128], data: state },
      { name: 'sr', datatype: 'INT64', shape: [1], data: BigInt64Array.of(BigInt(RATE)) },
    ]);
    probabilities.push(output(results, 'output').data[0] ?? 0);
    state = Float32Array.from(output(results, 'stateN').data);
  }
  return probabilities;
}

/** The samples of a 16-bit mono PCM file, -1 to 1. */
function readWav(path: string): Float32Array {
  const file = readFileSync(path);
  const start = file.indexOf('data') + 8;
  const samples = new Float32Array((file.length - start) / 2);
  for (let index = 0; index < samples.length; index++) samples[index] = file.readInt16LE(start + index * 2) / 32_768;
  return samples;
}

const BARS = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/** At most `width` characters, each the mean of the values it stands for, higher for more. */
export function sparkline(values: readonly number[], width = 72): string {
  const size = Math.ceil(values.length / width);
  const means = Array.from({ length: Math.ceil(values.length / size) }, (_, index) => {
    const group = values.slice(index * size, (index + 1) * size);
    return group.reduce((sum, value) => sum + value, 0) / group.length;
  });
  return means.map((value) => BARS[Math.round(value * (BARS.length - 1))] ?? ' ').join('');
}
