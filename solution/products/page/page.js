"use strict";
(() => {
  const MOST_ZOOM = 16, CLOSE = 3, STEP = 1.25, GRIP_PX = 28, FLICKER_MS = 500;
  const NAMES = { optical: "optical", before: "SAR as geocoded", after: "SAR through the map" };
  const find = (id) => document.getElementById(id);
  const viewer = find("viewer"), swipe = find("swipe"), said = find("said"), part = find("part"), flicker = find("flicker");
  const views = [...viewer.querySelectorAll(".view")];
  const choices = [...document.querySelectorAll("input[name=compare]")];
  const state = { zoom: 1, x: 0, y: 0, timer: 0 };

  // Both images read the same three variables, so they cannot come apart.
  function place() {
    const { clientWidth: width, clientHeight: height } = viewer;
    state.zoom = Math.min(Math.max(state.zoom, 1), MOST_ZOOM);
    state.x = Math.min(Math.max(state.x, width * (1 - state.zoom)), 0);
    state.y = Math.min(Math.max(state.y, height * (1 - state.zoom)), 0);
    viewer.style.setProperty("--x", `${state.x}px`);
    viewer.style.setProperty("--y", `${state.y}px`);
    viewer.style.setProperty("--zoom", state.zoom);
    viewer.classList.toggle("zoomed", state.zoom > 1);
    viewer.classList.toggle("close", state.zoom >= CLOSE);
  }

  function zoomBy(times, x = viewer.clientWidth / 2, y = viewer.clientHeight / 2) {
    const zoom = Math.min(Math.max(state.zoom * times, 1), MOST_ZOOM);
    state.x = x - ((x - state.x) * zoom) / state.zoom;
    state.y = y - ((y - state.y) * zoom) / state.zoom;
    state.zoom = zoom;
    place();
  }

  function moveBy(dx, dy) {
    state.x += dx;
    state.y += dy;
    place();
  }

  function whole() {
    Object.assign(state, { zoom: 1, x: 0, y: 0 });
    place();
  }

  function swipeTo(share) {
    swipe.value = 100 * share;
    viewer.style.setProperty("--at", `${swipe.value}%`);
  }

  function compare() {
    const [under, over] = choices.find((one) => one.checked).value.split(" ");
    for (const layer of viewer.querySelectorAll(".layer")) {
      layer.classList.toggle("under", layer.dataset.layer === under);
      layer.classList.toggle("over", layer.dataset.layer === over);
    }
    find("left").textContent = NAMES[under];
    find("right").textContent = NAMES[over];
    tell();
  }

  function tell() {
    const on = state.timer !== 0, off = viewer.classList.contains("off");
    find("left").style.display = on && !off ? "none" : "";
    find("right").style.display = on && off ? "none" : "";
  }

  function setFlicker(on) {
    clearInterval(state.timer);
    state.timer = 0;
    viewer.classList.toggle("flickering", on);
    viewer.classList.remove("off");
    flicker.setAttribute("aria-pressed", on);
    said.textContent = on ? "Flickering; f or Escape ends it." : "";
    if (on) state.timer = setInterval(() => { viewer.classList.toggle("off"); tell(); }, FLICKER_MS);
    tell();
  }

  function choosePart(number) {
    const { width, height } = views[number].dataset;
    views.forEach((view, index) => view.classList.toggle("shown", index === number));
    find("frame").style.setProperty("--wide", width);
    find("frame").style.setProperty("--high", height);
    whole();
  }

  function beforeOrAfter() {
    choices[choices[0].checked ? 1 : 0].checked = true;
    compare();
    said.textContent = choices[0].checked ? "SAR through the map." : "SAR as geocoded.";
  }

  const KEYS = {
    f: () => setFlicker(state.timer === 0),
    Escape: () => setFlicker(false),
    b: beforeOrAfter,
    0: whole,
    "+": () => zoomBy(STEP),
    "=": () => zoomBy(STEP),
    "-": () => zoomBy(1 / STEP),
  };
  const MOVES = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select")) return;
    const act = KEYS[event.key];
    const move = event.target === viewer && state.zoom > 1 ? MOVES[event.key] : undefined;
    if (act) act();
    if (move) moveBy(move[0] * viewer.clientWidth / 10, move[1] * viewer.clientHeight / 10);
    if (act || move) event.preventDefault();
  });

  // One pointer swipes or moves, two zoom.
  const pointers = new Map();
  let drags = "";
  const placeOf = (event) => {
    const box = viewer.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  const span = () => {
    const [a, b] = [...pointers.values()];
    return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, length: Math.hypot(a.x - b.x, a.y - b.y) || 1 };
  };
  viewer.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const at = placeOf(event);
    pointers.set(event.pointerId, at);
    viewer.setPointerCapture(event.pointerId);
    const grips = Math.abs(at.x - (swipe.value / 100) * viewer.clientWidth) < GRIP_PX;
    drags = pointers.size > 1 ? "zoom" : state.zoom === 1 || (grips && state.timer === 0) ? "swipe" : "move";
    if (drags === "swipe") swipeTo(at.x / viewer.clientWidth);
  });
  viewer.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId), at = placeOf(event);
    if (!before) return;
    const old = pointers.size > 1 ? span() : null;
    pointers.set(event.pointerId, at);
    if (drags === "swipe") swipeTo(Math.min(Math.max(at.x / viewer.clientWidth, 0), 1));
    if (drags === "move") moveBy(at.x - before.x, at.y - before.y);
    if (drags === "zoom" && old) {
      const now = span();
      zoomBy(now.length / old.length, now.x, now.y);
      moveBy(now.x - old.x, now.y - old.y);
    }
  });
  for (const end of ["pointerup", "pointercancel"]) {
    viewer.addEventListener(end, (event) => {
      pointers.delete(event.pointerId);
      drags = "";
    });
  }
  viewer.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    const at = placeOf(event);
    zoomBy(event.deltaY < 0 ? STEP : 1 / STEP, at.x, at.y);
  }, { passive: false });

  swipe.addEventListener("input", () => swipeTo(swipe.value / 100));
  choices.forEach((one) => one.addEventListener("change", compare));
  flicker.addEventListener("click", KEYS.f);
  find("closer").addEventListener("click", KEYS["+"]);
  find("farther").addEventListener("click", KEYS["-"]);
  find("whole").addEventListener("click", whole);
  if (part) part.addEventListener("change", () => choosePart(Number(part.value)));
  addEventListener("resize", place);

  document.documentElement.classList.add("ready");
  choosePart(0);
  compare();
  swipeTo(0.5);
})();
