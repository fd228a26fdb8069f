/** Processor numbers as the kernel lists them: `0-3,8`. */

/** A list with more is not taken at its word: CONFIG_NR_CPUS is 8,192 at most. */
const CPUS_MAX = 8_192;

/** The numbers of a list; none when it is not one. */
export function parseCpuList(text: string): number[] {
  const cpus: number[] = [];
  for (const part of text.trim().split(",")) {
    const range = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part);
    if (range === null) return [];
    const first = Number(range[1]);
    const last = Number(range[2] ?? first);
    if (last >= CPUS_MAX) return [];
    for (let cpu = first; cpu <= last; cpu++) cpus.push(cpu);
  }
  return cpus;
}
