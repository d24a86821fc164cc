/** The part of TensorFlow.js 4 that is used (https://js.tensorflow.org/api/latest/). */

export type TfType = 'float32' | 'int32' | 'bool' | 'string';

export type TfValues = Float32Array | Int32Array | Uint8Array | readonly string[];

export interface TfTensor {
  readonly shape: readonly number[];
  readonly dtype: string;
  data(): Promise<TfValues>;
  dispose(): void;
}

export interface TfTensorInfo {
  readonly name: string;
  readonly shape?: readonly number[];
  readonly dtype: string;
}

export interface TfGraphModel {
  readonly inputs: readonly TfTensorInfo[];
  readonly outputs: readonly TfTensorInfo[];
  executeAsync(inputs: Readonly<Record<string, TfTensor>>, outputs: readonly string[]): Promise<TfTensor | TfTensor[]>;
  dispose(): void;
}

export interface TfCore {
  setBackend(name: string): Promise<boolean>;
  ready(): Promise<void>;
  tensor(values: TfValues, shape: readonly number[], type: TfType): TfTensor;
}

export interface TfConverter {
  loadGraphModel(handler: { load(): Promise<object> }): Promise<TfGraphModel>;
}
