import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CustomMetrics } from './custom-metrics.ts';
import { Exposition } from './exposition.ts';

describe('metrics that models make', () => {
  test('are one for the same labels, in whatever order', () => {
    const metrics = new CustomMetrics();
    metrics.family('calls', 'Calls', 'counter');
    metrics.increment('calls', { a: '1', b: '2' }, 1);
    metrics.increment('calls', { b: '2', a: '1' }, 2);
    metrics.increment('calls', {}, 5);
    assert.equal(metrics.value('calls', { a: '1', b: '2' }), 3);
    const out = new Exposition();
    metrics.render(out);
    assert.equal(out.text(), '# HELP calls Calls\n# TYPE calls counter\ncalls{a="1",b="2"} 3\ncalls 5\n');
  });

  test('a family without metrics is not shown', () => {
    const metrics = new CustomMetrics();
    metrics.family('nothing', 'Nothing', 'gauge');
    const out = new Exposition();
    metrics.render(out);
    assert.equal(out.text(), '');
  });

  const refusals: readonly (readonly [string, (metrics: CustomMetrics) => void, RegExp])[] = [
    ['a bad name', (metrics) => metrics.family('a b', '', 'gauge'), /'a b' is not a metric name/],
    ['another kind', (metrics) => metrics.family('counter', '', 'gauge'), /'counter' is a counter already/],
    ['an unknown family', (metrics) => metrics.increment('none', {}, 1), /no metric family 'none'/],
    ['a bad label', (metrics) => metrics.increment('counter', { 'a-b': '' }, 1), /'a-b' is not a label name/],
    ['a step back of a counter', (metrics) => metrics.increment('counter', {}, -1), /monotonically/],
    ['setting a counter', (metrics) => metrics.set('counter', {}, 1), /kind counter cannot be set/],
    ['observing a gauge', (metrics) => metrics.observe('gauge', {}, 1), /kind gauge cannot be observed/],
    [
      'incrementing a histogram',
      (metrics) => metrics.increment('histogram', {}, 1),
      /needs buckets|cannot be incremented/,
    ],
    ['a histogram without buckets', (metrics) => metrics.metric('histogram', {}, undefined), /needs buckets/],
    ['buckets out of order', (metrics) => metrics.metric('histogram', {}, [2, 1]), /buckets must ascend, got \[2, 1\]/],
  ];
  for (const [what, step, message] of refusals) {
    test(`refuse ${what}`, () => {
      const metrics = new CustomMetrics();
      for (const kind of ['counter', 'gauge', 'histogram'] as const) metrics.family(kind, '', kind);
      assert.throws(() => step(metrics), message);
    });
  }
});
