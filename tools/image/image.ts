// `./dev image`: the driver's image as one file, and what there is to know of it.

import { mkdir, rename, writeFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { ToolError } from '../fault.ts';
import { readOptions } from '../options.ts';
import { step } from '../progress.ts';
import { DEFAULT_REFERENCE, driverImage } from './driver-image.ts';

const USAGE = `usage: ./dev image [OPTIONS]
  --out FILE         where to write the archive (dist/snapmerge-image.tar)
  --reference NAME   what it is called: host/name:tag (${DEFAULT_REFERENCE})
Load it with one of: ctr -n k8s.io images import FILE; docker load -i FILE; podman load -i FILE;
kind load image-archive FILE; minikube image load FILE.`;

const REFERENCE = /^[a-z0-9][a-z0-9.:-]*(\/[a-z0-9][a-z0-9._-]*)+:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;

const mib = (bytes: number): string => `${(bytes / 1024 ** 2).toFixed(1)} MiB`;

export const image = async (args: readonly string[]): Promise<number> => {
  const { out, reference, help } = readOptions(USAGE, args, {
    out: { type: 'string', default: 'dist/snapmerge-image.tar' },
    reference: { type: 'string', default: DEFAULT_REFERENCE },
    help: { type: 'boolean', default: false },
  });
  if (help) {
    process.stdout.write(`${USAGE}\n`);
    return 0;
  }
  if (!REFERENCE.test(reference)) throw new ToolError(`Cannot call an image '${reference}': want host/name:tag`);
  const { content, digest, layers } = await step('building the image', () => driverImage(reference));
  await mkdir(dirname(resolve(out)), { recursive: true });
  // Whole or not at all: somebody may be loading the one before.
  await writeFile(`${out}.tmp`, content);
  await rename(`${out}.tmp`, out);
  const unpacked = layers.reduce((sum, layer) => sum + gunzipSync(layer.content).length, 0);
  process.stdout.write(
    [
      `${out}: ${mib(content.length)}, ${mib(unpacked)} unpacked`,
      ...layers.map((layer) => `  ${mib(layer.content.length)} ${layer.createdBy}`),
      `${reference}@${digest}`,
      '',
    ].join('\n'),
  );
  return 0;
};
