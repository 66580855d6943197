/**
 * Looks at disks after a power failure: a machine that stands booted is restored from its snapshot, gets the disk, checks it, mounts
 * it, reads all there is, unmounts and checks again.
 *
 * Interface: Examiner (look), Sight.
 * Invariants: [exm-1] equal images are seen alike: the machine, its seed and its guest are the same each time.
 * Locks: none.
 * Why not a new machine each: a boot costs more than everything else together.
 */
import { errorText } from "../../host/error-text.js";
import { errnoName } from "../../guest/constants.js";
import { type Call, must, sys } from "../../guest/sys.js";
import { Machine, type Snapshot } from "../../host/machine.js";
import { readString } from "../../host/wasm.js";
import type { CrashFs } from "./filesystems.js";
import { type CrashRun, machineConfig, runGuest } from "./machine.js";
import { type Shown, shownBelow } from "./shown.js";
import { MNT } from "./steps.js";

/** What a disk came to. */
export interface Sight {
  /** What went wrong before anything could be compared, with the law; empty: nothing did. */
  problem: string;
  shown: Shown;
}

const NOTHING: Shown = new Map();

export class Examiner {
  readonly machine: Machine;
  private readonly fs: CrashFs;
  private readonly booted: Snapshot;

  constructor(run: CrashRun) {
    this.fs = run.fs;
    this.machine = Machine.createSync(run.module, machineConfig(run));
    runGuest(this.machine, function* () {
      must(yield* sys.mkdir(MNT), "mkdir");
    });
    this.booted = this.machine.snapshot();
  }

  /** `fill` writes the image into the disk. */
  look(fill: (disk: Uint8Array) => void): Sight {
    this.machine.restore(this.booted);
    fill(this.machine.disk.image());
    try {
      const { fs } = this;
      return runGuest(this.machine, () => this.examine(fs));
    } catch (error) {
      return { problem: errorText(error), shown: NOTHING };
    }
  }

  private *examine(fs: CrashFs): Call<Sight> {
    const wrong = (problem: string): Sight => ({ problem, shown: NOTHING });
    const law = yield* sys.fsck(fs.type);
    if (law !== 0) return wrong(`fsck before mount: ${this.lawText(law)}`);
    const mounted = yield* sys.mount(fs.type, MNT, fs.mount);
    if (mounted !== 0) return wrong(`mount: ${errnoName(mounted)}`);
    const shown = yield* shownBelow(MNT);
    const unmounted = yield* sys.umount(MNT);
    if (unmounted !== 0) return wrong(`umount: ${errnoName(unmounted)}`);
    const after = yield* sys.fsck(fs.type);
    return after === 0 ? { problem: "", shown } : wrong(`fsck after umount: ${this.lawText(after)}`);
  }

  private lawText(law: number): string {
    if (law < 0) return errnoName(law);
    return `law ${law}, ${readString(this.machine.memory, this.machine.kernel.fsckLawName(law))}`;
  }
}
