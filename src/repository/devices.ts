import { execFile } from 'node:child_process';

/** One GPU as the configuration needs to know it. */
export interface GpuDevice {
  readonly id: number;
  /** Such as `8.6`. */
  readonly computeCapability: string;
}

/** The accelerators of this machine; injected, so that everything that depends on them runs without any. */
export interface DeviceInventory {
  readonly gpus: readonly GpuDevice[];
}

export const NO_DEVICES: DeviceInventory = { gpus: [] };

/** Asks `nvidia-smi`; a machine without it has no GPUs. */
export async function discoverDevices(): Promise<DeviceInventory> {
  const output = await new Promise<string>((resolve) => {
    execFile(
      'nvidia-smi',
      ['--query-gpu=index,compute_cap', '--format=csv,noheader'],
      { timeout: 5_000 },
      (error, stdout) => resolve(error ? '' : stdout),
    );
  });
  return { gpus: parseGpuList(output) };
}

/** Parses `index, compute_cap` lines. */
export function parseGpuList(csv: string): readonly GpuDevice[] {
  const gpus: GpuDevice[] = [];
  for (const line of csv.split('\n')) {
    const match = /^\s*(\d+)\s*,\s*(\d+\.\d+)\s*$/.exec(line);
    if (match?.[1] !== undefined && match[2] !== undefined)
      gpus.push({ id: Number(match[1]), computeCapability: match[2] });
  }
  return gpus;
}

/**
 * The model file for a device: the entry of `cc_model_filenames` for its compute capability (`"75"`, `"7.5"`),
 * else the default.
 */
export function modelFilenameFor(
  ccFilenames: Readonly<Record<string, string>>,
  defaultFilename: string,
  device: GpuDevice | undefined,
): string {
  if (!device) return defaultFilename;
  const dotted = device.computeCapability;
  return ccFilenames[dotted] ?? ccFilenames[dotted.replace('.', '')] ?? defaultFilename;
}
