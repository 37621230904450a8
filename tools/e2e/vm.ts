// The default target: a whole Kubernetes on this machine, its nodes guests with a volume group each.

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cached, hashOf } from '../cache.ts';
import { qemuUnlessAsked } from '../../vm/bed.ts';
import { prepareGuests } from '../../vm/guest.ts';
import { clusterBinaries } from '../cluster/binaries.ts';
import { clusterRuns, openCluster, removeCluster, startCluster } from '../cluster/cluster.ts';
import type { Cluster } from '../cluster/cluster.ts';
import { containerd } from '../cluster/containerd.ts';
import { etcdCommand } from '../cluster/etcd.ts';
import type { ClusterImage } from '../cluster/images.ts';
import { prepareNetwork } from '../cluster/network.ts';
import { postgresImage } from '../cluster/postgres.ts';
import { DEFAULT_REFERENCE, driverImage } from '../image/driver-image.ts';
import { say } from '../progress.ts';
import type { Target } from './target.ts';

const NODES = 2;
/** What deploy/ expects on a node. */
const VOLUME_GROUP = 'snapmerge';
/** The same image under another name: for a driver that is upgraded while it works. */
const NEXT_REFERENCE = 'localhost/snapmerge:next';

const archived = async (reference: string): Promise<ClusterImage> => {
  const { content, digest } = await driverImage(reference);
  const key = hashOf(reference, digest);
  const dir = await cached('oci-driver', key, 'writing the image of the driver', (path) =>
    writeFile(join(path, 'image.tar'), content),
  );
  return { reference, path: join(dir, 'image.tar'), key };
};

const start = async (name: string): Promise<Cluster> => {
  // What is got and what is built wait for each other only here: the first time both take minutes.
  const [images] = await Promise.all([
    Promise.all([...[DEFAULT_REFERENCE, NEXT_REFERENCE].map(archived), postgresImage()]),
    clusterBinaries(),
    etcdCommand(),
    containerd(),
    prepareNetwork(),
    prepareGuests(qemuUnlessAsked()).then(({ about }) => say(about)),
  ]);
  return startCluster({ name, nodes: NODES, volumeGroup: VOLUME_GROUP, images });
};

/** One of this name that was kept is used as it is. */
export const vmTarget = async (name: string): Promise<Target> => {
  const kept = clusterRuns(name);
  if (kept) say(`using cluster '${name}', which runs already, with the driver that it has`);
  const { plane } = await (kept ? openCluster(name) : start(name));
  return {
    kind: 'vm',
    kubectl: plane.binaries.path('kubectl'),
    kubeconfig: plane.kubeconfigPath,
    deployment: kept ? undefined : 'test/e2e/deploy',
    remove: () => removeCluster(name),
  };
};
