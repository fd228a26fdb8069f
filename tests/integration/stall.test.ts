/** Transfers between workers that end in the middle, and go on from where they ended. */

import { expect, test } from "bun:test";

import { type FileHandle, Manager, type TaskResult } from "../../mod.ts";
import { Scratch, type ScratchWorker } from "./scratch.ts";
import { freePort, TcpProxy } from "./tcp_proxy.ts";

const SIZE_BYTES = 40_000_000;

/** What comes of it before something happens. */
const HALF_BYTES = 20_000_000;

/** A temp at a worker that is reached by a road which a test can cut, and at another one. */
class Stage implements AsyncDisposable {
  readonly manager: Manager;
  readonly road: TcpProxy;
  readonly holder: ScratchWorker;
  readonly file: FileHandle;
  /** What a task that reads the file says of it. */
  readonly sum: string;

  private constructor(stage: Pick<Stage, "manager" | "road" | "holder" | "file" | "sum">) {
    this.manager = stage.manager;
    this.road = stage.road;
    this.holder = stage.holder;
    this.file = stage.file;
    this.sum = stage.sum;
  }

  static async open(scratch: Scratch): Promise<Stage> {
    const manager = await Manager.start({
      policies: { waitForWorkers: 3, transferStallTimeout: "1s", reconnectGrace: "200ms" },
    });
    const port = await freePort();
    const road = await TcpProxy.open(`http://127.0.0.1:${port}`);
    const args = ["--listen", `127.0.0.1:${port}`, "--advertise", new URL(road.url).host];
    const holder = await scratch.worker(manager, { args: [...args, "--feature", "holder"] });
    for (const feature of ["other", "reader"]) {
      await scratch.worker(manager, { args: ["--feature", feature] });
    }
    const file = manager.temp();
    const command = `head -c ${SIZE_BYTES} /dev/urandom > data && sha256sum < data`;
    const made = await manager.submit({ command, outputs: { data: file }, features: ["holder"] });
    const stage = new Stage({ manager, road, holder, file, sum: made.stdout });
    const copied = await stage.read("other");
    expect([copied.outcome, copied.stdout]).toEqual(["success", made.stdout]);
    return stage;
  }

  async read(feature: string): Promise<TaskResult> {
    return await this.manager.submit({
      command: "sha256sum < data",
      inputs: { data: this.file },
      features: [feature],
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.manager.close();
    await this.road[Symbol.asyncDispose]();
  }
}

/** What happens when half of the file has come. */
const ENDS: { readonly [what: string]: (stage: Stage) => void } = {
  "whose connection breaks": ({ road }) => road.cut(),
  "that stands still": () => {},
  "whose source is killed": ({ holder }) => void holder.child.kill("SIGKILL"),
};

for (const [what, happen] of Object.entries(ENDS)) {
  test(
    `A transfer between workers ${what} goes on with the rest, and moves no byte twice`,
    async () => {
      await using scratch = await Scratch.open();
      await using stage = await Stage.open(scratch);
      const { manager, road, sum } = stage;
      const halfway = road.holdAfter(HALF_BYTES);
      const reading = stage.read("reader");
      await halfway;
      happen(stage);
      const result = await reading;
      expect([result.outcome, result.message, result.stdout]).toEqual(["success", "", sum]);
      const { bytes, tasks } = manager.status();
      expect(bytes.workerToWorker).toBe(2 * SIZE_BYTES);
      expect([bytes.managerToWorker, bytes.workerToManager, tasks.recoveries]).toEqual([0, 0, 0]);
    },
    120_000,
  );
}
