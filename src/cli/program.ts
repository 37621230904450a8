// The command line: what the commands are called, what they take, and which function each one is. No work in here.

import { Command } from 'commander';
import { loadConfig } from '../config/config.ts';
import type { Config, Settings } from '../config/config.ts';
import { collectPool, namesCommand, operatorCommands } from './operator-commands.ts';
import type { OperatorActions } from './operator-commands.ts';

export interface CreatePoolRequest {
  readonly name: string;
  readonly volumeGroup: string;
  readonly disks: readonly string[];
  /** A file of this size is made and used as a loop device instead of disks. */
  readonly loopFile: { readonly path: string; readonly size: string } | undefined;
}

export interface Actions extends OperatorActions {
  readonly serve: (config: Config) => Promise<void>;
  readonly createPool: (request: CreatePoolRequest) => Promise<void>;
}

interface ServeFlags {
  readonly config?: string;
  readonly node?: string;
  readonly socket?: string;
  readonly pool?: Settings['pools'];
  readonly reserve?: string;
  readonly maxVolumes?: string;
  readonly logLevel?: string;
  readonly httpAddress?: string;
  readonly registrationSocket?: string;
  readonly kubernetes?: string;
  readonly kubeletSocket?: string;
  readonly checkConfig?: boolean;
}

export function createProgram(
  version: string,
  env: Readonly<Record<string, string | undefined>>,
  actions: Actions,
): Command {
  const program = new Command('snapmerge')
    .description('Node-local volumes with history: snapshots, forks, restore by merge')
    .version(version)
    .showHelpAfterError();
  program.addCommand(serveCommand(env, actions), { isDefault: true });
  program.addCommand(poolCommand(actions));
  for (const command of operatorCommands(actions)) program.addCommand(command);
  program.addCommand(namesCommand(actions), { hidden: true });
  // What commander ends with is for the caller to decide; it has printed what it had to say.
  for (const command of [program, ...program.commands, ...program.commands.flatMap((one) => one.commands)]) {
    command.exitOverride();
  }
  return program;
}

function serveCommand(env: Readonly<Record<string, string | undefined>>, actions: Actions): Command {
  return new Command('serve')
    .description('run the driver (the default command); each option has a variable SNAPMERGE_... and a key in the file')
    .option('--config <file>', 'YAML file with these settings as keys: node, socket, pools, httpAddress...')
    .option('--node <name>', 'name of this node (the host name)')
    .option('--socket <path>', 'unix socket to serve on (/run/snapmerge/csi.sock)')
    .option(
      '--pool <name=vg>',
      'a pool and its volume group, :/file where that is on a loop file, @size to make it; again for more',
      collectPool,
    )
    .option('--reserve <percent>', 'share of each pool that new volumes may not take (10%)')
    .option('--max-volumes <count>', 'most volumes on this node, 0 for no limit (0)')
    .option('--log-level <level>', 'trace, debug, info, warn, error or silent (info)')
    .option('--http-address <address>', 'serve /healthz, /readyz and /metrics there: :PORT or ADDRESS:PORT (nowhere)')
    .option('--registration-socket <path>', "register with the kubelet by this socket in its plugins_registry (don't)")
    .option('--kubernetes <where>', 'carry out VolumeRestore objects: off, in-cluster or a kubeconfig (off)')
    .option('--kubelet-socket <path>', 'the --socket as the kubelet sees it (the same)')
    .option('--check-config', 'say what the configuration amounts to, or what is wrong with it, and end')
    .allowExcessArguments()
    .action(async (flags: ServeFlags, command: Command) => {
      const [word] = command.args;
      if (word !== undefined) command.error(`error: unknown command '${word}' (snapmerge --help lists them)`);
      const { config: file, checkConfig, pool, ...rest } = flags;
      const config = await loadConfig({ ...rest, pools: pool }, env, file);
      if (checkConfig === true) actions.print(`${JSON.stringify(config, plainly, 2)}\n`);
      else await actions.serve(config);
    });
}

/** JSON has no integers of that size. */
function plainly(_: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value;
}

interface PoolFlags {
  readonly volumeGroup?: string;
  readonly loopFile?: string;
  readonly size?: string;
}

function poolCommand(actions: Actions): Command {
  const create = new Command('create')
    .description('make a pool: a volume group on empty disks, or on a loop file for trying it out')
    .argument('<name>', 'name of the pool')
    .argument('[disks...]', 'empty disks')
    .option('--volume-group <vg>', 'name of the volume group (snapmerge-<name>)')
    .option('--loop-file <path>', 'make a file of --size and use it as a disk')
    .option('--size <size>', 'of the loop file, such as 10G')
    .action(async (name: string, disks: readonly string[], flags: PoolFlags, command: Command) => {
      const { loopFile, size } = flags;
      if ((loopFile === undefined) === (disks.length === 0))
        command.error('error: give disks or --loop-file, one of them');
      if ((loopFile === undefined) !== (size === undefined)) command.error('error: --loop-file and --size go together');
      await actions.createPool({
        name,
        volumeGroup: flags.volumeGroup ?? `snapmerge-${name}`,
        disks,
        loopFile: loopFile === undefined || size === undefined ? undefined : { path: loopFile, size },
      });
    });
  return new Command('pool').description('pools of this node').addCommand(create);
}
