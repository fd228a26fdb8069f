/** Makes the memory of a flow, as its options say. */

import type { Manager } from "../manager.ts";
import { tell } from "../notice.ts";
import type { CallEnd } from "./call.ts";
import { CheckpointStore } from "./checkpoint.ts";
import { FileDigests } from "./file_digest.ts";
import type { CheckedFlow, CheckedMemo } from "./flow_options.ts";
import { FlowMemory, type RepeatedCall } from "./flow_memory.ts";
import { MemoPartFinder } from "./memo_parts.ts";
import { MemoPlaces } from "./memo_places.ts";
import type { MemoStore } from "./memo_store.ts";
import { SqliteMemoStore } from "./sqlite_memo_store.ts";

/**
 * Opens what a flow remembers.
 *
 * @throws {Error} When the file is no memo store, or cannot be read.
 */
export async function openMemory(
  { memo, resolver }: CheckedFlow,
  { manager, again }: {
    readonly manager: Manager | undefined;
    readonly again: (call: RepeatedCall) => Promise<CallEnd>;
  },
): Promise<FlowMemory> {
  const store = await openStore(memo);
  const digests = new FileDigests(store === undefined ? {} : { store });
  return new FlowMemory({
    isDefault: memo.isDefault,
    store,
    digests,
    finder: new MemoPartFinder({ resolver, digests }),
    keyer: memo.keyer,
    places: new MemoPlaces({ digests, manager, level: memo.level }),
    again,
    tell,
  });
}

async function openStore(memo: CheckedMemo): Promise<MemoStore | undefined> {
  const { checkpoint: mode, store: own, file: path, periodMs } = memo;
  if (mode === undefined) return own;
  const store = own ?? await SqliteMemoStore.open({ path, onTrouble: tell });
  return new CheckpointStore({ store, mode, periodMs, onTrouble: tell });
}
