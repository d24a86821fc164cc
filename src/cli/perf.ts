import { createWriteStream, readFileSync, writeFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { errorMessage } from '../core/index.ts';
import { createKserveClient } from '../client/index.ts';
import {
  comparisonText,
  csvReport,
  htmlReport,
  LiveView,
  levelText,
  type LevelResult,
  levelTitle,
  parseSavedRun,
  PerfError,
  type PerfOptions,
  type PerfRun,
  profileExport,
  runPerf,
  saveRun,
  settingsText,
  startRecordProxy,
  summaryText,
  windowText,
} from '../perf/index.ts';
import { type FlagValues, formatFlags, parseFlags, UsageError } from './flags.ts';
import { PERF_FLAGS, REFUSED_PERF_FLAGS } from './perf-flag-specs.ts';
import { perfOptions, serverAddress } from './perf-options.ts';
import { packageVersion } from './version.ts';

/** Exit codes of perf_analyzer; 1 is ours, for a result that some requests are missing from. */
const EXIT = { success: 0, failures: 1, unstable: 2, error: 99 } as const;

/** `goodput perf`, and `perf_analyzer`. */
export async function perfCommand(argv: readonly string[]): Promise<number> {
  if (argv[0] === 'compare') return compareCommand(argv.slice(1));
  if (argv.includes('--help') || argv.includes('-h')) {
    print(
      `Usage: goodput perf -m MODEL [flags]\n\nMeasures a model on a KServe v2 server.\n\n${formatFlags(PERF_FLAGS)}\n`,
    );
    return EXIT.success;
  }
  if (argv.includes('--version')) {
    print(`goodput perf ${packageVersion()}\n`);
    return EXIT.success;
  }
  const flags = parseFlags(splitDuration(argv), PERF_FLAGS, REFUSED_PERF_FLAGS);
  const recording = flags.optional('record');
  if (recording !== undefined) return record(flags, recording);
  const options = perfOptions(flags);
  const interrupted = new AbortController();
  const stop = (): void => interrupted.abort();
  process.once('SIGINT', stop);
  try {
    await applyTraceSettings(flags, options);
    return await run(flags, options, interrupted.signal);
  } catch (error) {
    if (!(error instanceof PerfError)) throw error;
    process.stderr.write(`error: ${error.message}\n`);
    return EXIT.error;
  } finally {
    process.off('SIGINT', stop);
  }
}

/** `goodput perf --record FILE`. */
async function record(flags: FlagValues, file: string): Promise<number> {
  const target = serverAddress(flags.string('url', 'localhost:8000'), 8000);
  const listenAt = serverAddress(flags.string('listen', '127.0.0.1:8010'), 8010);
  try {
    const proxy = await startRecordProxy(listenAt, target, file);
    print(
      `Recording into ${file}: clients of ${target.host}:${target.port} go to ${listenAt.host}:${proxy.port} now. Ctrl-C ends it.\n`,
    );
    await new Promise<void>((resolve) => {
      for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => resolve());
    });
    await proxy.close();
    const { recorded, passed } = proxy.counts;
    print(`Recorded ${recorded} requests${passed > 0 ? `; ${passed} passed that cannot be replayed` : ''}.\n`);
    print(`Replay them: goodput perf -m MODEL --input-data ${file}\n`);
    return EXIT.success;
  } catch (error) {
    process.stderr.write(`error: cannot record: ${errorMessage(error)}\n`);
    return EXIT.error;
  }
}

/** `goodput perf compare A B`. */
function compareCommand(files: readonly string[]): number {
  const [before, after] = files;
  if (before === undefined || after === undefined || files.length > 2) {
    throw new UsageError('usage: goodput perf compare A B, with two files of goodput perf --save');
  }
  try {
    const [first, second] = [before, after].map((file) => parseSavedRun(readFileSync(file, 'utf8'), file));
    if (first && second) print(comparisonText(first, second));
    return EXIT.success;
  } catch (error) {
    process.stderr.write(`error: ${errorMessage(error)}\n`);
    return EXIT.error;
  }
}

/** A bare `-d` is perf_analyzer's old switch; with a number it is a duration. */
function splitDuration(argv: readonly string[]): readonly string[] {
  return argv.map((word, index) => {
    if (word !== '-d') return word;
    return /^[\d.]+$/.test(argv[index + 1] ?? '') ? '--duration' : '--dynamic-concurrency';
  });
}

async function run(flags: FlagValues, options: PerfOptions, signal: AbortSignal): Promise<number> {
  const verbose = flags.boolean('verbose', false);
  const origin = BigInt(Math.round((Date.now() - performance.now()) * 1e6));
  // Scripts read plain lines; people at a terminal see how it goes.
  const live = process.stdout.isTTY && !verbose ? new LiveView(process.stdout, options) : undefined;
  const outcome = await runPerf(
    options,
    {
      began: () => print(settingsText(options)),
      level(level) {
        print(levelTitle(options.mode, level));
        live?.begin();
      },
      windowBegins: (recorder, number) => live?.windowBegins(recorder, number),
      window(window, number) {
        if (verbose) print(windowText(window, number, options));
      },
      result(result, model) {
        live?.end();
        print(levelText(result, model, options, verbose));
      },
    },
    signal,
  ).finally(() => live?.end());
  print(summaryText(outcome.results, options));
  await writeFiles(flags, options, outcome, origin);
  return exitCode(outcome.results);
}

async function writeFiles(
  flags: FlagValues,
  options: PerfOptions,
  { model, results }: PerfRun,
  origin: bigint,
): Promise<void> {
  const csv = flags.optional('report-file');
  const exported = flags.optional('profile-export-file');
  try {
    if (csv !== undefined) writeFileSync(csv, csvReport(results, model, options, flags.boolean('verbose-csv', false)));
    const saved = saveRun(results, options, new Date());
    const [report, save] = [flags.optional('report'), flags.optional('save')];
    if (report !== undefined) writeFileSync(report, htmlReport(saved));
    if (save !== undefined) writeFileSync(save, `${JSON.stringify(saved)}\n`);
    if (exported !== undefined) {
      await pipeline(
        Readable.from(profileExport(results, options, origin, packageVersion())),
        createWriteStream(exported),
      );
    }
  } catch (error) {
    throw new PerfError(`cannot write the results: ${errorMessage(error)}`);
  }
}

function exitCode(results: readonly LevelResult[]): number {
  const some = (test: (result: LevelResult) => boolean): boolean => results.some(test);
  if (some(({ measurement }) => measurement.stability.kind === 'incomplete' || measurement.recorder.failed > 0))
    return EXIT.failures;
  if (some(({ measurement }) => measurement.stability.kind === 'unstable' || measurement.delivery.kind === 'short'))
    return EXIT.unstable;
  return EXIT.success;
}

async function applyTraceSettings(
  flags: FlagValues,
  { protocol, endpoint, headers, model }: PerfOptions,
): Promise<void> {
  const names = ['trace-level', 'trace-rate', 'trace-count', 'log-frequency'] as const;
  const settings = names
    .filter((name) => flags.has(name))
    .map((name) => [name.replace('-', '_'), flags.all(name)] as const);
  if (settings.length === 0) return;
  const client = createKserveClient(protocol, endpoint, headers);
  try {
    await client.traceSettings(model, Object.fromEntries(settings));
  } catch (error) {
    throw new PerfError(`the server does not take the trace settings: ${errorMessage(error)}`);
  } finally {
    client.close();
  }
}

function print(text: string): void {
  process.stdout.write(text);
}
