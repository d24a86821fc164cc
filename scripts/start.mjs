// npm start: installs what is missing, serves examples/quickstart, sends real inputs through it, and keeps serving.
//   npm start -- --once   stop after the demonstration
import { fetchModels } from './fetch-models.mjs';
import { runSource } from './lib.mjs';
import { setupPackages, setupPython } from './setup.mjs';

setupPackages();
fetchModels();
setupPython();
runSource('examples/demo/main.ts');
