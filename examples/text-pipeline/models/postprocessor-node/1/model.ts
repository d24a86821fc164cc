import { defineModel } from 'goodput/model';

const CLASSES = ['sports', 'technology', 'business', 'science', 'politics', 'health'] as const;

/** From logits to `class (probability)`. */
export default defineModel({
  inputs: { logits: { type: 'FP32', dims: [CLASSES.length] } },
  outputs: { result: { type: 'BYTES', dims: [1] } },
  maxBatchSize: 32,
  run({ inputs: { logits } }) {
    const [rows = 0] = logits.shape;
    const values = Array.from({ length: rows }, (_, row) => {
      const scores = logits.values.subarray(row * CLASSES.length, (row + 1) * CLASSES.length);
      const best = scores.indexOf(Math.max(...scores));
      const total = scores.reduce((sum, score) => sum + Math.exp(score - (scores[best] ?? 0)), 0);
      return `${CLASSES[best]} (${(1 / total).toFixed(2)})`;
    });
    return { result: { shape: [rows, 1], values } };
  },
});
