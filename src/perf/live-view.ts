import type { PerfOptions } from './options.ts';
import type { Recorder } from './recorder.ts';

/** Where the view is drawn: a terminal. */
export interface Terminal {
  readonly columns: number;
  write(text: string): void;
}

const REFRESH_MS = 250;
const BARS = '▁▂▃▄▅▆▇█';
const LINES = 4;

const BOLD = '\u001b[1m';
const DIM = '\u001b[2m';
const RED = '\u001b[31m';
const PLAIN = '\u001b[0m';
/** Up by so many lines, and everything below is gone. */
const ERASE = `\u001b[${LINES}A\u001b[0J`;

/** Shows a terminal how a level is going, in a few lines that are written over again and again. */
export class LiveView {
  private readonly terminal: Terminal;
  private readonly options: PerfOptions;
  private timer: NodeJS.Timeout | undefined;
  private drawn = false;
  private recorder: Recorder | undefined;
  private window = 0;
  private windowStarted = 0;
  private levelStarted = 0;
  private counted = 0;
  private countedAt = 0;
  private throughputs: number[] = [];

  constructor(terminal: Terminal, options: PerfOptions) {
    this.terminal = terminal;
    this.options = options;
  }

  /** A level begins. */
  begin(): void {
    this.throughputs = [];
    this.levelStarted = performance.now();
    this.timer = setInterval(() => this.refresh(), REFRESH_MS);
  }

  /** A window begins; what ends in it goes into the recorder. */
  windowBegins(recorder: Recorder, number: number): void {
    this.recorder = recorder;
    this.window = number;
    this.windowStarted = performance.now();
    this.counted = 0;
    this.countedAt = this.windowStarted;
  }

  /** The level is over: nothing of the view stays. */
  end(): void {
    clearInterval(this.timer);
    this.erase();
  }

  private refresh(): void {
    const { recorder } = this;
    if (!recorder) return;
    const now = performance.now();
    const count = recorder.succeeded;
    const rate = ((count - this.counted) * this.options.batchSize * 1000) / (now - this.countedAt);
    this.counted = count;
    this.countedAt = now;
    this.throughputs.push(rate);
    const lines = this.lines(recorder, rate, now).map((line) => clip(line, this.terminal.columns));
    this.erase();
    this.terminal.write(`${lines.join('\n')}\n`);
    this.drawn = true;
  }

  private erase(): void {
    if (this.drawn) this.terminal.write(ERASE);
    this.drawn = false;
  }

  private lines({ latency, failed, failures }: Recorder, rate: number, now: number): readonly string[] {
    const room = Math.max(10, Math.min(60, this.terminal.columns - 44));
    const recent = this.throughputs.slice(-room);
    const [last] = [...failures.keys()].slice(-1);
    const errors =
      failed === 0 ? `${DIM}no errors${PLAIN}` : `${RED}${failed} failed${PLAIN} ${DIM}${last ?? ''}${PLAIN}`;
    const percentile = (percent: number): string => `${DIM}p${percent}${PLAIN} ${micros(latency.percentile(percent))}`;
    return [
      `  ${DIM}throughput${PLAIN} ${BOLD}${rate.toFixed(0).padStart(8)}${PLAIN} infer/sec  ${sparkline(recent)}`,
      `  ${DIM}latency${PLAIN}    ${[50, 90, 99, 99.9].map(percentile).join('  ')}`,
      `  ${errors}`,
      `  ${DIM}${this.progress(now)}${PLAIN}`,
    ];
  }

  private progress(now: number): string {
    const { measuring } = this.options;
    const elapsed = (now - this.levelStarted) / 1000;
    switch (measuring.kind) {
      case 'count':
        return `${this.counted} of ${measuring.requests} requests, ${elapsed.toFixed(0)} s`;
      case 'duration':
        return `${elapsed.toFixed(0)} of ${measuring.seconds} s`;
      case 'windows': {
        const left =
          Math.max(0, 3 - this.window + 1 - (now - this.windowStarted) / measuring.intervalMs) *
          (measuring.intervalMs / 1000);
        const eta = this.window <= 3 ? `${left.toFixed(0)} s to go at least` : 'until three in a row agree';
        return `window ${this.window} of at most ${measuring.maxTrials}, ${eta}`;
      }
      default:
        return measuring satisfies never;
    }
  }
}

function sparkline(values: readonly number[]): string {
  const most = Math.max(...values, 1);
  return values
    .map((value) => BARS[Math.min(BARS.length - 1, Math.floor((value / most) * BARS.length))] ?? '')
    .join('');
}

function micros(nanoseconds: number): string {
  const value = nanoseconds / 1000;
  return (value >= 10_000 ? `${(value / 1000).toFixed(1)} ms` : `${value.toFixed(0)} us`).padEnd(8);
}

// oxlint-disable-next-line no-control-regex -- that is what colours begin with
const COLOUR = /\u001b\[\d+m/y;

/** As much of a line as fits, colours not counted. */
function clip(line: string, columns: number): string {
  let shown = 0;
  let at = 0;
  while (at < line.length) {
    COLOUR.lastIndex = at;
    const colour = COLOUR.exec(line);
    if (colour) at += colour[0].length;
    else if (shown < columns - 1) {
      shown++;
      at++;
    } else return `${line.slice(0, at)}${PLAIN}`;
  }
  return line;
}
