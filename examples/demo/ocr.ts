import { readFileSync } from 'node:fs';
import { PNG } from 'pngjs';
import { infer, output } from './client.ts';

/** A rectangle of text on a page, in pixels. */
interface Box {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

export interface ReadLine {
  readonly text: string;
  readonly confidence: number;
}

const TEXT_THRESHOLD = 0.3;
const LINE_HEIGHT = 48;

/** Finds the lines of text in a PNG with one model and reads them with another, all lines at the same time. */
export async function readImage(base: string, imagePath: string, alphabetPath: string): Promise<readonly ReadLine[]> {
  const image = PNG.sync.read(readFileSync(imagePath));
  const boxes = await findLines(base, image);
  const alphabet = [
    '',
    ...readFileSync(alphabetPath, 'utf8')
      .split('\n')
      .filter((line) => line !== ''),
    ' ',
  ];
  return Promise.all(boxes.map((box) => readLine(base, image, box, alphabet)));
}

async function findLines(base: string, image: PNG): Promise<readonly Box[]> {
  const width = Math.ceil(image.width / 32) * 32;
  const height = Math.ceil(image.height / 32) * 32;
  const whole: Box = { left: 0, top: 0, right: image.width, bottom: image.height };
  const mean = [0.485, 0.456, 0.406];
  const deviation = [0.229, 0.224, 0.225];
  const pixels = resample(
    image,
    whole,
    width,
    height,
    (value, channel) => (value - (mean[channel] ?? 0)) / (deviation[channel] ?? 1),
  );
  const results = await infer(base, 'ocr-detection', [
    { name: 'x', datatype: 'FP32', shape: [1, 3, height, width], data: pixels },
  ]);
  const map = output(results, 'sigmoid_0.tmp_0').data as Float32Array;
  return groupRows(map, width, height).map((box) => ({
    left: (Math.max(0, box.left - 6) * image.width) / width,
    right: (Math.min(width, box.right + 7) * image.width) / width,
    top: (Math.max(0, box.top - 6) * image.height) / height,
    bottom: (Math.min(height, box.bottom + 7) * image.height) / height,
  }));
}

/** Text pixels that touch become a box; boxes on one line become one. */
function groupRows(map: Float32Array, width: number, height: number): readonly Box[] {
  const seen = new Uint8Array(map.length);
  const boxes: Box[] = [];
  for (let start = 0; start < map.length; start++) {
    if (seen[start] || (map[start] ?? 0) < TEXT_THRESHOLD) continue;
    const box = flood(map, seen, start, width, height);
    if (box.right - box.left > 8 && box.bottom - box.top > 4) boxes.push(box);
  }
  const lines: Box[] = [];
  for (const box of boxes.toSorted((a, b) => a.top - b.top || a.left - b.left)) {
    const line = lines.find((other) => overlap(other, box) > 0.5);
    if (!line) lines.push(box);
    else {
      line.left = Math.min(line.left, box.left);
      line.right = Math.max(line.right, box.right);
      line.top = Math.min(line.top, box.top);
      line.bottom = Math.max(line.bottom, box.bottom);
    }
  }
  return lines;
}

function overlap(a: Box, b: Box): number {
  const shared = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
  return shared / Math.min(a.bottom - a.top, b.bottom - b.top);
}

function flood(map: Float32Array, seen: Uint8Array, start: number, width: number, height: number): Box {
  const box: Box = { left: width, top: height, right: 0, bottom: 0 };
  const stack = [start];
  seen[start] = 1;
  for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
    const x = at % width;
    const y = Math.floor(at / width);
    box.left = Math.min(box.left, x);
    box.right = Math.max(box.right, x);
    box.top = Math.min(box.top, y);
    box.bottom = Math.max(box.bottom, y);
    const neighbours = [x > 0 ? at - 1 : -1, x < width - 1 ? at + 1 : -1, at - width, at + width];
    for (const next of neighbours) {
      if (next < 0 || next >= map.length || seen[next] || (map[next] ?? 0) < TEXT_THRESHOLD) continue;
      seen[next] = 1;
      stack.push(next);
    }
  }
  return box;
}

async function readLine(base: string, image: PNG, box: Box, alphabet: readonly string[]): Promise<ReadLine> {
  const scale = LINE_HEIGHT / (box.bottom - box.top);
  const width = Math.max(32, Math.round((box.right - box.left) * scale));
  const pixels = resample(image, box, width, LINE_HEIGHT, (value) => (value - 0.5) / 0.5);
  const results = await infer(base, 'ocr-recognition', [
    { name: 'x', datatype: 'FP32', shape: [1, 3, LINE_HEIGHT, width], data: pixels },
  ]);
  const { shape, data } = output(results, 'softmax_11.tmp_0');
  return decodeText(data as Float32Array, shape[1] ?? 0, shape[2] ?? 0, alphabet);
}

/** Takes the best character of every column; repeats and blanks fall away. */
function decodeText(
  probabilities: Float32Array,
  steps: number,
  classes: number,
  alphabet: readonly string[],
): ReadLine {
  let text = '';
  let sum = 0;
  let count = 0;
  let last = 0;
  for (let step = 0; step < steps; step++) {
    let best = 0;
    for (let index = 1; index < classes; index++) {
      if ((probabilities[step * classes + index] ?? 0) > (probabilities[step * classes + best] ?? 0)) best = index;
    }
    if (best !== 0 && best !== last) {
      text += alphabet[best] ?? '';
      sum += probabilities[step * classes + best] ?? 0;
      count++;
    }
    last = best;
  }
  return { text, confidence: count === 0 ? 0 : sum / count };
}

/** A part of an image as planes of floats, scaled with bilinear interpolation. */
function resample(
  image: PNG,
  box: Box,
  width: number,
  height: number,
  normalize: (value: number, channel: number) => number,
): Float32Array {
  const planes = new Float32Array(3 * width * height);
  const at = (x: number, y: number, channel: number): number => {
    const column = Math.min(image.width - 1, Math.max(0, x));
    const row = Math.min(image.height - 1, Math.max(0, y));
    return (image.data[(row * image.width + column) * 4 + channel] ?? 0) / 255;
  };
  for (let y = 0; y < height; y++) {
    const sourceY = box.top + ((y + 0.5) * (box.bottom - box.top)) / height - 0.5;
    const row = Math.floor(sourceY);
    const fy = sourceY - row;
    for (let x = 0; x < width; x++) {
      const sourceX = box.left + ((x + 0.5) * (box.right - box.left)) / width - 0.5;
      const column = Math.floor(sourceX);
      const fx = sourceX - column;
      for (let channel = 0; channel < 3; channel++) {
        const top = at(column, row, channel) * (1 - fx) + at(column + 1, row, channel) * fx;
        const bottom = at(column, row + 1, channel) * (1 - fx) + at(column + 1, row + 1, channel) * fx;
        // The models want blue first.
        planes[((2 - channel) * height + y) * width + x] = normalize(top * (1 - fy) + bottom * fy, 2 - channel);
      }
    }
  }
  return planes;
}
