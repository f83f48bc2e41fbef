// Requests to the program, and its messages.

import { set, store, say } from "./store.js";

const banner = document.getElementById("banner");
let bannerKind = "";

// Show a sentence above all; kind tells apart what may replace it.
export function warn(text, kind = "problem") {
  banner.textContent = text;
  banner.hidden = !text;
  bannerKind = text ? kind : "";
}

export function unwarn(kind) {
  if (bannerKind === kind) warn("");
}

export class Refused extends Error {}

export async function get(path) {
  const answer = await fetch(path, { cache: "no-store" });
  if (!answer.ok) throw new Refused((await answer.json().catch(() => ({}))).error ?? answer.statusText);
  return answer;
}

export async function post(path, message = {}) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(message),
    cache: "no-store",
  });
  const content = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(content.error ?? answer.statusText);
  return content;
}

// ---------------------------------------------------------------- changes
// Changes are sent one after the other. One that the program did not answer stays here, and is sent
// again once the program answers; so do those behind it.
const waiting = [];
let sending = false;

export const unsent = () => waiting.length;

export function change(path, message, then = () => {}) {
  waiting.push({ path, message, then });
  void send();
}

async function send() {
  if (sending) return;
  sending = true;
  try {
    while (waiting.length) {
      const { path, message, then } = waiting[0];
      if (path === "undo" || path === "redo") message.revision = store.state.revision;
      let state = null;
      try {
        state = await post(path, message);
      } catch (error) {
        if (!(error instanceof Refused)) {
          lost();
          return;
        }
        warn(error.message);
        say(error.message);
      }
      waiting.shift();
      unwarn("lost");
      if (state) takeState(state);
      then(state !== null);
    }
  } finally {
    sending = false;
  }
}

export function takeState(state) {
  if (!store.state || state.revision >= store.state.revision) set({ state });
}

function lost() {
  set({ connected: false });
  const stored = `What was stored is in ${store.session?.corrections_file ?? "the file of corrections"}.`;
  const left = waiting.length
    ? ` ${waiting.length} change${waiting.length > 1 ? "s are" : " is"} not stored yet, and will be as soon as it answers; keep this page open.`
    : "";
  warn(`facetrack edit does not answer. ${stored}${left} If it has ended, start it again, and open the address that it prints.`, "lost");
}

// ---------------------------------------------------------------- messages

export function listenToServer(handlers) {
  const source = new EventSource("messages");
  source.onopen = async () => {
    set({ connected: true });
    unwarn("lost");
    try {
      takeState(await (await get("state")).json());
      handlers.reconnected();
    } catch { /* the next attempt will tell */ }
    void send();
  };
  source.onerror = () => lost();
  source.onmessage = (event) => {
    const message = JSON.parse(event.data);
    if (message.kind === "end") {
      source.close();
      set({ connected: false });
      warn(`facetrack edit has ended. The corrections are in ${store.session.corrections_file}.`, "end");
      return;
    }
    handlers[message.kind]?.(message);
  };
}
