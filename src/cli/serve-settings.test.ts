import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { forwardPattern, restrictions } from './endpoint-flags.ts';
import { type FlagValues, parseFlags } from './flags.ts';
import { metricsOptions } from './metrics-flags.ts';
import { rateLimits } from './rate-limit-flags.ts';
import { SERVE_FLAGS } from './serve-flags.ts';
import { tracingOptions } from './trace-flags.ts';
import { INERT_FLAGS, REFUSED_FLAGS } from './unsupported-flags.ts';

const flags = (...argv: readonly string[]): FlagValues => parseFlags(argv, SERVE_FLAGS);

describe('--trace-config', () => {
  test('sets level, rate, count, file and frequency', () => {
    const { settings } = tracingOptions(
      flags(
        '--trace-config=level=TIMESTAMPS',
        '--trace-config=level=TENSORS',
        '--trace-config=rate=7',
        '--trace-config=count=3',
        '--trace-config=triton,file=/tmp/t.json',
        '--trace-config=triton,log-frequency=5',
      ),
    );
    assert.deepEqual(settings, {
      levels: ['TIMESTAMPS', 'TENSORS'],
      rate: 7,
      count: 3,
      logFrequency: 5,
      file: '/tmp/t.json',
      mode: 'triton',
    });
  });

  test('the older flags mean the same, and give way to it', () => {
    const older = [
      '--trace-file=a',
      '--trace-level=MIN',
      '--trace-rate=9',
      '--trace-count=2',
      '--trace-log-frequency=4',
    ];
    const { settings } = tracingOptions(flags(...older));
    assert.deepEqual(settings, {
      levels: ['TIMESTAMPS'],
      rate: 9,
      count: 2,
      logFrequency: 4,
      file: 'a',
      mode: 'triton',
    });
    assert.equal(tracingOptions(flags(...older, '--trace-config=rate=1')).settings.rate, 1);
  });

  test('OpenTelemetry has a collector, a resource and a batch', () => {
    const { settings, openTelemetry } = tracingOptions(
      flags(
        '--trace-config=mode=opentelemetry',
        '--trace-config=opentelemetry,url=http://c:1/v1/traces',
        '--trace-config=opentelemetry,resource=service.name=mine',
        '--trace-config=opentelemetry,resource=zone=a=b',
        '--trace-config=opentelemetry,bsp_schedule_delay=10',
      ),
    );
    assert.equal(settings.mode, 'opentelemetry');
    assert.equal(openTelemetry.url, 'http://c:1/v1/traces');
    assert.deepEqual(
      [...openTelemetry.resource],
      [
        ['service.name', 'mine'],
        ['zone', 'a=b'],
      ],
    );
    assert.equal(openTelemetry.scheduleDelayMillis, 10);
  });

  for (const [value, message] of [
    ['foo', /option format is '<trace mode>,<setting>=<value>' or '<setting>=<value>'. Got 'foo'/],
    ['zipkin,url=x', /unknown trace mode 'zipkin'/],
    ['triton,url=x', /Bad option: "--trace-config triton,url": it takes file, log-frequency/],
    ['level=LOUD', /invalid value for trace level option: 'LOUD'/],
    ['mode=x', /invalid value for trace mode option: 'x'/],
    ['rate=x', /rate must be a number, got 'x'/],
  ] as const) {
    test(`refuses ${value}`, () => {
      assert.throws(() => tracingOptions(flags(`--trace-config=${value}`)), message);
    });
  }
});

describe('restricted groups of calls', () => {
  test('share a key, which gRPC clients send under a longer name', () => {
    const http = restrictions(flags('--http-restricted-api=metadata,health:Key=a=b'), 'http');
    assert.deepEqual(http.get('health'), { header: 'Key', value: 'a=b' });
    assert.deepEqual(http.get('metadata'), { header: 'Key', value: 'a=b' });
    const grpc = restrictions(flags('--grpc-restricted-protocol=inference:k=v'), 'grpc');
    assert.deepEqual(grpc.get('inference'), { header: 'triton-grpc-protocol-k', value: 'v' });
  });

  test('mistakes are named', () => {
    const http = (value: string) => () => restrictions(flags(`--http-restricted-api=${value}`), 'http');
    assert.throws(http('healthy:k=v'), /unknown restricted api 'healthy'/);
    assert.throws(http('health'), /must be api\[,api\.\.\.\]:KEY=VALUE, got 'health'/);
    const twice = flags('--grpc-restricted-protocol=health:a=1', '--grpc-restricted-protocol=health:b=2');
    assert.throws(
      () => restrictions(twice, 'grpc'),
      /protocol 'health' can not be specified in multiple config groups/,
    );
  });
});

test('header patterns match whole names, and may leave case out of account', () => {
  const pattern = (text: string): RegExp | undefined =>
    forwardPattern(flags(`--http-header-forward-pattern=${text}`), 'http-header-forward-pattern');
  assert.ok(pattern('X-.*')?.test('X-Tenant'));
  assert.ok(!pattern('X-.*')?.test('My-X-Tenant') && !pattern('X-.*')?.test('x-tenant'));
  assert.ok(pattern('(?i)x-.*')?.test('X-Tenant'));
  assert.throws(() => pattern('('), /'\(' is not a regular expression/);
});

test('--metrics-config', () => {
  const options = metricsOptions(
    flags(
      '--metrics-config=summary_latencies=true',
      '--metrics-config',
      'counter_latencies=false',
      '--metrics-config=summary_quantiles=0.1:0.0.1,0.75:0.01',
    ),
  );
  assert.deepEqual([options.summaryLatencies, options.counterLatencies, options.quantiles], [true, false, [0.1, 0.75]]);
  assert.throws(() => metricsOptions(flags('--metrics-config=foo=1')), /unknown setting 'foo'/);
  assert.throws(
    () => metricsOptions(flags('--metrics-config=summary_quantiles=2:1')),
    /QUANTILE:ERROR pairs, got '2:1'/,
  );
});

test('--rate-limit-resource counts only under --rate-limit=execution_count', () => {
  const resources = ['--rate-limit-resource=a:4', '--rate-limit-resource=b:2:1'];
  assert.equal(rateLimits(flags(...resources)), undefined);
  assert.deepEqual(rateLimits(flags('--rate-limit=execution_count', ...resources)), [
    { name: 'a', count: 4, device: undefined },
    { name: 'b', count: 2, device: 1 },
  ]);
});

test('a flag is served, refused or without effect, and only one of these', () => {
  const served = SERVE_FLAGS.map((flag) => flag.name);
  const all = [...served, ...Object.keys(REFUSED_FLAGS), ...Object.keys(INERT_FLAGS)];
  assert.equal(new Set(all).size, all.length);
});
