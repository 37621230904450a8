// The driver as it is shipped: one JavaScript file and the .proto files beside it, and the same as an archive that a
// guest unpacks at boot.

import { readFile, readdir, mkdir, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { build } from 'esbuild';
import { cached, hashOf } from './cache.ts';
import { tar } from './tar.ts';
import type { TarFile } from './tar.ts';

export interface Bundle {
  /** `snapmerge.mjs`, with `proto/` in the same folder. */
  readonly path: string;
  /** The same below `opt/snapmerge/`. */
  readonly tarPath: string;
}

const ROOT = join(import.meta.dirname, '..');

/** Packages written for CommonJS ask for `require`, which an ES module does not have by itself. */
const BANNER = `import { createRequire as snapmergeCreateRequire } from 'node:module';
const require = snapmergeCreateRequire(import.meta.url);
const __filename = import.meta.filename;
const __dirname = import.meta.dirname;`;

export const buildBundle = async (): Promise<Bundle> => {
  const built = await build({
    entryPoints: [join(ROOT, 'src/main.ts')],
    absWorkingDir: ROOT,
    outfile: 'snapmerge.mjs',
    write: false,
    bundle: true,
    platform: 'node',
    target: 'node26',
    format: 'esm',
    sourcemap: 'linked',
    sourcesContent: false,
    banner: { js: BANNER },
    logLevel: 'silent',
  });
  const protoDir = join(ROOT, 'proto');
  const protos = (await readdir(protoDir)).filter((name) => name.endsWith('.proto')).toSorted();
  const files: readonly TarFile[] = [
    ...built.outputFiles.map(({ path, contents }) => ({ path: basename(path), content: contents })),
    ...(await Promise.all(
      protos.map(async (name) => ({ path: `proto/${name}`, content: await readFile(join(protoDir, name)) })),
    )),
  ];
  const archive = tar(files.map((file) => ({ ...file, path: `opt/snapmerge/${file.path}` })));
  const dir = await cached('bundle', hashOf(archive), 'bundling the driver', async (path) => {
    for (const file of files) {
      await mkdir(dirname(join(path, file.path)), { recursive: true });
      await writeFile(join(path, file.path), file.content);
    }
    await writeFile(join(path, 'bundle.tar'), archive);
  });
  return { path: join(dir, 'snapmerge.mjs'), tarPath: join(dir, 'bundle.tar') };
};
