"use strict";
// The curves, by Plotly; one cursor and one range of frames for all that run over frames.
(() => {
  const MARGIN = { l: 52, r: 14, t: 8, b: 34 };
  const HEIGHT = { path: 250, series: 200, raster: 280, spectrum: 230 };
  const MIN_HEIGHT = 160;
  const CONFIG = {
    displaylogo: false,
    responsive: true,
    // Where nothing can hover the bar would always lie over the curves.
    displayModeBar: window.matchMedia("(hover: none)").matches ? false : "hover",
    modeBarButtons: [["toImage", "resetScale2d"]],
  };
  const coarse = window.matchMedia("(pointer: coarse)").matches;
  const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  const area = (id) => document.getElementById(`plot-${id}`);
  const pick = (id) => document.getElementById(id);
  const made = new Map(); // id -> {build, linked}
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  // The frames that all linked plots show, null for all.
  let range = null;

  const full = () => [FT.first - 0.5, FT.frames[FT.rows - 1] + 0.5];

  function layout(id, extra = {}) {
    const axis = {
      gridcolor: css("--grid"),
      linecolor: css("--grid"),
      zeroline: false,
      fixedrange: true,
      automargin: false,
    };
    const { xaxis = {}, yaxis = {}, ...rest } = extra;
    return {
      height: HEIGHT[id] ?? MIN_HEIGHT,
      margin: MARGIN,
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: "system-ui, sans-serif", size: 12, color: css("--text") },
      hoverlabel: { bgcolor: css("--card"), bordercolor: css("--line"), font: { color: css("--text") } },
      hovermode: "x unified",
      hoverdistance: -1,
      dragmode: coarse ? false : "zoom",
      showlegend: false,
      modebar: { bgcolor: "rgba(0,0,0,0)", color: css("--quiet"), activecolor: css("--text") },
      transition: calm ? { duration: 0 } : undefined,
      xaxis: { ...axis, fixedrange: coarse, ...xaxis },
      yaxis: { ...axis, ticklabelposition: "outside", nticks: 5, ...yaxis },
      ...rest,
    };
  }

  const overFrames = (extra = {}) => ({
    title: { text: "frame", standoff: 6, font: { size: 11 } },
    range: range ?? full(),
    tickformat: "d",
    hoverformat: "d",
    ...extra,
  });

  function line(method, values, extra = {}) {
    return {
      type: "scatter",
      mode: "lines",
      name: method.label,
      x: FT.frames,
      y: values,
      line: {
        color: FT.colour(method),
        width: 1.6,
        dash: FT.dashes[method.index % FT.dashes.length],
      },
      hovertemplate: "%{y:.4~g}",
      ...extra,
    };
  }

  const shown = () => FT.methods.filter((method) => FT.state.on[method.index]);

  function summary(method, values) {
    const known = Array.from(values).filter(Number.isFinite).sort((a, b) => a - b);
    if (!known.length) return `${method.label}: unknown`;
    const at = (share) => known[Math.round(share * (known.length - 1))].toPrecision(3);
    return `${method.label}: from ${at(0)} to ${at(1)}, median ${at(0.5)}`;
  }

  // ------------------------------------------------------------ what is drawn
  const curve = (name, extra) => () => {
    const some = shown().filter((method) => method.series[name]);
    return {
      traces: some.map((method) => line(method, method.series[name])),
      layout: { xaxis: overFrames(), yaxis: { rangemode: "tozero", ...extra } },
      says: some.map((method) => summary(method, method.series[name])).join("; "),
    };
  };

  function path() {
    const point = FT.state.point;
    const traces = [];
    const says = [];
    for (const axis of [0, 1]) {
      const yaxis = axis ? "y" : "y2";
      for (const method of shown().filter((m) => m.map)) {
        const own = method.map[point];
        const values = FT.frames.map((_, row) => method.xy[2 * (row * method.count + own) + axis]);
        const state = (row) => method.state[row * method.count + own];
        const seen = values.map((v, row) => (state(row) === 2 ? v : null));
        const beside = (row) => [row - 1, row, row + 1].some((r) => r >= 0 && r < FT.rows && state(r) === 1);
        const hidden = values.map((v, row) => (state(row) && beside(row) ? v : null));
        traces.push(line(method, values.map((v) => (Number.isFinite(v) ? v : null)), { yaxis, opacity: 0 }));
        traces.push(line(method, hidden, { yaxis, opacity: 0.4, hoverinfo: "skip" }));
        traces.push(line(method, seen, { yaxis, hoverinfo: "skip" }));
        if (!axis) says.push(summary(method, values));
      }
      if (FT.truth?.map && FT.state.truth) {
        const count = FT.truth.xy.length / 2 / FT.rows;
        const y = FT.frames.map((_, row) => FT.truth.xy[2 * (row * count + FT.truth.map[point]) + axis]);
        traces.push({
          ...line(FT.methods[0], y.map((v) => (Number.isFinite(v) ? v : null)), { yaxis }),
          name: "ground truth",
          mode: "lines+markers",
          marker: { symbol: "cross-thin-open", size: 5, color: css("--text") },
          line: { color: css("--text"), width: 1 },
        });
      }
    }
    return {
      traces,
      layout: {
        xaxis: overFrames({ anchor: "y" }),
        yaxis: { domain: [0, 0.47], title: { text: "y", standoff: 4 }, autorange: "reversed" },
        yaxis2: {
          domain: [0.53, 1],
          title: { text: "x", standoff: 4 },
          fixedrange: true,
          gridcolor: css("--grid"),
          zeroline: false,
          nticks: 5,
        },
      },
      says: `Point ${FT.pointName(point)}, horizontally. ${says.join("; ")}`,
    };
  }

  function series() {
    const name = pick("series").value;
    const some = shown().filter((method) => method.series[name]);
    return {
      traces: some.map((method) => {
        const values = method.series[name];
        const known = values.filter(Number.isFinite).length;
        // What is known in few frames is shown by marks, joined.
        const sparse = known < FT.rows / 2;
        return line(method, values, {
          mode: sparse ? "lines+markers" : "lines",
          connectgaps: sparse,
          marker: { size: 7, symbol: FT.shapes[method.index % 5].replace("triangle", "triangle-up").replace("inverted", "triangle-down"), color: FT.colour(method) },
        });
      }),
      layout: { xaxis: overFrames(), yaxis: { rangemode: "tozero", ticksuffix: " %" } },
      says: some.map((method) => summary(method, method.series[name])).join("; "),
    };
  }

  function raster() {
    const method = FT.methods[Number(pick("raster-method").value)];
    const scheme = FT.schemes[method.scheme];
    const z = [];
    const text = [];
    const words = ["unknown", "hidden", "seen"];
    let seen = 0;
    for (let i = 0; i < method.count; i++) {
      const region = FT.regionOf(scheme, i);
      const states = FT.frames.map((_, row) => method.state[row * method.count + i]);
      seen += states.filter((s) => s === 2).length;
      z.push(states);
      text.push(states.map((s) => `point ${i}${region && `, ${region}`}: ${words[s]}`));
    }
    const starts = Object.entries(scheme.regions).map(([name, index]) => [Math.min(...index), name]);
    const colours = ["--unknown", "--covered", "--seen"].map(css);
    const scale = colours.flatMap((colour, i) => [[i / 3, colour], [(i + 1) / 3, colour]]);
    return {
      traces: [
        {
          type: "heatmap",
          x: FT.frames,
          z,
          text,
          zmin: 0,
          zmax: 2,
          colorscale: scale,
          showscale: false,
          hovertemplate: "frame %{x}<br>%{text}<extra></extra>",
        },
      ],
      layout: {
        hovermode: "closest",
        xaxis: overFrames({ showgrid: false }),
        yaxis: {
          range: [method.count - 0.5, -0.5],
          showgrid: false,
          tickvals: starts.length ? starts.map(([first]) => first) : undefined,
          ticktext: starts.length ? starts.map(([first]) => first) : undefined,
          title: { text: "point", standoff: 4 },
        },
      },
      says: `${method.label}: ${((100 * seen) / method.state.length).toFixed(1)} % of all points seen`,
    };
  }

  function spectrum() {
    const some = shown().filter((method) => method.spectrum);
    return {
      traces: some.map((method) =>
        line(method, method.spectrum.value, {
          x: method.spectrum.hz,
          hovertemplate: "%{y:.3~g}",
        }),
      ),
      layout: {
        xaxis: {
          title: { text: "Hz", standoff: 6, font: { size: 11 } },
          hoverformat: ".3~g",
          rangemode: "tozero",
        },
        yaxis: { type: "log", dtick: 1, exponentformat: "none" },
      },
      says: some.map((method) => summary(method, method.spectrum.value)).join("; "),
    };
  }

  // ------------------------------------------------------------ drawing and linking
  function add(id, build, linked = true) {
    made.set(id, { build, linked });
    document.getElementById(`card-${id}`).hidden = false;
    const built = draw(id);
    const gd = area(id);
    if (!linked) return built;
    gd.on("plotly_hover", (event) => FT.set({ preview: FT.nearest(event.points[0].x) }));
    gd.on("plotly_unhover", () => FT.set({ preview: null }));
    gd.on("plotly_click", (event) => {
      const hit = event.points[0];
      FT.set({ position: FT.nearest(hit.x), preview: null });
      if (id === "raster") chooseFrom(hit.y);
    });
    gd.on("plotly_relayout", (change) => {
      if ("xaxis.range[0]" in change) zoom([change["xaxis.range[0]"], change["xaxis.range[1]"]]);
      else if (change["xaxis.autorange"]) zoom(null);
    });
    gd.on("plotly_doubleclick", () => zoom(null));
    return built;
  }

  function chooseFrom(own) {
    const method = FT.methods[Number(pick("raster-method").value)];
    const point = method.map ? method.map.indexOf(own) : -1;
    if (point >= 0) FT.set({ point });
  }

  function draw(id) {
    const { traces, layout: extra, says } = made.get(id).build();
    const gd = area(id);
    gd.setAttribute("aria-label", says);
    return Plotly.react(gd, traces, layout(id, extra), CONFIG).then(cursor);
  }

  const drawAll = () => Promise.all([...made.keys()].map(draw));

  function zoom(wanted) {
    const [low, high] = full();
    const next = wanted && wanted[1] - wanted[0] > 1 ? wanted : null;
    if (String(next) === String(range) && next !== null) return;
    range = next;
    for (const [id, { linked }] of made) {
      if (linked) Plotly.relayout(area(id), { "xaxis.range": range ?? [low, high] });
    }
    cursor();
  }

  // A line of our own over each plot: moving it costs nothing, drawing a plot anew does.
  function cursor() {
    const frame = FT.frameOf(FT.rowOf(FT.position()));
    const [low, high] = range ?? full();
    const share = (frame - low) / (high - low);
    for (const [id, { linked }] of made) {
      const mark = area(id).parentElement.querySelector(".cursor");
      const inside = linked && share >= 0 && share <= 1;
      mark.hidden = !inside;
      const wide = area(id).clientWidth - MARGIN.l - MARGIN.r;
      if (inside) mark.style.transform = `translateX(${MARGIN.l + share * wide}px)`;
    }
  }

  // ------------------------------------------------------------ what there is
  FT.startPlots = () => {
    const point = pick("point");
    for (let i = 0; i < FT.scheme.count; i++) point.add(new Option(FT.pointName(i), i));
    point.value = FT.state.point;
    point.addEventListener("change", () => FT.set({ point: Number(point.value) }));

    const rasters = pick("raster-method");
    for (const method of FT.methods) rasters.add(new Option(method.label, method.index));
    rasters.parentElement.hidden = FT.methods.length === 1;
    rasters.addEventListener("change", () => draw("raster"));

    const choices = pick("series");
    const titles = { error: "Error", disagreement: "Disagreement", drift: "Drift" };
    for (const name of Object.keys(titles)) {
      if (FT.methods.some((m) => m.series[name])) choices.add(new Option(titles[name], name));
    }
    choices.parentElement.hidden = choices.length < 2;
    const name = () => {
      const card = document.getElementById("card-series");
      card.querySelector("h3").textContent = `${titles[choices.value]} over time`;
      document.getElementById("text-series").textContent = FT.meanings[choices.value] ?? "";
    };
    choices.addEventListener("change", () => {
      name();
      draw("series");
    });

    const all = [];
    if (FT.rows > 1 && FT.methods.some((m) => m.map)) all.push(add("path", path));
    if (choices.length) {
      name();
      all.push(add("series", series));
    }
    all.push(add("raster", raster));
    for (const [id, extra] of [["eyes", {}], ["mouth", {}], ["head", { rangemode: "normal", ticksuffix: "" }]]) {
      if (FT.methods.some((m) => m.series[id])) all.push(add(id, curve(id, extra)));
    }
    if (FT.methods.some((m) => m.spectrum)) all.push(add("spectrum", spectrum, false));

    FT.listen("position preview", cursor);
    FT.listen("on", drawAll);
    FT.listen("point truth", () => {
      point.value = FT.state.point;
      if (made.has("path")) draw("path");
    });
    FT.redrawPlots = drawAll;
    new ResizeObserver(cursor).observe(document.getElementById("plots"));
    return Promise.all(all);
  };
})();
