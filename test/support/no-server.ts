import assert from 'node:assert/strict';
import type { ServerAccess } from '../../src/server/backends/contract.ts';
import { CustomMetrics } from '../../src/telemetry/index.ts';

/** For models that ask nothing of the server. */
export function noServer(): ServerAccess {
  return {
    infer: () => assert.fail('unexpected inference'),
    isDecoupled: () => assert.fail('unexpected question'),
    load: () => assert.fail('unexpected load'),
    unload: () => assert.fail('unexpected unload'),
    isModelReady: () => false,
    metrics: new CustomMetrics(),
  };
}
