"use strict";
// What the page holds: the data, decoded once, and the state that all parts share.
const FT = {};

(() => {
  const json = (id) => JSON.parse(document.getElementById(id).textContent);
  const raw = json("data");

  function bytes(text) {
    const binary = atob(text);
    const out = new Uint8Array(binary.length);
    for (let i = 0; i < binary.length; i++) out[i] = binary.charCodeAt(i);
    return out.buffer;
  }
  const float32 = (text) => new Float32Array(bytes(text));

  FT.meanings = json("meanings");
  FT.pictures = json("pictures");
  FT.size = raw.size;
  FT.first = raw.first;
  FT.stride = raw.stride;
  FT.schemes = raw.schemes;
  FT.scheme = raw.schemes[raw.scheme];
  FT.time = new Float64Array(bytes(raw.time));
  FT.rows = FT.time.length;
  FT.views = {};
  for (const [name, text] of Object.entries(raw.views)) FT.views[name] = float32(text);
  FT.truth = raw.truth && { map: raw.truth.map, xy: float32(raw.truth.xy) };
  FT.methods = raw.methods.map((method, index) => ({
    ...method,
    index,
    count: raw.schemes[method.scheme].count,
    lines: raw.schemes[method.scheme].lines,
    xy: float32(method.xy),
    state: new Uint8Array(bytes(method.state)),
    series: Object.fromEntries(Object.entries(method.series).map(([k, v]) => [k, float32(v)])),
    spectrum: method.spectrum && {
      hz: float32(method.spectrum.hz),
      value: float32(method.spectrum.value),
    },
  }));

  // The player stands on positions; a position is every `apart`-th row, a row every `stride`-th
  // frame.
  const apart = FT.pictures ? FT.pictures.stride / FT.stride : 1;
  FT.positions = Math.ceil(FT.rows / apart);
  FT.rowOf = (position) => position * apart;
  FT.frameOf = (row) => FT.first + row * FT.stride;
  FT.frames = Array.from({ length: FT.rows }, (_, row) => FT.frameOf(row));
  FT.nearest = (frame) => {
    const position = Math.round((frame - FT.first) / FT.stride / apart);
    return Math.min(FT.positions - 1, Math.max(0, position));
  };

  // Okabe and Ito's colours, which every kind of colour vision can tell apart, made darker or
  // lighter so that each shows on the page's background; dashes and shapes tell them apart too.
  FT.palettes = {
    light: ["#0067a3", "#c04d00", "#007a58", "#a8457f", "#8a6100", "#2f86bd", "#5b4bb5", "#4d4d4d"],
    dark: ["#56b4e9", "#ff9248", "#2cc9a0", "#e08fbb", "#f0c14b", "#9ad7ff", "#b3a6ff", "#cfcfcf"],
  };
  FT.dashes = ["solid", "dash", "dot", "dashdot", "longdash"];
  FT.dashArrays = ["", "6 3", "2 2", "6 2 2 2", "9 3"];
  FT.shapes = ["circle", "square", "triangle", "diamond", "inverted"];
  FT.theme = "light";
  FT.colour = (method, theme = FT.theme) => FT.palettes[theme][method.index % 8];

  FT.state = {
    position: 0,
    preview: null, // the position under the mouse on a curve
    on: FT.methods.map((_, i) => i < 4),
    points: true,
    lines: true,
    hidden: true,
    numbers: false,
    truth: FT.truth !== null,
    picture: true,
    view: "",
    point: Math.min(30, FT.scheme.count - 1),
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
})();
