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

  // 3Dmol finds bonds, repeats cells and turns what it shows; it gets positions, the cell and the theme's colours.
  const mostRepeated = 200, mostBonded = 800;
  const checked = (id) => { const box = document.getElementById(id); return Boolean(box && box.checked); };
  const target = data.structures.find((one) => one.target);
  const views = {};
  const viewOf = (id) => {
    if (views[id]) return views[id];
    const view = $3Dmol.createViewer(document.getElementById(id), { orthographic: true, disableFog: true });
    // As the stills are seen: from the right and above.
    view.rotate(-90, "x"); view.rotate(-28, "z"); view.rotate(22, "vx");
    return (views[id] = view);
  };

  const showScene = (id, one) => {
    const view = viewOf(id), places = atomsOf(one, checked("wrap")), periodic = one.pbc.some(Boolean);
    const repeated = checked("images") && periodic && places.length <= mostRepeated;
    const bonded = checked("bonds") && places.length * (repeated ? 8 : 1) <= mostBonded;
    const lines = places.map((p, k) => [data.elements[one.species[k]], ...p.map((x) => x.toFixed(4))].join(" "));
    const held = view.getView(), first = !held || !view.getModelList().length;
    view.removeAllModels(); view.removeAllShapes(); view.removeAllLabels();
    view.setBackgroundColor(colour("paper"), 1);
    const model = view.addModel(`${places.length}\nLattice="${one.cell.join(" ")}"\n${lines.join("\n")}\n`, "xyz", { assignBonds: bonded });
    if (repeated) view.replicateUnitCell(...one.pbc.map((yes) => (yes ? 2 : 1)), model, bonded);
    data.elements.forEach((symbol, element) => {
      const paint = colour("e" + (element % 8)), sphere = { radius: (bonded ? 0.4 : 0.8) * data.radii[element], color: paint };
      view.setStyle({ elem: symbol }, bonded ? { sphere, stick: { radius: 0.12, color: paint } } : { sphere });
    });
    if (periodic) {
      const label = { fontColor: colour("ink"), fontSize: 15, showBackground: false, inFront: true, alignment: "center" };
      const arrow = () => ({ color: colour("muted"), radius: 0.06, midpos: -1 });
      view.addUnitCell(model, { box: { color: colour("muted") }, alabel: "a", blabel: "b", clabel: "c", astyle: arrow(),
        bstyle: arrow(), cstyle: arrow(), alabelstyle: label, blabelstyle: label, clabelstyle: label });
    }
    let tip = null;
    view.setHoverable({}, true, (atom) => {
      const own = atom.serial, words = one.positions.slice(3 * own, 3 * own + 3).map((v) => v.toFixed(3)).join(", ");
      tip = tip || view.addLabel(`${atom.elem}, atom ${own}: ${words} Å`, { position: atom, inFront: true, fontSize: 12, fontColor: colour("ink"),
        backgroundColor: colour("hint"), backgroundOpacity: 0.95 });
    }, () => { if (tip) view.removeLabel(tip); tip = null; });
    view.resize();
    view.zoomTo();
    view.zoom(1.3);
    if (!first) view.setView([...view.getView().slice(0, 4), ...held.slice(4)]);
    view.render();
  };

  // The target beside the cell, both turned as one; setting a view tells its listeners too.
  let turning = false;
  const turnLike = (one, other) => {
    if (turning) return;
    turning = true;
    views[one].setView([...views[one].getView().slice(0, 4), ...views[other].getView().slice(4)]);
    turning = false;
  };
  const showScenes = (one) => {
    const beside = Boolean(target) && checked("beside") && one !== target;
    document.getElementById("target-scene").hidden = !beside;
    showScene("scene", one);
    if (!beside) return;
    showScene("target-scene", target);
    turnLike("target-scene", "scene");
    for (const [one, other] of [["scene", "target-scene"], ["target-scene", "scene"]])
      views[one].setViewChangeCallback(() => turnLike(other, one));
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
    if (webgl) showScenes(one);
    else document.getElementById("scene").replaceChildren(still());
  };

  const boxes = [...document.querySelectorAll(".canvas[data-plot]")];
  const redraw = async () => {
    if (data.structures.length) choose(chosen);
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
  for (const id of ["wrap", "bonds", "images", "beside"]) {
    const box = document.getElementById(id);
    if (box) box.addEventListener("change", () => choose(chosen));
  }
  const pick = document.getElementById("pick");
  if (pick) {
    data.structures.forEach((one, k) => pick.append(new Option(one.title, String(k))));
    pick.addEventListener("change", () => choose(Number(pick.value)));
  }
  if (target) document.getElementById("beside").parentElement.hidden = false;
  // The view turns by arrow keys, comes nearer by + and −; n and p show the next and the previous structure.
  const stage = document.getElementById("scene");
  if (stage) stage.addEventListener("keydown", (event) => {
    const step = { n: 1, p: -1 }[event.key], near = { "+": 1.1, "-": 1 / 1.1 }[event.key];
    const turn = { ArrowLeft: [-8, "vy"], ArrowRight: [8, "vy"], ArrowUp: [-8, "vx"], ArrowDown: [8, "vx"] }[event.key];
    if (step) choose((chosen + step + data.structures.length) % data.structures.length);
    else if (webgl && turn) views.scene.rotate(...turn);
    else if (webgl && near) views.scene.zoom(near);
    else return;
    event.preventDefault();
  });
  // The wheel scrolls the page, also above a structure; with Ctrl it brings the structure nearer.
  document.querySelectorAll("#scene, #target-scene").forEach((box) => box.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) event.stopPropagation();
  }, { capture: true }));
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
