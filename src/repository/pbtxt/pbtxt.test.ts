import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { create, toBinary } from '@bufbuild/protobuf';
import { toText } from '@bufbuild/protobuf/txtpb';
import fc from 'fast-check';
import { ConfigDataType, ModelConfigSchema } from '../../protocol/index.ts';
import { parseModelConfig } from './index.ts';

const parse = (text: string): ReturnType<typeof parseModelConfig> => parseModelConfig(text, 'config.pbtxt');

describe('text format', () => {
  test('comments, messages with and without colon, angle brackets, commas and semicolons', () => {
    const { config, warnings } = parse(`
      # a comment
      name: "m"; backend: 'identity', max_batch_size: 4
      input: [ { name: "a" data_type: TYPE_FP32 dims: [ -1, 3 ] } ]  # at the end of a line
      input < name: "b" data_type: 8 dims: 1 dims: 2 >
      parameters { key: "k" value { string_value: "v" } }
      parameters: { key: "l", value: { string_value: "w" } }
    `);
    assert.deepEqual(warnings, []);
    assert.equal(config.maxBatchSize, 4);
    assert.deepEqual(
      config.input.map((input) => [input.name, input.dataType, input.dims]),
      [
        ['a', ConfigDataType.TYPE_FP32, [-1n, 3n]],
        ['b', ConfigDataType.TYPE_INT32, [1n, 2n]],
      ],
    );
    assert.equal(config.parameters['l']?.stringValue, 'w');
  });

  test('string escapes and concatenation', () => {
    const { config } = parse(String.raw`name: "a\x41\102\n\"" 'c' "\u00e9"`);
    assert.equal(config.name, 'aAB\n"cé');
  });

  test('numbers: hexadecimal, octal, negative, floats with suffix', () => {
    const { config } = parse(`max_batch_size: 0x10 optimization { graph { level: -1 } }
      sequence_batching { direct { minimum_slot_utilization: 0.5f } max_sequence_idle_microseconds: 010 }`);
    assert.equal(config.maxBatchSize, 16);
    assert.equal(config.optimization?.graph?.level, -1);
    assert.equal(config.schedulingChoice.case, 'sequenceBatching');
    if (config.schedulingChoice.case === 'sequenceBatching') {
      assert.equal(config.schedulingChoice.value.maxSequenceIdleMicroseconds, 8n);
    }
  });

  test('reads whatever a protobuf library writes', () => {
    const name = fc.string({ unit: 'binary' });
    const config = fc.record({
      name,
      maxBatchSize: fc.nat({ max: 1000 }),
      input: fc.array(
        fc.record({
          name,
          dataType: fc.constantFrom(1, 8, 13),
          dims: fc.array(fc.bigInt({ min: -1n, max: 1000n })),
          optional: fc.boolean(),
        }),
        { maxLength: 3 },
      ),
      ccModelFilenames: fc.dictionary(fc.string({ minLength: 1 }), fc.string()),
      metricTags: fc.dictionary(fc.string({ minLength: 1 }), fc.string()),
    });
    fc.assert(
      fc.property(config, (init) => {
        const wellFormed = JSON.parse(
          JSON.stringify(init, (_, value: unknown) => (typeof value === 'bigint' ? Number(value) : value)).replaceAll(
            /\\ud[89a-f][0-9a-f]{2}/gi,
            '',
          ),
        ) as typeof init;
        const message = create(ModelConfigSchema, {
          ...wellFormed,
          input: wellFormed.input.map((each) => ({ ...each, dims: each.dims.map(BigInt) })),
        });
        const { config: parsed } = parse(toText(ModelConfigSchema, message));
        assert.deepEqual(toBinary(ModelConfigSchema, parsed), toBinary(ModelConfigSchema, message));
      }),
    );
  });

  test('any text is a configuration or an error with a place', () => {
    fc.assert(
      fc.property(
        fc.string({
          unit: fc.constantFrom(...'name: "x" [ ] { } < > , ; # \n \\ 0 1 - a max_batch_size input'.split(' ')),
        }),
        (text) => {
          try {
            parse(text);
          } catch (error) {
            assert.match((error as Error).message, /^config\.pbtxt:\d+:\d+: /);
          }
        },
      ),
    );
  });
});

describe('errors name file, line, column, field, what was found and what is allowed', () => {
  const mistakes: readonly (readonly [string, string])[] = [
    [
      'name: "x"\nmax_bacth_size: 3',
      "config.pbtxt:2:1: message ModelConfig has no field 'max_bacth_size', did you mean 'max_batch_size'?",
    ],
    ['input { nam: "x" }', "config.pbtxt:1:9: message ModelInput has no field 'nam', did you mean 'name'?"],
    [
      'max_batch_size: "8"',
      'config.pbtxt:1:17: field \'max_batch_size\' takes a 32-bit integer (-2147483648 to 2147483647), found "8"',
    ],
    [
      'max_batch_size: 3000000000',
      "config.pbtxt:1:17: field 'max_batch_size' takes a 32-bit integer (-2147483648 to 2147483647), found '3000000000'",
    ],
    ['name: x', "config.pbtxt:1:7: field 'name' takes a quoted string, found 'x'"],
    ['name "x"', "config.pbtxt:1:6: expected ':' between field 'name' and its value"],
    ['name: "x" name: "y"', "config.pbtxt:1:11: field 'name' is given twice; first at line 1"],
    ['name: "x', 'config.pbtxt:1:7: string literal is not closed'],
    ['input { name: "x"', "config.pbtxt:1:18: expected '}' before the end of the file"],
    ['dynamic_batching: 3', "config.pbtxt:1:19: field 'dynamic_batching' takes a message in braces, found '3'"],
    [
      'optimization { input_pinned_memory { enable: maybe } }',
      "config.pbtxt:1:46: field 'enable' takes true or false, found 'maybe'",
    ],
    ['instance_group [ { kind: KIND_CPUS } ]', "did you mean 'KIND_CPU'?"],
    ['instance_group [ { kind: "KIND_CPU" } ]', '(without the quotes)'],
    ['parameters { value { string_value: "x" } }', "config.pbtxt:1:12: an entry of 'parameters' has no 'key'"],
    ['$', "config.pbtxt:1:1: unexpected character '$'"],
    ['name: [ "a", "b" ]', "config.pbtxt:1:7: field 'name' takes one value, found a list"],
  ];
  for (const [text, message] of mistakes) {
    test(text.replaceAll('\n', ' '), () => {
      assert.throws(
        () => parse(text),
        (error: Error) => error.message === message || error.message.includes(message) || assert.fail(error.message),
      );
    });
  }
});

describe('forms that Triton does not have', () => {
  test('a missing comma in a list is accepted with a warning', () => {
    const { config, warnings } = parse('input [ { name: "a" } { name: "b" } ]');
    assert.equal(config.input.length, 2);
    assert.deepEqual(warnings, ["config.pbtxt:1:23: missing ',' between list elements"]);
  });

  test('a message field written as a list of one', () => {
    const { config, warnings } = parse('dynamic_batching [ { preserve_ordering: true } ]');
    assert.equal(config.schedulingChoice.case, 'dynamicBatching');
    assert.match(warnings[0] ?? '', /'dynamic_batching' is one message, not a list; write: dynamic_batching \{ ... \}/);
  });
});
