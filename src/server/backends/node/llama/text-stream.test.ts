import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { TextStream } from './text-stream.ts';

/** Tokens are single bytes of UTF-8: most characters need several. */
const BYTES = {
  detokenize: (tokens: readonly number[]): string => new TextDecoder().decode(Uint8Array.from(tokens)),
};

function run(
  text: string,
  stops: readonly string[],
): { readonly pieces: readonly string[]; readonly stopped: boolean } {
  const stream = new TextStream(BYTES, stops);
  const pieces: string[] = [];
  for (const byte of new TextEncoder().encode(text)) {
    const piece = stream.push(byte);
    pieces.push(piece.text);
    if (piece.stopped) return { pieces, stopped: true };
  }
  pieces.push(stream.flush());
  return { pieces, stopped: false };
}

describe('text out of tokens', () => {
  test('is the whole text, in whole characters', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        const { pieces } = run(text, []);
        assert.equal(pieces.join(''), text);
        for (const piece of pieces) assert.ok(!piece.includes('\u{FFFD}') || text.includes('\u{FFFD}'));
      }),
    );
  });

  test('ends before the first stop text, of which nothing is ever seen', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b', 'é'), maxLength: 24 });
    const stop = fc.string({ unit: fc.constantFrom('a', 'b', 'é'), minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(letters, fc.array(stop, { minLength: 1, maxLength: 3 }), (text, stops) => {
        const { pieces, stopped } = run(text, stops);
        // The stop text that is complete first, where several overlap.
        let end = Infinity;
        let start = text.length;
        for (const each of stops) {
          const at = text.indexOf(each);
          if (at < 0 || at + each.length > end) continue;
          start = at + each.length < end ? at : Math.min(start, at);
          end = at + each.length;
        }
        assert.equal(stopped, end < Infinity);
        assert.equal(pieces.join(''), text.slice(0, start));
      }),
    );
  });

  test('is not held back longer than it may be a stop text', () => {
    const { pieces } = run('abXab', ['abc']);
    assert.deepEqual(pieces, ['', '', 'abX', '', '', 'ab']);
  });
});
