import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseModelConfig } from '../../repository/index.ts';
import { addedTensors } from './scheduling.ts';

test('controls have the types and values that the configuration gives them', () => {
  const { config } = parseModelConfig(
    `max_batch_size: 2 sequence_batching { control_input [
       { name: "S" control { kind: CONTROL_SEQUENCE_START fp32_false_true: [ 0.5, 1.5 ] } },
       { name: "R" control { kind: CONTROL_SEQUENCE_READY bool_false_true: [ false, true ] } },
       { name: "E" control { kind: CONTROL_SEQUENCE_END int32_false_true: [ -1, 7 ] } },
       { name: "C" control { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_INT32 } } ] }`,
    'config.pbtxt',
  );
  // Of the first request of sequence 1, for a batch of two rows.
  const tensors = addedTensors(config, [], 2).map(({ name, datatype, shape, data }) => {
    const bytes = Buffer.from(data);
    const value = datatype === 'BOOL' ? bytes[0] : datatype === 'FP32' ? bytes.readFloatLE() : bytes.readInt32LE();
    return [name, datatype, shape.join(), value];
  });
  assert.deepEqual(tensors, [
    ['S', 'FP32', '2,1', 1.5],
    ['R', 'BOOL', '2,1', 1],
    ['E', 'INT32', '2,1', -1],
    ['C', 'INT32', '2,1', 1],
  ]);
});
