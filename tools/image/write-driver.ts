// `node tools/image/write-driver.ts FOLDER`: what is ours in the image, as a tree, for builds by a Containerfile.

import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { driverFiles } from './driver-image.ts';

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error('usage: write-driver.ts FOLDER');
for (const { path, content, executable } of await driverFiles()) {
  await mkdir(dirname(join(folder, path)), { recursive: true });
  await writeFile(join(folder, path), content, { mode: executable === true ? 0o755 : 0o644 });
}
