import { expect, test } from "bun:test";

import {
  closeManagers,
  defaultManagerOptions,
  noteClosed,
  noteOpened,
  onManagerOpened,
  setDefaultManagerOptions,
} from "../../manager/open_managers.ts";

test("closeManagers() closes those that are open, and no others", async () => {
  const closed: string[] = [];
  const manager = (name: string) => ({
    close: () => {
      closed.push(name);
      noteClosed(found[name]!);
      return Promise.resolve();
    },
  });
  const found: Record<string, ReturnType<typeof manager>> = {
    oak: manager("oak"),
    elm: manager("elm"),
    ash: manager("ash"),
  };
  const heard: unknown[] = [];
  onManagerOpened((opened) => void heard.push(opened));
  for (const opened of Object.values(found)) noteOpened(opened);
  expect(heard).toEqual(Object.values(found));
  await found["elm"]!.close();
  await closeManagers();
  expect(closed.sort()).toEqual(["ash", "elm", "oak"]);
  await closeManagers();
  expect(closed.length).toBe(3);
});

test("setDefaultManagerOptions() sets what Manager.start takes where a script is silent", () => {
  expect(defaultManagerOptions()).toEqual({});
  setDefaultManagerOptions({ workers: 2 });
  try {
    expect(defaultManagerOptions()).toEqual({ workers: 2 });
  } finally {
    setDefaultManagerOptions({});
  }
});
