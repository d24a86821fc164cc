/** Something that the user has to change before anything can be measured: one sentence. */
export class PerfError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'PerfError';
  }
}
