// The driver's services over the fake engine and loop devices on a given socket: `node test/csi/edge-server.ts SOCKET
// FOLDER`. For csi-sanity and other clients while working on the edge, as root, without device-mapper. Ends on SIGTERM.

import { localExec } from '../../src/system/exec.ts';
import { createLogger } from '../../src/system/log.ts';
import { localFiles } from '../../src/node/files.ts';
import { readyPools } from '../../src/pools/pools.ts';
import { startServer } from '../../src/transport/server.ts';
import { driverServices } from '../../src/driver/services.ts';
import { createFakeEngine } from '../unit/controller/fake-engine.ts';
import { loopDevices } from './loop-devices.ts';

const [socket, folder] = process.argv.slice(2);
if (socket === undefined || folder === undefined) throw new Error('Usage: edge-server.ts SOCKET FOLDER');

const engine = createFakeEngine({ devices: await loopDevices(folder) });
const services = driverServices({
  pools: readyPools(new Map([[engine.pool, engine]])),
  nodeName: 'edge-node',
  maxVolumes: 0,
  version: '0.0.0-edge',
  exec: localExec,
  files: localFiles,
});
const server = await startServer(socket, services, createLogger('info'));
process.once('SIGTERM', () => void server.stop(5_000));
