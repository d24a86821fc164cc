import { NO_PARAMETERS } from '../../protocol/index.ts';
import type { ExecutionUnit } from './contract.ts';

/** A row that no client waits for: nothing is done with what it comes to, unless `rest` says so. */
export function silentUnit(
  rest: Pick<ExecutionUnit, 'inputs' | 'batchSize' | 'outputs'> & Partial<ExecutionUnit>,
): ExecutionUnit {
  return {
    requestId: '',
    parameters: NO_PARAMETERS,
    sequence: undefined,
    timeoutMicros: 0,
    traceparent: undefined,
    cancelled: false,
    respond() {},
    finish() {},
    fail() {},
    reschedule() {},
    ...rest,
  };
}
