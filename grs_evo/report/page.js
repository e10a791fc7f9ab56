"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const touch = matchMedia("(pointer: coarse)").matches;
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();

  const onPaper = () => document.documentElement.classList.contains("paper");

  // "@c0" and the like become the theme's colours.
  const themed = (value) => {
    if (typeof value === "string") return value.startsWith("@") ? colour(value.slice(1)) || value : value;
    if (Array.isArray(value)) return value.map(themed);
    if (value && typeof value === "object")
      return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, themed(inner)]));
    return value;
  };

  const frame = (layout, narrow) => {
    const axis = { gridcolor: colour("grid"), linecolor: colour("line"), zerolinecolor: colour("line"), ticks: "outside", minexponent: 4,
      tickcolor: colour("line"), ticklen: 4, title: { standoff: 10, font: { size: 12, color: colour("muted") } } };
    const merged = {
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: colour("ink") },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", margin: { l: 54, r: 14, t: 12, b: 44 },
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { size: 11 }, bgcolor: "rgba(0,0,0,0)" },
      hoverlabel: { font: { family: getComputedStyle(document.body).fontFamily, size: 12 } },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("muted"), activecolor: colour("accent") },
      dragmode: touch ? false : "zoom",
      // As the text of the page writes numbers: a thin space between thousands.
      separators: ".\u2009",
      ...layout,
    };
    merged.margin = { l: 54, r: 14, t: 12, b: 44, ...(layout.margin || {}) };
    for (const name of ["xaxis", "yaxis"]) {
      const own = layout[name] || {};
      merged[name] = { ...axis, ...own, title: { ...axis.title, ...(own.title || {}) } };
    }
    // Labels of the x axis lie flat; where there is little room there are few of them.
    merged.xaxis.tickangle = 0;
    if (narrow && merged.xaxis.tickvals) {
      const tens = merged.xaxis.tickvals.map((v) => Math.abs(Math.log10(v) - Math.round(Math.log10(v))) < 1e-9);
      if (tens.filter(Boolean).length > 1)
        for (const key of ["tickvals", "ticktext"]) merged.xaxis[key] = merged.xaxis[key].filter((_, k) => tens[k]);
    } else if (narrow && merged.xaxis.dtick === undefined) merged.xaxis.nticks = 5;
    return merged;
  };
  const config = { displaylogo: false, responsive: true, displayModeBar: touch ? false : "hover",
    // Named one by one: plotly's own list has a button that would send the data to a server.
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]] };

  const draw = (box) => {
    const plot = data.plots[box.dataset.plot], layout = frame(themed(plot.layout), box.clientWidth < 480);
    // On paper nothing tells plotly that the width has changed.
    Object.assign(layout, onPaper() ? { width: box.clientWidth, height: box.clientHeight } : { autosize: true });
    return Plotly.react(box, themed(plot.traces), layout, config);
  };

  // ---------------------------------------------------------------- structures
  const sphere = (() => {
    // An icosahedron, each face divided in four, `level` times; all corners on the unit sphere.
    const made = {};
    return (level) => {
      if (made[level]) return made[level];
      const t = (1 + Math.sqrt(5)) / 2;
      const unit = (p) => { const n = Math.hypot(...p); return p.map((x) => x / n); };
      const corners = [[-1, t, 0], [1, t, 0], [-1, -t, 0], [1, -t, 0], [0, -1, t], [0, 1, t], [0, -1, -t], [0, 1, -t],
        [t, 0, -1], [t, 0, 1], [-t, 0, -1], [-t, 0, 1]].map(unit);
      let faces = [[0, 11, 5], [0, 5, 1], [0, 1, 7], [0, 7, 10], [0, 10, 11], [1, 5, 9], [5, 11, 4], [11, 10, 2], [10, 7, 6],
        [7, 1, 8], [3, 9, 4], [3, 4, 2], [3, 2, 6], [3, 6, 8], [3, 8, 9], [4, 9, 5], [2, 4, 11], [6, 2, 10], [8, 6, 7], [9, 8, 1]];
      for (let k = 0; k < level; k++) {
        const known = new Map();
        const between = (a, b) => {
          const key = a < b ? a + "," + b : b + "," + a;
          if (!known.has(key)) {
            corners.push(unit(corners[a].map((x, i) => x + corners[b][i])));
            known.set(key, corners.length - 1);
          }
          return known.get(key);
        };
        faces = faces.flatMap(([a, b, c]) => {
          const ab = between(a, b), bc = between(b, c), ca = between(c, a);
          return [[a, ab, ca], [b, bc, ab], [c, ca, bc], [ab, bc, ca]];
        });
      }
      return (made[level] = { corners, faces });
    };
  })();

  const solve = (m) => {
    // Inverse of a 3 × 3 matrix given by rows.
    const [a, b, c, d, e, f, g, h, i] = m;
    const det = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g);
    return [e * i - f * h, c * h - b * i, b * f - c * e, f * g - d * i, a * i - c * g, c * d - a * f, d * h - e * g,
      b * g - a * h, a * e - b * d].map((x) => x / det);
  };
  const times = (v, m) => [0, 1, 2].map((k) => v[0] * m[k] + v[1] * m[3 + k] + v[2] * m[6 + k]);

  const atomsOf = (one, wrap) => {
    const inverse = solve(one.cell), list = [];
    for (let k = 0; k < one.species.length; k++) {
      let p = one.positions.slice(3 * k, 3 * k + 3);
      if (wrap) p = times(times(p, inverse).map((x, i) => (one.pbc[i] ? x - Math.floor(x + 1e-6) : x)), one.cell);
      list.push(p);
    }
    return list;
  };

  // The same atoms once more along each periodic direction, and pairs near enough to be drawn as bonds.
  const mostRepeated = 200, mostBonded = 800;
  const repeated = (one, places) => {
    const shifts = [[0, 0, 0]];
    one.pbc.forEach((periodic, k) => {
      if (periodic) shifts.push(...shifts.map((v) => v.map((x, i) => x + (i === k ? 1 : 0))));
    });
    return shifts.flatMap((v) => { const by = times(v, one.cell); return places.map((p) => p.map((x, i) => x + by[i])); });
  };
  const bonds = (places, species) => {
    const x = [], y = [], z = [];
    for (let a = 0; a < places.length; a++) for (let b = 0; b < a; b++) {
      const d = places[a].map((v, i) => v - places[b][i]);
      if (Math.hypot(...d) > 1.2 * (data.radii[species[a]] + data.radii[species[b]])) continue;
      x.push(places[a][0], places[b][0], null); y.push(places[a][1], places[b][1], null); z.push(places[a][2], places[b][2], null);
    }
    return x.length ? [{ type: "scatter3d", mode: "lines", x, y, z, line: { color: colour("muted"), width: 5 }, hoverinfo: "skip" }] : [];
  };
  const checked = (id) => document.getElementById(id).checked;

  const showScene = (one, wrap) => {
    let places = atomsOf(one, wrap), species = one.species;
    const n = places.length;
    if (checked("images") && n <= mostRepeated) {
      places = repeated(one, places);
      species = places.map((_, k) => one.species[k % n]);
    }
    const bonded = checked("bonds") && places.length <= mostBonded;
    const ball = sphere(places.length > 150 ? 1 : 2), traces = bonded ? bonds(places, species) : [];
    data.elements.forEach((symbol, element) => {
      const x = [], y = [], z = [], i = [], j = [], k = [], labels = [], cx = [], cy = [], cz = [];
      const r = (bonded ? 0.4 : 0.72) * data.radii[element];
      places.forEach((p, atom) => {
        if (species[atom] !== element) return;
        const start = x.length;
        for (const c of ball.corners) { x.push(p[0] + r * c[0]); y.push(p[1] + r * c[1]); z.push(p[2] + r * c[2]); }
        for (const f of ball.faces) { i.push(start + f[0]); j.push(start + f[1]); k.push(start + f[2]); }
        cx.push(p[0]); cy.push(p[1]); cz.push(p[2]);
        const own = atom % n;
        labels.push(`${symbol}, atom ${own}<br>${one.positions.slice(3 * own, 3 * own + 3).map((v) => v.toFixed(3)).join(", ")} Å`);
      });
      if (!x.length) return;
      traces.push({ type: "mesh3d", x, y, z, i, j, k, color: colour("e" + (element % 8)), hoverinfo: "skip", flatshading: false,
        lighting: { ambient: 0.62, diffuse: 0.5, specular: 0.12, roughness: 0.6, fresnel: 0.05 }, lightposition: { x: 3e4, y: -1e5, z: 1e5 } });
      traces.push({ type: "scatter3d", mode: "markers", x: cx, y: cy, z: cz, text: labels, hovertemplate: "%{text}<extra></extra>",
        marker: { size: 10, opacity: 0 } });
    });
    if (one.pbc.some(Boolean)) {
      const corner = (a, b, c) => times([a, b, c], one.cell), x = [], y = [], z = [];
      const edge = (p, q) => { x.push(p[0], q[0], null); y.push(p[1], q[1], null); z.push(p[2], q[2], null); };
      for (const a of [0, 1]) for (const b of [0, 1]) {
        edge(corner(0, a, b), corner(1, a, b)); edge(corner(a, 0, b), corner(a, 1, b)); edge(corner(a, b, 0), corner(a, b, 1));
      }
      traces.push({ type: "scatter3d", mode: "lines", x, y, z, line: { color: colour("muted"), width: 3 }, hoverinfo: "skip" });
      const ends = [corner(1.06, 0, 0), corner(0, 1.06, 0), corner(0, 0, 1.06)];
      traces.push({ type: "scatter3d", mode: "text", x: ends.map((p) => p[0]), y: ends.map((p) => p[1]), z: ends.map((p) => p[2]),
        text: ["a", "b", "c"], textfont: { size: 15, color: colour("ink") }, hoverinfo: "skip" });
    }
    // The longest side fills the view, whatever the others are: plotly's own "data" mode lets long cells run out of it.
    const low = [Infinity, Infinity, Infinity], high = [-Infinity, -Infinity, -Infinity];
    traces.forEach((trace) => [trace.x, trace.y, trace.z].forEach((values, k) => values.forEach((value) => {
      if (value === null) return;
      low[k] = Math.min(low[k], value); high[k] = Math.max(high[k], value);
    })));
    const extent = high.map((value, k) => value - low[k]);
    const size = 1.8 / Math.max(Math.hypot(...extent), 1.25 * Math.max(...extent));
    // A hair more than the structure: what lies on the border would be clipped.
    const side = (k) => ({ visible: false, showspikes: false, range: [low[k] - 0.01 * extent[k], high[k] + 0.01 * extent[k]] });
    return Plotly.react("scene", traces, {
      paper_bgcolor: colour("paper"), showlegend: false, margin: { l: 0, r: 0, t: 0, b: 0 }, uirevision: "view",
      scene: { aspectmode: "manual", aspectratio: { x: size * extent[0], y: size * extent[1], z: size * extent[2] },
        xaxis: side(0), yaxis: side(1), zaxis: side(2), dragmode: "orbit",
        // Perspective: with plotly's orthographic camera meshes are not lit.
        bgcolor: colour("paper"), camera: { projection: { type: "perspective" }, eye: { x: 0.88, y: -1.68, z: 0.78 } } },
    }, { displaylogo: false, responsive: true, displayModeBar: false, scrollZoom: false });
  };

  const webgl = (() => {
    try { return Boolean(document.createElement("canvas").getContext("webgl")); } catch { return false; }
  })();
  let chosen = 0;
  const choose = (number) => {
    chosen = number;
    const one = data.structures[number];
    document.querySelectorAll(".choice button").forEach((b, k) => b.setAttribute("aria-pressed", String(k === number)));
    document.getElementById("pick").value = String(number);
    document.getElementById("stage-title").textContent = one.title;
    const facts = document.getElementById("stage-facts");
    facts.replaceChildren(...one.facts.flatMap(([name, value, note]) => {
      const dt = document.createElement("dt"), dd = document.createElement("dd");
      dt.textContent = name; dd.textContent = value;
      if (note) {
        const small = document.createElement("small");
        small.textContent = note;
        dd.append(" ", small);
      }
      return [dt, dd];
    }));
    const link = document.getElementById("stage-file");
    link.href = "data:chemical/x-xyz;charset=utf-8," + encodeURIComponent(one.file);
    link.download = one.name;
    link.hidden = !one.file;
    const pictured = document.querySelectorAll(".choice button")[number];
    const still = () => (pictured ? pictured.querySelector("svg").cloneNode(true) : document.createElement("span"));
    document.getElementById("still").replaceChildren(still());
    if (!webgl) {
      document.getElementById("scene").replaceChildren(still());
      return Promise.resolve();
    }
    return showScene(one, document.getElementById("wrap").checked);
  };

  const boxes = [...document.querySelectorAll(".canvas[data-plot]")];
  const redraw = async () => {
    if (data.structures.length) await choose(chosen);
    for (const box of boxes) {
      await draw(box);
      // Between two plots the page may answer to a tap.
      await new Promise((next) => setTimeout(next));
    }
    document.documentElement.dataset.drawn = String(boxes.length);
  };
  document.querySelectorAll(".choice button").forEach((b, k) => b.addEventListener("click", () => {
    choose(k);
    if (innerWidth <= 760) document.querySelector(".stage").scrollIntoView();
  }));
  document.querySelectorAll("select[data-plot]").forEach((select) => select.addEventListener("change", () => {
    const figure = select.closest("figure"), plot = data.plots[select.dataset.plot];
    const [caption, traces] = plot.choices[select.selectedIndex];
    plot.traces = traces;
    figure.querySelector("figcaption p").textContent = caption;
    draw(figure.querySelector(".canvas"));
  }));
  for (const id of ["wrap", "bonds", "images"]) {
    const box = document.getElementById(id);
    if (box) box.addEventListener("change", () => choose(chosen));
  }
  const pick = document.getElementById("pick");
  if (pick) {
    data.structures.forEach((one, k) => pick.append(new Option(one.title, String(k))));
    pick.addEventListener("change", () => choose(Number(pick.value)));
  }
  // The view turns by arrow keys, comes nearer by + and −; n and p show the next and the previous structure.
  const stage = document.getElementById("scene");
  if (stage && webgl) stage.addEventListener("keydown", (event) => {
    const camera = stage._fullLayout && stage._fullLayout.scene && stage._fullLayout.scene._scene.getCamera();
    const step = { n: 1, p: -1 }[event.key];
    if (step) choose((chosen + step + data.structures.length) % data.structures.length);
    else if (camera) {
      let { x, y, z } = camera.eye;
      const r = Math.hypot(x, y, z), turn = { ArrowLeft: -0.15, ArrowRight: 0.15 }[event.key] || 0;
      const tilt = { ArrowUp: 0.12, ArrowDown: -0.12 }[event.key] || 0, zoom = { "+": 0.9, "-": 1.1 }[event.key] || 1;
      if (!turn && !tilt && zoom === 1) return;
      const phi = Math.atan2(y, x) + turn, theta = Math.min(1.5, Math.max(-1.5, Math.asin(z / r) + tilt)), far = r * zoom;
      const eye = { x: far * Math.cos(theta) * Math.cos(phi), y: far * Math.cos(theta) * Math.sin(phi), z: far * Math.sin(theta) };
      Plotly.relayout(stage, { "scene.camera": { ...camera, eye } });
    } else return;
    event.preventDefault();
  });
  dark.addEventListener("change", redraw);
  // Paper has a width and colours of its own.
  const paper = (on) => {
    document.documentElement.classList.toggle("paper", on);
    boxes.forEach(draw);
  };
  addEventListener("beforeprint", () => paper(true));
  addEventListener("afterprint", () => paper(false));
  redraw();
})();
