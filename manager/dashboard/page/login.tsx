/**
 * Asks for a token or a secret, when the browser has shown none.
 *
 * @module
 */

import type { JSX } from "preact";
import { useState } from "preact/hooks";

import { logIn, openSession } from "./client.ts";
import { Icon } from "./icon.tsx";
import { readToken } from "./route.ts";

/** The form before all pages. */
export function Login({ message }: { readonly message: string }): JSX.Element {
  const [text, setText] = useState("");
  const [refusal, setRefusal] = useState(message);
  const [isBusy, setBusy] = useState(false);
  async function send(event: Event): Promise<void> {
    event.preventDefault();
    setBusy(true);
    const found = await logIn(readToken(text) ?? text.trim());
    setRefusal(found);
    if (found === "") await openSession().catch((error: unknown) => setRefusal(String(error)));
    setBusy(false);
  }
  return (
    <main class="login">
      <h1>
        <Icon name="vine" /> Tendril
      </h1>
      <p>
        Open the link that the manager printed when it started, or ask it for another, on a computer
        that has its access file:
      </p>
      <pre class="command">tendril dashboard</pre>
      <form onSubmit={send}>
        <label for="token">Or paste the link, its token, or the secret of a viewer or client</label>
        <div class="field-row">
          <input
            id="token"
            type="password"
            autocomplete="off"
            spellcheck={false}
            required
            value={text}
            onInput={(event) => setText(event.currentTarget.value)}
          />
          <button type="submit" class="button primary" disabled={isBusy}>Open</button>
        </div>
      </form>
      {refusal !== "" && (
        <p class="banner banner-bad" role="alert">
          <Icon name="warning" /> {refusal}
        </p>
      )}
    </main>
  );
}
