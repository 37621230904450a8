// csi-sanity against the shipped bundle in a guest: `node test/csi/sanity.ts [--access mount,block] [--fs ext4,xfs]
// [--log DIR]`. Prints one line for each access type and ends non-zero when a spec fails, or is skipped without a reason.

import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { csiSanity } from '../../tools/csi-sanity.ts';
import { driverListens, driverTars } from '../../tools/driver.ts';
import { CSI_SOCKET } from '../../tools/forwarding.ts';
import { startGuest } from '../../vm/guest.ts';
import type { Guest } from '../../vm/guest.ts';
import { LOOK_IN_GUEST_EVERY_MS, waitFor } from '../../vm/wait.ts';
import { readReport } from './report.ts';

const MIB = 1024 ** 2;
/** xfs takes no less than 300 MiB. */
const VOLUME_BYTES: Readonly<Record<string, number>> = { ext4: 64 * MIB, xfs: 320 * MIB };
const RUN_LIMIT_MS = 900_000;
const CLEAN_LIMIT_MS = 120_000;
const WORK = '/tmp/csi-sanity';

interface Run {
  readonly access: string;
  readonly fsType: string;
}

async function runSanity(guest: Guest, { access, fsType }: Run, logDir: string | undefined): Promise<boolean> {
  const size = VOLUME_BYTES[fsType] ?? 64 * MIB;
  await guest.push({ 'parameters.yaml': `csi.storage.k8s.io/fstype: ${fsType}\n` }, WORK);
  const { code, stdout, stderr } = await guest.exec(
    [
      `${WORK}/csi-sanity`,
      `--csi.endpoint=${CSI_SOCKET}`,
      `--csi.testvolumeaccesstype=${access}`,
      `--csi.testvolumesize=${size}`,
      `--csi.testvolumeexpandsize=${2 * size}`,
      `--csi.testvolumeparameters=${WORK}/parameters.yaml`,
      `--csi.mountdir=${WORK}/mount`,
      `--csi.stagingdir=${WORK}/staging`,
      `--ginkgo.json-report=${WORK}/report.json`,
      '--ginkgo.no-color',
      '--ginkgo.v',
    ],
    { timeoutMs: RUN_LIMIT_MS },
  );
  const output = Buffer.concat([stdout, stderr]).toString();
  if (logDir !== undefined) await keep(logDir, `${access}-${fsType}`, output, guest);
  const result = readReport(Buffer.from(await guest.pull(`${WORK}/report.json`)).toString());
  for (const failure of result.failures) console.log(`csi-sanity ${access}: failed: ${failure}`);
  for (const skip of result.unexplained) console.log(`csi-sanity ${access}: skipped without a reason: ${skip}`);
  const { passed, failures, skipped, unexplained } = result;
  const bad = failures.length + unexplained.length;
  const note = fsType === 'ext4' ? '' : ` (${fsType})`;
  console.log(`csi-sanity ${access}: ${passed} passed, ${failures.length} failed, ${skipped} skipped${note}`);
  if (code !== 0 && bad === 0) console.log(`csi-sanity ${access}: ended with code ${code}: ${output.slice(-2000)}`);
  return code === 0 && bad === 0 && passed > 0;
}

async function keep(dir: string, name: string, output: string, guest: Guest): Promise<void> {
  await mkdir(dir, { recursive: true });
  await writeFile(join(dir, `csi-sanity-${name}.log`), output);
  await writeFile(join(dir, `driver-${name}.log`), await guest.pull('/var/log/snapmerge.log'));
}

/** What the runs left behind: no store. The driver removes those of what is deleted after its reply. */
async function isClean(guest: Guest): Promise<boolean> {
  let left = '';
  const look = async (): Promise<true | undefined> => {
    left = (await guest.output(['lvs', '--noheadings', '-o', 'lv_name', 'pool'])).trim();
    return left === '' ? true : undefined;
  };
  if ((await waitFor(CLEAN_LIMIT_MS, look, LOOK_IN_GUEST_EVERY_MS)) === true) return true;
  console.log(`csi-sanity: stores are left after ${CLEAN_LIMIT_MS / 1000} s: ${left.split(/\s+/).join(', ')}`);
  return false;
}

const { values } = parseArgs({
  options: {
    access: { type: 'string', default: 'mount,block' },
    fs: { type: 'string', default: 'ext4' },
    name: { type: 'string', default: 'csi-sanity' },
    log: { type: 'string' },
  },
});
const runs: readonly Run[] = values.access
  .split(',')
  .flatMap((access) => (access === 'mount' ? values.fs.split(',') : ['ext4']).map((fsType) => ({ access, fsType })));

// One of the two without udev, as in a container on a node that has none.
const udev = runs.some(({ access }) => access === 'mount');
const guest = await startGuest({ name: values.name, driver: true, udev, tars: await driverTars(values.name) });
try {
  await driverListens(guest);
  await guest.push({ 'csi-sanity': await readFile(await csiSanity()) }, WORK);
  await guest.output(['chmod', '755', `${WORK}/csi-sanity`]);
  let good = true;
  for (const run of runs) good = (await runSanity(guest, run, values.log)) && good;
  good = (await isClean(guest)) && good;
  process.exitCode = good ? 0 : 1;
} finally {
  await guest.stop();
}
