"use strict";
// The frame with landmarks on a canvas.
FT.startViewer = () => {
  const canvas = document.getElementById("canvas");
  const stage = document.getElementById("stage");
  const context = canvas.getContext("2d");
  const [width, height] = FT.size;
  const aspect = FT.pictures ? FT.pictures.aspect : 1;
  const NEAR = 14; // CSS pixels from a click to the point it means

  // ------------------------------------------------------------ pictures
  // A video in which every picture lasts equally long: the middle of its time shows it exactly.
  const video = document.createElement("video");
  let seeking = null; // the position that is being fetched
  let held = null; // the position whose picture the video holds
  let broken = !FT.pictures;

  if (FT.pictures) {
    video.muted = true;
    video.playsInline = true;
    video.preload = "auto";
    video.addEventListener("error", () => {
      broken = true;
      document.getElementById("no-pictures").hidden = false;
      draw();
    });
    video.addEventListener("loadeddata", () => draw());
    video.addEventListener("seeked", () => {
      held = seeking;
      seeking = null;
      draw();
    });
    video.src = URL.createObjectURL(new Blob([FT.pictureBytes()], { type: "video/mp4" }));
  }

  function fetchPicture(position) {
    if (seeking !== null || video.readyState < 1) return;
    seeking = position;
    video.currentTime = (position + 0.5) / FT.pictures.rate;
  }

  const wantsPicture = () => !broken && FT.state.picture;
  FT.ready = () => Number(canvas.dataset.frame) === FT.frameOf(FT.rowOf(FT.state.position));

  // ------------------------------------------------------------ drawing
  let transform = { scaleX: 1, scaleY: 1, left: 0, top: 0 };

  function fit() {
    const wide = stage.clientWidth;
    const limit = Math.max(240, window.innerHeight * 0.62);
    const scale = Math.min(wide / (width * aspect), limit / height);
    const ratio = window.devicePixelRatio || 1;
    canvas.style.width = `${Math.round(width * aspect * scale)}px`;
    canvas.style.height = `${Math.round(height * scale)}px`;
    canvas.width = Math.max(1, Math.round(width * aspect * scale * ratio));
    canvas.height = Math.max(1, Math.round(height * scale * ratio));
    draw();
  }

  // From pixels of the video (origin at the CORNER of the top-left one) to those of the canvas.
  function look(row) {
    const view = FT.state.view && FT.viewOf(FT.state.view, row);
    if (!view) {
      return { scaleX: canvas.width / width, scaleY: canvas.height / height, left: 0, top: 0 };
    }
    const [x, y, side] = view;
    const scaleY = Math.min(canvas.height / side, canvas.width / (side * aspect));
    const scaleX = scaleY * aspect;
    const wide = canvas.width / scaleX;
    const high = canvas.height / scaleY;
    return {
      scaleX,
      scaleY,
      left: within(x + 0.5 - wide / 2, width - wide),
      top: within(y + 0.5 - high / 2, height - high),
    };
  }

  // Nothing beside the picture is shown as long as the picture is large enough.
  const within = (start, most) => (most < 0 ? most / 2 : Math.min(most, Math.max(0, start)));

  const place = (x, y) => [
    (x + 0.5 - transform.left) * transform.scaleX,
    (y + 0.5 - transform.top) * transform.scaleY,
  ];

  // A frame never shows under another's landmarks: it waits for its picture.
  function draw() {
    const position = FT.position();
    if (!wantsPicture()) paint(position, null);
    else if (held === position && seeking === null) paint(position, video);
    else fetchPicture(position);
  }

  function paint(position, image) {
    const row = FT.rowOf(position);
    transform = look(row);
    context.fillStyle = "#16191d";
    context.fillRect(0, 0, canvas.width, canvas.height);
    if (image) {
      const { left, top, scaleX, scaleY } = transform;
      context.imageSmoothingQuality = "high";
      context.drawImage(image, -left * scaleX, -top * scaleY, width * scaleX, height * scaleY);
    }
    const shown = FT.methods.filter((_, i) => FT.state.on[i]);
    if (FT.state.truth && FT.truth) drawTruth(row);
    for (const method of [...shown].reverse()) drawMethod(method, row); // the best on top
    canvas.dataset.frame = FT.frameOf(row);
    canvas.dataset.picture = image ? "yes" : "no";
    describe(row, shown);
  }

  // Marks and lines grow with the method's own face on the canvas, within limits.
  function unit(method, row) {
    const ratio = window.devicePixelRatio || 1;
    const face = method.views.face;
    const size = face ? (face[3 * row + 2] / 1.5) * transform.scaleY : canvas.height / 3;
    return Math.min(5 * ratio, Math.max(0.7 * ratio, size * 0.011));
  }

  function drawMethod(method, row) {
    const { points, lines, hidden, numbers, point } = FT.state;
    if (method.lost[row]) return; // what is left of a lost face are guesses
    const colour = FT.colour(method.index, "dark"); // light, over a dark edge: shows on any picture
    const ratio = window.devicePixelRatio || 1;
    const radius = unit(method, row);
    const edge = Math.min(ratio, radius * 0.6);
    const at = (i) => {
      const state = method.state[row * method.count + i];
      if (state === 0 || (state === 1 && !hidden)) return null;
      const k = 2 * (row * method.count + i);
      return { spot: place(method.xy[k], method.xy[k + 1]), seen: state === 2 };
    };
    if (lines) {
      for (const [style, thick, alpha] of [
        ["#000", radius * 0.55 + edge, 0.35],
        [colour, radius * 0.55, 0.75],
      ]) {
        context.strokeStyle = style;
        context.lineWidth = thick;
        for (const line of method.lines) {
          for (let k = 0; k + 1 < line.length; k++) {
            const a = at(line[k]);
            const b = at(line[k + 1]);
            if (!a || !b) continue;
            context.globalAlpha = a.seen && b.seen ? alpha : alpha * 0.5;
            context.beginPath();
            context.moveTo(...a.spot);
            context.lineTo(...b.spot);
            context.stroke();
          }
        }
      }
      context.globalAlpha = 1;
    }
    const chosen = method.map ? method.map[point] : null;
    for (let i = 0; i < method.count; i++) {
      const found = at(i);
      if (!found) continue;
      if (points) mark(found.spot, FT.shapes[method.index % 5], radius, colour, found.seen, edge);
      if (i === chosen) {
        ring(found.spot, radius * 2.6, "#000", 3 * edge);
        ring(found.spot, radius * 2.6, "#fff", 1.5 * edge);
      }
      if (numbers) {
        context.font = `${Math.max(9 * ratio, radius * 2.4)}px system-ui, sans-serif`;
        context.lineWidth = 2.5 * ratio;
        context.strokeStyle = "#000";
        context.strokeText(i, found.spot[0] + radius * 1.4, found.spot[1] - radius);
        context.fillStyle = "#fff";
        context.fillText(i, found.spot[0] + radius * 1.4, found.spot[1] - radius);
      }
    }
  }

  function outline([x, y], shape, r) {
    context.beginPath();
    if (shape === "circle") context.arc(x, y, r, 0, 2 * Math.PI);
    else if (shape === "square") context.rect(x - r * 0.9, y - r * 0.9, r * 1.8, r * 1.8);
    else {
      const corners = {
        triangle: [[0, -1.2], [1.1, 0.9], [-1.1, 0.9]],
        inverted: [[0, 1.2], [1.1, -0.9], [-1.1, -0.9]],
        diamond: [[0, -1.3], [1.3, 0], [0, 1.3], [-1.3, 0]],
      }[shape];
      for (const [dx, dy] of corners) context.lineTo(x + dx * r, y + dy * r);
      context.closePath();
    }
  }

  function mark(spot, shape, radius, colour, seen, edge) {
    outline(spot, shape, radius);
    if (seen) {
      context.lineWidth = Math.max(edge, radius * 0.6);
      context.strokeStyle = "rgba(0, 0, 0, 0.75)";
      context.stroke();
      context.fillStyle = colour;
      context.fill();
      return;
    }
    outline(spot, shape, radius * 1.25);
    context.lineWidth = Math.max(2 * edge, radius * 0.9);
    context.strokeStyle = "rgba(0, 0, 0, 0.6)";
    context.stroke();
    context.lineWidth = Math.max(edge, radius * 0.45);
    context.strokeStyle = colour;
    context.stroke();
  }

  function ring([x, y], radius, style, thick) {
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.lineWidth = thick;
    context.strokeStyle = style;
    context.stroke();
  }

  function drawTruth(row) {
    const count = FT.truth.xy.length / 2 / FT.rows;
    const ratio = window.devicePixelRatio || 1;
    const arm = unit(FT.methods[0], row) * 1.6;
    for (const [style, thick] of [["#000", 3 * ratio], ["#fff", 1.2 * ratio]]) {
      context.strokeStyle = style;
      context.lineWidth = thick;
      context.beginPath();
      for (let i = 0; i < count; i++) {
        const k = 2 * (row * count + i);
        if (!Number.isFinite(FT.truth.xy[k])) continue;
        const [x, y] = place(FT.truth.xy[k], FT.truth.xy[k + 1]);
        context.moveTo(x - arm, y);
        context.lineTo(x + arm, y);
        context.moveTo(x, y - arm);
        context.lineTo(x, y + arm);
      }
      context.stroke();
    }
  }

  function describe(row, shown) {
    const seen = shown.map((method) => {
      if (method.lost[row]) return `${method.label}: lost`;
      const states = method.state.subarray(row * method.count, (row + 1) * method.count);
      return `${method.label}: ${states.filter((s) => s === 2).length} of ${method.count} points seen`;
    });
    const text = `Frame ${FT.frameOf(row)}, ${FT.time[row].toFixed(3)} s. ${seen.join("; ")}`;
    canvas.setAttribute("aria-label", text);
  }

  // ------------------------------------------------------------ choosing a point
  canvas.addEventListener("click", (event) => {
    const box = canvas.getBoundingClientRect();
    const ratio = canvas.width / box.width;
    const x = (event.clientX - box.left) * ratio;
    const y = (event.clientY - box.top) * ratio;
    const row = FT.rowOf(FT.position());
    let best = { away: NEAR * ratio, point: null };
    for (const method of FT.methods) {
      if (!FT.state.on[method.index] || !method.map || method.lost[row]) continue;
      method.map.forEach((own, point) => {
        const k = row * method.count + own;
        if (method.state[k] === 0) return;
        const [px, py] = place(method.xy[2 * k], method.xy[2 * k + 1]);
        const away = Math.hypot(px - x, py - y);
        if (away < best.away) best = { away, point, subject: method.index };
      });
    }
    if (best.point !== null) {
      const subject = FT.methods[best.subject].face ? best.subject : FT.state.subject;
      FT.set({ point: best.point, subject });
    }
    stage.focus({ preventScroll: true });
  });

  FT.listen("position preview on points lines hidden numbers truth picture view point subject", draw);
  new ResizeObserver(fit).observe(stage);
  window.addEventListener("resize", fit);
  fit();
};
