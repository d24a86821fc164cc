import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { HpackDecoder, HpackEncoder, Http2Error } from './index.ts';

const MOZILLA = 'foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1';
const FIRST = [':method', 'GET', ':scheme', 'http', ':path', '/', ':authority', 'www.example.com'];
const REQUESTS = [
  FIRST,
  [...FIRST, 'cache-control', 'no-cache'],
  [':method', 'GET', ':scheme', 'https', ':path', '/index.html', ':authority', 'www.example.com'].concat([
    'custom-key',
    'custom-value',
  ]),
];
const LOCATION = ['location', 'https://www.example.com'];
const at = (seconds: number): string[] => ['date', `Mon, 21 Oct 2013 20:13:${seconds} GMT`];
const RESPONSES = [
  [':status', '302', 'cache-control', 'private', ...at(21), ...LOCATION],
  [':status', '307', 'cache-control', 'private', ...at(21), ...LOCATION],
  [':status', '200', 'cache-control', 'private', ...at(22), ...LOCATION, 'content-encoding', 'gzip'].concat([
    'set-cookie',
    MOZILLA,
  ]),
];

/** A first block that makes the table as small as the RFC's examples of responses have it. */
const TABLE_OF_256 = '3fe101';

/** RFC 7541, appendix C: the blocks of one connection, one after the other, and what they mean. */
const EXAMPLES: Readonly<Record<string, readonly [string, readonly string[]][]>> = {
  'C.3, requests as they stand': [
    ['828684410f7777772e6578616d706c652e636f6d', REQUESTS[0] ?? []],
    ['828684be58086e6f2d6361636865', REQUESTS[1] ?? []],
    ['828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565', REQUESTS[2] ?? []],
  ],
  'C.4, requests in Huffman code': [
    ['828684418cf1e3c2e5f23a6ba0ab90f4ff', REQUESTS[0] ?? []],
    ['828684be5886a8eb10649cbf', REQUESTS[1] ?? []],
    ['828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf', REQUESTS[2] ?? []],
  ],
  'C.5, responses that push entries out of the table': [
    [TABLE_OF_256, []],
    [
      '4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d54' +
        '6e1768747470733a2f2f7777772e6578616d706c652e636f6d',
      RESPONSES[0] ?? [],
    ],
    ['4803333037c1c0bf', RESPONSES[1] ?? []],
    [
      '88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153444a4b48' +
        '514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31',
      RESPONSES[2] ?? [],
    ],
  ],
  'C.6, the same in Huffman code': [
    [TABLE_OF_256, []],
    [
      '488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3',
      RESPONSES[0] ?? [],
    ],
    ['4883640effc1c0bf', RESPONSES[1] ?? []],
    [
      '88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af' +
        '27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007',
      RESPONSES[2] ?? [],
    ],
  ],
};

const decoder = (): HpackDecoder => new HpackDecoder(65_536);
const hex = (text: string): Buffer => Buffer.from(text, 'hex');

describe('HPACK', () => {
  for (const [name, blocks] of Object.entries(EXAMPLES)) {
    test(`decodes the examples of RFC 7541 ${name}`, () => {
      const one = decoder();
      for (const [block, fields] of blocks) assert.deepEqual(one.decode(hex(block)).fields, fields);
    });
  }

  test('encodes requests as the RFC does', () => {
    const encoder = new HpackEncoder();
    for (const [index, [block]] of (EXAMPLES['C.4, requests in Huffman code'] ?? []).entries()) {
      assert.equal(encoder.encode(REQUESTS[index] ?? []).toString('hex'), block);
    }
  });

  const name = fc.oneof(
    fc.constantFrom(':path', 'content-type', 'grpc-status', 'grpc-message', 'cookie', 'authorization', 'x-a'),
    fc.stringMatching(/^[a-z][a-z0-9-]{0,40}$/),
  );
  const value = fc.oneof(
    fc.constantFrom('', '0', 'application/grpc'),
    fc.string({ unit: 'binary-ascii', maxLength: 3000 }),
  );
  const fields = fc.array(fc.tuple(name, value), { maxLength: 12 }).map((pairs) => pairs.flat());
  const step = fc.oneof(
    { weight: 5, arbitrary: fc.record({ fields, again: fc.boolean() }) },
    { weight: 1, arbitrary: fc.record({ table: fc.constantFrom(0, 60, 100, 300, 4096, 100_000) }) },
  );

  test('what one side encodes, the other side decodes, however the table changes', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const encoder = new HpackEncoder();
        const reader = decoder();
        for (const each of steps) {
          if ('table' in each) encoder.limitTable(each.table);
          else {
            for (let times = each.again ? 3 : 1; times > 0; times--) {
              assert.deepEqual(reader.decode(encoder.encode(each.fields)).fields, each.fields);
            }
          }
        }
      }),
      { numRuns: 300 },
    );
  });

  test('a list that was encoded before takes a byte a field, and is decoded to the same object', () => {
    const encoder = new HpackEncoder();
    const reader = decoder();
    const list = [':status', '200', 'content-type', 'application/grpc'];
    assert.ok(reader.decode(encoder.encode(list)));
    const second = encoder.encode(list);
    assert.equal(second.length, 2);
    assert.equal(encoder.encode(list), second);
    assert.equal(reader.decode(second), reader.decode(Buffer.from(second)));
  });

  test('what means something else after the table has changed is decoded again', () => {
    const reader = decoder();
    reader.decode(hex('40016101310')); // a: 1
    const before = reader.decode(hex('be'));
    reader.decode(hex('4001620132')); // b: 2
    assert.deepEqual(before.fields, ['a', '1']);
    assert.deepEqual(reader.decode(hex('be')).fields, ['b', '2']);
  });

  test('secrets are never remembered, nor are values that change', () => {
    const encoder = new HpackEncoder();
    const list = ['authorization', 'Bearer x', 'grpc-message', 'no'];
    const once = encoder.encode(list);
    assert.equal((once[0] ?? 0) & 0xf0, 0x10, 'a literal that is never indexed');
    assert.deepEqual(encoder.encode([...list]), once);
  });

  test('a block that unpacks to too much is read to its end and not kept', () => {
    const reader = new HpackDecoder(1000);
    const bomb = Buffer.concat([hex('4001617f8103'), Buffer.alloc(512, 0x61), Buffer.alloc(5000, 0xbe)]);
    const { fields: kept, tooLarge } = reader.decode(bomb);
    assert.ok(tooLarge);
    assert.equal(kept.length, 2);
    assert.deepEqual(reader.decode(hex('be')), { fields: ['a', 'a'.repeat(512)], tooLarge: false });
  });

  for (const [what, block] of Object.entries({
    'an index of 0': '80',
    'an index behind the table': 'be',
    'an integer without an end': 'ffffffffffff',
    'a text that is cut off': '400a6162',
    'a name that is cut off': '40',
    'a table larger than allowed': '3fe21f',
    'a table size after a field': '8220',
    'Huffman code with the end mark': '008384ffffffff01',
    'Huffman code filled with zeros': '0001618118',
    'Huffman code with a byte too much': '00016183f8ffff',
  })) {
    test(`refuses ${what}`, () => {
      assert.throws(() => decoder().decode(hex(block)), Http2Error);
    });
  }

  test('random bytes are decoded or refused, nothing else', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 4 }), (blocks) => {
        const reader = decoder();
        try {
          for (const block of blocks) assert.equal(reader.decode(Buffer.from(block)).fields.length % 2, 0);
        } catch (error) {
          assert.ok(error instanceof Http2Error, String(error));
        }
      }),
      { numRuns: 2000 },
    );
  });
});
