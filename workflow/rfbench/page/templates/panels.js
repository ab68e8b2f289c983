"use strict";
(() => {
  const MOST = 16;  // times as large

  function equip(figure) {
    const views = figure.querySelector(".views");
    const side = parseFloat(views.querySelector("svg")?.getAttribute("viewBox").split(" ")[2] ?? 1);
    const now = { x: 0, y: 0, scale: 1 };

    // All views of a case read the same three properties. The photograph never leaves the frame.
    function show() {
      const least = side * (1 - now.scale);
      now.x = Math.min(0, Math.max(least, now.x));
      now.y = Math.min(0, Math.max(least, now.y));
      for (const [name, value] of Object.entries(now)) figure.style.setProperty(`--${name}`, value.toFixed(3));
      figure.classList.toggle("moved", now.scale > 1);
    }

    function zoom(factor, x = side / 2, y = side / 2) {
      const scale = Math.min(MOST, Math.max(1, now.scale * factor));
      now.x = x - (x - now.x) * (scale / now.scale);
      now.y = y - (y - now.y) * (scale / now.scale);
      now.scale = scale;
      show();
    }

    const move = (x, y) => { now.x += x * side; now.y += y * side; show(); };
    const reset = () => { Object.assign(now, { x: 0, y: 0, scale: 1 }); show(); };
    const place = (event, svg) => {
      const frame = svg.getBoundingClientRect();
      return [((event.clientX - frame.left) / frame.width) * side, ((event.clientY - frame.top) / frame.height) * side];
    };

    const keys = {
      ArrowLeft: () => move(0.1, 0), ArrowRight: () => move(-0.1, 0), ArrowUp: () => move(0, 0.1), ArrowDown: () => move(0, -0.1),
      "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5), "−": () => zoom(1 / 1.5), 0: reset,
    };
    views.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
      if (event.key.startsWith("Arrow") && now.scale === 1) return;  // nothing to move: the page scrolls
      event.preventDefault();
      keys[event.key]();
    });
    views.addEventListener("wheel", (event) => {
      const svg = event.target.closest("svg");
      if (!svg || !(event.ctrlKey || document.activeElement === views)) return;
      event.preventDefault();
      zoom(event.deltaY < 0 ? 1.25 : 0.8, ...place(event, svg));
    }, { passive: false });
    views.addEventListener("dblclick", (event) => {
      const svg = event.target.closest("svg");
      if (svg) zoom(2, ...place(event, svg));
    });
    let last = null;
    views.addEventListener("pointerdown", (event) => {
      const svg = event.target.closest("svg");
      if (!svg || now.scale === 1) return;
      last = [svg, ...place(event, svg)];
      svg.setPointerCapture(event.pointerId);
    });
    views.addEventListener("pointermove", (event) => {
      if (!last) return;
      const [x, y] = place(event, last[0]);
      move((x - last[1]) / side, (y - last[2]) / side);
      last = [last[0], x, y];
    });
    for (const end of ["pointerup", "pointercancel"]) views.addEventListener(end, () => { last = null; });

    const tools = Object.assign(document.createElement("div"), { className: "zoom" });
    const heading = figure.querySelector("figcaption b").textContent;
    for (const [text, label, action] of [["+", "Zoom in", () => zoom(1.5)], ["−", "Zoom out", () => zoom(1 / 1.5)], ["Whole crop", "Whole crop", reset]]) {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: text, ariaLabel: `${label}: ${heading}` });
      button.addEventListener("click", action);
      tools.append(button);
    }
    views.before(tools);
  }
  document.querySelectorAll(".case").forEach(equip);
  document.documentElement.classList.add("scripted");
})();
