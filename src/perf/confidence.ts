/** Student's t for 95 % by degrees of freedom, from 1; beyond them it is that of the normal distribution. */
const STUDENT_T = [
  12.71, 4.3, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.2, 2.18, 2.16, 2.14, 2.13, 2.12, 2.11, 2.1, 2.09, 2.09,
];
const NORMAL = 1.96;

/** How many standard errors a mean may be off, with 95 % confidence. */
export function studentT(freedom: number): number {
  return STUDENT_T[Math.max(1, Math.floor(freedom)) - 1] ?? NORMAL;
}

/** The mean of at least two values, and the variance of that mean. */
export function meanOf(values: readonly number[]): { readonly mean: number; readonly ofMean: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1);
  return { mean, ofMean: variance / values.length };
}
