import { errorMessage } from '../core/index.ts';
import { type BatchingView } from '../server/engine/index.ts';
import { BATCH_REASONS, type BatchReason } from '../server/schedulers/index.ts';
import { type FlagSpec, formatFlags, parseFlags, UsageError } from './flags.ts';

const EXPLAIN_FLAGS: readonly FlagSpec[] = [
  {
    name: 'url',
    kind: 'string',
    defaultText: 'http://127.0.0.1:8000',
    group: 'Server',
    help: 'The HTTP endpoint of the running server.',
  },
  {
    name: 'model-version',
    kind: 'string',
    defaultText: 'the newest',
    group: 'Server',
    help: 'Version of the model.',
  },
];

const USAGE = `Usage: goodput explain batching MODEL [flags]

Says why the batches of a running model had the sizes they had.

${formatFlags(EXPLAIN_FLAGS)}
`;

const MEANING: Readonly<Record<BatchReason, string>> = {
  preferred_batch_size: 'a preferred_batch_size was reached',
  max_batch_size: 'the batch was full, or the next request did not fit into max_batch_size',
  max_queue_delay: 'the oldest request had waited for max_queue_delay_microseconds',
  different_shapes: 'the next request had other shapes',
  nothing_else_waiting: 'an instance was idle and nothing else waited (max_queue_delay_microseconds is 0)',
  no_batching: 'the model runs every request alone',
  sequence_slots: 'the sequences in the slots had requests ready',
};

/** `goodput explain batching MODEL`. Returns the exit status. */
export async function explainCommand(argv: readonly string[]): Promise<number> {
  if (argv.length === 0 || argv.includes('--help')) {
    process.stdout.write(USAGE);
    return 0;
  }
  const [topic, model, ...rest] = argv;
  if (topic !== 'batching' || model === undefined || model.startsWith('--')) {
    throw new UsageError("'goodput explain' takes 'batching MODEL'");
  }
  const flags = parseFlags(rest, EXPLAIN_FLAGS);
  const base = flags.string('url', 'http://127.0.0.1:8000').replace(/\/$/, '');
  const version = flags.optional('model-version');
  const path = `/v2/models/${encodeURIComponent(model)}${version === undefined ? '' : `/versions/${version}`}/batching`;
  const url = (base.includes('://') ? base : `http://${base}`) + path;
  process.stdout.write(describe(await fetchView(url)));
  return 0;
}

async function fetchView(url: string): Promise<BatchingView> {
  let answer: { status: number; text: string };
  try {
    const response = await fetch(url);
    answer = { status: response.status, text: await response.text() };
  } catch (error) {
    const { cause } = error as { cause?: unknown };
    throw new Error(`no server answers at ${url}: ${errorMessage(cause ?? error)}`, { cause: error });
  }
  if (answer.status !== 200) throw new Error(`${url} answers ${answer.status}: ${answer.text}`);
  return JSON.parse(answer.text) as BatchingView;
}

const BAR = 30;

function describe(view: BatchingView): string {
  const head = `${view.model_name}, version ${view.model_version}: ${view.scheduler}, max_batch_size ${view.max_batch_size}, ${view.pending_requests} request(s) waiting\n`;
  if (view.batches.length === 0) return `${head}No batch has been executed yet.\n`;
  const total = view.batches.reduce((sum, batch) => sum + batch.executions, 0);
  const rows = view.batches.reduce((sum, batch) => sum + batch.executions * batch.batch_size, 0);
  const most = Math.max(...view.batches.map((batch) => batch.executions));
  const lines = view.batches.flatMap(({ batch_size: size, executions, reasons }) => {
    const bar = '#'.repeat(Math.max(1, Math.round((executions / most) * BAR)));
    const causes = BATCH_REASONS.flatMap((reason) => {
      const count = reasons[reason];
      return count === undefined ? [] : [`${' '.repeat(8)}${percent(count, executions)}  ${MEANING[reason]}`];
    });
    return [
      `${String(size).padStart(6)}  ${bar.padEnd(BAR)} ${executions} (${percent(executions, total).trim()})`,
      ...causes,
    ];
  });
  return `${head}${total} batches, ${(rows / total).toFixed(2)} rows in the mean\n\n  size  executions\n${lines.join('\n')}\n`;
}

function percent(part: number, whole: number): string {
  return `${((100 * part) / whole).toFixed(0)} %`.padStart(5);
}
