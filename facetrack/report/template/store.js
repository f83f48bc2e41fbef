"use strict";
// What the page holds: the data, decoded once, and the state that all parts share.
const FT = {};

(() => {
  const json = (id) => JSON.parse(document.getElementById(id).textContent);
  const raw = json("data");

  // ------------------------------------------------------------ unpacking (facetrack.report.packing)
  function bytes(text) {
    const binary = atob(text);
    const out = new Uint8Array(binary.length);
    for (let i = 0; i < binary.length; i++) out[i] = binary.charCodeAt(i);
    return out;
  }
  async function inflate(text) {
    const stream = new Blob([bytes(text)]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }
  async function numbers(packed) {
    const { low, step, width, data } = packed;
    const planes = await inflate(data);
    const count = planes.length / 2;
    const codes = new Uint16Array(width);
    const out = new Float32Array(count);
    for (let i = 0, k = 0; i < count; i++, k = k + 1 === width ? 0 : k + 1) {
      codes[k] += planes[i] | (planes[count + i] << 8);
      out[i] = codes[k] === 0xffff ? NaN : low + codes[k] * step;
    }
    return out;
  }
  async function times(start, data) {
    const steps = new Float64Array((await inflate(data)).buffer);
    const out = new Float64Array(steps.length + 1);
    let ticks = 0;
    out[0] = start;
    for (let i = 0; i < steps.length; i++) {
      ticks += steps[i];
      out[i + 1] = start + ticks / 1e6;
    }
    return out;
  }
  async function all(packed) {
    const entries = Object.entries(packed).filter(([, value]) => value);
    const values = await Promise.all(entries.map(([, value]) => numbers(value)));
    return Object.fromEntries(entries.map(([name], i) => [name, values[i]]));
  }
  async function method(one, index) {
    const [xy, state, lost, views, series, spectrum, face] = await Promise.all([
      numbers(one.xy),
      inflate(one.state),
      inflate(one.lost),
      all(one.views),
      all(one.series),
      one.spectrum && all(one.spectrum),
      one.face && all(one.face.values),
    ]);
    const scheme = raw.schemes[one.scheme];
    return {
      ...one,
      index,
      count: scheme.count,
      lines: scheme.lines,
      xy,
      state,
      lost,
      views,
      series,
      spectrum: spectrum && { hz: spectrum.hz, value: spectrum.value.map((v) => 10 ** v) },
      face: one.face && { ...one.face, values: face },
    };
  }

  FT.meanings = json("meanings");
  FT.titles = json("measure-titles");
  FT.pictures = json("pictures");
  FT.people = raw.subject === "People";
  FT.size = raw.size;
  FT.first = raw.first;
  FT.stride = raw.stride;
  FT.schemes = raw.schemes;
  FT.scheme = raw.schemes[raw.scheme];

  FT.load = async () => {
    const truth = raw.truth && numbers(raw.truth.xy);
    FT.methods = await Promise.all(raw.methods.map(method));
    FT.truth = raw.truth && { map: raw.truth.map, xy: await truth };
    FT.time = await times(raw.start, raw.time);
    FT.rows = FT.time.length;
    FT.frames = Array.from({ length: FT.rows }, (_, row) => FT.frameOf(row));
    FT.apart = FT.pictures ? FT.pictures.stride / FT.stride : 1;
    FT.positions = Math.ceil(FT.rows / FT.apart);
    Object.assign(FT.state, {
      on: FT.methods.map((_, i) => i < 4),
      truth: FT.truth !== null,
      subject: Math.max(0, FT.methods.findIndex((one) => one.face)),
    });
  };

  // The player stands on positions; a position is every `apart`-th row, a row every `stride`-th
  // frame.
  FT.rowOf = (position) => position * FT.apart;
  FT.frameOf = (row) => FT.first + row * FT.stride;
  FT.nearest = (frame) => {
    const position = Math.round((frame - FT.first) / FT.stride / FT.apart);
    return Math.min(FT.positions - 1, Math.max(0, position));
  };
  // The frame, with a fraction, that is shown at a time.
  FT.frameAt = (time) => {
    let low = 0;
    let high = FT.rows - 1;
    if (high < 1 || time <= FT.time[0]) return FT.frameOf(0);
    if (time >= FT.time[high]) return FT.frameOf(high);
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (FT.time[middle] <= time) low = middle;
      else high = middle;
    }
    const step = FT.time[high] - FT.time[low];
    return FT.frameOf(low + (step > 0 ? (time - FT.time[low]) / step : 0));
  };

  // Okabe and Ito's colours, which every kind of colour vision can tell apart, made darker or
  // lighter so that each shows on the page's background; dashes and shapes tell them apart too.
  FT.palettes = {
    light: ["#0067a3", "#c04d00", "#007a58", "#a8457f", "#8a6100", "#2f86bd", "#5b4bb5", "#4d4d4d"],
    dark: ["#56b4e9", "#ff9248", "#2cc9a0", "#e08fbb", "#f0c14b", "#9ad7ff", "#b3a6ff", "#cfcfcf"],
  };
  FT.dashArrays = [[], [6, 3], [2, 2], [6, 2, 2, 2], [9, 3]];
  FT.shapes = ["circle", "square", "triangle", "diamond", "inverted"];
  FT.theme = "light";
  FT.colour = (index, theme = FT.theme) => FT.palettes[theme][index % 8];
  FT.css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  FT.state = {
    position: 0,
    preview: null, // the position under the mouse on a curve
    on: [],
    points: true,
    lines: true,
    hidden: true,
    numbers: false,
    truth: false,
    picture: true,
    view: "",
    point: Math.min(30, FT.scheme.count - 1),
    subject: 0, // the person or method whose measures are shown, and whom the view follows
    playing: false,
  };

  const listeners = {};
  FT.listen = (kinds, act) => {
    for (const kind of kinds.split(" ")) (listeners[kind] ??= []).push(act);
  };
  FT.set = (changes) => {
    const changed = Object.keys(changes).filter((key) => FT.state[key] !== changes[key]);
    Object.assign(FT.state, changes);
    const acts = new Set(changed.flatMap((key) => listeners[key] ?? []));
    for (const act of acts) act();
  };
  FT.position = () => FT.state.preview ?? FT.state.position;
  // The view of a part of the face: that of the subject, else of the first that has one.
  FT.viewOf = (name, row) => {
    const ordered = [FT.methods[FT.state.subject], ...FT.methods];
    const view = ordered.find((one) => one.views[name])?.views[name];
    return view ? view.subarray(3 * row, 3 * row + 3) : null;
  };

  FT.regionOf = (scheme, point) => {
    for (const [name, index] of Object.entries(scheme.regions)) {
      if (index.includes(point)) return name.replaceAll("_", " ");
    }
    return "";
  };
  FT.pointName = (point) => {
    const region = FT.regionOf(FT.scheme, point);
    return region ? `${point} (${region})` : `${point}`;
  };
  FT.pictureBytes = () => bytes(FT.pictures.mp4);
})();
