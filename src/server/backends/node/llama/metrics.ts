import type { MetricFamily } from '../../../../telemetry/index.ts';

/** Metrics of GGUF models, by model; `goodput_llama_tokens_total` also by `kind`: `prompt` or `generated`. */
export const LLAMA_FAMILIES = {
  tokens: { name: 'goodput_llama_tokens_total', type: 'counter', help: 'Tokens read and generated' },
  used: { name: 'goodput_llama_kv_cache_tokens', type: 'gauge', help: 'Tokens in the context memory now' },
  capacity: {
    name: 'goodput_llama_kv_cache_capacity_tokens',
    type: 'gauge',
    help: 'Tokens that the context memory holds',
  },
  speed: {
    name: 'goodput_llama_tokens_per_second',
    type: 'gauge',
    help: 'Tokens a second of the last answer, from the start of its prompt',
  },
} as const satisfies Readonly<Record<string, MetricFamily>>;
