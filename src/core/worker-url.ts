/**
 * The URL of a worker's entry file beside the caller. Sources run as `.ts` in a clone and as `.js` in the published
 * package; `new URL('./x.ts', import.meta.url)` is not rewritten by the compiler, so the extension is the caller's own.
 */
export function workerUrl(callerUrl: string, name: string): URL {
  const extension = callerUrl.endsWith('.ts') ? 'ts' : 'js';
  return new URL(`./${name}.${extension}`, callerUrl);
}
