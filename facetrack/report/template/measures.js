"use strict";
// The measures of one person's face: traces with their validity, events, pose, right against left.
FT.startMeasures = () => {
  const pick = (id) => document.getElementById(id);
  if (!FT.methods.some((method) => method.face)) return;
  const face = () => FT.methods[FT.state.subject].face;

  // Right and left have the same colours everywhere.
  const RIGHT = 0;
  const LEFT = 1;
  const side = (name) => (name.endsWith("_r") || name.includes("_r_") ? RIGHT : LEFT);
  const GROUPS = [
    ["pose", ["pose_Rx", "pose_Ry", "pose_Rz"], ["pitch", "yaw", "roll"], "°"],
    ["place", ["pose_Tx", "pose_Ty"], ["to the right", "down"], " mm"],
    ["distance", ["pose_Tz"], ["distance"], " mm"],
    ["lids", ["eye_r_open", "eye_l_open"], ["right eye", "left eye"], ""],
    ["ratio", ["eye_r", "eye_l"], ["right eye", "left eye"], ""],
    ["lips", ["mouth_open", "mouth_width"], ["opening", "width"], " %"],
    ["speed", ["mouth_velocity"], ["velocity"], " %/s"],
    ["corners", ["lip_corner_r", "lip_corner_l"], ["right corner", "left corner"], " %"],
    ["brows", ["brow_r", "brow_l"], ["right brow", "left brow"], " %"],
    ["asymmetry", ["eye_asymmetry", "brow_asymmetry", "lip_corner_asymmetry"], ["eyes", "brows", "mouth corners"], ""],
  ];
  const EYE_EVENTS = ["blink", "wink", "closure"];

  // Frames in which a measure of the chart is not valid, as ranges.
  function invalid(series) {
    const runs = [];
    let start = null;
    for (let row = 0; row <= FT.rows; row++) {
      const bad = row < FT.rows && series.some((values) => !values || !Number.isFinite(values[row]));
      if (bad && start === null) start = row;
      if (!bad && start !== null) {
        const half = FT.stride / 2;
        runs.push([FT.frameOf(start) - half, FT.frameOf(row - 1) + half]);
        start = null;
      }
    }
    return runs;
  }

  function marks(kinds) {
    return face()
      .events.filter((event) => kinds.includes(event.kind))
      .map((event) => ({
        from: FT.frameAt(event.start),
        peak: event.frame,
        to: FT.frameAt(event.end),
        below: event.side === "l",
        colour: FT.colour(event.side === "l" ? LEFT : event.side === "r" ? RIGHT : 2),
      }));
  }

  const build = ([id, names, labels, unit]) => () => {
    const values = names.map((name) => face().values[name]);
    const paired = ["lids", "ratio", "corners", "brows"].includes(id);
    const known = values.filter(Boolean);
    const kinds = id === "lids" || id === "ratio" ? EYE_EVENTS : id === "lips" ? ["mouth_opening"] : [];
    return {
      series: names.map((name, i) => ({
        label: labels[i],
        values: values[i] ?? new Float32Array(FT.rows).fill(NaN),
        colour: FT.colour(paired ? side(name) : i),
        dash: FT.dashArrays[paired ? side(name) : i],
      })),
      unit,
      height: 150,
      shades: invalid(values),
      marks: marks(kinds),
      yRange: (u, low, high) => {
        if (id === "lids") return [0, Math.max(1.1, (high ?? 1) * 1.05)];
        const margin = ((high ?? 1) - (low ?? 0)) * 0.08 || 1;
        const ends = [(low ?? 0) - margin, (high ?? 1) + margin];
        return id === "pose" ? [Math.min(ends[0], -10), Math.max(ends[1], 10)] : ends;
      },
      says: known.length
        ? names.map((name, i) => FT.summary(labels[i], values[i] ?? [], unit)).join("; ")
        : "no valid frame",
    };
  };

  for (const group of GROUPS) {
    if (FT.methods.some((m) => m.face && group[1].some((name) => m.face.values[name]))) {
      FT.chart(group[0], build(group));
    }
  }

  // ------------------------------------------------------------ pose gauge
  const DIALS = [
    ["yaw", "pose_Ry", (v) => (v > 0 ? "to the left of the image" : "to the right of the image")],
    ["pitch", "pose_Rx", (v) => (v > 0 ? "down" : "up")],
    ["roll", "pose_Rz", (v) => (v > 0 ? "clockwise" : "counter-clockwise")],
  ];
  const NS = "http://www.w3.org/2000/svg";
  const LIMIT = 90;
  function svg(name, attributes, parent) {
    const made = document.createElementNS(NS, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    parent?.append(made);
    return made;
  }
  // The end of a needle of this length; yaw and roll turn around the bottom, pitch around the left.
  const tip = (name, degrees, length) => {
    const angle = (Math.max(-LIMIT, Math.min(LIMIT, degrees)) * Math.PI) / 180;
    if (name === "pitch") return [length * Math.cos(angle), length * Math.sin(angle)];
    const turn = name === "yaw" ? -angle : angle;
    return [length * Math.sin(turn), -length * Math.cos(turn)];
  };
  const arc = (name, from, to, length) => {
    const [x0, y0] = tip(name, from, length);
    const [x1, y1] = tip(name, to, length);
    const sweep = name === "yaw" ? 0 : 1;
    return `M${x0.toFixed(2)} ${y0.toFixed(2)}A${length} ${length} 0 0 ${sweep} ${x1.toFixed(2)} ${y1.toFixed(2)}`;
  };
  const dials = DIALS.map(([name, measure, words]) => {
    const box = document.createElement("div");
    box.className = "dial";
    const drawn = svg("svg", { viewBox: name === "pitch" ? "-12 -50 68 100" : "-50 -54 100 62", "aria-hidden": "true" });
    svg("path", { d: arc(name, -LIMIT, LIMIT, 44), class: "scale" }, drawn);
    const usual = svg("path", { class: "usual" }, drawn);
    for (let mark = -90; mark <= 90; mark += 30) {
      const [[a, b], [c, d]] = [tip(name, mark, 40), tip(name, mark, 46)];
      svg("line", { x1: a, y1: b, x2: c, y2: d, class: "tick" }, drawn);
    }
    const needle = svg("line", { x1: 0, y1: 0, x2: 0, y2: 0, class: "needle" }, drawn);
    svg("circle", { r: 4, class: "hub" }, drawn);
    const text = document.createElement("p");
    box.append(drawn, text);
    pick("gauge").append(box);
    return { name, measure, words, needle, usual, text };
  });
  function turnDials() {
    const row = FT.rowOf(FT.position());
    for (const dial of dials) {
      const value = face().values[dial.measure]?.[row];
      const known = Number.isFinite(value);
      const [x, y] = tip(dial.name, known ? value : 0, 40);
      dial.needle.setAttribute("x2", x);
      dial.needle.setAttribute("y2", y);
      dial.needle.style.visibility = known ? "visible" : "hidden";
      const rounded = known ? Math.round(value) : 0;
      const where = known && rounded ? ` ${dial.words(rounded)}` : "";
      dial.text.innerHTML = "";
      const strong = document.createElement("strong");
      strong.textContent = known ? `${Math.abs(rounded)}°` : "–";
      dial.text.append(`${dial.name} `, strong, where);
    }
  }
  function setRanges() {
    for (const dial of dials) {
      const range = face().ranges[dial.measure];
      dial.usual.setAttribute("d", range ? arc(dial.name, range[0], range[2], 44) : "");
    }
  }

  // ------------------------------------------------------------ right against left
  const PAIRS = [
    ["eye opening", "eye_r_open", "eye_l_open", "eye_asymmetry", 1.2, (v) => `${Math.round(100 * v)} %`],
    ["brow height", "brow_r", "brow_l", "brow_asymmetry", null, (v) => `${v.toFixed(1)} %`],
    ["mouth corner below the eyes", "lip_corner_r", "lip_corner_l", "lip_corner_asymmetry", null, (v) => `${v.toFixed(1)} %`],
  ];
  const bars = PAIRS.map(([title, right, left, asymmetry, limit, text]) => {
    const row = document.createElement("div");
    row.className = "balance-row";
    row.innerHTML = '<p></p><div class="balance-bars"><span class="value"></span><i class="right"><b></b></i><i class="left"><b></b></i><span class="value"></span></div>';
    pick("balance").append(row);
    const [rightValue, leftValue] = row.querySelectorAll(".value");
    const [rightBar, leftBar] = row.querySelectorAll("b");
    return { title, right, left, asymmetry, limit, text, row, rightValue, leftValue, rightBar, leftBar };
  });
  const largest = new Map();
  function limitOf(bar) {
    if (bar.limit) return bar.limit;
    const key = `${FT.state.subject} ${bar.right}`;
    if (!largest.has(key)) {
      const values = [bar.right, bar.left].flatMap((name) => [...(face().values[name] ?? [])]);
      largest.set(key, Math.max(1e-6, ...values.filter(Number.isFinite).map(Math.abs).slice(0, 50000)));
    }
    return largest.get(key);
  }
  function moveBars() {
    const row = FT.rowOf(FT.position());
    for (const bar of bars) {
      const value = (name) => face().values[name]?.[row];
      for (const [name, shownBar, shownValue] of [
        [bar.right, bar.rightBar, bar.rightValue],
        [bar.left, bar.leftBar, bar.leftValue],
      ]) {
        const known = Number.isFinite(value(name));
        shownBar.style.width = known ? `${Math.min(100, (100 * Math.max(0, value(name))) / limitOf(bar))}%` : "0";
        shownValue.textContent = known ? bar.text(value(name)) : "–";
      }
      const off = value(bar.asymmetry);
      const said = Number.isFinite(off) ? `asymmetry ${(100 * off).toFixed(1)} %` : "asymmetry not valid";
      bar.row.querySelector("p").textContent = `${bar.title}: ${said}`;
    }
  }

  // ------------------------------------------------------------ whose measures
  const choice = pick("subject");
  for (const method of FT.methods.filter((m) => m.face)) {
    choice.add(new Option(method.label, method.index));
  }
  choice.parentElement.hidden = choice.length < 2;
  choice.value = FT.state.subject;
  choice.addEventListener("change", () => FT.set({ subject: Number(choice.value) }));
  const refresh = () => {
    turnDials();
    moveBars();
  };
  FT.listen("subject", () => {
    choice.value = FT.state.subject;
    FT.redraw(GROUPS.map(([id]) => id));
    setRanges();
    refresh();
  });
  FT.listen("position preview", refresh);
  pick("face-measures").hidden = false;
  setRanges();
  refresh();
};
