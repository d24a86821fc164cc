/**
 * Writes the small ONNX models of examples/quickstart that stand between the large ones.
 *   node scripts/make-example-models.ts           write
 *   node scripts/make-example-models.ts --check   exit 1 when a file is not what this makes
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { addSubModel, buildOnnx, type OnnxNode, ONNX_TYPES } from '../test/fixtures/onnx-builder.ts';

const floats = (...values: readonly number[]): Float32Array => Float32Array.from(values);
const integers = (...values: readonly number[]): BigInt64Array => BigInt64Array.from(values.map(BigInt));

/** From `[H, W, 3]` bytes to `[1, 3, H, W]` numbers: minus `MEAN`, over `DEVIATION`. */
const PLANES: readonly OnnxNode[] = [
  { op: 'Cast', inputs: ['IMAGE'], outputs: ['F'], ints: { to: ONNX_TYPES.FP32 } },
  { op: 'Sub', inputs: ['F', 'MEAN'], outputs: ['S'] },
  { op: 'Div', inputs: ['S', 'DEVIATION'], outputs: ['D'] },
  { op: 'Transpose', inputs: ['D'], outputs: ['T'], intLists: { perm: [2, 0, 1] } },
  { op: 'Unsqueeze', inputs: ['T', 'AXIS0'], outputs: ['P'] },
  { op: 'Shape', inputs: ['P'], outputs: ['SHAPE'] },
];

/** A line of text, any size, to 48 pixels of height; wide enough for the reader. */
function lineToTensor(): Buffer {
  return buildOnnx({
    inputs: [{ name: 'IMAGE', type: 'UINT8', dims: ['H', 'W', 3] }],
    outputs: [{ name: 'TENSOR', type: 'FP32', dims: [1, 3, 48, 'V'] }],
    nodes: [
      ...PLANES,
      { op: 'Gather', inputs: ['SHAPE', 'I2'], outputs: ['H'] },
      { op: 'Gather', inputs: ['SHAPE', 'I3'], outputs: ['W'] },
      { op: 'Cast', inputs: ['H'], outputs: ['HF'], ints: { to: ONNX_TYPES.FP32 } },
      { op: 'Cast', inputs: ['W'], outputs: ['WF'], ints: { to: ONNX_TYPES.FP32 } },
      { op: 'Div', inputs: ['WF', 'HF'], outputs: ['RATIO'] },
      { op: 'Mul', inputs: ['RATIO', 'HEIGHT'], outputs: ['WIDE'] },
      { op: 'Round', inputs: ['WIDE'], outputs: ['ROUND'] },
      { op: 'Max', inputs: ['ROUND', 'LEAST'], outputs: ['ENOUGH'] },
      { op: 'Cast', inputs: ['ENOUGH'], outputs: ['V'], ints: { to: ONNX_TYPES.INT64 } },
      { op: 'Concat', inputs: ['HEAD', 'V'], outputs: ['SIZES'], ints: { axis: 0 } },
      { op: 'Resize', inputs: ['P', '', '', 'SIZES'], outputs: ['TENSOR'], strings: { mode: 'linear' } },
    ],
    initializers: [
      { name: 'MEAN', dims: [1], values: floats(127.5) },
      { name: 'DEVIATION', dims: [1], values: floats(127.5) },
      { name: 'AXIS0', dims: [1], values: integers(0) },
      { name: 'I2', dims: [1], values: integers(2) },
      { name: 'I3', dims: [1], values: integers(3) },
      { name: 'HEIGHT', dims: [1], values: floats(48) },
      { name: 'LEAST', dims: [1], values: floats(32) },
      { name: 'HEAD', dims: [3], values: integers(1, 3, 48) },
    ],
  });
}

/** A page, any size, to sides that are multiples of 32. */
function pageToTensor(): Buffer {
  return buildOnnx({
    inputs: [{ name: 'IMAGE', type: 'UINT8', dims: ['H', 'W', 3] }],
    outputs: [{ name: 'TENSOR', type: 'FP32', dims: [1, 3, 'U', 'V'] }],
    nodes: [
      ...PLANES,
      { op: 'Cast', inputs: ['SHAPE'], outputs: ['SIZE'], ints: { to: ONNX_TYPES.FP32 } },
      { op: 'Div', inputs: ['SIZE', 'GRID'], outputs: ['CELLS'] },
      { op: 'Ceil', inputs: ['CELLS'], outputs: ['WHOLE'] },
      { op: 'Mul', inputs: ['WHOLE', 'GRID'], outputs: ['WIDE'] },
      { op: 'Cast', inputs: ['WIDE'], outputs: ['SIZES'], ints: { to: ONNX_TYPES.INT64 } },
      { op: 'Resize', inputs: ['P', '', '', 'SIZES'], outputs: ['TENSOR'], strings: { mode: 'linear' } },
    ],
    initializers: [
      { name: 'MEAN', dims: [3], values: floats(0.485 * 255, 0.456 * 255, 0.406 * 255) },
      { name: 'DEVIATION', dims: [3], values: floats(0.229 * 255, 0.224 * 255, 0.225 * 255) },
      { name: 'AXIS0', dims: [1], values: integers(0) },
      { name: 'GRID', dims: [4], values: floats(1, 1, 32, 32) },
    ],
  });
}

/** The best class of every column, and its probability. */
function bestPath(): Buffer {
  return buildOnnx({
    inputs: [{ name: 'PROBABILITIES', type: 'FP32', dims: ['N', 'T', 'C'] }],
    outputs: [
      { name: 'CONFIDENCE', type: 'FP32', dims: ['N', 'T', 1] },
      { name: 'CLASS', type: 'INT64', dims: ['N', 'T', 1] },
    ],
    nodes: [{ op: 'TopK', inputs: ['PROBABILITIES', 'K'], outputs: ['CONFIDENCE', 'CLASS'], ints: { axis: 2 } }],
    initializers: [{ name: 'K', dims: [1], values: integers(1) }],
  });
}

/** Puts the last 64 samples of the frame before in front of each frame; they are the model's state. */
function audioFrames(): Buffer {
  return buildOnnx({
    inputs: [
      { name: 'AUDIO', type: 'FP32', dims: [1, 512] },
      { name: 'TAIL_IN', type: 'FP32', dims: [1, 64] },
    ],
    outputs: [
      { name: 'FRAME', type: 'FP32', dims: [1, 576] },
      { name: 'RATE', type: 'INT64', dims: [1] },
      { name: 'TAIL_OUT', type: 'FP32', dims: [1, 64] },
    ],
    nodes: [
      { op: 'Concat', inputs: ['TAIL_IN', 'AUDIO'], outputs: ['FRAME'], ints: { axis: 1 } },
      { op: 'Slice', inputs: ['FRAME', 'FROM', 'TO', 'AXIS'], outputs: ['TAIL_OUT'] },
      { op: 'Identity', inputs: ['HERTZ'], outputs: ['RATE'] },
    ],
    initializers: [
      { name: 'FROM', dims: [1], values: integers(512) },
      { name: 'TO', dims: [1], values: integers(576) },
      { name: 'AXIS', dims: [1], values: integers(1) },
      { name: 'HERTZ', dims: [1], values: integers(16_000) },
    ],
  });
}

const MODELS: Readonly<Record<string, Buffer>> = {
  simple: addSubModel('INT32', ['N', 16]),
  'line-to-tensor': lineToTensor(),
  'page-to-tensor': pageToTensor(),
  'best-path': bestPath(),
  'audio-frames': audioFrames(),
};

const check = process.argv.includes('--check');
for (const [name, model] of Object.entries(MODELS)) {
  const path = fileURLToPath(new URL(`../examples/quickstart/${name}/1/model.onnx`, import.meta.url));
  if (check) {
    if (existsSync(path) && readFileSync(path).equals(model)) continue;
    process.stderr.write(`${name}/1/model.onnx is not what scripts/make-example-models.ts makes: run it\n`);
    process.exitCode = 1;
  } else {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, model);
  }
}
