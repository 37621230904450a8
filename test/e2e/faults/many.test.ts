// Thirty claims at once on all nodes, a snapshot of each at once, and all of them deleted at once.

import { expect, test } from 'vitest';
import { kubectl } from '../room/cluster.ts';
import { podWithClaims, snapshotsOf } from '../room/generated.ts';
import { openRoom, TEST_LIMIT_MS } from '../room/room.ts';

const room = openRoom('many');
const COUNT = 30;
const LIMIT_SECONDS = 900;

test(
  'thirty claims and snapshots, made and deleted at once',
  async () => {
    const nodes = (await kubectl(['get', 'nodes', '--output=jsonpath={.items[*].metadata.name}'])).split(' ');
    const claimsOn = (node: string) =>
      Array.from({ length: COUNT }, (_, index) => index)
        .filter((index) => nodes[index % nodes.length] === node)
        .map((index) => ({ name: `claim-${index}`, size: '16Mi', volumeMode: 'Filesystem' as const }));
    for (const node of nodes) await room.create(podWithClaims(`on-${node}`, node, claimsOn(node)));
    for (const node of nodes) await room.condition(`pod/on-${node}`, 'Ready', LIMIT_SECONDS);
    for (const node of nodes) {
      await room.exec(`on-${node}`, 'sh', '-c', 'for d in /data/*; do echo $d >$d/name; done; sync');
    }
    await room.remember();
    const names = nodes.flatMap((node) => claimsOn(node).map(({ name }) => name));
    expect(names.length).toBe(COUNT);
    await room.create(snapshotsOf(names));
    const ready = ['wait', '--for=jsonpath={.status.readyToUse}=true', 'volumesnapshot', '--all'];
    await room.kubectl(...ready, `--timeout=${LIMIT_SECONDS}s`);
    await room.remember();
    await room.kubectl('delete', 'pod,pvc,volumesnapshot', '--all', `--timeout=${LIMIT_SECONDS}s`);
    expect(await room.kubectl('get', 'pod,pvc,volumesnapshot', '--output=name')).toBe('');
  },
  3 * TEST_LIMIT_MS,
);
