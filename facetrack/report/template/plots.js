"use strict";
// The curves of all people or methods together.
FT.startPlots = () => {
  const pick = (id) => document.getElementById(id);

  const curve = (name, extra = {}) => () => {
    const some = FT.shown().filter((method) => method.series[name]);
    return {
      series: some.map((method) => FT.line(method, method.series[name])),
      yRange: fromZero,
      says: some.map((method) => FT.summary(method.label, method.series[name])).join("; "),
      ...extra,
    };
  };
  const fromZero = (u, low, high) => [Math.min(0, low ?? 0), (high ?? 0) * 1.05 || 1];
  const around = (u, low, high) => {
    const margin = ((high ?? 1) - (low ?? 0)) * 0.06 || 1;
    return [(low ?? 0) - margin, (high ?? 1) + margin];
  };

  const path = (axis) => () => {
    const point = FT.state.point;
    const series = [];
    const says = [];
    for (const method of FT.shown().filter((m) => m.map)) {
      const own = method.map[point];
      const values = FT.frames.map((_, row) => method.xy[2 * (row * method.count + own) + axis]);
      const state = (row) => method.state[row * method.count + own];
      const beside = (row) => [row - 1, row, row + 1].some((r) => r >= 0 && r < FT.rows && state(r) === 1);
      series.push(FT.line(method, values.map((v, row) => (state(row) === 2 ? v : NaN))));
      const hidden = values.map((v, row) => (state(row) && beside(row) ? v : NaN));
      if (hidden.some(Number.isFinite)) {
        series.push(FT.line(method, hidden, { label: `${method.label}, hidden`, alpha: 0.45 }));
      }
      says.push(FT.summary(method.label, values));
    }
    if (FT.truth?.map && FT.state.truth) {
      const count = FT.truth.xy.length / 2 / FT.rows;
      const own = FT.truth.map[point];
      const values = FT.frames.map((_, row) => FT.truth.xy[2 * (row * count + own) + axis]);
      series.push({ label: "ground truth", values, colour: FT.css("--text"), width: 1, gaps: true });
    }
    return {
      series,
      height: 170,
      yDown: axis === 1,
      yRange: around,
      says: `Point ${FT.pointName(point)}, ${axis ? "vertically" : "horizontally"}. ${says.join("; ")}`,
    };
  };

  function series() {
    const name = pick("series").value;
    const some = FT.shown().filter((method) => method.series[name]);
    return {
      series: some.map((method) => {
        const values = method.series[name];
        // What is known in few frames is shown by marks, joined.
        const sparse = values.filter(Number.isFinite).length < FT.rows / 2;
        return FT.line(method, values, { points: sparse, gaps: sparse });
      }),
      unit: " %",
      height: 200,
      yRange: fromZero,
      says: some.map((method) => FT.summary(method.label, method.series[name])).join("; "),
    };
  }

  function raster() {
    const method = FT.methods[Number(pick("raster-method").value)];
    const scheme = FT.schemes[method.scheme];
    const seen = method.state.reduce((sum, s) => sum + (s === 2), 0);
    const starts = Object.values(scheme.regions).map((index) => Math.min(...index)).sort((a, b) => a - b);
    return {
      series: [],
      height: 260,
      legend: false,
      yDown: true,
      yRange: () => [-0.5, method.count - 0.5],
      splits: starts.length ? () => starts.filter((v, i) => !i || v - starts[i - 1] > 2) : undefined,
      paint: (u) => paintStates(u, method),
      chosen: (y) => {
        const point = method.map ? method.map.indexOf(Math.round(y)) : -1;
        if (point >= 0) FT.set({ point });
      },
      says: `${method.label}: ${((100 * seen) / method.state.length).toFixed(1)} % of all points seen`,
    };
  }

  const rgb = (name) => {
    const hex = FT.css(name);
    return [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  };
  function paintStates(u, method) {
    const { left, top, width, height } = u.bbox;
    const wide = Math.max(1, Math.round(width));
    const image = new ImageData(wide, method.count);
    const colours = ["--unknown", "--covered", "--seen"].map(rgb);
    for (let x = 0; x < wide; x++) {
      const frame = u.posToVal(left + x + 0.5, "x", true);
      const row = Math.min(FT.rows - 1, Math.max(0, Math.round((frame - FT.first) / FT.stride)));
      for (let point = 0; point < method.count; point++) {
        const k = 4 * (point * wide + x);
        const colour = colours[method.state[row * method.count + point]];
        image.data.set([...colour, 255], k);
      }
    }
    const picture = new OffscreenCanvas(wide, method.count);
    picture.getContext("2d").putImageData(image, 0, 0);
    u.ctx.save();
    u.ctx.imageSmoothingEnabled = false;
    u.ctx.drawImage(picture, left, top, width, height);
    u.ctx.restore();
  }

  function spectrum() {
    const some = FT.shown().filter((method) => method.spectrum);
    const hz = [...new Set(some.flatMap((method) => [...method.spectrum.hz]))].sort((a, b) => a - b);
    const on = (method) => {
      const known = new Map([...method.spectrum.hz].map((f, i) => [f, method.spectrum.value[i]]));
      return hz.map((f) => known.get(f) ?? NaN);
    };
    return {
      x: hz,
      xLabel: "Hz",
      series: some.map((method) => FT.line(method, on(method), { gaps: true })),
      log: true,
      height: 210,
      linked: false,
      says: some.map((method) => FT.summary(method.label, method.spectrum.value)).join("; "),
    };
  }

  // ------------------------------------------------------------ what there is
  const point = pick("point");
  for (let i = 0; i < FT.scheme.count; i++) point.add(new Option(FT.pointName(i), i));
  point.value = FT.state.point;
  point.addEventListener("change", () => FT.set({ point: Number(point.value) }));

  const rasters = pick("raster-method");
  for (const method of FT.methods) rasters.add(new Option(method.label, method.index));
  rasters.parentElement.hidden = FT.methods.length === 1;
  rasters.addEventListener("change", () => FT.redraw(["raster"]));

  const choices = pick("series");
  const titles = { error: "Error", disagreement: "Disagreement", drift: "Drift" };
  for (const name of Object.keys(titles)) {
    if (FT.methods.some((m) => m.series[name])) choices.add(new Option(titles[name], name));
  }
  choices.parentElement.hidden = choices.length < 2;
  const name = () => {
    document.querySelector("#card-series h3").textContent = `${titles[choices.value]} over time`;
    pick("text-series").textContent = FT.meanings[choices.value] ?? "";
  };
  choices.addEventListener("change", () => {
    name();
    FT.redraw(["series"]);
  });

  if (FT.rows > 1 && FT.methods.some((m) => m.map)) {
    FT.chart("path", path(0), "path");
    FT.chart("path-y", path(1), "path");
  }
  if (choices.length) {
    name();
    FT.chart("series", series);
  }
  FT.chart("raster", raster);
  // The measures of faces show eyes and mouth better, where there are any.
  const plain = FT.methods.some((m) => m.face) ? ["head"] : ["eyes", "mouth", "head"];
  for (const id of plain) {
    const extra = id === "head" ? { yRange: around } : {};
    if (FT.methods.some((m) => m.series[id])) FT.chart(id, curve(id, extra));
  }
  if (FT.methods.some((m) => m.spectrum)) FT.chart("spectrum", spectrum);

  const paths = ["path", "path-y"];
  FT.listen("on", () => FT.redraw(["path", "path-y", "series", "eyes", "mouth", "head", "spectrum"]));
  FT.listen("point truth", () => {
    point.value = FT.state.point;
    FT.redraw(paths);
  });
};
