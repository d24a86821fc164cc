export { csvReport } from './csv.ts';
export {
  DISTRIBUTIONS,
  type InputSource,
  type LoadMode,
  type Measuring,
  type PerfOptions,
  PROTOCOLS,
  type Protocol,
  type Range,
} from './options.ts';
export { PerfError } from './perf-error.ts';
export { profileExport } from './profile-export.ts';
export { levelText, type LevelResult, levelTitle, settingsText, summaryText, windowText } from './report.ts';
export { type PerfRun, runPerf } from './run.ts';
export { comparisonText } from './compare.ts';
export { LiveView } from './live-view.ts';
export { startRecordProxy } from './record-proxy.ts';
export { isRecording, readRecording } from './recording.ts';
export { htmlReport } from './html-report.ts';
export { parseSavedRun, saveRun } from './saved-run.ts';
