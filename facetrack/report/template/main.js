"use strict";
// Controls, keys, playing, theme.
FT.start = async () => {
  const pick = (id) => document.getElementById(id);
  const stage = pick("stage");
  const slider = pick("slider");
  await FT.load();
  const last = FT.positions - 1;
  const BEHIND = 0.25; // seconds that playing may lag before it goes on from where it is

  // ------------------------------------------------------------ theme
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const theme = pick("theme");
  let printing = false;

  function applyTheme() {
    const root = document.documentElement;
    if (theme.value) root.dataset.theme = theme.value;
    else delete root.dataset.theme;
    if (printing) root.dataset.theme = "light";
    const dark = !printing && (theme.value ? theme.value === "dark" : system.matches);
    FT.theme = dark ? "dark" : "light";
    swatches();
    FT.redraw?.();
  }
  theme.addEventListener("change", () => {
    try {
      localStorage.setItem("facetrack-theme", theme.value);
    } catch {
      // A browser may keep nothing for pages on disk; the choice then lasts as long as the page.
    }
    applyTheme();
  });
  try {
    theme.value = localStorage.getItem("facetrack-theme") ?? "";
  } catch {
    theme.value = "";
  }
  system.addEventListener("change", applyTheme);
  window.addEventListener("beforeprint", () => {
    printing = true;
    applyTheme();
  });
  window.addEventListener("afterprint", () => {
    printing = false;
    applyTheme();
  });

  // ------------------------------------------------------------ methods
  const svg = (method) => {
    const dash = FT.dashArrays[method.index % FT.dashArrays.length].join(" ");
    const shapes = {
      circle: '<circle cx="14" cy="7" r="4"/>',
      square: '<rect x="10" y="3" width="8" height="8"/>',
      triangle: '<path d="M14 2l5 9H9z"/>',
      diamond: '<path d="M14 1.5l5 5.5-5 5.5L9 7z"/>',
      inverted: '<path d="M14 12l5-9H9z"/>',
    };
    return `<svg viewBox="0 0 28 14" aria-hidden="true"><line x1="0" y1="7" x2="28" y2="7" stroke-dasharray="${dash}"/>${shapes[FT.shapes[method.index % 5]]}</svg>`;
  };
  for (const method of FT.methods) {
    const label = document.createElement("label");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.checked = FT.state.on[method.index];
    box.dataset.method = method.index;
    box.addEventListener("change", () => toggleMethod(method.index, box.checked));
    const swatch = document.createElement("span");
    swatch.className = "swatch";
    swatch.innerHTML = svg(method);
    const name = document.createElement("span");
    name.textContent = method.label;
    label.append(box, swatch, name);
    pick("methods").append(label);
  }
  function swatches() {
    document.querySelectorAll(".swatch").forEach((swatch, i) => {
      swatch.style.color = FT.colour(i);
    });
  }
  function toggleMethod(index, on) {
    FT.set({ on: FT.state.on.map((was, i) => (i === index ? on : was)) });
    pick("methods").querySelectorAll("input")[index].checked = on;
  }

  // ------------------------------------------------------------ what is shown
  for (const name of ["points", "lines", "hidden", "numbers", "truth", "picture"]) {
    const box = pick(`show-${name}`);
    if (!box) continue;
    box.checked = FT.state[name];
    box.addEventListener("change", () => FT.set({ [name]: box.checked }));
  }
  if (!FT.pictures) pick("show-picture").parentElement.hidden = true;
  const toggle = (name) => pick(`show-${name}`).click();

  const view = pick("view");
  for (const name of ["face", "eyes", "mouth"]) {
    if (FT.methods.some((method) => method.views[name])) view.add(new Option(name, name));
  }
  view.addEventListener("change", () => FT.set({ view: view.value }));

  // ------------------------------------------------------------ stepping
  slider.max = last;
  slider.addEventListener("input", () => go(Number(slider.value)));

  function go(position) {
    FT.set({ position: Math.min(last, Math.max(0, position)), preview: null });
  }
  const step = (by) => {
    pause();
    go(FT.state.position + by);
  };
  pick("previous").addEventListener("click", () => step(-1));
  pick("next").addEventListener("click", () => step(1));
  for (const link of document.querySelectorAll("[data-frame]")) {
    link.addEventListener("click", () => {
      pause();
      const subject = link.dataset.subject === undefined ? FT.state.subject : Number(link.dataset.subject);
      FT.set({ subject });
      go(FT.nearest(Number(link.dataset.frame)));
    });
  }

  const text = (position) => {
    const row = FT.rowOf(position);
    return `frame ${FT.frameOf(row)}, ${FT.time[row].toFixed(3)} s`;
  };
  let announced = 0;
  FT.listen("position preview", () => {
    const shown = FT.position();
    slider.value = shown;
    slider.setAttribute("aria-valuetext", text(shown));
    pick("where").textContent = text(shown);
    if (FT.state.playing || FT.state.preview !== null) return;
    clearTimeout(announced);
    // A held key must not leave a screen reader minutes behind.
    announced = setTimeout(() => {
      const [, time] = text(FT.state.position).split(", ");
      pick("live").textContent = `Frame ${FT.frameOf(FT.rowOf(FT.state.position))} of ${FT.first} to ${FT.frames[FT.rows - 1]}, ${time}`;
    }, 250);
  });

  // ------------------------------------------------------------ playing
  let clock = null; // since when, and from which time of the video, playing runs

  function play() {
    if (last < 1) return;
    if (FT.state.position === last) go(0);
    clock = null;
    FT.set({ playing: true, preview: null });
    requestAnimationFrame(tick);
  }
  function pause() {
    FT.set({ playing: false });
  }
  function tick(now) {
    if (!FT.state.playing) return;
    const speed = Number(pick("speed").value);
    const { position } = FT.state;
    const time = (p) => FT.time[FT.rowOf(p)];
    if (!clock || clock.speed !== speed || clock.position !== position) {
      clock = { now, time: time(position), speed, position };
    }
    const due = clock.time + ((now - clock.now) / 1000) * speed;
    // No picture is skipped: time waits for one that is late.
    if (time(position + 1) <= due && FT.ready()) go(position + 1);
    clock.position = FT.state.position;
    if (due - time(FT.state.position) > BEHIND * speed) clock = null;
    if (FT.state.position === last) pause();
    else requestAnimationFrame(tick);
  }
  pick("play").addEventListener("click", () => (FT.state.playing ? pause() : play()));
  FT.listen("playing", () => {
    const button = pick("play");
    button.classList.toggle("playing", FT.state.playing);
    button.setAttribute("aria-label", FT.state.playing ? "Pause" : "Play");
  });

  // ------------------------------------------------------------ keys
  const ownKeys = "input:not([type=checkbox]), select, textarea, .table-wrap";
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const focus = document.activeElement;
    if (focus !== slider && focus?.matches(ownKeys)) return;
    const by = event.shiftKey ? 10 : 1;
    const onStage = focus === stage;
    const acts = {
      ArrowLeft: () => step(-by),
      ArrowRight: () => step(by),
    };
    // Space presses the button or box that has the focus.
    if (!focus?.matches("button, input[type=checkbox], summary, a")) {
      acts[" "] = () => (FT.state.playing ? pause() : play());
    }
    if (onStage) {
      Object.assign(acts, {
        Home: () => step(-last),
        End: () => step(last),
        z: () => {
          view.selectedIndex = (view.selectedIndex + 1) % view.length;
          FT.set({ view: view.value });
        },
        p: () => toggle("points"),
        l: () => toggle("lines"),
        h: () => toggle("hidden"),
        n: () => toggle("numbers"),
      });
      const index = Number(event.key) - 1;
      if (FT.methods[index]) acts[event.key] = () => toggleMethod(index, !FT.state.on[index]);
    }
    const act = acts[event.key] ?? acts[event.key.toLowerCase()];
    if (!act) return;
    event.preventDefault();
    act();
  });

  // ------------------------------------------------------------ printing the summary alone
  pick("print-summary")?.addEventListener("click", () => {
    document.documentElement.dataset.print = "summary";
    window.print();
  });
  window.addEventListener("afterprint", () => delete document.documentElement.dataset.print);

  // ------------------------------------------------------------ begin
  const query = FT.methods[0].query;
  applyTheme();
  FT.startViewer();
  go(query === null ? 0 : FT.nearest(query));
  const shown = text(FT.state.position);
  pick("where").textContent = shown;
  slider.setAttribute("aria-valuetext", shown);
  slider.value = FT.state.position;
  FT.startCharts();
  FT.startMeasures();
  FT.startPlots();
  document.documentElement.dataset.ready = "yes";
};
FT.start().catch((error) => {
  document.getElementById("failed").hidden = false;
  throw error;
});
