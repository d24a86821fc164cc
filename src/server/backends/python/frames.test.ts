import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { encodeFrame, FrameReader } from './frames.ts';

test('messages come out as they went in, however the stream is cut', () => {
  const message = fc.record({
    meta: fc.record({
      k: fc.string({ unit: 'grapheme' }),
      n: fc.maxSafeInteger(),
      list: fc.array(fc.double({ noNaN: true, min: -1e6, max: 1e6 })),
    }),
    parts: fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 3 }),
  });
  fc.assert(
    fc.property(fc.array(message, { maxLength: 5 }), fc.array(fc.integer({ min: 1, max: 50 })), (messages, cuts) => {
      const bytes = Buffer.concat(messages.map(({ meta, parts }) => encodeFrame(meta, parts)));
      const seen: { readonly meta: unknown; readonly payload: Buffer }[] = [];
      const reader = new FrameReader((meta, payload) => seen.push({ meta, payload: Buffer.from(payload) }));
      let offset = 0;
      for (const cut of cuts) {
        reader.push(bytes.subarray(offset, offset + cut));
        offset += cut;
      }
      reader.push(bytes.subarray(offset));
      assert.deepEqual(
        seen,
        messages.map(({ meta, parts }) => ({
          meta: JSON.parse(JSON.stringify(meta)) as unknown,
          payload: Buffer.concat(parts),
        })),
      );
    }),
  );
});

test('integers that a double does not hold stay exact', () => {
  const seen: unknown[] = [];
  const reader = new FrameReader((meta) => seen.push(meta));
  reader.push(encodeFrame({ id: 2n ** 64n - 1n }, []));
  assert.deepEqual(seen, [{ id: 2n ** 64n - 1n }]);
});
