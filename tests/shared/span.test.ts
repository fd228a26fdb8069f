import { expect, test } from "bun:test";

import { cutSpans, renderSpans } from "../../shared/span.ts";
import { cutText, textWidth } from "../../shared/text_width.ts";

test("textWidth() counts two columns of wide characters, and none of marks", () => {
  expect(["oak", "木", "ハ", "ﾊ", "e\u0301", "🌳", "é", ""].map(textWidth)).toEqual(
    [3, 2, 2, 1, 1, 2, 1, 0],
  );
});

test("cutText() fits the columns, and marks what it has cut", () => {
  expect(cutText("oak", 3)).toBe("oak");
  expect(cutText("oaks", 3)).toBe("oa…");
  expect(cutText("木木", 3)).toBe("木…");
  expect(cutText("oak", 0)).toBe("");
});

test("cutSpans() cuts the span in which the room ends", () => {
  const spans = [{ text: "1 done, " }, { text: "2 failed", tone: "bad" }, {
    text: "; more",
  }] as const;
  const cut = (columns: number) => renderSpans(cutSpans(spans, columns), false);
  expect(cut(22)).toBe("1 done, 2 failed; more");
  expect(cut(21)).toBe("1 done, 2 failed; mo…");
  expect(cut(16)).toBe("1 done, 2 faile…");
  expect(cut(8)).toBe("1 done,…");
});

test("renderSpans() colours only where there are colours", () => {
  const spans = [{ text: "1 done, " }, { text: "2 failed", tone: "bad" }] as const;
  expect(renderSpans(spans, true)).toBe("1 done, \x1b[31m2 failed\x1b[0m");
  expect(renderSpans(spans, false)).toBe("1 done, 2 failed");
});
