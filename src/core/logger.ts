import { closeSync, openSync, writeSync } from 'node:fs';

export const LOG_LEVELS = ['ERROR', 'WARN', 'INFO', 'VERBOSE'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export const LOG_FORMATS = ['default', 'ISO8601', 'json'] as const;
export type LogFormat = (typeof LOG_FORMATS)[number];

/** What the `/v2/logging` extension reads and writes (Triton's `extension_logging.md`), plus the `json` format. */
export interface LogSettings {
  logFile: string;
  logInfo: boolean;
  logWarning: boolean;
  logError: boolean;
  /** 0 is off; larger numbers print more. */
  logVerboseLevel: number;
  logFormat: LogFormat;
}

/** Values that go along with a log line: model, version, request id and the like. */
export type LogFields = Readonly<Record<string, string | number | boolean>>;

export interface Logger {
  error(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  /** Printed when `--log-verbose` is at least `level`. */
  verbose(level: number, message: string, fields?: LogFields): void;
  readonly settings: Readonly<LogSettings>;
  update(change: Partial<LogSettings>): void;
}

export const DEFAULT_LOG_SETTINGS: Readonly<LogSettings> = {
  logFile: '',
  logInfo: true,
  logWarning: true,
  logError: true,
  logVerboseLevel: 0,
  logFormat: 'default',
};

const LETTER: Record<LogLevel, string> = { ERROR: 'E', WARN: 'W', INFO: 'I', VERBOSE: 'V' };

/** A logger that writes lines to standard error, or to `logFile` when one is set. */
export function createLogger(initial: Partial<LogSettings> = {}): Logger {
  const settings: LogSettings = { ...DEFAULT_LOG_SETTINGS, ...initial };
  let file: number | undefined = settings.logFile === '' ? undefined : openSync(settings.logFile, 'a');

  const write = (level: LogLevel, message: string, fields?: LogFields): void => {
    const line = `${formatLine(settings.logFormat, level, message, fields)}\n`;
    if (file === undefined) process.stderr.write(line);
    else writeSync(file, line);
  };

  return {
    settings,
    error: (message, fields) => settings.logError && write('ERROR', message, fields),
    warn: (message, fields) => settings.logWarning && write('WARN', message, fields),
    info: (message, fields) => settings.logInfo && write('INFO', message, fields),
    verbose: (level, message, fields) => settings.logVerboseLevel >= level && write('VERBOSE', message, fields),
    update(change) {
      if (change.logFile !== undefined && change.logFile !== settings.logFile) {
        const next = change.logFile === '' ? undefined : openSync(change.logFile, 'a');
        if (file !== undefined) closeSync(file);
        file = next;
      }
      Object.assign(settings, change);
    },
  };
}

/** A logger that drops everything; for tests and library use. */
export const silentLogger: Logger = {
  settings: DEFAULT_LOG_SETTINGS,
  error() {},
  warn() {},
  info() {},
  verbose() {},
  update() {},
};

function formatLine(format: LogFormat, level: LogLevel, message: string, fields?: LogFields): string {
  const now = new Date();
  switch (format) {
    case 'default':
      return `${LETTER[level]}${glogTime(now)} ${process.pid} goodput] ${JSON.stringify(message)}${suffix(fields)}`;
    case 'ISO8601':
      return `${now.toISOString()} ${level.padEnd(7)} ${process.pid} goodput] ${JSON.stringify(message)}${suffix(fields)}`;
    case 'json':
      return JSON.stringify({ time: now.toISOString(), level, pid: process.pid, message, ...fields });
    default:
      return format satisfies never;
  }
}

function suffix(fields?: LogFields): string {
  if (!fields) return '';
  return Object.entries(fields)
    .map(([key, value]) => ` ${key}=${value}`)
    .join('');
}

/** `MMDD hh:mm:ss.uuuuuu` in UTC, as Triton's default log format prints it. */
function glogTime(now: Date): string {
  const iso = now.toISOString();
  return `${iso.slice(5, 7)}${iso.slice(8, 10)} ${iso.slice(11, 23)}000`;
}
