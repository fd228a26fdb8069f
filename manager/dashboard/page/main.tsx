/** The page of the dashboard in the browser. */

import { render } from "preact";

const root = document.getElementById("page");
if (root !== null) render(<p>Tendril</p>, root);
