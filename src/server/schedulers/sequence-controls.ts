import { invalidArgument, type ServerError, withRequestId } from '../../core/index.ts';
import type { CorrelationId } from '../../protocol/index.ts';
import { type DataType, encodeStrings, type Tensor } from '../../tensor/index.ts';

/** What a model is told of a request's place in its sequence (Triton's `ModelSequenceBatching.Control.Kind`). */
export const CONTROL_KINDS = ['start', 'ready', 'end'] as const;
export type ControlKind = (typeof CONTROL_KINDS)[number];

/** A control tensor with the bytes of its two values. */
export interface FlagControl {
  readonly kind: ControlKind;
  readonly name: string;
  readonly datatype: DataType;
  readonly whenFalse: Uint8Array;
  readonly whenTrue: Uint8Array;
}

/** The tensor that carries the correlation id. */
export interface IdControl {
  readonly name: string;
  readonly datatype: DataType;
}

export interface SequenceControls {
  readonly flags: readonly FlagControl[];
  readonly id: IdControl | undefined;
}

export type ControlValues = Readonly<Record<ControlKind, boolean>>;

/** The control tensors of one request: one element each, with a batch dimension where the model batches. */
export function controlTensors(
  controls: SequenceControls,
  values: ControlValues,
  id: CorrelationId,
  batching: boolean,
): readonly Tensor[] {
  const shape = batching ? [1, 1] : [1];
  const tensors: Tensor[] = controls.flags.map(({ kind, name, datatype, whenFalse, whenTrue }) => ({
    name,
    datatype,
    shape,
    data: values[kind] ? whenTrue : whenFalse,
  }));
  if (controls.id) {
    tensors.push({ name: controls.id.name, datatype: controls.id.datatype, shape, data: encodeId(controls.id, id) });
  }
  return tensors;
}

/** Whether an id can be given to the model; the error says why not. */
export function idMismatch(controls: SequenceControls, id: CorrelationId, requestId: string): ServerError | undefined {
  if (!controls.id) return undefined;
  const wantsText = controls.id.datatype === 'BYTES';
  if (wantsText === (typeof id === 'string')) return undefined;
  return invalidArgument(
    withRequestId(requestId, `correlation ID in request is not ${wantsText ? 'a string' : 'an unsigned int'}`),
  );
}

function encodeId({ datatype }: IdControl, id: CorrelationId): Uint8Array {
  if (datatype === 'BYTES') return encodeStrings([typeof id === 'string' ? id : '']);
  const value = typeof id === 'bigint' ? id : 0n;
  if (datatype === 'INT64' || datatype === 'UINT64') {
    return new Uint8Array(BigUint64Array.of(BigInt.asUintN(64, value)).buffer);
  }
  return new Uint8Array(Uint32Array.of(Number(BigInt.asUintN(32, value))).buffer);
}
