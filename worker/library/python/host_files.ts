/**
 * The Python program that serves the calls of Python libraries, as files: a worker is one binary,
 * and Python starts from a file.
 *
 * @module
 */

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "@std/path";

import callProtocol from "./call_protocol.py" with { type: "text" };
import capturedOutput from "./captured_output.py" with { type: "text" };
import description from "./description.py" with { type: "text" };
import direct from "./direct.py" with { type: "text" };
import fork from "./fork.py" with { type: "text" };
import host from "./host.py" with { type: "text" };
import lateImport from "./late_import.py" with { type: "text" };
import library from "./library.py" with { type: "text" };
import libraryCall from "./library_call.py" with { type: "text" };
import options from "./options.py" with { type: "text" };
import processTree from "./process_tree.py" with { type: "text" };
import start from "./start.py" with { type: "text" };
import thrown from "./thrown.py" with { type: "text" };
import valueFormat from "./value_format.py" with { type: "text" };
import valueReader from "./value_reader.py" with { type: "text" };
import valueWriter from "./value_writer.py" with { type: "text" };

const HOST_FILES: { readonly [name: string]: string } = {
  "call_protocol.py": callProtocol,
  "captured_output.py": capturedOutput,
  "description.py": description,
  "direct.py": direct,
  "fork.py": fork,
  "host.py": host,
  "late_import.py": lateImport,
  "library.py": library,
  "library_call.py": libraryCall,
  "options.py": options,
  "process_tree.py": processTree,
  "start.py": start,
  "thrown.py": thrown,
  "value_format.py": valueFormat,
  "value_reader.py": valueReader,
  "value_writer.py": valueWriter,
};

/**
 * Writes the program into a directory of its own and returns the path of the file to start. Python
 * keeps its bytecode there, which spares each further start a quarter of its time.
 */
export function writePythonHost(directory: string): string {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  for (const [name, source] of Object.entries(HOST_FILES)) {
    writeFileSync(join(directory, name), source);
  }
  return join(directory, "host.py");
}
