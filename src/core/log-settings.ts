import { LOG_FORMATS, type LogSettings } from './logger.ts';
import { invalidArgument } from './server-error.ts';

/**
 * A change of settings under the names of the logging extension; unknown names are ignored, as in Triton.
 * @throws INVALID_ARG naming the setting
 */
export function parseLogSettings(body: Readonly<Record<string, unknown>>): Partial<LogSettings> {
  const change: Partial<LogSettings> = {};
  for (const [name, value] of Object.entries(body)) {
    switch (name) {
      case 'log_info':
        change.logInfo = expectBoolean(name, value);
        break;
      case 'log_warning':
        change.logWarning = expectBoolean(name, value);
        break;
      case 'log_error':
        change.logError = expectBoolean(name, value);
        break;
      case 'log_verbose_level':
        if (!Number.isInteger(value) || (value as number) < 0)
          throw invalidArgument(`'${name}' must be an integer >= 0`);
        change.logVerboseLevel = value as number;
        break;
      case 'log_format': {
        const format = LOG_FORMATS.find((known) => known === value);
        if (!format)
          throw invalidArgument(`'${name}' must be one of ${LOG_FORMATS.join(', ')}, got ${JSON.stringify(value)}`);
        change.logFormat = format;
        break;
      }
      case 'log_file':
        throw invalidArgument("'log_file' can only be set when the server starts (--log-file)");
      default:
        break;
    }
  }
  return change;
}

function expectBoolean(name: string, value: unknown): boolean {
  if (typeof value !== 'boolean')
    throw invalidArgument(`'${name}' must be true or false, got ${JSON.stringify(value)}`);
  return value;
}

/** Settings under the names of the logging extension. */
export function describeLogSettings(
  settings: Readonly<LogSettings>,
): Readonly<Record<string, string | boolean | number>> {
  return {
    log_file: settings.logFile,
    log_info: settings.logInfo,
    log_warning: settings.logWarning,
    log_error: settings.logError,
    log_verbose_level: settings.logVerboseLevel,
    log_format: settings.logFormat,
  };
}
