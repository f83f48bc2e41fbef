"use strict";
// Charts over frames, by uPlot: one cursor and one range of frames for all of them.
FT.startCharts = () => {
  const coarse = window.matchMedia("(pointer: coarse)").matches;
  const MARGIN = { left: 56, right: 12, top: 8, bottom: 42 };
  const NEAR_MARK = coarse ? 22 : 10; // CSS pixels from a click to the mark that it means
  const charts = new Map(); // area's id -> chart
  let range = null; // the frames that all linked charts show, null for all
  let dragged = false;

  const full = () => [FT.first - 0.5, FT.frames[FT.rows - 1] + 0.5];
  const visibleRange = () => range ?? full();
  const area = (id) => document.getElementById(`plot-${id}`);

  // ------------------------------------------------------------ what a chart is made of
  const plain = (values) => Array.from(values, (v) => (Number.isFinite(v) ? v : null));
  const short = (value) => {
    if (value === 0) return "0";
    const size = Math.abs(value);
    return size >= 1e5 || size < 1e-3 ? value.toExponential(1) : String(Number(value.toPrecision(3)));
  };

  function axis(label, extra = {}) {
    return {
      stroke: FT.css("--quiet"),
      font: "12px system-ui, sans-serif",
      labelFont: "12px system-ui, sans-serif",
      label,
      labelSize: label ? 16 : 0,
      labelGap: 0,
      grid: { stroke: FT.css("--grid"), width: 1 },
      ticks: { stroke: FT.css("--grid"), width: 1, size: 4 },
      ...extra,
    };
  }

  // Shade the frames in which a measure is not valid.
  function shade(u, runs) {
    if (!runs?.length) return;
    const { left, top, width, height } = u.bbox;
    u.ctx.save();
    u.ctx.beginPath();
    u.ctx.rect(left, top, width, height);
    u.ctx.clip();
    u.ctx.fillStyle = FT.css("--invalid");
    for (const [from, to] of runs) {
      const a = u.valToPos(from, "x", true);
      const b = u.valToPos(to, "x", true);
      u.ctx.fillRect(a, top, Math.max(1, b - a), height);
    }
    u.ctx.restore();
  }

  // Mark events: a band from start to end, and a triangle at the peak.
  function mark(u, marks) {
    if (!marks?.length) return;
    const { left, top, width, height } = u.bbox;
    const ratio = uPlot.pxRatio;
    u.ctx.save();
    u.ctx.beginPath();
    u.ctx.rect(left, top, width, height);
    u.ctx.clip();
    for (const one of marks) {
      const [a, peak, b] = [one.from, one.peak, one.to].map((v) => u.valToPos(v, "x", true));
      u.ctx.fillStyle = one.colour;
      u.ctx.globalAlpha = 0.13;
      u.ctx.fillRect(a, top, Math.max(ratio, b - a), height);
      u.ctx.globalAlpha = 1;
      u.ctx.beginPath();
      const y = one.below ? top + height : top;
      const tip = one.below ? -9 * ratio : 9 * ratio;
      u.ctx.moveTo(peak - 5 * ratio, y);
      u.ctx.lineTo(peak + 5 * ratio, y);
      u.ctx.lineTo(peak, y + tip);
      u.ctx.fill();
    }
    u.ctx.restore();
  }

  // ------------------------------------------------------------ making and drawing
  // spec: {label of y, series: [{label, values, colour, dash, alpha, points, gaps}], shades, marks,
  // height, yRange, yDown, log, x, xLabel, linked, paint}
  function options(id, spec) {
    const linked = spec.linked !== false;
    const yScale = { dir: spec.yDown ? -1 : 1, distr: spec.log ? 3 : 1 };
    if (spec.yRange) yScale.range = spec.yRange;
    return {
      width: Math.max(120, area(id).clientWidth),
      height: spec.height ?? 150,
      padding: [MARGIN.top, MARGIN.right, 0, 0],
      legend: { show: spec.legend !== false, markers: { width: 2 } },
      cursor: {
        y: false,
        drag: { x: linked && !coarse, y: false, setScale: false },
        points: { size: 6 },
      },
      scales: { x: { time: false, range: linked ? visibleRange : undefined }, y: yScale },
      axes: [
        axis(spec.xLabel ?? "frame", {
          size: MARGIN.bottom - 16,
          values: (u, ticks) => ticks.map((v) => (linked && v % 1 ? "" : short2(v))),
        }),
        axis("", {
          size: MARGIN.left,
          values: spec.ticks ?? ((u, ticks) => ticks.map((v) => (v === null ? "" : short2(v)))),
          ...(spec.splits ? { splits: spec.splits } : {}),
        }),
      ],
      series: [
        { label: spec.xLabel ?? "frame", value: (u, v) => (v === null ? "–" : short2(v)) },
        ...spec.series.map((one) => ({
          label: one.label,
          stroke: one.colour,
          alpha: one.alpha ?? 1,
          width: one.width ?? 1.6,
          dash: one.dash,
          spanGaps: one.gaps ?? false,
          points: { show: one.points ?? false, size: 6, fill: one.colour },
          value: (u, v) => (v === null || v === undefined ? "–" : short(v) + (spec.unit ?? "")),
        })),
      ],
      hooks: {
        drawClear: [(u) => shade(u, spec.shades)],
        drawAxes: [(u) => spec.paint?.(u)],
        draw: [(u) => mark(u, spec.marks)],
        setSelect: [(u) => select(u)],
        ready: [(u) => listen(u, id, linked)],
      },
    };
  }
  const short2 = (v) => String(Number(v.toFixed(6)));

  function select(u) {
    if (u.select.width < 4) return;
    dragged = true;
    const wanted = [u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x")];
    u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    FT.zoom(wanted);
  }

  function listen(u, id, linked) {
    if (!linked) return;
    const at = (event) => event.clientX - u.over.getBoundingClientRect().left;
    u.over.addEventListener("mousemove", (event) => {
      if (coarse || event.buttons) return;
      FT.set({ preview: FT.nearest(u.posToVal(at(event), "x")) });
    });
    u.over.addEventListener("mouseleave", () => FT.set({ preview: null }));
    u.over.addEventListener("click", (event) => {
      if (dragged) {
        dragged = false;
        return;
      }
      const left = at(event);
      const marks = charts.get(id).spec.marks ?? [];
      const away = (one) => Math.abs(u.valToPos(one.peak, "x") - left);
      const nearest = marks.reduce((best, one) => (!best || away(one) < away(best) ? one : best), null);
      const frame = nearest && away(nearest) <= NEAR_MARK ? nearest.peak : u.posToVal(left, "x");
      FT.set({ position: FT.nearest(frame), preview: null });
      const y = event.clientY - u.over.getBoundingClientRect().top;
      charts.get(id).spec.chosen?.(u.posToVal(y, "y"));
    });
    u.over.addEventListener("dblclick", () => FT.zoom(null));
  }

  function render(id) {
    const chart = charts.get(id);
    const target = area(id);
    chart.spec = chart.build();
    target.setAttribute("aria-label", chart.spec.says);
    chart.plot?.destroy();
    const data = [chart.spec.x ?? FT.frames, ...chart.spec.series.map((one) => plain(one.values))];
    chart.plot = new uPlot(options(id, chart.spec), data, target);
    moveCursor();
  }

  FT.chart = (id, build, card = id) => {
    document.getElementById(`card-${card}`).hidden = false;
    charts.set(id, { build, plot: null, spec: null });
    render(id);
  };
  FT.redraw = (ids) => (ids ?? [...charts.keys()]).filter((id) => charts.has(id)).forEach(render);
  FT.charts = charts;

  FT.zoom = (wanted) => {
    const [low, high] = full();
    const next = wanted && [Math.max(low, wanted[0]), Math.min(high, wanted[1])];
    range = next && next[1] - next[0] > 1 ? next : null;
    for (const { plot, spec } of charts.values()) {
      if (spec.linked !== false) plot.setScale("x", { min: visibleRange()[0], max: visibleRange()[1] });
    }
    moveCursor();
  };

  // A line of our own over each chart: moving it costs nothing, drawing a chart anew does.
  function moveCursor() {
    const frame = FT.frameOf(FT.rowOf(FT.position()));
    const [low, high] = visibleRange();
    const share = (frame - low) / (high - low);
    for (const [id, { plot, spec }] of charts) {
      const line = area(id).parentElement.querySelector(".cursor");
      if (!plot || !line) continue;
      const inside = spec.linked !== false && share >= 0 && share <= 1;
      line.hidden = !inside;
      if (!inside) continue;
      // uPlot lays its parts out later; their sizes follow from the margins.
      const wide = plot.width - MARGIN.left - MARGIN.right;
      line.style.transform = `translateX(${MARGIN.left + share * wide}px)`;
      line.style.height = `${plot.height - MARGIN.top - MARGIN.bottom}px`;
    }
    // Values in the legends change too fast to be read while the video plays.
    if (FT.state.playing) return;
    for (const { plot, spec } of charts.values()) {
      if (plot && spec.linked !== false && spec.legend !== false) {
        plot.setLegend({ idx: FT.rowOf(FT.position()) });
      }
    }
  }
  FT.listen("position preview playing", moveCursor);

  let resizing = 0;
  new ResizeObserver(() => {
    cancelAnimationFrame(resizing);
    resizing = requestAnimationFrame(() => {
      for (const [id, { plot, spec }] of charts) {
        const wide = Math.max(120, area(id).clientWidth);
        if (plot.width !== wide) plot.setSize({ width: wide, height: spec.height ?? 150 });
      }
      moveCursor();
    });
  }).observe(document.getElementById("plots"));

  FT.summary = (label, values, unit = "") => {
    const known = Array.from(values).filter(Number.isFinite).sort((a, b) => a - b);
    if (!known.length) return `${label}: unknown`;
    const at = (share) => known[Math.round(share * (known.length - 1))].toPrecision(3) + unit;
    return `${label}: from ${at(0)} to ${at(1)}, median ${at(0.5)}`;
  };
  FT.line = (method, values, extra = {}) => ({
    label: method.label,
    values,
    colour: FT.colour(method.index),
    dash: FT.dashArrays[method.index % FT.dashArrays.length],
    ...extra,
  });
  FT.shown = () => FT.methods.filter((method) => FT.state.on[method.index]);
};
