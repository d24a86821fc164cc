/**
 * The interface of backends outside the server, which they import as `goodput/backend`. A plug-in's module exports a
 * function that makes its `Backend`:
 *
 * ```ts
 * import type { Backend } from 'goodput/backend';
 *
 * export default function createBackend(): Backend { ... }
 * ```
 */
export * from './contract.ts';
export {
  type ErrorCode,
  invalidArgument,
  internalError,
  type Logger,
  ServerError,
  unsupported,
} from '../../core/index.ts';
export { ConfigDataType, type ModelConfig, type Parameters, wireDataType } from '../../protocol/index.ts';
export {
  type DataType,
  decodeBytes,
  decodeStrings,
  ELEMENT_SIZE,
  elementCount,
  encodeBytes,
  encodeStrings,
  type Shape,
  type Tensor,
} from '../../tensor/index.ts';
