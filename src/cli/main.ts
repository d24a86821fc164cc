#!/usr/bin/env node
import { didYouMean, errorMessage } from '../core/index.ts';
import { compatCommand } from './compat.ts';
import { explainCommand } from './explain.ts';
import { UsageError } from './flags.ts';
import { newCommand } from './new-model.ts';
import { perfCommand } from './perf.ts';
import { GOODPUT_DEFAULTS, serveCommand, TRITON_DEFAULTS } from './serve.ts';
import { packageVersion } from './version.ts';

const USAGE = `Usage: goodput COMMAND [flags]

Commands:
  serve         Serve model repositories over KServe v2 HTTP and gRPC
  tritonserver  The same with tritonserver's own defaults
  perf -m MODEL Measure a model on a server: throughput, latencies, where the time goes
  explain batching MODEL
                Why the batches of a running model had the sizes they had
  new model DIR/NAME
                Start a model in TypeScript: a folder that can be served as it is
  compat DIR    Write tritonserver, perf_analyzer, ... scripts that call goodput
  version       Print the version

'goodput serve --help' and 'goodput perf --help' list their flags.
`;

/** Names that scripts may call through `goodput compat` and that this version does not have. */
const ABSENT_TOOLS: ReadonlySet<string> = new Set(['model-analyzer', 'genai-perf']);

const COMMANDS: Readonly<Record<string, (argv: readonly string[]) => number | Promise<number>>> = {
  serve: (argv) => serveCommand(argv, GOODPUT_DEFAULTS),
  tritonserver: (argv) => serveCommand(argv, TRITON_DEFAULTS),
  perf: perfCommand,
  perf_analyzer: perfCommand,
  explain: explainCommand,
  new: newCommand,
  compat: compatCommand,
  version: () => print(`goodput ${packageVersion()}\n`),
  '--version': () => print(`goodput ${packageVersion()}\n`),
  help: () => print(USAGE),
  '--help': () => print(USAGE),
};

function print(text: string): number {
  process.stdout.write(text);
  return 0;
}

async function main(argv: readonly string[]): Promise<number> {
  const [name, ...rest] = argv;
  if (name === undefined) {
    process.stderr.write(USAGE);
    return 2;
  }
  const command = COMMANDS[name];
  if (command) return command(rest);
  if (ABSENT_TOOLS.has(name)) throw new UsageError(`${name} is not part of goodput ${packageVersion()} yet`);
  throw new UsageError(`unknown command '${name}'${didYouMean(name, Object.keys(COMMANDS))}`);
}

/** What still runs when a command is done, an execution that no timeout ends for one, does not keep the process. */
const LINGER_MS = 1000;

try {
  process.exitCode = await main(process.argv.slice(2));
  setTimeout(() => process.exit(), LINGER_MS).unref();
} catch (error) {
  process.stderr.write(`goodput: ${errorMessage(error)}\n`);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
