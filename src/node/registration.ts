// Registration with the kubelet: it finds a socket of ours in its plugins_registry folder, asks who we are and where the
// CSI services are, and tells what came of it. It keeps trying by itself while the socket is there; nothing is remembered
// but its last word.

import type { PluginInfo } from '#proto/pluginregistration/PluginInfo.ts';
import type { RegistrationHandlers } from '#proto/pluginregistration/Registration.ts';
import { z } from 'zod';
import { DRIVER_NAME } from '../controller/identity.ts';
import type { Logger } from '../system/log.ts';
import { unary } from '../transport/rpc.ts';
import type { ServiceOf } from '../transport/rpc.ts';

/** The version of CSI that the kubelet speaks: it knows major versions only. */
const CSI_VERSION = '1.0.0';

export type RegistrationState =
  /** The kubelet has not said anything yet. */
  | { readonly state: 'waiting' }
  | { readonly state: 'registered' }
  | { readonly state: 'refused'; readonly reason: string };

export interface Registration {
  readonly service: ServiceOf<RegistrationHandlers>;
  /** The kubelet's last word. */
  readonly current: () => RegistrationState;
}

/** `endpoint`: path of the CSI socket as the kubelet sees it. */
export function createRegistration(endpoint: string, log: Pick<Logger, 'info' | 'error'>): Registration {
  let current: RegistrationState = { state: 'waiting' };
  const status = z.object({ plugin_registered: z.boolean(), error: z.string() });
  return {
    service: {
      GetInfo: unary(z.unknown(), async (): Promise<PluginInfo> => ({
        type: 'CSIPlugin',
        name: DRIVER_NAME,
        endpoint,
        supported_versions: [CSI_VERSION],
      })),
      NotifyRegistrationStatus: unary(status, async ({ plugin_registered: registered, error }) => {
        current = registered ? { state: 'registered' } : { state: 'refused', reason: error };
        if (registered) log.info({ endpoint }, 'registered with the kubelet');
        else log.error({ endpoint, error }, 'the kubelet does not register this driver');
        return {};
      }),
    },
    current: () => current,
  };
}
