/** Amounts of what a worker has and a task asks for. Plain vectors and their arithmetic. */

/** Amounts of resources that a site has names for, as `{ license: 2 }`; all of them whole. */
export type CustomResources = { readonly [name: string]: number };

/** An amount of each resource; what is not stated is 0. */
export interface Resources {
  /** May be fractional. */
  readonly cores: number;
  /** In bytes; 0 is not looked at. */
  readonly memoryBytes: number;
  /** In bytes; 0 is not looked at. */
  readonly diskBytes: number;
  /** Whole. */
  readonly gpus: number;
  /** Absent when there are none. */
  readonly custom?: CustomResources;
}

/** The resources that every worker has some of, as users name them. */
export const RESOURCE_NAMES = ["cores", "memory", "disk", "gpus"] as const;

/** One of them. */
export type ResourceName = (typeof RESOURCE_NAMES)[number];

/** Names that are no custom resource's: those above, and what they are called besides. */
const RESERVED_NAMES: readonly string[] = [...RESOURCE_NAMES, "custom", "memoryBytes", "diskBytes"];

/** True of a name that a custom resource may have. */
export function isCustomName(name: string): boolean {
  return /^[A-Za-z_][A-Za-z0-9._-]{0,63}$/.test(name) && !RESERVED_NAMES.includes(name);
}

/** What `isCustomName` asks for, as errors say it. */
export const CUSTOM_NAME_WANTED: string =
  'up to 64 letters, digits, ".", "_" and "-", a letter first, and none of ' +
  `${RESOURCE_NAMES.join(", ")}`;

/** The field of `Resources` that has the amount. */
export const RESOURCE_FIELDS: {
  readonly [Name in ResourceName]: Exclude<keyof Resources, "custom">;
} = { cores: "cores", memory: "memoryBytes", disk: "diskBytes", gpus: "gpus" };

/** What is asked for: absent is what was not stated, `Infinity` all that a worker has. */
export type ResourceRequest = Partial<Resources>;

/** Nothing of anything. */
export const NO_RESOURCES: Resources = { cores: 0, memoryBytes: 0, diskBytes: 0, gpus: 0 };

/** What is stated of each, and 0 of what is not; of what is allocated in no proportion. */
export function statedResources({ cores = 1, ...request }: ResourceRequest): Resources {
  return { ...NO_RESOURCES, ...request, cores };
}

const NO_CUSTOM: CustomResources = {};

/** Slack for sums of fractional cores: one part in 10,000 of a core, HyperQueue's granularity. */
const CORES_SLACK = 1e-4;

/** The same for amounts in bytes, of which users may state parts: what rounding leaves is far less. */
const BYTES_SLACK = 0.5;

/** The sum of `a` and `b`. */
export function addResources(a: Resources, b: Resources): Resources {
  const sum = {
    cores: a.cores + b.cores,
    memoryBytes: a.memoryBytes + b.memoryBytes,
    diskBytes: a.diskBytes + b.diskBytes,
    gpus: a.gpus + b.gpus,
  };
  // Most sums have no custom resources: these cost them nothing.
  if (a.custom === undefined && b.custom === undefined) return sum;
  return withCustom(sum, { a: a.custom, b: b.custom, sign: 1 });
}

/** `a` less `b`. Cores that are 0 but for rounding become 0. */
export function subtractResources(a: Resources, b: Resources): Resources {
  const cores = a.cores - b.cores;
  const rest = {
    cores: Math.abs(cores) < CORES_SLACK ? 0 : cores,
    memoryBytes: a.memoryBytes - b.memoryBytes,
    diskBytes: a.diskBytes - b.diskBytes,
    gpus: a.gpus - b.gpus,
  };
  if (a.custom === undefined && b.custom === undefined) return rest;
  return withCustom(rest, { a: a.custom, b: b.custom, sign: -1 });
}

/** The smaller of `a` and `b` of each, and never below 0. */
export function leastResources(a: Resources, b: Resources): Resources {
  return {
    cores: Math.max(0, Math.min(a.cores, b.cores)),
    memoryBytes: Math.max(0, Math.min(a.memoryBytes, b.memoryBytes)),
    diskBytes: Math.max(0, Math.min(a.diskBytes, b.diskBytes)),
    gpus: Math.max(0, Math.min(a.gpus, b.gpus)),
  };
}

/** True when `used` and `more` together are within `factor` times `capacity`. */
export function fitsWithin(
  capacity: Resources,
  use: { used: Resources; more: Resources; factor: number },
): boolean {
  return lacking(capacity, use) === undefined;
}

/** The first resource of which `used` and `more` are more than `factor` times `capacity`. */
export function lacking(
  capacity: Resources,
  use: { used: Resources; more: Resources; factor: number },
): string | undefined {
  const { used, more, factor } = use;
  // What is not asked for is not lacking, even where there is too little of it.
  const isCoresShort = used.cores + more.cores > capacity.cores * factor + CORES_SLACK;
  if (isCoresShort) return "cores";
  const memoryBytes = capacity.memoryBytes * factor + BYTES_SLACK;
  if (used.memoryBytes + more.memoryBytes > memoryBytes) return "memory";
  const diskBytes = capacity.diskBytes * factor + BYTES_SLACK;
  if (used.diskBytes + more.diskBytes > diskBytes) return "disk";
  if (used.gpus + more.gpus > capacity.gpus * factor) return "gpus";
  if (more.custom === undefined) return undefined;
  for (const [name, amount] of Object.entries(more.custom)) {
    if (amountOf(used, name) + amount > amountOf(capacity, name) * factor) return name;
  }
  return undefined;
}

/** The amount of any resource, by the name that users give it; 0 of what is not stated. */
export function requestOf({ custom, ...common }: ResourceRequest, name: string): number {
  const known = RESOURCE_NAMES.find((resource) => resource === name);
  if (known !== undefined) return common[RESOURCE_FIELDS[known]] ?? 0;
  return custom === undefined ? 0 : amountOf({ ...NO_RESOURCES, custom }, name);
}

/** The amount of a custom resource. */
export function amountOf({ custom }: Resources, name: string): number {
  return custom !== undefined && Object.hasOwn(custom, name) ? custom[name] ?? 0 : 0;
}

function withCustom(
  resources: Resources,
  { a = NO_CUSTOM, b = NO_CUSTOM, sign }: {
    readonly a: CustomResources | undefined;
    readonly b: CustomResources | undefined;
    readonly sign: 1 | -1;
  },
): Resources {
  const custom: Record<string, number> = { ...a };
  for (const [name, amount] of Object.entries(b)) {
    const sum = (Object.hasOwn(custom, name) ? custom[name] ?? 0 : 0) + sign * amount;
    if (sum === 0) delete custom[name];
    else custom[name] = sum;
  }
  return Object.keys(custom).length === 0 ? resources : { ...resources, custom };
}
