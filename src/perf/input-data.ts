import { type DataType, ELEMENT_SIZE, elementCount, encodeStrings, packJsonData } from '../tensor/index.ts';
import { readFileInputs } from './input-files.ts';
import type { ModelInfo, ModelInput } from './model-info.ts';
import type { PerfOptions } from './options.ts';
import { PerfError } from './perf-error.ts';
import type { Random } from './random.ts';
import { readRecording } from './recording.ts';

/** One input's value for a request of one row, or an expected output's. */
export interface StepTensor {
  readonly name: string;
  readonly datatype: DataType;
  /** Without the batch dimension. */
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

/** What one request sends, and what should come back where that is known. */
export interface DataStep {
  readonly inputs: readonly StepTensor[];
  readonly expected: ReadonlyMap<string, Uint8Array>;
  /** It is a recorded request: its tensors have their batch dimension already. */
  readonly whole?: boolean;
}

/** Streams of steps: a sequence takes one stream; other requests take the steps of all of them in turn. */
export interface DataSet {
  readonly streams: readonly (readonly DataStep[])[];
  /** It came from the user: sequences are as long as their streams. */
  readonly given: boolean;
}

type DataOptions = Pick<PerfOptions, 'inputs' | 'shapes' | 'stringLength' | 'stringData' | 'batchSize'>;

const NOTHING: ReadonlyMap<string, Uint8Array> = new Map();

/**
 * Makes or reads the inputs of all requests.
 * @throws PerfError naming the input and what is wrong with it
 */
export function loadInputs(model: ModelInfo, options: DataOptions, random: Random): DataSet {
  checkShapes(model, options);
  if (options.inputs.kind === 'recording') {
    return { streams: [readRecording(options.inputs.path, model.name).steps], given: true };
  }
  if (options.inputs.kind === 'files') return readFileInputs(model, options.inputs.paths, options.shapes);
  const zero = options.inputs.kind === 'zero';
  const inputs = model.inputs
    .filter(({ optional }) => !optional)
    .map((input): StepTensor => {
      const shape = shapeOf(input, options.shapes);
      return {
        name: input.name,
        datatype: input.datatype,
        shape,
        data: makeValues(input, shape, zero, options, random),
      };
    });
  return { streams: [[{ inputs, expected: NOTHING }]], given: false };
}

/** The shape that a request's input has. @throws PerfError when it is not known */
export function shapeOf({ name, dims }: ModelInput, shapes: PerfOptions['shapes']): readonly number[] {
  const shape = shapes.get(name) ?? dims;
  if (shape.some((dim) => dim < 0)) {
    throw new PerfError(
      `input ${name} contains dynamic shape, provide shapes to send along with the request: --shape ${name}:${shape.map((dim) => (dim < 0 ? 'N' : dim)).join(',')}`,
    );
  }
  return shape;
}

function checkShapes({ name: model, inputs }: ModelInfo, { shapes }: DataOptions): void {
  for (const [name, shape] of shapes) {
    const input = inputs.find((each) => each.name === name);
    if (!input) {
      throw new PerfError(
        `--shape names '${name}': the inputs of model '${model}' are ${inputs.map((each) => each.name).join(', ')}`,
      );
    }
    const fits =
      shape.length === input.dims.length && input.dims.every((dim, index) => dim < 0 || dim === shape[index]);
    if (!fits)
      throw new PerfError(
        `--shape ${name}:${shape.join(',')} does not fit the input's shape [${input.dims.join(',')}]`,
      );
  }
}

/** Random integers stay from 0 to 127, so that they are token ids or classes to most models. */
const RANDOM_INTEGERS = 128;

const LETTERS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789';

function makeValues(
  { datatype }: ModelInput,
  shape: readonly number[],
  zero: boolean,
  { stringLength, stringData }: DataOptions,
  random: Random,
): Uint8Array {
  const count = elementCount(shape) ?? 0;
  if (datatype === 'BYTES') {
    const text = (): string => {
      if (stringData !== undefined) return stringData;
      if (zero) return '';
      return Array.from({ length: stringLength }, () => LETTERS[Math.floor(random() * LETTERS.length)]).join('');
    };
    return encodeStrings(Array.from({ length: count }, text));
  }
  if (zero) return new Uint8Array(count * ELEMENT_SIZE[datatype]);
  if (datatype === 'FP16' || datatype === 'BF16') {
    // From 0.5 to 1: the exponent of these, and a mantissa of 10 or 7 bits.
    const [base, span] = datatype === 'FP16' ? [0x38_00, 0x4_00] : [0x3f_00, 0x80];
    return new Uint8Array(Uint16Array.from({ length: count }, () => base + Math.floor(random() * span)).buffer);
  }
  const value = (): number | boolean => {
    switch (datatype) {
      case 'BOOL':
        return random() < 0.5;
      case 'FP32':
      case 'FP64':
        return random();
      default:
        return Math.floor(random() * RANDOM_INTEGERS);
    }
  };
  return packJsonData(Array.from({ length: count }, value), datatype, count);
}
