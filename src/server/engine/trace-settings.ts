/** The settings of the trace extension while nothing is traced, as Triton shows them. This version cannot trace. */
export const TRACE_OFF = {
  trace_level: ['OFF'],
  trace_rate: '1000',
  trace_count: '-1',
  log_frequency: '0',
  trace_file: '',
  trace_mode: 'triton',
} as const;
