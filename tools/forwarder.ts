// The process behind forwarding.ts: `node forwarder.ts GUEST GUEST_SOCKET HOST_SOCKET`. It asks where the guest is at
// each connection, because that changes with every boot.

import { connector } from '../vm/connect.ts';
import { forwardSocket } from '../vm/forward.ts';
import { isRunning, readState } from '../vm/state.ts';

const [name, guestSocket, hostSocket] = process.argv.slice(2);
if (name === undefined || guestSocket === undefined || hostSocket === undefined) {
  throw new Error('Cannot forward: usage: forwarder.ts GUEST GUEST_SOCKET HOST_SOCKET');
}
await forwardSocket(connector(), hostSocket, guestSocket, async () => {
  const state = await readState(name);
  return isRunning(name, state?.pid ?? null) ? (state?.port ?? undefined) : undefined;
});
