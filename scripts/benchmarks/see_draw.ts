/** How long a person waits for the timeline of a large run, in a real Chromium. */
import { CHROMIUM, launchChromium, lookAt } from "../../tests/chromium.ts";
import { serveRecord } from "../../tests/manager/dashboard/record_dashboard.ts";
import { type Figure, repeat } from "./figure.ts";

const TASK_COUNT = 100_000;
const WORKER_COUNT = 500;

/** From the click to the first bars, with the answer to the page; nothing where there is no browser. */
export async function measureDrawing(): Promise<Figure[]> {
  if (CHROMIUM === undefined) return [];
  await using record = serveRecord({ tasks: TASK_COUNT, workers: WORKER_COUNT, isLive: false });
  const browser = await launchChromium();
  try {
    const runs = await repeat(async () => {
      await using looked = await lookAt(browser, record.link());
      await looked.page.locator(".tiles").waitFor();
      return { value: await looked.page.evaluate(timeToBars), baseline: 0 };
    });
    return [{
      name: `timeline of ${TASK_COUNT} tasks on ${WORKER_COUNT} workers drawn`,
      unit: "ms",
      beside: "",
      aim: "2000",
      runs,
    }];
  } finally {
    await browser.close();
  }
}

/** Runs in the page: opens the timeline, and looks before each frame whether bars are there. */
async function timeToBars(): Promise<number> {
  const startedAtMs = performance.now();
  location.hash = "#/timeline";
  for (;;) {
    await new Promise((resolve) => requestAnimationFrame(resolve));
    const canvas = document.querySelector<HTMLCanvasElement>(".timeline-canvas");
    if (canvas === null || canvas.width === 0) continue;
    const { data } = canvas.getContext("2d")!
      .getImageData(canvas.width / 2, 0, 200, Math.min(canvas.height, 300));
    const colours = new Set<number>();
    for (let at = 0; at < data.length; at += 4) {
      colours.add(data[at]! * 65_536 + data[at + 1]! * 256 + data[at + 2]!);
    }
    if (colours.size > 8) return performance.now() - startedAtMs;
  }
}
