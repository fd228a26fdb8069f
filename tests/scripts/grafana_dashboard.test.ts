import { expect, test } from "bun:test";

import dashboard from "../../scripts/grafana_dashboard.json" with { type: "json" };
import { Metrics } from "../../manager/monitoring/metrics.ts";
import { newManagerState } from "../../manager/core/new_state.ts";
import { DEFAULT_POLICIES } from "../../manager/core/policy.ts";
import { summarize } from "../../manager/core/summary.ts";
import { checkRules, HAS_PROMTOOL } from "../manager/monitoring/promtool.ts";

const state = newManagerState({ managerId: "m", epoch: 1, seed: 1, policies: DEFAULT_POLICIES });
const metrics = new Metrics({
  version: "1",
  numbers: () => summarize(state),
  refused: () => ({}),
  unplaceableCount: () => 0,
  records: () => undefined,
  apps: () => [],
});

const { panels, templating } = dashboard;
const shown = panels.filter(({ type }) => type !== "row");
const expressions = shown.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
/** What expressions read: names that go before a brace. */
const read = new Set(expressions.flatMap((expr) => expr.match(/[a-z_]+(?=\{)/g) ?? []));

test("grafana_dashboard.json reads metrics that there are, and all of them", () => {
  const text = metrics.render("text");
  const told = new Set(text.match(/^# TYPE \S+/gm)?.map((line) => line.slice("# TYPE ".length)));
  const familyOf = (name: string) =>
    told.has(name) ? name : name.replace(/_(bucket|sum|count)$/, "");
  expect([...read].filter((name) => !told.has(familyOf(name)))).toEqual([]);
  const families = new Set([...read].map(familyOf));
  expect(metrics.names.filter((name) => !families.has(name))).toEqual([]);
});

test("grafana_dashboard.json reads buckets of histograms, and counters as rates or sums", () => {
  const histograms = metrics.render("text").match(/^# TYPE \S+ histogram/gm) ?? [];
  const names = histograms.map((line) => line.split(" ")[2]);
  expect(names.length).toBeGreaterThan(5);
  // The name of a histogram alone is no series.
  expect([...read].filter((name) => names.includes(name))).toEqual([]);
});

test("grafana_dashboard.json has panels that do not overlap, each with the variable data source", () => {
  expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
  const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
    Array.from({ length: w * h }, (_, index) => `${x + index % w},${y + Math.floor(index / w)}`)
  );
  expect(new Set(cells).size).toBe(cells.length);
  expect(Math.max(...panels.map(({ gridPos: { x, w } }) => x + w))).toBe(24);
  for (const { datasource, targets = [], title, description } of shown) {
    expect([title, description]).not.toContain("");
    for (const source of [datasource, ...targets.map((target) => target.datasource)]) {
      expect(source).toEqual({ type: "prometheus", uid: "${datasource}" });
    }
    expect(new Set(targets.map(({ refId }) => refId)).size).toBe(targets.length);
  }
  expect(templating.list.map(({ name }) => name)).toEqual(["datasource", "instance"]);
  // An identity that is given makes the import ask nothing, but the number is Grafana's to give.
  expect([dashboard.id, dashboard.uid]).toEqual([null, "tendril"]);
});

test.skipIf(!HAS_PROMTOOL)("grafana_dashboard.json has expressions that Prometheus takes", () => {
  const rules = expressions.map((expr, index) => ({
    record: `panel:${index}`,
    expr: expr.replaceAll("$__rate_interval", "5m").replaceAll("$instance", ".*"),
  }));
  expect(checkRules(rules)).toMatchObject({ status: 0 });
  expect(checkRules([{ record: "panel:0", expr: "sum(" }]).status).not.toBe(0);
});
