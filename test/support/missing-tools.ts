/** Names of the tools that the set-up could not install: the tests that need them are skipped, by name. */
export const missingTools: readonly string[] = (process.env['GOODPUT_MISSING_TOOLS'] ?? '').split(',');
