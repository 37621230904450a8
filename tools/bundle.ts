// The driver as it is shipped: one JavaScript file to start, those that it loads when it needs them, and the .proto files
// beside them, and the same as an archive that a guest unpacks at boot.

import { readFile, readdir, mkdir, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { build } from 'esbuild';
import { z } from 'zod';
import { cached, hashOf } from './cache.ts';
import { tar } from './tar.ts';
import type { TarFile } from './tar.ts';

export interface Bundle {
  /** `snapmerge.mjs`, with `proto/` in the same folder. */
  readonly path: string;
  /** The same below `opt/snapmerge/`. */
  readonly tarPath: string;
  /** The same, path and content. */
  readonly files: readonly TarFile[];
}

const ROOT = join(import.meta.dirname, '..');

const MANIFEST = z.object({ name: z.string(), version: z.string(), license: z.string() });

/** Packages written for CommonJS ask for `require`, which an ES module does not have by itself. */
export const BANNER = `import { createRequire as snapmergeCreateRequire } from 'node:module';
const require = snapmergeCreateRequire(import.meta.url);
const __filename = import.meta.filename;
const __dirname = import.meta.dirname;`;

export const buildBundle = async (): Promise<Bundle> => {
  const built = await build({
    entryPoints: [join(ROOT, 'src/main.ts')],
    absWorkingDir: ROOT,
    // What is loaded when it is asked for (the driver, and its part for Kubernetes) lies in files of its own, so that the
    // command line does not read it.
    outdir: '.',
    entryNames: 'snapmerge',
    chunkNames: '[name]-[hash]',
    outExtension: { '.js': '.mjs' },
    splitting: true,
    write: false,
    bundle: true,
    platform: 'node',
    target: 'node26',
    format: 'esm',
    sourcemap: 'linked',
    sourcesContent: false,
    banner: { js: BANNER },
    metafile: true,
    logLevel: 'silent',
  });
  const protoDir = join(ROOT, 'proto');
  const protos = (await readdir(protoDir)).filter((name) => name.endsWith('.proto')).toSorted();
  const files: readonly TarFile[] = [
    ...built.outputFiles.map(({ path, contents }) => ({ path: basename(path), content: contents })),
    ...(await Promise.all(
      protos.map(async (name) => ({ path: `proto/${name}`, content: await readFile(join(protoDir, name)) })),
    )),
    { path: 'LICENSE', content: await readFile(join(ROOT, 'LICENSE')) },
    { path: 'THIRD-PARTY-LICENSES', content: await licencesOf(Object.keys(built.metafile.inputs)) },
  ];
  const archive = tar(files.map((file) => ({ ...file, path: `opt/snapmerge/${file.path}` })));
  const dir = await cached('bundle', hashOf(archive), 'bundling the driver', async (path) => {
    for (const file of files) {
      await mkdir(dirname(join(path, file.path)), { recursive: true });
      await writeFile(join(path, file.path), file.content);
    }
    await writeFile(join(path, 'bundle.tar'), archive);
  });
  return { path: join(dir, 'snapmerge.mjs'), tarPath: join(dir, 'bundle.tar'), files };
};

/** The licences of the packages that these sources come from, as their terms want it wherever they go. */
const licencesOf = async (sources: readonly string[]): Promise<string> => {
  const folders = sources.flatMap((path) => /^node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0] ?? []);
  const texts = [...new Set(folders)].sort().map(async (folder) => {
    const files = (await readdir(join(ROOT, folder))).filter((name) => /^(licen[cs]e|notice)/i.test(name)).sort();
    const parts = await Promise.all(files.map((name) => readFile(join(ROOT, folder, name), 'utf8')));
    const { name, version, license } = MANIFEST.parse(
      JSON.parse(await readFile(join(ROOT, folder, 'package.json'), 'utf8')),
    );
    return [`${name} ${version} (${license})`, ...parts.map((text) => text.trim())].join('\n\n');
  });
  return `${(await Promise.all(texts)).join(`\n\n${'-'.repeat(80)}\n\n`)}\n`;
};
