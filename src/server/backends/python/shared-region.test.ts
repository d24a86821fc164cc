import assert from 'node:assert/strict';
import { existsSync, openSync, readSync, closeSync, statSync } from 'node:fs';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { silentLogger } from '../../../core/index.ts';
import { WrittenRegion } from './shared-region.ts';

describe('memory that a Python process reads', () => {
  test('holds every piece that is in use, and is used again', () => {
    const step = fc.record({ size: fc.integer({ min: 1, max: 300_000 }), release: fc.boolean(), value: fc.nat(255) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const region = new WrittenRegion(silentLogger);
        const file = openSync(region.path, 'r');
        region.unlink();
        const used = new Map<number, { readonly size: number; readonly value: number }>();
        try {
          for (const { size, release, value } of steps) {
            const offset = region.write(new Uint8Array(size).fill(value));
            assert.ok(offset !== undefined && offset % 64 === 0);
            for (const [start, piece] of used) {
              assert.ok(offset + size <= start || start + piece.size <= offset, 'two pieces overlap');
            }
            used.set(offset, { size, value });
            if (!release) continue;
            const [first = 0] = used.keys();
            region.release([first]);
            used.delete(first);
          }
          for (const [offset, { size, value }] of used) {
            const data = Buffer.alloc(size);
            readSync(file, data, 0, size, offset);
            assert.ok(data.every((byte) => byte === value));
          }
        } finally {
          closeSync(file);
          region.close();
        }
      }),
      { numRuns: 30 },
    );
  });

  test('does not grow while what is written is given back', () => {
    const region = new WrittenRegion(silentLogger);
    for (let round = 0; round < 50; round++) {
      const offset = region.write(new Uint8Array(700_000));
      assert.ok(offset !== undefined);
      region.release([offset]);
    }
    assert.equal(statSync(region.path).size, 1024 * 1024);
    region.unlink();
    region.close();
    assert.ok(!existsSync(region.path));
  });

  test('that is not to be had is said once, and the bytes go another way', () => {
    const warnings: string[] = [];
    const region = new WrittenRegion({ ...silentLogger, warn: (message) => warnings.push(message) });
    region.unlink();
    region.close();
    assert.equal(region.write(new Uint8Array(100)), undefined);
    assert.equal(region.write(new Uint8Array(100)), undefined);
    assert.equal(warnings.length, 1);
    assert.match(warnings[0] ?? '', /no shared memory for 100 bytes.*--shm-size.*over a socket/);
  });
});
