import type { DataType as WireDataType } from '../tensor/index.ts';
import { DataType, ModelSequenceBatching_Control_Kind } from './generated/model_config_pb.js';

export {
  BatchInput_Kind,
  BatchInputSchema,
  type BatchInput,
  DataType as ConfigDataType,
  type ModelConfig,
  ModelConfigSchema,
  type ModelInput,
  type ModelEnsembling_Step as EnsembleStep,
  type ModelInstanceGroup,
  ModelInstanceGroup_Kind,
  ModelInstanceGroupSchema,
  ModelDynamicBatchingSchema,
  type ModelOutput,
  ModelInputSchema,
  ModelOptimizationPolicySchema,
  ModelParameterSchema,
  ModelOutputSchema,
  type ModelQueuePolicy,
  ModelQueuePolicy_TimeoutAction,
  type ModelSequenceBatching,
  ModelSequenceBatching_Control_Kind as SequenceControlKind,
  ModelVersionPolicySchema,
} from './generated/model_config_pb.js';

/** `TYPE_INT32` of a config as `INT32` of the wire; `TYPE_STRING` is `BYTES`. */
const TO_WIRE: Readonly<Record<number, WireDataType>> = {
  [DataType.TYPE_BOOL]: 'BOOL',
  [DataType.TYPE_UINT8]: 'UINT8',
  [DataType.TYPE_UINT16]: 'UINT16',
  [DataType.TYPE_UINT32]: 'UINT32',
  [DataType.TYPE_UINT64]: 'UINT64',
  [DataType.TYPE_INT8]: 'INT8',
  [DataType.TYPE_INT16]: 'INT16',
  [DataType.TYPE_INT32]: 'INT32',
  [DataType.TYPE_INT64]: 'INT64',
  [DataType.TYPE_FP16]: 'FP16',
  [DataType.TYPE_FP32]: 'FP32',
  [DataType.TYPE_FP64]: 'FP64',
  [DataType.TYPE_STRING]: 'BYTES',
  [DataType.TYPE_BF16]: 'BF16',
};

/** The wire's name of a configured data type; `undefined` for `TYPE_INVALID`. */
export function wireDataType(type: DataType): WireDataType | undefined {
  return TO_WIRE[type];
}

/** The configuration's enum value of a wire data type. */
export function configDataType(type: WireDataType): DataType {
  const entry = Object.entries(TO_WIRE).find(([, wire]) => wire === type);
  return entry === undefined ? DataType.TYPE_INVALID : Number(entry[0]);
}

/** `TYPE_INT32`, as configurations and Triton's messages spell a data type. */
export function configDataTypeName(type: DataType): string {
  return DataType[type] ?? `TYPE_${type}`;
}

/** `CONTROL_SEQUENCE_START` and the like. */
export function controlKindName(kind: ModelSequenceBatching_Control_Kind): string {
  return ModelSequenceBatching_Control_Kind[kind] ?? `CONTROL_${String(kind)}`;
}
