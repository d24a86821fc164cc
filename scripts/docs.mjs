// npm run docs: writes docs/reference from the code.
import { join } from 'node:path';
import { pinnedNode, ROOT, run } from './lib.mjs';
import { setupPackages } from './setup.mjs';

setupPackages();
run(pinnedNode(), [join(ROOT, 'scripts', 'generate-docs.ts')]);
