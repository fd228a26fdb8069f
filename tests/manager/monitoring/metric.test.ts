import { expect, test } from "bun:test";

import {
  boundsBetween,
  metricFormatFor,
  MetricRegistry,
} from "../../../manager/monitoring/metric.ts";
import { NAMES_MAX, seriesByName } from "../../../manager/monitoring/metric_names.ts";

function filled(): MetricRegistry {
  const registry = new MetricRegistry();
  const counts = registry.counters("a_total", 'Of "a",\nwith a \\.');
  counts({ name: 'x"\\\ny\ud800' }).value += 2;
  counts({ name: "" });
  registry.gauge("b", "Not known.", () => undefined);
  registry.gauge("c_bytes", "Large.", () => 1.5e21);
  const histogram = registry.histograms({ name: "d_seconds", help: "Of d.", bounds: [0.1, 1] })({
    of: "d",
  });
  for (const value of [0.1, 0.5, 7]) histogram.observe(value);
  return registry;
}

test("MetricRegistry.render() writes Prometheus's text with all that is special escaped", () => {
  expect(filled().render("text").split("\n")).toEqual([
    '# HELP a_total Of "a",\\nwith a \\\\.',
    "# TYPE a_total counter",
    'a_total{name="x\\"\\\\\\ny\ufffd"} 2',
    'a_total{name=""} 0',
    "# HELP b Not known.",
    "# TYPE b gauge",
    "# HELP c_bytes Large.",
    "# TYPE c_bytes gauge",
    "c_bytes 1.5e+21",
    "# HELP d_seconds Of d.",
    "# TYPE d_seconds histogram",
    'd_seconds_bucket{of="d",le="0.1"} 1',
    'd_seconds_bucket{of="d",le="1"} 2',
    'd_seconds_bucket{of="d",le="+Inf"} 3',
    'd_seconds_sum{of="d"} 7.6',
    'd_seconds_count{of="d"} 3',
    "",
  ]);
});

test("MetricRegistry.render() writes OpenMetrics, whose families of counters have no _total", () => {
  const lines = filled().render("openmetrics").split("\n");
  expect(lines.slice(0, 3)).toEqual([
    '# HELP a Of \\"a\\",\\nwith a \\\\.',
    "# TYPE a counter",
    'a_total{name="x\\"\\\\\\ny\ufffd"} 2',
  ]);
  expect(lines).toContain('d_seconds_bucket{of="d",le="1.0"} 2');
  expect(lines.slice(-2)).toEqual(["# EOF", ""]);
});

test("metricFormatFor() gives OpenMetrics to who names it", () => {
  const scraper = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4";
  expect(metricFormatFor(scraper)).toBe("openmetrics");
  expect([undefined, "", "*/*", "text/plain"].map(metricFormatFor)).toEqual([
    "text",
    "text",
    "text",
    "text",
  ]);
});

test("boundsBetween() goes up by about three, without what rounding would leave", () => {
  expect(boundsBetween(-3, 1)).toEqual([0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10]);
});

test("seriesByName() tells the first names apart, and the others not", () => {
  const made: string[] = [];
  const seriesOf = seriesByName((name) => (made.push(name), { name }));
  for (let index = 0; index < NAMES_MAX + 5; index++) seriesOf(`name ${index}`);
  expect(seriesOf("name 3").name).toBe("name 3");
  expect(seriesOf(`name ${NAMES_MAX}`).name).toBe("other");
  expect(made.length).toBe(NAMES_MAX + 1);
});
