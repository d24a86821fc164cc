import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { comparisonText, welch } from './compare.ts';
import { htmlReport } from './html-report.ts';
import { PerfError } from './perf-error.ts';
import { parseSavedRun, type SavedRun } from './saved-run.ts';

function run(throughputs: readonly number[], change: Partial<SavedRun> = {}, level = 4): SavedRun {
  const throughput = throughputs.reduce((sum, value) => sum + value, 0) / throughputs.length;
  const windows = throughputs.map((value) => ({
    seconds: 1,
    throughput: value,
    average: 1e6 / value,
    p99: 2e6 / value,
  }));
  return {
    format: 'goodput perf run 1',
    model: 'm<1>',
    protocol: 'http',
    server: 'x:1',
    batchSize: 1,
    mode: 'concurrency',
    date: '2026-01-02T03:04:05.000Z',
    levels: [
      {
        level,
        throughput,
        seconds: 3,
        requests: 3000,
        failed: 0,
        good: 3000,
        average: 1e6 / throughput,
        standardDeviation: 1,
        percentiles: [1, 50, 90, 95, 99, 99.9, 100].map((percent) => [percent, percent * 10]),
        client: { send: 1, wait: 9, receive: 1 },
        server: [
          {
            name: 'm',
            inferences: 10,
            executions: 5,
            stages: [
              ['queue', 3],
              ['cache', 0],
              ['compute infer', 4],
            ],
          },
        ],
        windows,
        remarks: ['unstable: <it> & that'],
      },
    ],
    ...change,
  };
}

describe('the comparison of two runs', () => {
  test('calls a difference significant when windows agree with each other more than with the others', () => {
    const text = comparisonText(run([1000, 1010, 990]), run([1200, 1210, 1190]));
    assert.match(
      text,
      /throughput +1000 -> +1200 infer\/sec +\+20.0 % +significant \(\+17\.\d % to \+22\.\d % with 95 % confidence\)/,
    );
    assert.match(text, /Concurrency 4/);
    assert.match(text, /A is unstable: <it>/);
  });

  test('calls it not significant when they do not', () => {
    const text = comparisonText(run([1000, 1500, 600]), run([1200, 700, 1700]));
    assert.match(text, /throughput .* not significant/);
  });

  test('says where runs cannot be compared', () => {
    const text = comparisonText(run([1, 2]), run([1, 2], { model: 'other', protocol: 'grpc' }, 8));
    assert.match(text, /differ in model \(m<1>, other\) and protocol \(http, grpc\)/);
    assert.match(text, /no level in common/);
  });

  test("has Welch's interval", () => {
    // Two samples whose interval is known: means 10 and 12, variances of the means 1/3 each, 4 degrees of freedom.
    const [low, high] = welch([9, 10, 11], [11, 12, 13]) ?? [0, 0];
    assert.ok(Math.abs(low - (2 - 2.78 * Math.sqrt(2 / 3)) / 10) < 1e-9);
    assert.ok(Math.abs(high - (2 + 2.78 * Math.sqrt(2 / 3)) / 10) < 1e-9);
    assert.equal(welch([1], [1, 2]), undefined);
  });

  test('takes files of its own and no others', () => {
    assert.deepEqual(parseSavedRun(JSON.stringify(run([1, 2])), 'a'), run([1, 2]));
    for (const text of ['', 'null', '{}', '{"format":"x"}']) assert.throws(() => parseSavedRun(text, 'a'), PerfError);
  });
});

describe('the HTML report', () => {
  test('has a plot of each kind, needs nothing else, and takes names for text', () => {
    const first = run([1000, 1010, 990]);
    const page = htmlReport({ ...first, levels: [...first.levels, ...run([1500, 1510, 1490], {}, 8).levels] });
    for (const title of [
      'Latency against throughput',
      'Distribution of latencies',
      'Windows in time',
      'Where the time goes',
      'All levels',
    ]) {
      assert.ok(page.includes(title), title);
    }
    assert.equal(page.match(/<svg/g)?.length, 4);
    assert.ok(page.includes('m&lt;1&gt;'));
    assert.ok(page.includes('unstable: &lt;it&gt; &amp; that'));
    assert.doesNotMatch(page, /(src|href)=|NaN|Infinity|undefined/);
    assert.doesNotMatch(page, />cache</);
  });

  test('has no line of throughput through a single level', () => {
    assert.doesNotMatch(htmlReport(run([1000, 1010])), /Latency against throughput/);
  });
});
