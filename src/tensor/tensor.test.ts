import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  type DataType,
  decodeBytes,
  ELEMENT_SIZE,
  elementCount,
  encodeBytes,
  packJsonData,
  shapeMatches,
  splitOffsets,
  tensorToJson,
  walkBytes,
} from './index.ts';

describe('BYTES encoding', () => {
  test('decodes what it encodes', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 20 }), (elements) => {
        const data = encodeBytes(elements);
        assert.deepEqual(walkBytes(data), { kind: 'ok', elements: elements.length });
        assert.deepEqual(
          decodeBytes(data).map((element) => [...element]),
          elements.map((element) => [...element]),
        );
      }),
    );
  });

  test('says where a cut encoding breaks, and never reads beyond it', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 9 }), { minLength: 1, maxLength: 5 }),
        fc.nat(),
        (elements, at) => {
          const data = encodeBytes(elements);
          const cut = data.subarray(0, at % data.length);
          const walk = walkBytes(cut);
          if (walk.kind === 'ok') assert.ok(walk.elements < elements.length);
          else assert.ok(walk.element < elements.length);
        },
      ),
    );
  });

  test('splits a batch at the ends of its rows', () => {
    const data = encodeBytes([Buffer.from('a'), Buffer.from('bb'), Buffer.from(''), Buffer.from('dddd')]);
    assert.deepEqual(splitOffsets(data, [1, 3]), [5, data.length]);
  });
});

describe('JSON data', () => {
  const integers: readonly (readonly [DataType, bigint, bigint])[] = [
    ['UINT8', 0n, 255n],
    ['INT8', -128n, 127n],
    ['UINT16', 0n, 65_535n],
    ['INT16', -32_768n, 32_767n],
    ['UINT32', 0n, 2n ** 32n - 1n],
    ['INT32', -(2n ** 31n), 2n ** 31n - 1n],
    ['UINT64', 0n, 2n ** 64n - 1n],
    ['INT64', -(2n ** 63n), 2n ** 63n - 1n],
  ];

  for (const [type, min, max] of integers) {
    test(`${type} survives the way to bytes and back, to the last digit`, () => {
      fc.assert(
        fc.property(fc.array(fc.bigInt({ min, max }), { maxLength: 8 }), (values) => {
          const input = values.map((value) => (Number.isSafeInteger(Number(value)) ? Number(value) : value));
          const bytes = packJsonData(input, type, values.length);
          assert.equal(bytes.length, values.length * ELEMENT_SIZE[type]);
          assert.equal(tensorToJson(bytes, type), `[${values.join(',')}]`);
        }),
      );
    });

    test(`${type} refuses values beyond its range`, () => {
      assert.throws(() => packJsonData([type.endsWith('64') ? max + 1n : Number(max + 1n)], type, 1));
    });
  }

  test('floats survive, NaN and infinities included', () => {
    const bytes = packJsonData([1.5, -0.25, Number.NaN, Number.POSITIVE_INFINITY], 'FP32', 4);
    assert.equal(tensorToJson(bytes, 'FP32'), '[1.5,-0.25,NaN,Infinity]');
    assert.equal(tensorToJson(packJsonData([2, 1e300], 'FP64', 2), 'FP64'), '[2.0,1e+300]');
  });

  test('takes nested rows and counts them', () => {
    assert.deepEqual(
      [
        ...packJsonData(
          [
            [1, 2],
            [3, 4],
          ],
          'UINT8',
          4,
        ),
      ],
      [1, 2, 3, 4],
    );
    assert.throws(() => packJsonData([[1, 2], [3]], 'UINT8', 4), /Shape does not match true shape of 'data' field/);
  });

  test('names the type that was expected', () => {
    assert.throws(() => packJsonData(['a'], 'INT32', 1), /attempt to access JSON non-signed-integer as signed-integer/);
    assert.throws(() => packJsonData([1.5], 'UINT8', 1), /non-unsigned-integer as unsigned-integer/);
    assert.throws(() => packJsonData(['a'], 'FP32', 1), /non-number as double/);
    assert.throws(() => packJsonData([1], 'BYTES', 1), /Unable to parse JSON bytes array/);
  });

  test('does not overflow the stack on deep nesting', () => {
    let deep: unknown = 1;
    for (let level = 0; level < 200; level++) deep = [deep];
    assert.throws(() => packJsonData(deep, 'INT32', 1), /nests deeper than 100 levels/);
  });
});

describe('shapes', () => {
  test('-1 matches any size', () => {
    assert.ok(shapeMatches([-1, 3], [7, 3]));
    assert.ok(!shapeMatches([-1, 3], [7, 4]));
    assert.ok(!shapeMatches([-1], [1, 1]));
  });

  test('an element count beyond exact integers is none', () => {
    assert.equal(elementCount([2 ** 31, 2 ** 31]), undefined);
    assert.equal(elementCount([3, -1]), undefined);
    assert.equal(elementCount([]), 1);
    assert.equal(elementCount([0, 5]), 0);
  });
});
