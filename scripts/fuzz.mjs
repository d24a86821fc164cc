// npm run fuzz: inputs changed at random, millions of them; see test/fuzz/main.ts for what it takes.
import { runSource } from './lib.mjs';
import { setupPackages } from './setup.mjs';

setupPackages();
runSource('test/fuzz/main.ts');
