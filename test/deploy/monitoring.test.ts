// Rules, dashboard and metrics against Prometheus itself: the rules are its, each alert fires when it should and not before,
// and every query of the dashboard finds something in what a driver on the simulated node tells.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { parse, stringify } from 'yaml';
import { z } from 'zod';
import { prometheus } from '../../tools/prometheus.ts';
import type { Prometheus } from '../../tools/prometheus.ts';
import { attempt, run } from '../../tools/run.ts';
import { freePort } from '../../vm/ports.ts';
import { CASES } from './alerts.ts';
import { startSimulatedDriver } from './simulated-driver.ts';

const MONITORING = join(import.meta.dirname, '../../deploy/monitoring');
/** Prometheus is downloaded on the way. */
const DOWNLOAD_LIMIT_MS = 10 * 60_000;

const rule = z.object({
  alert: z.string(),
  expr: z.string(),
  for: z.string().optional(),
  labels: z.object({ severity: z.enum(['critical', 'warning']) }),
  annotations: z.object({ summary: z.string(), description: z.string() }),
});
const rules = z
  .object({ spec: z.object({ groups: z.array(z.object({ name: z.string(), rules: z.array(rule) })) }) })
  .parse(parse(readFileSync(join(MONITORING, 'prometheus-rule.yaml'), 'utf8')));
const alerts = rules.spec.groups.flatMap((group) => group.rules);

const folder = mkdtempSync(join(tmpdir(), 'snapmerge-monitoring-'));
let tools: Prometheus;
const endings: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  tools = await prometheus();
}, DOWNLOAD_LIMIT_MS);
afterAll(async () => {
  for (const end of endings.toReversed()) await end();
  rmSync(folder, { recursive: true });
});

test('Prometheus takes the rules', async () => {
  const path = join(folder, 'rules.yaml');
  writeFileSync(path, stringify(rules.spec));
  expect(await run([tools.promtool, 'check', 'rules', path])).toContain(`SUCCESS: ${alerts.length} rules found`);
});

test('each alert fires when it should, and not before', async () => {
  expect(CASES.map(({ alert }) => alert).sort()).toEqual(alerts.map(({ alert }) => alert).sort());
  const severities = new Map(alerts.map(({ alert, labels }) => [alert, labels.severity]));
  // What an alert says is a matter of words; promtool would want all of it again.
  const bare = rules.spec.groups.map((group) => ({
    ...group,
    rules: group.rules.map(({ alert, expr, for: wait, labels }) => ({ alert, expr, for: wait ?? '0s', labels })),
  }));
  writeFileSync(join(folder, 'bare.yaml'), stringify({ groups: bare }));
  const tests = CASES.map(({ alert, series, quietAt, firesAt, labels }) => ({
    name: alert,
    interval: '1m',
    input_series: Object.entries(series).map(([name, values]) => ({ series: name, values })),
    alert_rule_test: [
      { eval_time: quietAt, alertname: alert, exp_alerts: [] },
      {
        eval_time: firesAt,
        alertname: alert,
        exp_alerts: [{ exp_labels: { ...labels, severity: severities.get(alert) } }],
      },
    ],
  }));
  const path = join(folder, 'tests.yaml');
  writeFileSync(path, stringify({ rule_files: ['bare.yaml'], evaluation_interval: '1m', tests }));
  const { code, stdout, stderr } = await attempt([tools.promtool, 'test', 'rules', path]);
  expect([code, stderr, stdout.trim().split('\n').at(-1)?.trim()]).toEqual([0, '', 'SUCCESS']);
});

test('what to do about each is written down', () => {
  const text = readFileSync(join(import.meta.dirname, '../../docs/operate.md'), 'utf8');
  expect(alerts.filter(({ alert }) => !text.includes(`### ${alert}\n`)).map(({ alert }) => alert)).toEqual([]);
});

const answer = z.object({
  status: z.literal('success'),
  data: z.object({ result: z.array(z.object({ metric: z.record(z.string(), z.string()) })) }),
});
const dashboard = z
  .object({
    templating: z.object({ list: z.array(z.looseObject({ name: z.string() })) }),
    panels: z.array(
      z.looseObject({
        title: z.string(),
        targets: z.array(z.object({ expr: z.string(), legendFormat: z.string() }).loose()).default([]),
        gridPos: z.object({ x: z.number(), y: z.number(), w: z.number(), h: z.number() }),
      }),
    ),
  })
  .parse(JSON.parse(readFileSync(join(MONITORING, 'dashboard.json'), 'utf8')));

test('what a driver tells is what the dashboard and the alerts ask for', { timeout: 180_000 }, async () => {
  const driver = await startSimulatedDriver(folder);
  endings.push(driver.stop);
  const page = await (await fetch(driver.url)).text();
  const linted = await attempt([tools.promtool, 'check', 'metrics'], { input: page });
  // Its own process metrics are not ours to name.
  const complaints = linted.stderr.split('\n').filter((line) => line.startsWith('snapmerge_'));
  expect([complaints, linted.stdout]).toEqual([[], '']);

  const port = await freePort();
  const config = {
    global: { scrape_interval: '1s' },
    scrape_configs: [
      { job_name: 'snapmerge', static_configs: [{ targets: [new URL(driver.url).host], labels: { node: 'n1' } }] },
    ],
  };
  writeFileSync(join(folder, 'prometheus.yaml'), stringify(config));
  const server = spawn(
    tools.server,
    [
      `--config.file=${join(folder, 'prometheus.yaml')}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    { stdio: 'ignore' },
  );
  endings.push(async () => {
    const ended = once(server, 'exit');
    server.kill();
    await ended;
  });
  const ask = async (query: string): Promise<readonly Readonly<Record<string, string>>[]> => {
    const response = await fetch(`http://127.0.0.1:${port}/api/v1/query?query=${encodeURIComponent(query)}`);
    expect([query, response.status]).toEqual([query, 200]);
    return answer.parse(await response.json()).data.result.map(({ metric }) => metric);
  };
  // Rates want a few scrapes with something new in them.
  await vi.waitFor(
    async () => {
      await driver.use();
      expect(await ask('count_over_time(up{job="snapmerge"}[1m]) >= 8')).toHaveLength(1);
    },
    { timeout: 120_000, interval: 500 },
  );

  const asked = dashboard.panels.flatMap(({ title, targets }) => targets.map((target) => ({ title, ...target })));
  const filled = (expr: string): string =>
    expr.replaceAll('$__rate_interval', '1m').replaceAll(/\$(node|pool)\b/g, '.*');
  expect(asked.length).toBeGreaterThan(20);
  const silent: string[] = [];
  for (const { title, expr, legendFormat } of asked) {
    // At any moment of it: merges end.
    const found = await ask(`last_over_time((${filled(expr)})[1m:1s])`);
    const labels = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].flatMap(([, label]) => label ?? []);
    // Every label that the legend names is there, or the lines could not be told apart.
    if (found.length === 0 || found.some((metric) => labels.some((label) => metric[label] === undefined))) {
      silent.push(`${title}: ${expr}`);
    }
  }
  expect(silent).toEqual([]);

  const listed = await fetch(`http://127.0.0.1:${port}/api/v1/label/__name__/values`);
  const told = new Set(z.object({ data: z.array(z.string()) }).parse(await listed.json()).data);
  const names = alerts.flatMap(({ expr }) => expr.match(/\b(snapmerge_\w+|up)\b/g) ?? []);
  // Only what is lost is told of alone.
  expect([...new Set(names)].filter((name) => !told.has(name))).toEqual(['snapmerge_image_unsound']);
  const firing = await Promise.all(
    alerts.map(async ({ alert, expr }) => ((await ask(expr)).length > 0 ? [alert] : [])),
  );
  expect(firing.flat()).toEqual([]);
});

test('the panels of the dashboard do not lie on each other', () => {
  const taken = new Map<string, string>();
  for (const { title, gridPos } of dashboard.panels) {
    expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24);
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1) {
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1) {
        expect(taken.get(`${x},${y}`)).toBeUndefined();
        taken.set(`${x},${y}`, title);
      }
    }
  }
});
