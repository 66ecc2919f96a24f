// --- The surfaces: a loss, and its gradient. ---
const turn = (angle) => [Math.cos(angle), Math.sin(angle)];
const [cosine, sine] = turn(0.35);
const STEEP = 1, FLAT = 0.03;
const SURFACES = {
  valley: {
    title: "narrow valley", start: [-1.5, 0.3], rate: 1.97, least: 0,
    loss: (x, y) => {
      const u = cosine * y - sine * x, v = cosine * x + sine * y;
      return 0.5 * (STEEP * u * u + FLAT * v * v);
    },
    gradient: (x, y) => {
      const u = STEEP * (cosine * y - sine * x), v = FLAT * (cosine * x + sine * y);
      return [cosine * v - sine * u, cosine * u + sine * v];
    },
  },
  bend: {
    title: "bent valley", start: [-1.35, 0.9], rate: 0.3, least: 0,
    loss: (x, y) => {
      const apart = y + 0.8 - 0.6 * x * x, along = x - 1.1;
      return 0.05 * along * along + 0.8 * apart * apart;
    },
    gradient: (x, y) => {
      const apart = y + 0.8 - 0.6 * x * x, along = x - 1.1;
      return [0.1 * along - 1.92 * apart * x, 1.6 * apart];
    },
  },
  wells: {
    title: "two wells", start: [-1.75, 1.0], rate: 0.5, least: -0.3198610852655923,
    loss: (x, y) => 0.25 * (x * x - 1) * (x * x - 1) - 0.3 * x + 0.6 * y * y,
    gradient: (x, y) => [(x * x - 1) * x - 0.3, 1.2 * y],
  },
};
const WIDTH = 4, STEPS = 120;

// --- The walk. What is drawn comes from the class above, which takes its numbers as bits. ---
const HYPERPARAMETERS = {
  sgd: {}, "heavy-ball": { momentum: 0.9 }, nesterov: { momentum: 0.9 },
  adam: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
};

function normals(seed) {
  let s = seed >>> 0;
  const uniform = () => {
    s = (s + 0x6d2b79f5) >>> 0;
    let z = Math.imul(s ^ (s >>> 15), 1 | s);
    z = (z + Math.imul(z ^ (z >>> 7), 61 | z)) ^ z;
    return (((z ^ (z >>> 14)) >>> 0) + 0.5) / 4294967296;
  };
  return () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
}

function walk({ kind, inner, state, k, alpha, rate, noise, seed, start }) {
  const surface = SURFACES[kind];
  const config = (period, step) => ({
    lookahead: [{ k: period, alpha: [toBits(step)], inner_state: state }],
    inner: {
      rule: inner, weight_decay_kind: "none",
      hyperparameters: Object.entries(HYPERPARAMETERS[inner]).map(
        ([name, value]) => ({ name, value: toBits(value) })),
    },
    learning_rate: [toBits(rate)],
    params: [{ values: start.map(toBits) }],
  });
  const one = new Workers(config(k, alpha), "float64"); // a single one
  const other = new Workers(config(Infinity, 1), "float64"); // it never synchronizes
  const paths = { fast: [start], slow: [start], alone: [start], turns: [] };
  const draw = normals(seed);
  for (let t = 1; t <= STEPS; t += 1) {
    const shake = [noise * draw(), noise * draw()];
    for (const optimizer of [one, other]) {
      const g = surface.gradient(...optimizer.theta[0]);
      optimizer.step([[g[0] + shake[0], g[1] + shake[1]]]);
    }
    const before = paths.slow[t - 1], after = one.phi(0)[0];
    paths.fast.push(one.theta[0]);
    paths.slow.push(after);
    paths.alone.push(other.theta[0]);
    if (t % k === 0) {
      // Where the fast weights arrived, which the synchronization has overwritten.
      const arrived = before.map((x, i) => x + (after[i] - x) / alpha);
      paths.turns.push({ t, before, arrived, after });
    }
  }
  return paths;
}

// --- The check: golden cases through the same class. ---
function check(cases) {
  let worst = 0, steps = 0;
  const trajectories = {};
  for (const config of cases) {
    const optimizer = new Workers(config, "float64");
    const seen = [];
    config.outcomes[0].steps.forEach((step, t) => {
      const found = GRADIENTS[config.problem.kind](config.problem, optimizer.theta, t, (x) => x);
      optimizer.step(found.map((tensor) => tensor && tensor.map(fromBits)));
      const slow = config.lookahead.map((_, place) => encode(optimizer.phi(place)));
      seen.push({ fast: encode(optimizer.theta), slow });
      steps += 1;
      each(optimizer.theta, (x, i, j) => {
        const apart = Math.abs(x - fromBits(step.fast.expected[i][j]));
        if (apart > 0) worst = Math.max(worst, apart / step.fast.tolerance.float64.strict[i][j]);
      });
    });
    trajectories[config.id] = seen;
  }
  return { worst, steps, cases: cases.length, trajectories };
}

// --- What is set, from the address and to it. ---
const DEFAULTS = {
  kind: "valley", inner: "sgd", state: "maintain", k: 5, alpha: 0.5, rate: 0, noise: 0, seed: 1,
};
// What is too much on one surface is too little on another, and Adam's is a length.
const suited = () => (set.inner === "adam" ? 0.1 : SURFACES[set.kind].rate);
const set = { ...DEFAULTS };
for (const [name, text] of new URLSearchParams(location.hash.slice(1))) {
  const known = DEFAULTS[name];
  if (typeof known === "number" && Number.isFinite(Number(text))) set[name] = Number(text);
  if (name === "kind" && Object.hasOwn(SURFACES, text)) set.kind = text;
  if (name === "inner" && Object.hasOwn(HYPERPARAMETERS, text)) set.inner = text;
  if (name === "state" && ["maintain", "reset", "interpolate"].includes(text)) set.state = text;
}
const given = new URLSearchParams(location.hash.slice(1));
const at_least = (low, x, high) => Math.min(Math.max(x, low), high);
set.k = Math.round(at_least(1, set.k, 20));
set.alpha = at_least(0.05, set.alpha, 1);
set.rate = at_least(10 ** -2.5, set.rate || suited(), 10 ** 0.5);
set.noise = at_least(0, set.noise, 1);
set.start = [...SURFACES[set.kind].start];
let paths = walk(set);
let now = given.has("step") ? Math.round(at_least(0, Number(given.get("step")) || 0, STEPS)) : 0;
const still = matchMedia("(prefers-reduced-motion: reduce)").matches || given.has("step");
let playing = !still;
if (still && !given.has("step")) now = STEPS;

const $ = (id) => document.getElementById(id);
const short = (x) => {
  if (!Number.isFinite(x)) return "diverged";
  const size = Math.abs(x);
  return size !== 0 && (size < 1e-3 || size >= 1e4) ? x.toExponential(2) : x.toFixed(4);
};

// --- Drawing. ---
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const parts = (name) => colour(name).split(",").map(Number);

function fitted(canvas) {
  const box = canvas.getBoundingClientRect(), scale = devicePixelRatio || 1;
  const [w, h] = [Math.round(box.width * scale), Math.round(box.height * scale)];
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, box.width, box.height);
  return { pen, width: box.width, height: box.height };
}

// Heights are drawn by the logarithm of the loss above the lowest point, in bands.
const LEVELS = Array.from({ length: 15 }, (_, n) => 0.0008 * 1.72 ** n);
let ground = null;

function surfaceImage(width, height) {
  const key = [set.kind, width, height, colour("--paper")].join();
  if (ground && ground.key === key) return ground.image;
  const columns = Math.ceil(width / 3), rows = Math.ceil(height / 3);
  const { loss, least } = SURFACES[set.kind];
  const unit = WIDTH / width;
  const value = (i, j) => loss((i * width / columns - width / 2) * unit,
    (height / 2 - j * height / rows) * unit) - least;
  const grid = Array.from({ length: rows + 1 }, (_, j) =>
    Float64Array.from({ length: columns + 1 }, (__, i) => value(i, j)));
  const image = document.createElement("canvas");
  const scale = devicePixelRatio || 1;
  [image.width, image.height] = [width * scale, height * scale];
  const pen = image.getContext("2d");
  pen.scale(scale, scale);
  const low = parts("--low"), high = parts("--high"), line = parts("--contour");
  const small = document.createElement("canvas");
  [small.width, small.height] = [columns + 1, rows + 1];
  const shade = small.getContext("2d").createImageData(columns + 1, rows + 1);
  const from = Math.log(LEVELS[0]), to = Math.log(LEVELS[LEVELS.length - 1] * 2);
  grid.forEach((row, j) => row.forEach((z, i) => {
    const part = at_least(0, (Math.log(Math.max(z, 1e-12)) - from) / (to - from), 1);
    const place = 4 * (j * (columns + 1) + i);
    for (let c = 0; c < 3; c += 1) shade.data[place + c] = low[c] + part * (high[c] - low[c]);
    shade.data[place + 3] = 255;
  }));
  small.getContext("2d").putImageData(shade, 0, 0);
  pen.imageSmoothingQuality = "high";
  pen.drawImage(small, 0, 0, width, height);
  pen.strokeStyle = `rgba(${line.join()}, 0.28)`;
  pen.lineWidth = 0.8;
  for (const level of LEVELS) contour(pen, grid, level, width / columns, height / rows);
  ground = { key, image };
  return image;
}

// Marching squares: in each cell, lines between the edges that the level crosses.
function contour(pen, grid, level, dx, dy) {
  pen.beginPath();
  for (let j = 0; j + 1 < grid.length; j += 1) {
    for (let i = 0; i + 1 < grid[0].length; i += 1) {
      const [a, b, c, d] = [grid[j][i], grid[j][i + 1], grid[j + 1][i + 1], grid[j + 1][i]];
      const cut = (p, q) => (level - p) / (q - p);
      const points = [];
      if ((a < level) !== (b < level)) points.push([i + cut(a, b), j]);
      if ((b < level) !== (c < level)) points.push([i + 1, j + cut(b, c)]);
      if ((d < level) !== (c < level)) points.push([i + cut(d, c), j + 1]);
      if ((a < level) !== (d < level)) points.push([i, j + cut(a, d)]);
      for (let n = 0; n + 1 < points.length; n += 2) {
        pen.moveTo(points[n][0] * dx, points[n][1] * dy);
        pen.lineTo(points[n + 1][0] * dx, points[n + 1][1] * dy);
      }
    }
  }
  pen.stroke();
}

function drawSurface() {
  const { pen, width, height } = fitted($("surface"));
  const unit = width / WIDTH, far = 1e5;
  pen.drawImage(surfaceImage(width, height), 0, 0, width, height);
  const to = ([x, y]) => [at_least(-far, width / 2 + x * unit, far), at_least(-far, height / 2 - y * unit, far)];
  const trace = (points, stroke, thickness, dash, strength) => {
    pen.beginPath();
    points.filter((p) => p.every(Number.isFinite)).forEach((p, n) =>
      (n ? pen.lineTo(...to(p)) : pen.moveTo(...to(p))));
    Object.assign(pen, {
      strokeStyle: stroke, lineWidth: thickness, globalAlpha: strength, lineJoin: "round", lineCap: "round",
    });
    pen.setLineDash(dash);
    pen.stroke();
    pen.setLineDash([]);
    pen.globalAlpha = 1;
  };
  const dot = (p, fill, radius, ring) => {
    if (!p.every(Number.isFinite)) return;
    pen.beginPath();
    pen.arc(...to(p), radius, 0, 2 * Math.PI);
    pen.fillStyle = fill;
    pen.fill();
    if (ring) Object.assign(pen, { strokeStyle: colour("--card"), lineWidth: 2 }), pen.stroke();
  };
  const [fast, slow, alone] = ["--fast", "--slow", "--alone"].map(colour);
  trace(paths.alone.slice(0, now + 1), alone, 1.3, [4, 4], 0.9);
  dot(paths.alone[now], alone, 4.5, true);
  // Each cycle by itself: it ends where the fast weights arrived, not where they start again.
  const cycles = [...paths.turns.filter(({ t }) => t <= now), { t: now + 1, arrived: null }];
  let from = 0;
  for (const { t, before, arrived, after } of cycles) {
    const points = paths.fast.slice(from, Math.min(t, now + 1));
    if (arrived) points.push(arrived);
    const age = Math.max(0.22, 0.85 - 0.012 * (now - t));
    trace(points, fast, 1.5, [], age);
    points.forEach((p) => dot(p, fast, 1.9));
    if (arrived) trace([before, arrived], slow, 1, [2, 4], age);
    from = t;
  }
  const steps = [paths.slow[0], ...paths.turns.filter(({ t }) => t <= now).map(({ after }) => after)];
  trace(steps, slow, 3, [], 1);
  steps.forEach((p) => dot(p, slow, 3.6));
  dot(paths.fast[now], fast, 5.5, true);
  dot(paths.slow[now], slow, 7, true);
}

function drawLosses() {
  const { pen, width, height } = fitted($("losses"));
  const { loss, least } = SURFACES[set.kind];
  const above = (p) => Math.max(loss(...p) - least, 1e-9);
  const lines = ["alone", "fast", "slow"].map((name) => [name, paths[name].map(above)]);
  const seen = lines.flatMap(([, values]) => values).filter(Number.isFinite);
  const top = Math.min(Math.max(...seen), 1e3), bottom = Math.max(Math.min(...seen), top * 1e-7);
  const [left, right, up, down] = [46, 18, 12, 24];
  const x = (t) => left + (t / STEPS) * (width - left - right);
  const y = (z) => {
    const part = Math.log(at_least(bottom, z, top * 2) / bottom) / Math.log((top * 1.3) / bottom);
    return height - down - part * (height - up - down);
  };
  pen.font = "12px system-ui, sans-serif";
  Object.assign(pen, { strokeStyle: colour("--line"), fillStyle: colour("--soft"), lineWidth: 1 });
  const first = Math.ceil(Math.log10(bottom)), last = Math.floor(Math.log10(top * 1.3));
  for (let e = first; e <= last; e += Math.max(1, Math.ceil((last - first) / 4))) {
    pen.beginPath();
    pen.moveTo(left, y(10 ** e));
    pen.lineTo(width - right, y(10 ** e));
    pen.stroke();
    pen.textAlign = "right";
    pen.fillText(e === 0 ? "1" : `1e${e}`, left - 7, y(10 ** e) + 4);
  }
  pen.textAlign = "center";
  for (let t = 0; t <= STEPS; t += 20) pen.fillText(t, x(t), height - 7);
  pen.save();
  pen.beginPath();
  pen.rect(left, 0, width - left - right + 2, height - down + 2);
  pen.clip();
  for (const [name, values] of lines) {
    Object.assign(pen, {
      strokeStyle: colour(`--${name}`), lineWidth: name === "slow" ? 2.6 : 1.4, lineJoin: "round",
    });
    pen.setLineDash(name === "alone" ? [4, 4] : []);
    for (const [until, strength] of [[STEPS, 0.22], [now, 1]]) {
      pen.globalAlpha = strength;
      pen.beginPath();
      for (let t = 0; t <= until; t += 1) {
        const z = Number.isFinite(values[t]) ? values[t] : top * 2;
        if (!t) pen.moveTo(x(t), y(z));
        else if (name === "slow") pen.lineTo(x(t), y(values[t - 1])), pen.lineTo(x(t), y(z));
        else pen.lineTo(x(t), y(z));
      }
      pen.stroke();
    }
  }
  pen.restore();
  pen.setLineDash([]);
  pen.strokeStyle = colour("--soft");
  pen.globalAlpha = 0.6;
  pen.beginPath();
  pen.moveTo(x(now), up);
  pen.lineTo(x(now), height - down);
  pen.stroke();
  pen.globalAlpha = 1;
}

function show() {
  const { loss, least } = SURFACES[set.kind];
  drawSurface();
  drawLosses();
  for (const name of ["slow", "fast", "alone"]) {
    const cell = $(`loss-${name}`);
    cell.textContent = short(loss(...paths[name][now]) - least);
    cell.dataset.bits = paths[name][now].map(toBits).join(" ");
  }
  $("step").value = now;
  document.querySelector("output[for=step]").textContent = `${now} of ${STEPS}`;
  const done = now % set.k;
  $("cycle").className = now && !done ? "cycle sync" : "cycle";
  $("cycle").replaceChildren(...Array.from({ length: set.k }, (_, n) => {
    const bar = document.createElement("i");
    if (n < done) bar.className = "on";
    return bar;
  }));
  $("play").textContent = playing ? "Pause" : now >= STEPS ? "Again" : "Walk";
  $("play").setAttribute("aria-pressed", String(playing));
}

// --- The controls. ---
function changed() {
  paths = walk(set);
  for (const [id, text] of [["k", set.k], ["alpha", set.alpha.toFixed(2)],
    ["rate", set.rate.toPrecision(3)], ["noise", set.noise.toFixed(2)]]) {
    $(id).value = id === "rate" ? Math.log10(set.rate) : set[id];
    document.querySelector(`output[for=${id}]`).textContent = text;
  }
  for (const id of ["kind", "inner", "state"]) $(id).value = set[id];
  $("state").disabled = set.inner === "sgd";
  $("again").disabled = set.noise === 0;
  show();
}

for (const [name, { title }] of Object.entries(SURFACES)) $("kind").append(new Option(title, name));
$("step").max = STEPS;
const remember = () => {
  const usual = { ...DEFAULTS, rate: suited() };
  const kept = Object.entries(set).filter(([name]) => name in usual && set[name] !== usual[name]);
  history.replaceState(null, "", "#" + new URLSearchParams(kept));
};
for (const id of ["k", "alpha", "rate", "noise"]) {
  $(id).addEventListener("input", () => {
    const value = Number($(id).value);
    set[id] = id === "rate" ? Number((10 ** value).toPrecision(3)) : value;
    changed();
    remember();
  });
}
for (const id of ["kind", "inner", "state"]) {
  $(id).addEventListener("change", () => {
    const before = suited();
    set[id] = $(id).value;
    if (id === "kind") set.start = [...SURFACES[set.kind].start];
    if (suited() !== before) set.rate = suited();
    changed();
    remember();
  });
}
const stop = () => (playing = false);
$("play").addEventListener("click", () => {
  if (!playing && now >= STEPS) now = 0;
  playing = !playing;
  show();
});
$("step").addEventListener("input", () => (stop(), (now = Number($("step").value)), show()));
$("back").addEventListener("click", () => (stop(), (now = Math.max(0, now - 1)), show()));
$("next").addEventListener("click", () => (stop(), (now = Math.min(STEPS, now + 1)), show()));
$("again").addEventListener("click", () => ((set.seed += 1), changed(), remember()));

let dragging = false;
const place = (event) => {
  const box = $("surface").getBoundingClientRect();
  set.start = [(event.clientX - box.left - box.width / 2) * WIDTH / box.width,
    (box.top + box.height / 2 - event.clientY) * WIDTH / box.width];
  $("hint").hidden = true;
  changed();
};
$("surface").addEventListener("pointerdown", (event) => {
  dragging = true;
  $("surface").setPointerCapture(event.pointerId);
  place(event);
});
$("surface").addEventListener("pointermove", (event) => dragging && place(event));
for (const name of ["pointerup", "pointercancel"]) {
  $("surface").addEventListener(name, () => (dragging = false));
}
addEventListener("resize", show);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);

const PACE = 110; // milliseconds for a step; a synchronization is given twice as long
let last = 0;
function frame(time) {
  if (playing && time - last > (now && now % set.k === 0 ? 2 * PACE : PACE)) {
    last = time;
    now += 1;
    if (now >= STEPS) stop();
    show();
  }
  requestAnimationFrame(frame);
}

const found = check(JSON.parse($("cases").textContent));
$("check").textContent = found.worst <= 1
  ? `Checked just now, in this browser: ${found.cases} cases of the golden suite, ${found.steps} steps; the `
    + `largest difference is ${found.worst.toFixed(2)} of what is allowed.`
  : "This browser computes something else than the golden suite: do not trust the page.";
$("check").dataset.trajectories = JSON.stringify(found.trajectories);
changed();
requestAnimationFrame(frame);
