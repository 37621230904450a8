// What the driver's pods know and hold: LVM and device-mapper of their nodes, and their logs.

import { kubectl, tryKubectl } from './cluster.ts';

export const DRIVER_NAMESPACE = 'snapmerge-system';
export const DRIVER_SELECTOR = 'app.kubernetes.io/name=snapmerge';

export interface DriverPod {
  readonly pod: string;
  readonly node: string;
}

export const driverPods = async (): Promise<readonly DriverPod[]> => {
  const template = '{range .items[*]}{.metadata.name} {.spec.nodeName}{"\\n"}{end}';
  const listed = await kubectl([
    'get',
    'pods',
    `--namespace=${DRIVER_NAMESPACE}`,
    `--selector=${DRIVER_SELECTOR}`,
    `--output=jsonpath=${template}`,
  ]);
  return listed
    .trim()
    .split('\n')
    .map((line) => line.split(' '))
    .map(([pod = '', node = '']) => ({ pod, node }));
};

/** So that tests side by side take nodes that are not each other's: the first, the last. */
export const byNode = (a: DriverPod, b: DriverPod): number => a.node.localeCompare(b.node);

/** Standard output of a command in a driver's container. */
export const inDriver = (pod: string, argv: readonly string[]): Promise<string> =>
  kubectl(['exec', `--namespace=${DRIVER_NAMESPACE}`, pod, '--container=driver', '--', ...argv]);

export interface Holdings {
  readonly node: string;
  /** Name and tags of each logical volume that has tags of ours. */
  readonly stores: readonly string[];
  /** Device-mapper devices of ours. */
  readonly devices: readonly string[];
}

const lines = (text: string): readonly string[] =>
  text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');

const BETWEEN = '---';
const ASK_HOLDINGS = `
lvs --noheadings --options=lv_name,lv_tags
echo ${BETWEEN}
dmsetup info -c --noheadings -o name
`;

/** What is in LVM and device-mapper of every node. */
export const holdings = async (): Promise<readonly Holdings[]> =>
  Promise.all(
    (await driverPods()).map(async ({ pod, node }) => {
      // One command for both: starting one costs an emulated node more than what it does.
      const [stores = '', devices = ''] = (await inDriver(pod, ['sh', '-ec', ASK_HOLDINGS])).split(`${BETWEEN}\n`);
      return {
        node,
        stores: lines(stores).filter((line) => line.includes('sm.')),
        devices: lines(devices).filter((line) => line.startsWith('snapmerge-')),
      };
    }),
  );

/** What a person would look at first. */
export const driverLogs = async (): Promise<string> => {
  const pods = await driverPods().catch(() => []);
  const texts = pods.map(async ({ pod, node }) => {
    const log = async (container: string, count: number): Promise<string> => {
      const where = [`--namespace=${DRIVER_NAMESPACE}`, pod, `--container=${container}`, `--tail=${count}`];
      return `--- ${container} on ${node}\n${(await tryKubectl(['logs', ...where])).stdout}`;
    };
    return [await log('driver', 40), await log('csi-provisioner', 15), await log('csi-snapshotter', 15)].join('\n');
  });
  return (await Promise.all(texts)).join('\n');
};

/** Until every node has a driver that is ready. */
export const driversReady = async (limitSeconds = 600): Promise<void> => {
  const wait = ['rollout', 'status', 'daemonset/snapmerge', `--namespace=${DRIVER_NAMESPACE}`];
  await kubectl([...wait, `--timeout=${limitSeconds}s`]);
};
