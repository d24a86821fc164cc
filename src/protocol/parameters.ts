import { invalidArgument } from '../core/index.ts';
import type { CorrelationId, ParameterValue, Parameters, SequenceFlags } from './inference.ts';

const MAX_CORRELATION_ID_LENGTH = 128;

/** Parameters with a meaning of their own in the protocol, taken out of the others. */
export interface ReservedParameters {
  readonly sequence?: SequenceFlags;
  readonly priority: number | bigint;
  readonly timeoutMicros: number;
  readonly binaryDataOutput: boolean;
  readonly emptyFinalResponse: boolean;
  readonly rest: Parameters;
}

/** Wording of a type error; HTTP and gRPC word it differently. */
export type ParameterTypeError = (name: string, expected: 'unsigned-integer' | 'boolean' | 'string') => Error;

/**
 * Splits request parameters into those the server itself acts on and the ones the model sees.
 * @throws INVALID_ARG for keys that start with `triton_` (but `triton_enable_empty_final_response`), and what
 * `typeError` makes of a value of the wrong type.
 */
export function splitParameters(all: Parameters, typeError: ParameterTypeError): ReservedParameters {
  let id: CorrelationId = 0n;
  let start = false;
  let end = false;
  let priority: number | bigint = 0;
  let timeoutMicros = 0;
  let binaryDataOutput = false;
  let emptyFinalResponse = false;
  const rest: Record<string, ParameterValue> = {};

  const bool = (name: string, value: ParameterValue): boolean => {
    if (typeof value !== 'boolean') throw typeError(name, 'boolean');
    return value;
  };
  const unsigned = (name: string, value: ParameterValue): number | bigint => {
    if (typeof value === 'bigint' && value >= 0n) return value;
    if (typeof value === 'number' && Number.isInteger(value) && value >= 0) return value;
    throw typeError(name, 'unsigned-integer');
  };

  for (const [name, value] of Object.entries(all)) {
    switch (name) {
      case 'sequence_id':
        id = correlationId(value, typeError);
        break;
      case 'sequence_start':
        start = bool(name, value);
        break;
      case 'sequence_end':
        end = bool(name, value);
        break;
      case 'priority':
        priority = unsigned(name, value);
        break;
      case 'timeout':
        timeoutMicros = Number(unsigned(name, value));
        break;
      case 'binary_data_output':
        binaryDataOutput = bool(name, value);
        break;
      case 'triton_enable_empty_final_response':
        emptyFinalResponse = bool(name, value);
        break;
      default:
        if (name.startsWith('triton_')) {
          throw invalidArgument(
            "parameter keys starting with 'triton_' are reserved for Triton usage and should not be specified.",
          );
        }
        rest[name] = value;
    }
  }
  const inSequence = id !== 0n || start || end;
  return {
    ...(inSequence ? { sequence: { id, start, end } } : {}),
    priority,
    timeoutMicros,
    binaryDataOutput,
    emptyFinalResponse,
    rest,
  };
}

function correlationId(value: ParameterValue, typeError: ParameterTypeError): CorrelationId {
  if (typeof value === 'string') {
    if (value.length > MAX_CORRELATION_ID_LENGTH) {
      throw invalidArgument(
        `string correlation ID cannot be longer than ${MAX_CORRELATION_ID_LENGTH} characters, got ${value.length}`,
      );
    }
    return value === '' ? 0n : value;
  }
  if (typeof value === 'bigint' && value >= 0n) return value;
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0) return BigInt(value);
  throw typeError('sequence_id', 'string');
}
