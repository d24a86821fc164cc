import type * as OnnxruntimeCommon from 'onnxruntime-common';
import type { InferenceSession, Tensor } from 'onnxruntime-common';
import { wireTypeOf } from './element-types.ts';
import type { OnnxModelInfo, OnnxTensorInfo, SessionOptions } from './messages.ts';

const OLDEST_NODE_WITH_SHARED_TENSORS = 24;

/** What the binding says of an input or output. */
interface NativeMetadata {
  readonly name: string;
  readonly isTensor: boolean;
  /** ONNX element type number. */
  readonly type: number;
  readonly shape: readonly number[];
}

/** A session of onnxruntime-node's native binding. */
export interface NativeSession {
  readonly inputMetadata: readonly NativeMetadata[];
  readonly outputMetadata: readonly NativeMetadata[];
  loadModel(path: string, options: object): void;
  run(
    feeds: Readonly<Record<string, Tensor>>,
    fetches: Readonly<Record<string, Tensor | null>>,
    options: InferenceSession.RunOptions,
  ): Record<string, Tensor>;
  dispose(): void;
}

interface NativeBinding {
  readonly binding: { readonly InferenceSession: new () => NativeSession };
  readonly initOrt: () => void;
}

export interface NativeRuntime {
  readonly Tensor: typeof Tensor;
  /** Whether tensors may lie in a `SharedArrayBuffer`: native modules of Node 20 and early 22 refuse those. */
  readonly takesSharedMemory: boolean;
  load(path: string, options: SessionOptions): NativeSession;
}

/**
 * Loads onnxruntime-node's binding rather than its public class, whose `run` puts a promise and a turn of the event
 * loop around the same synchronous call. The package's version is pinned, and a test loads every data type through it.
 *
 * The binding reads FP16 tensors as 16-bit integers and takes a `Float16Array` for empty, which newer JavaScript
 * engines make out of them: without that class the library stays with `Uint16Array`.
 */
export function loadNativeRuntime(require: NodeJS.Require): NativeRuntime {
  process.env['ORT_DISABLE_TELEMETRY'] = '1';
  Reflect.deleteProperty(globalThis, 'Float16Array');
  const common = require('onnxruntime-common') as typeof OnnxruntimeCommon;
  const { binding, initOrt } = require('onnxruntime-node/dist/binding.js') as NativeBinding;
  initOrt();
  return {
    Tensor: common.Tensor,
    takesSharedMemory: Number(process.versions.node.split('.')[0]) >= OLDEST_NODE_WITH_SHARED_TENSORS,
    load(path, options) {
      const session = new binding.InferenceSession();
      session.loadModel(path, { ...options, executionProviders: [...options.executionProviders], logSeverityLevel: 4 });
      return session;
    },
  };
}

/** ONNX element types (`TensorProto.DataType`) by number. */
const ELEMENT_NAMES: readonly string[] = [
  'undefined',
  'float32',
  'uint8',
  'int8',
  'uint16',
  'int16',
  'int32',
  'int64',
  'string',
  'bool',
  'float16',
  'float64',
  'uint32',
  'uint64',
  'complex64',
  'complex128',
  'bfloat16',
];

export function describeSession(session: NativeSession): OnnxModelInfo {
  return { inputs: session.inputMetadata.map(describe), outputs: session.outputMetadata.map(describe) };
}

function describe({ name, isTensor, type, shape }: NativeMetadata): OnnxTensorInfo {
  if (!isTensor) return { name, datatype: undefined, onnxType: 'not a tensor', shape: [] };
  const onnxType = ELEMENT_NAMES[type] ?? `type ${type}`;
  return { name, datatype: wireTypeOf(onnxType), onnxType, shape: [...shape] };
}
