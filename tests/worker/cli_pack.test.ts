import { expect, test } from "bun:test";

import { describeProgress } from "../../worker/cli_pack.ts";

const ALL = { entryCount: 10, contentBytes: 4e6, writtenBytes: 5e5, elapsedMs: 3_000 };

test("describeProgress() tells of entries, bytes and, while there is work, time left", () => {
  expect(describeProgress({ entryCount: 4, contentBytes: 1e6 }, ALL))
    .toBe("packed: 4/10 entries, 1 MB of 4 MB; written: 500 kB; about 9 s left");
  expect(describeProgress({ entryCount: 0, contentBytes: 0 }, { ...ALL, writtenBytes: 0 }))
    .toBe("packed: 0/10 entries, 0 B of 4 MB; written: 0 B");
  expect(describeProgress({ entryCount: 10, contentBytes: 4e6 }, ALL)).toEndWith("500 kB");
});
