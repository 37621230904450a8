// The pages as their readers use them, who copy lines into a root shell or as the administrator of a cluster: no line
// touches what belongs to others, what takes a right gets it first, and what a page points to is there.

import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { z } from 'zod';

const ROOT = join(import.meta.dirname, '../..');

const pages = [
  'README.md',
  'ARCHITECTURE.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  ...filesIn('docs', '.md'),
  ...filesIn('test', 'README.md'),
  ...filesIn('tools', 'README.md'),
];
/** Whatever tells somebody what to type: the pages, and the driver's own words. */
const told = [...pages, ...filesIn('src', '.ts'), ...filesIn('deploy', '.yaml')];

function filesIn(folder: string, end: string): readonly string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith(end))
    .map((path) => join(folder, path))
    .sort();
}

function textOf(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}

/** Lines that are to be copied; what goes on in the next one is one command. */
function commandsOf(page: string): readonly string[] {
  const commands: string[] = [];
  let open = '';
  for (const line of textOf(page).split('\n')) {
    if (!line.startsWith('    ')) {
      open = '';
      continue;
    }
    open += `${open === '' ? '' : '\n'}${line.trim()}`;
    const isQuoted = (open.match(/'/g) ?? []).length % 2 === 1;
    if (isQuoted || /(\\|&&|\|)$/.test(open)) continue;
    commands.push(open);
    open = '';
  }
  return commands;
}

test('nobody is told to change all objects of a kind: others have some, too', () => {
  const wide = told.flatMap((path) =>
    textOf(path)
      .split('\n')
      .filter((line) => /kubectl\b.*\b(delete|patch|label|annotate|scale|drain|cordon)\b/.test(line))
      .filter((line) => /\s(--all(-namespaces)?|-A|--selector|-l)(=|\s|$)/.test(line))
      .map((line) => `${path}: ${line.trim()}`),
  );
  expect(wide).toEqual([]);
});

test('objects that may be of another driver are listed by this one alone', () => {
  const mixed = pages.flatMap((page) =>
    commandsOf(page)
      .filter((command) =>
        /kubectl get (pv|persistentvolumes?|volumesnapshotcontents?)\b.* (-l|-o json) /.test(command),
      )
      .filter((command) => !/\.driver == "csi\.snapmerge\.io"/.test(command))
      .map((command) => `${page}: ${command}`),
  );
  expect(mixed).toEqual([]);
});

const FLAG = '--enable-distributed-snapshotting';

test('a snapshot-controller gets the right to read nodes before its flag, and is looked at after', () => {
  const changing = pages.flatMap((page) => commandsOf(page).map((command) => ({ page, command }))).filter(isFlagged);
  expect(changing.map(({ page }) => page)).toEqual(['docs/install.md']);
  for (const { page, command } of changing) {
    const lines = commandsOf(page);
    const at = lines.indexOf(command);
    const role = lines.findIndex((line) => line.startsWith('kubectl apply -k deploy/snapshot-controller'));
    expect(role).toBeGreaterThanOrEqual(0);
    expect(role).toBeLessThan(at);
    // Copied as a whole, it does nothing where the right is missing.
    expect(command).toMatch(/^kubectl auth can-i watch nodes --as=\S+ &&\n/);
    const after = lines.slice(at + 1);
    expect(after.some((line) => line.startsWith('kubectl get volumesnapshot '))).toBe(true);
    expect(after.some((line) => line.includes('rollout undo deployment/snapshot-controller'))).toBe(true);
  }
  // And wherever the flag is spoken of, the right has been before.
  for (const path of pages.filter((one) => textOf(one).includes(FLAG))) {
    const before = textOf(path).slice(0, textOf(path).lastIndexOf(FLAG));
    expect([path, /right to read nodes/i.test(before)]).toEqual([path, true]);
  }
});

function isFlagged({ command }: { readonly command: string }): boolean {
  return command.includes(FLAG) || /kubectl\b.*\b(edit|set) deployment/.test(command);
}

test('the right is one to read nodes, for the account that the pages check', () => {
  const rule = z.object({ apiGroups: z.array(z.string()), resources: z.array(z.string()), verbs: z.array(z.string()) });
  const role = z.object({ kind: z.literal('ClusterRole'), rules: z.array(rule) }).loose();
  const subject = z.object({ kind: z.string(), namespace: z.string(), name: z.string() });
  const binding = z.object({ kind: z.literal('ClusterRoleBinding'), subjects: z.array(subject) }).loose();
  const documents = parseAllDocuments(textOf('deploy/snapshot-controller/nodes.yaml'));
  const [first, second, ...others] = documents.map((document): unknown => document.toJS());
  expect(others).toEqual([]);
  expect(role.parse(first).rules).toEqual([{ apiGroups: [''], resources: ['nodes'], verbs: ['get', 'list', 'watch'] }]);
  const [account] = binding.parse(second).subjects;
  const user = `system:serviceaccount:${account?.namespace}:${account?.name}`;
  for (const page of ['docs/install.md', 'docs/operate.md']) expect(textOf(page)).toContain(`--as=${user}`);
});

test('nobody is sent to a backup of the metadata: the driver has LVM make none', () => {
  expect(textOf('src/lvm/config.ts')).toContain(`'backup/backup': '0'`);
  const speaking = pages.filter((page) => page !== 'CHANGELOG.md' && textOf(page).includes('vgcfgrestore --list'));
  const sent = speaking
    .flatMap((page) => textOf(page).split(/^## /m))
    .filter((section) => /vgcfgrestore --list/.test(section));
  for (const section of sent) expect(section).toContain('There is no backup');
  expect(pages.flatMap(commandsOf).filter((command) => command.includes('vgcfgrestore'))).toEqual([]);
});

test('what a page points to is there', () => {
  const missing = pages.flatMap((page) => {
    const links = [...textOf(page).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target ?? '');
    return links
      .filter((target) => !/^[a-z]+:/.test(target))
      .filter((target) => {
        const [path = '', anchor] = target.split('#');
        const file = path === '' ? page : relative(ROOT, join(ROOT, dirname(page), path));
        if (!existsSync(join(ROOT, file))) return true;
        return anchor !== undefined && !anchorsOf(file).includes(anchor);
      })
      .map((target) => `${page}: ${target}`);
  });
  expect(missing).toEqual([]);
  const named = told.flatMap((path) => {
    const paths = [...textOf(path).matchAll(/(?<![\w./-])(docs\/[\w-]+\.md|deploy\/[\w./-]*\w)/g)];
    return paths.filter(([, target = '']) => !existsSync(join(ROOT, target))).map(([, target]) => `${path}: ${target}`);
  });
  expect(named).toEqual([]);
});

/** As GitHub makes them of headings. */
function anchorsOf(file: string): readonly string[] {
  return [...textOf(file).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\w\s-]/g, '')
      .trim()
      .replaceAll(/\s/g, '-'),
  );
}
