import { errorMessage } from '../../core/index.ts';
import { scanRepositories } from '../../repository/index.ts';
import type { ModelControl } from './model-control.ts';
import type { EngineOptions } from './options.ts';
import { fingerprint } from './repository-watch.ts';

/** Follows changes of the repositories: loads what is new or changed, unloads what is gone. */
export class RepositoryPoller {
  private readonly options: EngineOptions;
  private readonly control: ModelControl;
  private readonly fingerprints = new Map<string, string>();
  private timer: NodeJS.Timeout | undefined;
  private stopped = false;

  constructor(options: EngineOptions, control: ModelControl) {
    this.options = options;
    this.control = control;
  }

  /** Takes what is there now for known, and looks again every `pollSeconds`. */
  async start(): Promise<void> {
    const { folders } = await scanRepositories(this.options.repositories);
    for (const folder of folders.values()) this.fingerprints.set(folder.name, await fingerprint(folder.path));
    this.next();
  }

  stop(): void {
    this.stopped = true;
    clearTimeout(this.timer);
  }

  private next(): void {
    if (this.stopped) return;
    this.timer = setTimeout(() => {
      void this.poll()
        .catch((error: unknown) =>
          this.options.logger.error(`polling the model repository failed: ${errorMessage(error)}`),
        )
        .finally(() => this.next());
    }, this.options.pollSeconds * 1000);
    this.timer.unref();
  }

  private async poll(): Promise<void> {
    const { folders } = await scanRepositories(this.options.repositories);
    const work: Promise<unknown>[] = [];
    for (const folder of folders.values()) {
      const seen = await fingerprint(folder.path);
      if (this.fingerprints.get(folder.name) === seen) continue;
      this.fingerprints.set(folder.name, seen);
      work.push(this.control.load(folder.name).catch(() => undefined));
    }
    for (const name of this.fingerprints.keys()) {
      if (folders.has(name)) continue;
      this.fingerprints.delete(name);
      work.push(this.control.unload(name));
    }
    await Promise.all(work);
  }
}
