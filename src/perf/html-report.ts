import { type Axis, escapeText, lineChart, type Series, stackedBars } from './chart.ts';
import { percentileOf, type SavedLevel, type SavedRun } from './saved-run.ts';

const STYLE = `
:root { color-scheme: light dark; --ink: #1d2430; --soft: #667085; --page: #fff; --card: #f7f8fa; --grid: #e4e7ec;
  --c0: #2563eb; --c1: #d97706; --c2: #059669; --c3: #9333ea; --c4: #dc2626; --c5: #0891b2; --c6: #64748b; --c7: #a16207; --c8: #be185d; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --soft: #98a2b3; --page: #12161d; --card: #1a202a; --grid: #2b3340;
  --c0: #60a5fa; --c1: #fbbf24; --c2: #34d399; --c3: #c084fc; --c4: #f87171; --c5: #22d3ee; --c6: #94a3b8; --c7: #a3e635; --c8: #f472b6; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); margin: 0 auto; max-width: 1360px; padding: 28px; }
h1 { font-size: 24px; margin: 0; } h2 { font-size: 16px; margin: 0 0 8px; } .sub { color: var(--soft); margin: 2px 0 20px; }
.facts { display: flex; flex-wrap: wrap; gap: 14px; margin: 0 0 20px; } .fact { background: var(--card); border-radius: 10px; padding: 12px 18px; }
.fact b { display: block; font-size: 22px; } .fact span { color: var(--soft); }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(480px, 1fr)); gap: 18px; }
.card { background: var(--card); border-radius: 10px; padding: 16px 18px; min-width: 0; } .wide { grid-column: 1 / -1; }
svg { width: 100%; height: auto; } svg text { font-size: 11.5px; fill: var(--soft); } svg .axis { font-size: 12px; } svg .label { fill: var(--ink); }
.grid { stroke: var(--grid); stroke-width: 1; } .line { fill: none; stroke-width: 2; }
.legend { margin: 6px 0 0; color: var(--soft); font-size: 13px; } .legend span { margin-right: 16px; white-space: nowrap; }
.legend i { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin-right: 6px; }
${Array.from({ length: 9 }, (_, index) => `.line.s${index} { stroke: var(--c${index}); } .dot.s${index}, .bar.s${index} { fill: var(--c${index}); } i.s${index} { background: var(--c${index}); }`).join('\n')}
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 6px 12px; border-bottom: 1px solid var(--grid); white-space: nowrap; } th { color: var(--soft); font-weight: 500; }
th:first-child, td:first-child { text-align: left; } .warn { border-left: 4px solid var(--c1); padding: 8px 14px; margin: 0 0 14px; background: var(--card); border-radius: 0 10px 10px 0; }
`;

/** Microseconds, in the unit that reads best. */
function time(micros: number): string {
  if (micros >= 1e6) return `${trim(micros / 1e6)} s`;
  return micros >= 1000 ? `${trim(micros / 1000)} ms` : `${trim(micros)} us`;
}

function trim(value: number): string {
  return String(Number(value.toPrecision(3)));
}

function count(value: number): string {
  return value >= 1e6 ? `${trim(value / 1e6)} M` : value >= 10_000 ? `${trim(value / 1000)} k` : trim(value);
}

const LATENCY: Axis = { title: 'latency', kind: 'log', format: time };

/** A run as a page that needs nothing else: plots, a table, and what speaks against the figures. */
export function htmlReport(run: SavedRun): string {
  const { levels } = run;
  const best = levels.toSorted((a, b) => b.throughput - a.throughput)[0];
  const name = run.mode === 'concurrency' ? 'concurrency' : 'request rate';
  const title = `${run.model}: ${levels.length === 1 ? `${name} ${levels[0]?.level ?? ''}` : `${name} ${levels[0]?.level ?? ''} to ${levels.at(-1)?.level ?? ''}`}`;
  const remarks = levels.flatMap((level) =>
    level.remarks.map((remark) => `<p class="warn">${escapeText(`${name} ${level.level}: ${remark}`)}</p>`),
  );
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${escapeText(title)}</title><style>${STYLE}</style></head>
<body><h1>${escapeText(title)}</h1>
<p class="sub">${escapeText(`${run.protocol} to ${run.server}, batch size ${run.batchSize}, ${run.date.slice(0, 19).replace('T', ' ')} UTC, measured by goodput perf`)}</p>
${remarks.join('\n')}
<div class="facts">${best ? facts(best, name) : ''}</div>
<div class="cards">
${card('Latency against throughput', levels.length > 1 ? latencyThroughput(levels) : '')}
${card('Distribution of latencies', distribution(levels, name))}
${card('Windows in time', timeline(levels, name))}
${card('Where the time goes, average', stages(levels))}
<div class="card wide"><h2>All levels</h2><div class="scroll">${table(levels, name)}</div></div>
</div></body></html>
`;
}

function card(title: string, content: string): string {
  return content === '' ? '' : `<div class="card"><h2>${title}</h2>${content}</div>`;
}

function facts(level: SavedLevel, name: string): string {
  const fact = (value: string, what: string): string =>
    `<div class="fact"><b>${value}</b><span>${escapeText(what)}</span></div>`;
  return [
    fact(`${count(level.throughput)}/s`, `highest throughput, ${name} ${level.level}`),
    fact(time(percentileOf(level, 50)), 'p50 there'),
    fact(time(percentileOf(level, 99)), 'p99 there'),
    fact(time(percentileOf(level, 99.9)), 'p99.9 there'),
  ].join('');
}

function latencyThroughput(levels: readonly SavedLevel[]): string {
  const series = [50, 99].map((percent): Series => ({
    name: `p${percent}`,
    points: levels.map((level) => [level.throughput, percentileOf(level, percent)]),
    labels: levels.map(({ level }) => String(level)),
  }));
  return lineChart(series, { title: 'inferences a second', kind: 'linear', format: count }, LATENCY, true);
}

/** Curves for a few of the levels, when there are many. */
function chosen(levels: readonly SavedLevel[]): readonly SavedLevel[] {
  const most = 6;
  if (levels.length <= most) return levels;
  return Array.from(
    { length: most },
    (_, index) => levels[Math.round((index * (levels.length - 1)) / (most - 1))],
  ).filter((level) => level !== undefined);
}

function distribution(levels: readonly SavedLevel[], name: string): string {
  const series = chosen(levels).map((level): Series => ({
    name: `${name} ${level.level}`,
    // The last nines of few requests are the highest one, again and again.
    points: level.percentiles.filter(([percent]) => percent === 100 || (1 - percent / 100) * level.requests >= 1),
  }));
  return lineChart(series, { title: 'percentile', kind: 'percentile', format: (value) => `p${value}` }, LATENCY, false);
}

function timeline(levels: readonly SavedLevel[], name: string): string {
  const series = chosen(levels).map((level): Series => {
    let at = 0;
    return {
      name: `${name} ${level.level}`,
      points: level.windows.map(({ seconds, throughput }) => {
        at += seconds;
        return [at, throughput];
      }),
    };
  });
  return lineChart(
    series,
    { title: 'seconds since the level began', kind: 'linear', format: trim },
    { title: 'inferences a second', kind: 'linear', format: count },
    true,
  );
}

function stages(levels: readonly SavedLevel[]): string {
  const withServer = levels.filter(({ server }) => server.length > 0);
  const [first] = withServer;
  if (!first) return '';
  // Stages that nothing goes through, the cache of a model without one, are left out.
  const used = (first.server[0]?.stages ?? []).map((_, index) =>
    withServer.some(({ server }) => (server[0]?.stages[index]?.[1] ?? 0) > 0),
  );
  const inServer = ({ server }: SavedLevel): readonly (readonly [string, number])[] =>
    (server[0]?.stages ?? []).filter((_, index) => used[index]);
  const names = ['client send', 'network and server I/O', ...inServer(first).map(([stage]) => stage)];
  const bars = withServer.map((each) => {
    const { level, client } = each;
    const own = inServer(each).map(([, micros]) => micros);
    const between = Math.max(0, client.wait - own.reduce((sum, micros) => sum + micros, 0));
    return { label: String(level), parts: [client.send, between, ...own, client.receive] };
  });
  return stackedBars([...names, 'client receive'], bars, time);
}

function table(levels: readonly SavedLevel[], name: string): string {
  const header = [
    name,
    'infer/s',
    'requests',
    'failed',
    'average',
    'p50',
    'p90',
    'p95',
    'p99',
    'p99.9',
    'highest',
    'executions',
    'rows by execution',
  ];
  const rows = levels.map((level) => {
    const [own] = level.server;
    const executions = own?.executions ?? 0;
    return [
      String(level.level),
      count(level.throughput),
      String(level.requests),
      String(level.failed),
      time(level.average),
      ...[50, 90, 95, 99, 99.9, 100].map((percent) => time(percentileOf(level, percent))),
      own ? String(executions) : '',
      own && executions > 0 ? trim(own.inferences / executions) : '',
    ];
  });
  const line = (tag: string, cells: readonly string[]): string =>
    `<tr>${cells.map((cell) => `<${tag}>${escapeText(cell)}</${tag}>`).join('')}</tr>`;
  return `<table><thead>${line('th', header)}</thead><tbody>${rows.map((row) => line('td', row)).join('')}</tbody></table>`;
}
