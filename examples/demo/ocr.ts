import { readFileSync } from 'node:fs';
import { PNG } from 'pngjs';
import { type ClientTensor, infer, output } from './client.ts';

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

/** Finds the lines of text in a PNG with one ensemble and reads them with another, all lines at the same time. */
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
  const whole: Box = { left: 0, top: 0, right: image.width, bottom: image.height };
  const results = await infer(base, 'ocr-page', [pixels(image, whole)]);
  const { shape, data } = output(results, 'TEXT_MAP');
  const [, , height = 1, width = 1] = shape;
  return groupRows(data as Float32Array, width, height).map((box) => ({
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
  const results = await infer(base, 'ocr-line', [pixels(image, box)]);
  const classes = output(results, 'CLASS').data;
  const confidences = output(results, 'CONFIDENCE').data as Float32Array;
  let text = '';
  let sum = 0;
  let last = 0;
  let count = 0;
  // Repeats and blanks fall away.
  classes.forEach((best, step) => {
    if (best !== 0 && best !== last) {
      text += alphabet[best] ?? '';
      sum += confidences[step] ?? 0;
      count++;
    }
    last = best;
  });
  return { text, confidence: count === 0 ? 0 : sum / count };
}

/** A part of an image as rows of red, green and blue bytes. */
function pixels(image: PNG, box: Box): ClientTensor {
  const left = Math.max(0, Math.floor(box.left));
  const top = Math.max(0, Math.floor(box.top));
  const width = Math.min(image.width, Math.ceil(box.right)) - left;
  const height = Math.min(image.height, Math.ceil(box.bottom)) - top;
  const data = new Uint8Array(width * height * 3);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const source = ((top + row) * image.width + left + column) * 4;
      data.set(image.data.subarray(source, source + 3), (row * width + column) * 3);
    }
  }
  return { name: 'IMAGE', datatype: 'UINT8', shape: [height, width, 3], data };
}
