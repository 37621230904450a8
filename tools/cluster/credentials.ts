// Who may speak to the API server of a test cluster: users with static tokens, each with the groups that Kubernetes'
// own roles are bound to, so that the real roles decide; and the key that signs the tokens of service accounts.

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { ToolError } from '../fault.ts';

const GROUPS = {
  admin: 'system:masters',
  'system:kube-controller-manager': '',
  'system:kube-scheduler': '',
} as const;

export type User = keyof typeof GROUPS | `system:node:${string}`;

export const TOKENS = 'tokens.csv';
export const SIGNING_KEY = 'service-accounts.key';

/** Writes tokens and key into the folder of the cluster; `nodes` are the names that kubelets may register. */
export const writeCredentials = async (dir: string, nodes: readonly string[]): Promise<void> => {
  const users: Readonly<Record<string, string>> = {
    ...GROUPS,
    ...Object.fromEntries(nodes.map((name) => [`system:node:${name}`, 'system:nodes'])),
  };
  const lines = Object.entries(users).map(([user, group]) => {
    const token = randomBytes(24).toString('hex');
    return group === '' ? `${token},${user},${user}` : `${token},${user},${user},${group}`;
  });
  await writeFile(join(dir, TOKENS), `${lines.join('\n')}\n`, { mode: 0o600 });
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  await writeFile(join(dir, SIGNING_KEY), privateKey.export({ type: 'pkcs1', format: 'pem' }), { mode: 0o600 });
};

/** A kubeconfig with one user, as text. */
export const kubeconfigOf = async (dir: string, user: User, server: string, authority: string): Promise<string> => {
  const lines = (await readFile(join(dir, TOKENS), 'utf8')).split('\n').map((line) => line.split(','));
  const token = lines.find(([, name]) => name === user)?.[0];
  if (token === undefined) throw new ToolError(`Cannot write a kubeconfig for '${user}': the cluster has no such user`);
  const cluster = { server, 'certificate-authority-data': Buffer.from(authority).toString('base64') };
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'snapmerge', cluster }],
    users: [{ name: user, user: { token } }],
    contexts: [{ name: 'snapmerge', context: { cluster: 'snapmerge', user } }],
    'current-context': 'snapmerge',
  });
};
