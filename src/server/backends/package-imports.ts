import * as nodeModule from 'node:module';

/** What older versions of Node may not have. */
const { registerHooks }: Partial<Pick<typeof nodeModule, 'registerHooks'>> = nodeModule;

/** What models and plug-ins import, wherever they lie, without a `node_modules` of their own. */
const MODULES: Readonly<Record<string, string>> = {
  'goodput/model': './node/model-api',
  'goodput/backend': './plugin-api',
};

let provided = false;

/** Makes the server's own modules importable by name in this thread. */
export function providePackageImports(): void {
  if (provided) return;
  provided = true;
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const urls = Object.fromEntries(
    Object.entries(MODULES).map(([name, module]) => [name, new URL(`${module}.${extension}`, import.meta.url).href]),
  );
  if (registerHooks) {
    registerHooks({
      resolve(specifier, context, next) {
        const url = urls[specifier];
        return url === undefined ? next(specifier, context) : { url, shortCircuit: true };
      },
    });
    return;
  }
  // Node 20: the hook runs in a thread of its own, from a text.
  const hook = `const urls = ${JSON.stringify(urls)};
    export async function resolve(specifier, context, next) {
      const url = urls[specifier];
      return url === undefined ? next(specifier, context) : { url, shortCircuit: true };
    }`;
  nodeModule.register(`data:text/javascript,${encodeURIComponent(hook)}`);
}
