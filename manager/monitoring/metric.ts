/**
 * Counts and distributions that Prometheus reads, and the texts in which it reads them.
 *
 * Written here and not had from a package: what is counted is counted at 30,000 calls a second, where
 * looking up a label by its name costs more than the rest; here who counts holds the very number that
 * grows. The formats are a page each: Prometheus's text format 0.0.4 and OpenMetrics 1.0.
 *
 * @module
 */

/** Which of the two texts. */
export type MetricFormat = "text" | "openmetrics";

/** What the answer to a request says of each. */
export const CONTENT_TYPES: { readonly [Format in MetricFormat]: string } = {
  text: "text/plain; version=0.0.4; charset=utf-8",
  openmetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8",
};

/** `{name of a label: its value}` */
export type Labels = { readonly [name: string]: string };

/** A number that only grows. */
export interface Count {
  value: number;
}

/** What is known of a metric by its name. */
interface Described {
  readonly name: string;
  readonly help: string;
}

/** A number that is looked up when somebody asks. */
export type Reading = readonly [labels: Labels, value: number];

/** One metric, with a line or more for each combination of labels. */
interface Family extends Described {
  readonly type: "counter" | "gauge" | "histogram";
  write(lines: string[], format: MetricFormat): void;
}

/** How values are spread: how many were at most each of some bounds. */
export class Histogram {
  readonly #bounds: readonly number[];
  /** How many fell between a bound and the one before; the last is beyond all of them. */
  readonly #counts: number[];
  #sum = 0;

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = Array.from({ length: bounds.length + 1 }, () => 0);
  }

  /** Counts one value. */
  observe(value: number): void {
    const bounds = this.#bounds;
    let index = 0;
    while (index < bounds.length && value > (bounds[index] ?? Infinity)) index += 1;
    this.#counts[index] = (this.#counts[index] ?? 0) + 1;
    this.#sum += value;
  }

  /** Writes its buckets, sum and count. */
  write(lines: string[], { name, labels, format }: {
    readonly name: string;
    readonly labels: Labels;
    readonly format: MetricFormat;
  }): void {
    let total = 0;
    for (const [index, count] of this.#counts.entries()) {
      total += count;
      const le = formatBound(this.#bounds[index] ?? Infinity, format);
      lines.push(`${name}_bucket${formatLabels({ ...labels, le })} ${total}`);
    }
    lines.push(`${name}_sum${formatLabels(labels)} ${formatNumber(this.#sum)}`);
    lines.push(`${name}_count${formatLabels(labels)} ${total}`);
  }
}

/** All metrics of a manager, in the order in which they are told. */
export class MetricRegistry {
  readonly #families: Family[] = [];

  /** The names of all metrics, those of counters with `_total`. */
  get names(): readonly string[] {
    return this.#families.map(({ name }) => name);
  }

  /** One number that grows; its name ends in `_total`. */
  counter(name: string, help: string): Count {
    return this.counters(name, help)({});
  }

  /** Numbers that grow, by labels: whoever counts asks for the count of some labels once. */
  counters(name: string, help: string): (labels: Labels) => Count {
    const series: (readonly [Labels, Count])[] = [];
    this.#add({ name, help, type: "counter" }, (lines) => {
      for (const [labels, { value }] of series) {
        lines.push(`${name}${formatLabels(labels)} ${formatNumber(value)}`);
      }
    });
    return (labels) => {
      const count: Count = { value: 0 };
      series.push([labels, count]);
      return count;
    };
  }

  /** Numbers that grow and are counted elsewhere. */
  readCounters(name: string, help: string, read: () => readonly Reading[]): void {
    this.#read({ name, help, type: "counter" }, read);
  }

  /** Numbers that go up and down. */
  gauges(name: string, help: string, read: () => readonly Reading[]): void {
    this.#read({ name, help, type: "gauge" }, read);
  }

  /** One number that goes up and down; undefined while it is not known. */
  gauge(name: string, help: string, read: () => number | undefined): void {
    this.gauges(name, help, () => {
      const value = read();
      return value === undefined ? [] : [[{}, value]];
    });
  }

  /** Distributions by labels, all with the same bounds. */
  histograms(
    described: Described & { readonly bounds: readonly number[] },
  ): (labels: Labels) => Histogram {
    const { name, help, bounds } = described;
    const series: (readonly [Labels, Histogram])[] = [];
    this.#add({ name, help, type: "histogram" }, (lines, format) => {
      for (const [labels, histogram] of series) histogram.write(lines, { name, labels, format });
    });
    return (labels) => {
      const histogram = new Histogram(bounds);
      series.push([labels, histogram]);
      return histogram;
    };
  }

  /** All of them as text. */
  render(format: MetricFormat): string {
    const lines: string[] = [];
    for (const family of this.#families) {
      const { name, help, type } = family;
      const isShort = format === "openmetrics" && type === "counter";
      const shown = isShort ? name.replace(/_total$/, "") : name;
      lines.push(`# HELP ${shown} ${escapeHelp(help, format)}`, `# TYPE ${shown} ${type}`);
      family.write(lines, format);
    }
    if (format === "openmetrics") lines.push("# EOF");
    return `${lines.join("\n")}\n`;
  }

  #read(described: Omit<Family, "write">, read: () => readonly Reading[]): void {
    this.#add(described, (lines) => {
      for (const [labels, value] of read()) {
        lines.push(`${described.name}${formatLabels(labels)} ${formatNumber(value)}`);
      }
    });
  }

  #add(described: Omit<Family, "write">, write: Family["write"]): void {
    this.#families.push({ ...described, write });
  }
}

/** Bounds of a histogram from 10 to the power `first` to that of `last`: 1, 3, 10, 30 and so on. */
export function boundsBetween(first: number, last: number): readonly number[] {
  const bounds: number[] = [];
  for (let power = first; power < last; power++) {
    // Parsed, as multiplying would round.
    bounds.push(Number(`1e${power}`), Number(`3e${power}`));
  }
  return [...bounds, Number(`1e${last}`)];
}

/** The text that a client wants which sends such a header `Accept`. */
export function metricFormatFor(accept: string | undefined): MetricFormat {
  // Prometheus offers both with weights; it prefers OpenMetrics whenever it names it.
  return accept !== undefined && /\bapplication\/openmetrics-text\b/.test(accept)
    ? "openmetrics"
    : "text";
}

function formatLabels(labels: Labels): string {
  const entries = Object.entries(labels);
  if (entries.length === 0) return "";
  return `{${entries.map(([name, value]) => `${name}="${escapeValue(value)}"`).join(",")}}`;
}

/** Backslashes, quotes and line ends, as both formats have it. */
function escapeValue(value: string): string {
  // A lone surrogate has no UTF-8.
  return value.toWellFormed().replace(/[\\"\n]/g, (found) => found === "\n" ? "\\n" : `\\${found}`);
}

function escapeHelp(help: string, format: MetricFormat): string {
  const escaped = help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
  return format === "openmetrics" ? escaped.replaceAll('"', '\\"') : escaped;
}

function formatNumber(value: number): string {
  if (value === Infinity) return "+Inf";
  if (value === -Infinity) return "-Inf";
  return String(value);
}

/** OpenMetrics wants a point in bounds that are whole. */
function formatBound(bound: number, format: MetricFormat): string {
  const isWhole = format === "openmetrics" && Number.isInteger(bound);
  return isWhole ? bound.toFixed(1) : formatNumber(bound);
}
