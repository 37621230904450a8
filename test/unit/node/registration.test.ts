import { expect, test, vi } from 'vitest';
import { createRegistration } from '../../../src/node/registration.ts';
import { DEFINITIONS, callerOf } from '../controller/call.ts';

test('says who it is, and keeps what the kubelet said last', async () => {
  const log = { info: vi.fn<() => void>(), error: vi.fn<() => void>() };
  const registration = createRegistration('/var/lib/kubelet/plugins/csi.snapmerge.io/csi.sock', log);
  const kubelet = callerOf(DEFINITIONS.registration, registration.service);
  expect(await kubelet('GetInfo')).toEqual({
    type: 'CSIPlugin',
    name: 'csi.snapmerge.io',
    endpoint: '/var/lib/kubelet/plugins/csi.snapmerge.io/csi.sock',
    supported_versions: ['1.0.0'],
  });
  expect(registration.current()).toEqual({ state: 'waiting' });

  await kubelet('NotifyRegistrationStatus', { plugin_registered: false, error: 'no CSINode' });
  expect(registration.current()).toEqual({ state: 'refused', reason: 'no CSINode' });
  expect(log.error).toHaveBeenCalledTimes(1);

  await kubelet('NotifyRegistrationStatus', { plugin_registered: true });
  expect(registration.current()).toEqual({ state: 'registered' });
});
