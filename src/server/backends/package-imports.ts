import { registerHooks } from 'node:module';

/** What models and plug-ins import, wherever they lie, without a `node_modules` of their own. */
const MODULES: Readonly<Record<string, string>> = {
  'goodput/model': './node/model-api',
  'goodput/backend': './plugin-api',
};

let provided = false;

/** Makes the server's own modules importable by name in this thread. */
export function providePackageImports(): void {
  // Before Node 22.15 the package has to be in a folder above those who import it.
  if (provided || typeof registerHooks !== 'function') return;
  provided = true;
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  registerHooks({
    resolve(specifier, context, next) {
      const module = MODULES[specifier];
      if (module === undefined) return next(specifier, context);
      return { url: new URL(`${module}.${extension}`, import.meta.url).href, shortCircuit: true };
    },
  });
}
