import { internalError, type ServerError } from '../../core/index.ts';

/** The answer that is awaited from a worker for one step of its life; there is one at a time. */
export class AwaitedAnswer<T> {
  private readonly timeoutMs: number;
  private pending: { resolve(value: T): void; reject(error: ServerError): void } | undefined;

  constructor(timeoutMs: number) {
    this.timeoutMs = timeoutMs;
  }

  /** @throws INTERNAL when it does not come in time, or what {@link reject} is told */
  async wait(what: string): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise<T>((resolve, reject) => {
        this.pending = { resolve, reject };
        timer = setTimeout(
          () => reject(internalError(`'${what}' took longer than ${this.timeoutMs / 1000} s`)),
          this.timeoutMs,
        );
      });
    } finally {
      clearTimeout(timer);
      this.pending = undefined;
    }
  }

  resolve(value: T): void {
    this.pending?.resolve(value);
  }

  reject(error: ServerError): void {
    this.pending?.reject(error);
  }
}
