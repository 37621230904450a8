// The operator's commands: what they are called and what they take. What they do is in operator.ts.

import { Argument, Command, InvalidArgumentError, Option } from 'commander';
import { readPool } from '../config/config.ts';
import type { Settings } from '../config/config.ts';
import { messageOf } from '../vocabulary/errors.ts';
import type { TablesMode } from '../inspect/tables.ts';
import { SHELLS, completionScript, shapeOf } from './completion.ts';
import { NAME_KINDS } from './operator.ts';
import type { NameKind, Operator, Place } from './operator.ts';

export interface OperatorActions extends Operator {
  readonly print: (text: string) => void;
  /** With the exit code of the command. */
  readonly ended: (code: number) => void;
}

interface PlaceFlags {
  readonly socket?: string;
  readonly config?: string;
  readonly pool?: Settings['pools'];
}
interface ShowFlags extends PlaceFlags {
  readonly offline?: boolean;
  readonly json?: boolean;
}
interface TablesFlags extends PlaceFlags {
  readonly missing?: boolean;
  readonly remove?: boolean;
  readonly readOnly?: boolean;
}
interface RestoreFlags extends PlaceFlags {
  readonly mode?: 'origin' | 'onactivate';
  readonly dropSnapshot?: boolean;
  readonly safety?: string;
  readonly replace?: boolean;
  readonly watch?: boolean;
  readonly json?: boolean;
}

const EXIT_CODES = `
Exit codes: 0 done, 1 refused, failed or something is wrong, 2 it cannot be told or was not understood.`;
const NAMED = `
Volumes and snapshots are named by handle (pool.vvvvvv.v-xxxxxxxxxx), by id (v-..., s-...) or by their CSI name.`;

export function operatorCommands(actions: OperatorActions): readonly Command[] {
  return [
    treeCommand(actions),
    statusCommand(actions),
    checkCommand(actions),
    restoreCommand(actions),
    promoteCommand(actions),
    restoresCommand(actions),
    cancelCommand(actions),
    tablesCommand(actions),
    completionCommand(actions),
  ];
}

/** For the scripts of `completion`; no person types it. */
export function namesCommand(actions: OperatorActions): Command {
  return placed(new Command('names'))
    .description('names that may stand in the place of an argument')
    .addArgument(new Argument('<kind>').choices(NAME_KINDS))
    .action(async (kind: NameKind, flags: PlaceFlags) => actions.ended(await actions.names(placeOf(flags), kind)));
}

function placed(command: Command): Command {
  return command
    .option('--socket <path>', 'where the driver serves (SNAPMERGE_SOCKET, the configuration, /run/snapmerge/csi.sock)')
    .option('--config <file>', "the driver's configuration (SNAPMERGE_CONFIG, /etc/snapmerge/config.yaml)");
}

/** For commands that can read pools by themselves. */
function pooled(command: Command): Command {
  return command.option(
    '--pool <name=vg>',
    'without the driver: a pool and its volume group; again for more (the configuration, or every group with stores)',
    collectPool,
  );
}

export function collectPool(text: string, before: unknown): readonly unknown[] {
  try {
    return [...(Array.isArray(before) ? before : []), readPool(text)];
  } catch (error) {
    throw new InvalidArgumentError(messageOf(error));
  }
}

function shown(command: Command): Command {
  return pooled(placed(command))
    .option('--offline', 'do not ask the driver: read LVM and the kernel (the way when it does not answer)')
    .option('--json', 'for programs: sizes in bytes');
}

function placeOf({ socket, config, pool }: PlaceFlags): Place {
  return { socket, config, pools: pool };
}

function showOptions(flags: ShowFlags) {
  return { place: placeOf(flags), offline: flags.offline === true, json: flags.json === true };
}

function treeCommand(actions: OperatorActions): Command {
  return shown(new Command('tree'))
    .description('families as trees: what is shared, used, fed, merging')
    .action(async (flags: ShowFlags) => actions.ended(await actions.tree(showOptions(flags))))
    .addHelpText(
      'after',
      `
Each image stands below what it reads through.
  in use, active   a volume that is staged, and open or not
  fed              a snapshot that takes what its volume overwrites; only the newest does
  shown            in the kernel because something reads through it
  dormant          neither; costs nothing but its space
  ghost            deleted by its user, still read through
Exit codes: 0, or 2 when a pool does not answer.`,
    );
}

function statusCommand(actions: OperatorActions): Command {
  return shown(new Command('status'))
    .description('pools, what is merging, what waits, what is wrong')
    .action(async (flags: ShowFlags) => actions.ended(await actions.status(showOptions(flags))))
    .addHelpText('after', '\nExit codes: 0 nothing is wrong, 1 something is, 2 it cannot be told.');
}

function checkCommand(actions: OperatorActions): Command {
  return shown(new Command('check'))
    .description('records, devices and laws compared; changes nothing')
    .action(async (flags: ShowFlags) => actions.ended(await actions.check(showOptions(flags))))
    .addHelpText(
      'after',
      `
What differs is looked at again, so that a driver in the middle of its work is not blamed.
Exit codes: 0 right, 1 differs, 2 it cannot be told.`,
    );
}

function restoreOptions(command: Command): Command {
  return placed(command)
    .option('--drop-snapshot', 'the snapshot goes with the restore instead of being kept')
    .option('--replace', 'in place of a restore of this volume that waits')
    .option('--watch', 'show the progress until it is over')
    .option('--json', 'print the restore as JSON, with --watch a line for each change');
}

function restoreCommand(actions: OperatorActions): Command {
  return restoreOptions(new Command('restore'))
    .description('roll a volume back to one of its snapshots, in place, by merge')
    .option('--safety <name>', 'take a snapshot of this name of the volume as it is, just before')
    .argument('<volume>', 'what is rolled back; not in use when it begins')
    .argument('<snapshot>', 'what it is rolled back to')
    .addOption(
      new Option('--mode <mode>', 'begin now, or when the volume is next staged')
        .choices(['origin', 'onactivate'])
        .default('origin'),
    )
    .action(async (volume: string, snapshot: string, flags: RestoreFlags) =>
      actions.ended(
        await actions.restore(
          placeOf(flags),
          { volume, snapshot, mode: flags.mode ?? 'origin', ...restoreFlags(flags) },
          flags.json === true,
        ),
      ),
    )
    .addHelpText(
      'after',
      `${NAMED}\nThe volume can be used with the snapshot's content as soon as the restore has begun. Where something of the same storage\nstill merges, it is recorded and begins later.${EXIT_CODES}`,
    );
}

function promoteCommand(actions: OperatorActions): Command {
  return restoreOptions(new Command('promote'))
    .description('have a fork take over the storage of what it was forked from; it stays mounted')
    .argument('<fork>', 'the volume that takes over')
    .argument('[snapshot]', 'the snapshot that it was made from, unless it is another')
    .action(async (volume: string, snapshot: string | undefined, flags: RestoreFlags) =>
      actions.ended(
        await actions.restore(
          placeOf(flags),
          { volume, snapshot, mode: 'snapshot', ...restoreFlags(flags) },
          flags.json === true,
        ),
      ),
    )
    .addHelpText(
      'after',
      `${NAMED}\nThe origin must not be in use, is given up, and nothing else may read through it.${EXIT_CODES}`,
    );
}

function restoreFlags({ dropSnapshot, safety, replace, watch }: RestoreFlags) {
  return { dropSnapshot: dropSnapshot === true, safety, replace: replace === true, watch: watch === true };
}

function restoresCommand(actions: OperatorActions): Command {
  return placed(new Command('restores'))
    .description('restores that run, and the last one of each volume')
    .option('--watch', 'show their progress until all are over')
    .option('--json', 'for programs: sizes in bytes; with --watch a line for each change')
    .action(async (flags: RestoreFlags) =>
      actions.ended(await actions.restores(placeOf(flags), flags.watch === true, flags.json === true)),
    )
    .addHelpText('after', '\nExit codes: 0, 1 when one has failed, 2 when the driver does not answer.');
}

function cancelCommand(actions: OperatorActions): Command {
  return placed(new Command('cancel'))
    .description('give up a restore that waits')
    .argument('<restore>', 'its handle or id (r-...), or its volume')
    .action(async (restore: string, flags: PlaceFlags) => actions.ended(await actions.cancel(placeOf(flags), restore)))
    .addHelpText('after', EXIT_CODES);
}

function tablesCommand(actions: OperatorActions): Command {
  return pooled(placed(new Command('tables')))
    .description('the commands that show every volume and snapshot by hand, without the driver')
    .argument('[images...]', 'only these, with all that they read through')
    .option('--missing', 'only what is not there now')
    .option('--remove', 'how what is there now goes again')
    .option('--read-only', 'everything read-only, and nothing merges: to read and copy')
    .action(async (images: readonly string[], flags: TablesFlags, command: Command) => {
      const { missing, remove, readOnly } = flags;
      if (missing === true && (remove === true || readOnly === true))
        command.error('error: --missing goes with neither --remove nor --read-only');
      const mode: TablesMode = missing === true ? 'missing' : remove === true ? 'remove' : 'all';
      const options = { place: placeOf(flags), mode, readOnly: readOnly === true, images };
      actions.ended(await actions.tables(options));
    })
    .addHelpText(
      'after',
      `
Reads LVM and changes nothing. Paste the output into a root shell of a node where the driver is gone; it needs dmsetup and
lvchange and no link in /dev. Volumes are writable, with the snapshot that their writes feed in place, and a merge that
was under way goes on. A driver that is started later takes the devices for its own.${NAMED}
Exit codes: 0, 1 when something is left out, 2 when nothing can be read.`,
    );
}

function completionCommand({ print, ended }: OperatorActions): Command {
  return new Command('completion')
    .description('a script that completes these commands, for the shell to read')
    .addArgument(new Argument('<shell>').choices(SHELLS))
    .action((shell: (typeof SHELLS)[number], _: unknown, command: Command) => {
      print(completionScript(shell, shapeOf(command.parent ?? command)));
      ended(0);
    })
    .addHelpText(
      'after',
      `
  bash   eval "$(snapmerge completion bash)"                                in ~/.bashrc
  zsh    snapmerge completion zsh > "\${fpath[1]}/_snapmerge"
  fish   snapmerge completion fish > ~/.config/fish/completions/snapmerge.fish`,
    );
}
