/**
 * What a self-contained report holds, and how its page answers questions from it as the database
 * would. Pure: the same code runs where the report is written and in the browser that shows it.
 *
 * How `page/client.ts` uses it: a report's page has one data block,
 * `<script type="text/plain" id="tendril-report">BASE64</script>`. When
 * `document.getElementById(REPORT_ELEMENT_ID)` is there, the page is a report, nothing is fetched:
 * `const data = await openReport(element.textContent)` once, then each `ask(question)` is
 * `answerFromReport(data, question)`, which throws RangeError where the database would. Its session is
 * `{ version: API_VERSION, isLive: false, canAct: false }`. What a report had no room for is told by
 * `isPartial` of a task's, a worker's or a file's detail, and by `isCut` of the vine and the graph.
 *
 * @module
 */

import type { Answers, Question } from "./api.ts";

/** Id of the element whose text is the packed report. */
export const REPORT_ELEMENT_ID = "tendril-report";

/** Grows when what is packed changes its meaning. */
export const REPORT_VERSION = 1;

/** What a report holds. */
export interface ReportData {
  readonly version: typeof REPORT_VERSION;
  readonly run: Answers["run"];
}

/** Unpacks what `packReport` made: JSON, gzip, base64. */
export async function openReport(text: string): Promise<ReportData> {
  const bytes = Uint8Array.from(atob(text.trim()), (char) => char.charCodeAt(0));
  const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const data: ReportData = await new Response(unpacked).json();
  if (data.version === REPORT_VERSION) return data;
  throw new RangeError(
    `Cannot open report of version "${data.version}" as one of version ${REPORT_VERSION}`,
  );
}

/** Answers `question` from what the report holds. */
export function answerFromReport<Kind extends Question["kind"]>(
  data: ReportData,
  question: Extract<Question, { readonly kind: Kind }>,
): Answers[Kind];
export function answerFromReport(data: ReportData, question: Question): Answers[Question["kind"]] {
  if (question.kind === "run") return data.run;
  throw new RangeError(`Cannot answer question "${question.kind}" as from a report: it holds none`);
}
