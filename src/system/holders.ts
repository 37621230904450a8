// Who has a block device open, in words: mounts in any mount namespace and processes as far as /proc shows them, devices over
// it. Looked for only when something is refused for it.

import type { Argv, Exec } from './exec.ts';

/** Of so many of a kind each is named; more say nothing more. */
const NAMED = 4;

const LIMIT_MS = 5000;

/**
 * `majorMinor` of a dm device. Reads nothing of any disk; empty where all holders are out of sight. What does not answer in
 * time, because a mount hangs, is left out.
 */
export async function holdersOf(exec: Exec, majorMinor: string): Promise<readonly string[]> {
  const node = nodeName(majorMinor);
  const signal = AbortSignal.timeout(LIMIT_MS);
  // What ends while it is looked at makes these commands end with another code. Older programs pad what they print.
  const lines = async (argv: Argv): Promise<readonly string[]> => {
    const result = await exec(argv, { signal }).catch(() => ({ stdout: '' }));
    return result.stdout
      .replaceAll('\\x20', '')
      .split('\n')
      .filter((line) => line !== '');
  };
  const over = await lines(listOver(node));
  const inode = (await lines(['stat', '--format', '%Hd:%Ld %i', `/dev/${node}`]))[0];
  const loops = (await lines(['losetup', '--list', '--noheadings', '--raw', '--output', 'NAME,BACK-MAJ:MIN,BACK-INO']))
    .map((line) => /^(\S+) (.*)$/.exec(line) ?? [])
    .flatMap(([, name, backing]) => (name !== undefined && backing === inode ? [name] : []));
  const mounts = mountsIn(await lines(mountsOf(majorMinor)));
  const openers = [
    ...new Set((await lines(openersOf(node))).flatMap((path) => /^\/proc\/(\d+)\//.exec(path)?.[1] ?? [])),
  ];
  const nameOf = async (pid: string) => processNamed(pid, async (argv) => (await lines(argv)).join('\n'));
  const named = async (pids: readonly string[]) => Promise.all(pids.slice(0, NAMED).map(nameOf));
  return [
    ...over.map((name) => `device ${name}`),
    ...loops.map((name) => `loop device ${name}`),
    ...(await named(openers)),
    ...(await Promise.all(
      mounts.slice(0, NAMED).map(async ({ at, pid }) => `a mount at ${at} as ${await nameOf(pid)} sees it`),
    )),
  ];
}

/** `read` gives what a command prints, nothing where it fails. */
export async function processNamed(pid: string, read: (argv: Argv) => Promise<string>): Promise<string> {
  const name = (await read(['cat', `/proc/${pid}/comm`])).trim();
  return `process ${pid}${name === '' ? '' : ` (${name})`}`;
}

/** The devices whose tables lie on one. */
export async function devicesOver(exec: Exec, majorMinor: string): Promise<readonly string[]> {
  const { stdout } = await exec(listOver(nodeName(majorMinor)));
  return stdout.split('\n').filter((line) => line !== '');
}

function nodeName(majorMinor: string): string {
  return `dm-${majorMinor.split(':')[1]}`;
}

function listOver(node: string): Argv {
  return ['ls', `/sys/block/${node}/holders`];
}

/** As a part of a sentence, with what a person can do where none is in sight. */
export function heldBy(holders: readonly string[], majorMinor: string): string {
  if (holders.length > 0) return `held by ${holders.join(', ')}`;
  const node = `/dev/${nodeName(majorMinor)}`;
  return (
    `held by somebody whom this process does not see; on the node 'fuser -v ${node}' and ` +
    `'grep -l " ${majorMinor} " /proc/[0-9]*/mountinfo' name who`
  );
}

/** `/proc/12/mountinfo:36 35 253:3 / /mnt ...`, the first line of each process that has it mounted. */
function mountsOf(majorMinor: string): Argv {
  const grep = ['grep', '-H', '-m', '1', '-F', ` ${majorMinor} `, '{}', '+'];
  return ['find', '/proc', '-mindepth', '2', '-maxdepth', '2', '-name', 'mountinfo', '-exec', ...grep];
}

/** The same for each process that has it open. Nothing else of a process is listed: that may wait for what it waits for. */
function openersOf(node: string): Argv {
  const others = [
    '-regex',
    '/proc/[^0-9/][^/]*',
    '-prune',
    '-o',
    '-regex',
    '/proc/[0-9]+/[^/]+',
    '!',
    '-name',
    'fd',
    '-prune',
  ];
  return [
    'find',
    '/proc',
    '-mindepth',
    '1',
    '-maxdepth',
    '3',
    '-regextype',
    'posix-extended',
    ...others,
    '-o',
    '-lname',
    `*/${node}`,
    '-print',
  ];
}

/** Each path once, with the first process that sees it there. */
function mountsIn(lines: readonly string[]): readonly { readonly at: string; readonly pid: string }[] {
  const found = new Map<string, string>();
  for (const line of lines) {
    const [, pid, at] = /^\/proc\/(\d+)\/mountinfo:\S+ \S+ \S+ \S+ (\S+) /.exec(line) ?? [];
    if (pid !== undefined && at !== undefined && !found.has(at)) found.set(at, pid);
  }
  return [...found].map(([at, pid]) => ({ at, pid }));
}
