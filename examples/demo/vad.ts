import { readFileSync } from 'node:fs';
import { infer, output } from './client.ts';

const FRAME = 512;

/**
 * Probability of speech in every 32 ms of a 16 kHz WAV file. The frames are one sequence: what the models remember from
 * one to the next stays on the server.
 * @param id of the sequence
 */
export async function detectSpeech(base: string, path: string, id = 'speech.wav'): Promise<readonly number[]> {
  const samples = readWav(path);
  const frames = Math.floor(samples.length / FRAME);
  const probabilities: number[] = [];
  for (let index = 0; index < frames; index++) {
    const data = samples.slice(index * FRAME, (index + 1) * FRAME);
    const inputs = [{ name: 'AUDIO', datatype: 'FP32', shape: [1, FRAME], data }] as const;
    const sequence = {
      sequence_id: id,
      sequence_start: index === 0,
      sequence_end: index === frames - 1,
    };
    const results = await infer(base, 'voice-activity', inputs, sequence);
    probabilities.push(output(results, 'SPEECH').data[0] ?? 0);
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
