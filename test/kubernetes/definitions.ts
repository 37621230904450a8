// The custom resource definitions that the tests need, as a cluster has them: ours, and those of VolumeSnapshots.

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { ControlPlane } from '../../tools/cluster/control-plane.ts';

const OURS = join(import.meta.dirname, '../../deploy/crd/volumerestores.snapmerge.io.yaml');

export async function installDefinitions(plane: ControlPlane): Promise<void> {
  const { snapshotCrdDir } = plane.binaries;
  const snapshots = (await readdir(snapshotCrdDir)).filter((file) => /^snapshot\.storage.*\.yaml$/.test(file));
  const files = [OURS, ...snapshots.map((file) => join(snapshotCrdDir, file))];
  await plane.kubectl(['apply', ...files.map((file) => `--filename=${file}`)]);
  await plane.kubectl(['wait', '--for=condition=Established', '--timeout=60s', 'crd', '--all']);
}
