import assert from 'node:assert/strict';
import { NO_PARAMETERS } from '../../src/protocol/index.ts';
import type { ExecutionUnit } from '../../src/server/backends/contract.ts';

/** A unit that fails the test when something is done to it that the test did not provide for. */
export function executionUnit(change: Partial<ExecutionUnit>): ExecutionUnit {
  return {
    requestId: '',
    parameters: NO_PARAMETERS,
    inputs: [],
    batchSize: 1,
    outputs: undefined,
    sequence: undefined,
    timeoutMicros: 0,
    traceparent: undefined,
    cancelled: false,
    respond: () => assert.fail('unexpected response'),
    finish: () => assert.fail('unexpected end without a response'),
    fail: (error) => assert.fail(`unexpected failure: ${error.message}`),
    reschedule: () => assert.fail('unexpected reschedule'),
    ...change,
  };
}
