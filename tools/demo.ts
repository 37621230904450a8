// `./dev demo`: the main job from beginning to end, in a guest, with a real CSI client, a real file system and a real
// database, told as a story. Ends non-zero when any check fails.

import { createClient } from '../test/demo/client.ts';
import { forkStory } from '../test/demo/forks.ts';
import { historyStory } from '../test/demo/history.ts';
import { demoNode } from '../test/demo/node.ts';
import { restoreStory } from '../test/demo/restore.ts';
import { CheckFailed, createStory } from '../test/demo/story.ts';
import { programsThroughout } from '../test/kernel/programs.ts';
import type { Guest } from '../vm/guest.ts';
import { prepareGuests, removeGuest, startGuest } from '../vm/guest.ts';
import { driverListens, driverTars } from './driver.ts';
import { CSI_SOCKET } from './forwarding.ts';
import { readOptions } from './options.ts';
import { say } from './progress.ts';

const NAME = 'demo';
const GIB = 1024 ** 3;
/** Bytes enough that the merge outlasts a mount, some checks and a look around. */
const DAMAGE_MIB = { tcg: 2000, kvm: 3000 } as const;

/** An emulated processor says so by its name. */
async function damageFor(guest: Guest): Promise<number> {
  const emulated = (await guest.output(['cat', '/proc/cpuinfo'])).includes('TCG');
  return emulated ? DAMAGE_MIB.tcg : DAMAGE_MIB.kvm;
}

const USAGE = `usage: ./dev demo [--short] [--programs]
  --short      without the part about older snapshots, restores that wait, and promotion
  --programs   while blkid, lvs, pvs, mdadm, parted and others of a node look at its devices, again and again`;

/** Resolves with what is to be said of it in the end. */
async function amongPrograms(guest: Guest, tell: () => Promise<void>): Promise<string> {
  const [, looks] = await programsThroughout(guest, tell);
  return `, while other programs looked at its devices ${looks} times`;
}

async function alone(tell: () => Promise<void>): Promise<string> {
  await tell();
  return '';
}

export const demo = async (args: readonly string[]): Promise<number> => {
  const options = readOptions(USAGE, args, {
    short: { type: 'boolean', default: false },
    programs: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  });
  if (options.help) {
    process.stdout.write(`${USAGE}\n`);
    return 0;
  }
  const startMs = performance.now();
  say((await prepareGuests()).about);
  const story = createStory((text) => process.stdout.write(text));
  const guest = await startGuest({ name: NAME, driver: true, diskSizeBytes: 14 * GIB, tars: await driverTars(NAME) });
  let csi: ReturnType<typeof createClient> | undefined;
  let socket: Awaited<ReturnType<Guest['forward']>> | undefined;
  try {
    await driverListens(guest);
    socket = await guest.forward(CSI_SOCKET);
    csi = createClient(socket.path);
    const parts = { story, csi, node: demoNode(guest), guest, damageMiB: await damageFor(guest) };
    const tell = async (): Promise<void> => {
      await forkStory(parts, await restoreStory(parts));
      if (!options.short) await historyStory(parts);
    };
    const beside = options.programs ? await amongPrograms(guest, tell) : await alone(tell);
    const minutes = ((performance.now() - startMs) / 60_000).toFixed(1);
    process.stdout.write(`\ndemo: ${story.checks()} checks passed in ${minutes} minutes${beside}\n`);
    return 0;
  } catch (error) {
    if (!(error instanceof CheckFailed)) {
      const log = await guest.exec(['tail', '-n', '15', '/var/log/snapmerge.log']).catch(() => undefined);
      process.stdout.write(`\n${Buffer.from(log?.stdout ?? []).toString()}`);
      throw error;
    }
    process.stdout.write(`\ndemo failed: ${error.message}\n`);
    return 1;
  } finally {
    csi?.close();
    await socket?.close();
    await guest.stop();
    await removeGuest(NAME);
  }
};
