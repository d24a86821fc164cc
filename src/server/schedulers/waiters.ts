/** Those who wait for a condition that somebody else brings about. */
export class Waiters {
  private readonly waiting: (() => void)[] = [];

  /** Resolves the first time that `check` holds, now or after a {@link notify}. */
  async until(check: () => boolean): Promise<void> {
    while (!check()) await new Promise<void>((resolve) => this.waiting.push(resolve));
  }

  /** To be called whenever something that is waited for may have changed. */
  notify(): void {
    for (const wake of this.waiting.splice(0)) wake();
  }
}
