/**
 * The dashboard's page as a program carries it. scripts/build.ts puts the texts in the place of this
 * module; from source there is none.
 *
 * @module
 */

import type { Page } from "./page_bundle.ts";

/** The page of this program; undefined from source. */
export const embeddedPage: Page | undefined = undefined;
