// npm test: installs everything the tests need, then runs them all under the pinned Node.
//   npm test -- PATTERN   only the files whose path contains PATTERN
import { fetchModels } from './fetch-models.mjs';
import { runSource } from './lib.mjs';
import { pythonPath, setupLanguageModel, setupPackages, setupPython, setupTextPipeline, setupTfjs } from './setup.mjs';
import { setupTestTools } from './test-tools.mjs';

setupPackages();
fetchModels();
setupPython();
const minilm = setupTextPipeline();
setupLanguageModel();
setupTfjs();
const missing = setupTestTools();
runSource('scripts/run-tests.ts', {
  GOODPUT_MISSING_TOOLS: missing.join(','),
  GOODPUT_PYTHON: pythonPath(),
  GOODPUT_TEST_MINILM: minilm,
});
