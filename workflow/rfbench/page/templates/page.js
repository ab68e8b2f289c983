"use strict";
(() => {
  const all = (query, within = document) => [...within.querySelectorAll(query)];
  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };
  // A cell's own words, without marks and letters.
  const words = (cell) => {
    const copy = cell.cloneNode(true);
    all("sup, small", copy).forEach((mark) => mark.remove());
    return copy.textContent.trim();
  };

  // ---- tables: sort, filter, columns, CSV -------------------------------------------------------------------------
  const headings = (table) => all("thead th", table);
  const lines = (table) => all("tbody tr:not(.head)", table);

  function sort(table, column) {
    const heading = headings(table)[column];
    const rising = heading.getAttribute("aria-sort") === "descending" || (heading.classList.contains("w") && !heading.hasAttribute("aria-sort"));
    headings(table).forEach((other) => other.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", rising ? "ascending" : "descending");
    const value = (row) => parseFloat(words(row.cells[column]).replace("−", "-"));
    const compare = heading.classList.contains("w")
      ? (a, b) => words(a.cells[column]).localeCompare(words(b.cells[column]))
      : (a, b) => value(a) - value(b);
    const unknown = (row) => !heading.classList.contains("w") && Number.isNaN(value(row));
    for (const body of table.tBodies) {
      const rows = all("tr:not(.head)", body);
      const known = rows.filter((row) => !unknown(row)).sort((a, b) => (rising ? 1 : -1) * compare(a, b));
      body.append(...known, ...rows.filter(unknown));  // what has no number stays below
    }
  }

  function showColumn(table, column, shown) {
    for (const row of table.rows) {
      if (!row.classList.contains("head")) row.cells[column].hidden = !shown;
    }
  }

  function csv(table) {
    const quoted = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
    const grouped = table.tBodies.length > 1;
    const rows = [[...(grouped ? ["group"] : []), ...headings(table).map((heading) => heading.textContent.trim())]];
    for (const body of table.tBodies) {
      const head = body.querySelector("tr.head");
      for (const row of all("tr:not(.head)", body)) {
        if (!row.hidden && !body.hidden) rows.push([...(grouped ? [head ? words(head) : ""] : []), ...[...row.cells].map(words)]);
      }
    }
    return rows.map((row) => row.map(quoted).join(",") + "\n").join("");
  }

  function equip(table) {
    const name = table.caption.textContent;
    headings(table).forEach((heading, column) => {
      const button = make("button", { type: "button" }, heading.textContent);
      button.addEventListener("click", () => sort(table, column));
      heading.replaceChildren(button);
      if ("hidden" in heading.dataset) showColumn(table, column, false);
    });
    const filter = make("input", { type: "search", placeholder: "Filter rows", ariaLabel: `Filter the rows of ${name}` });
    filter.addEventListener("input", () => {
      const wanted = filter.value.toLowerCase();
      lines(table).forEach((row) => { row.hidden = !row.textContent.toLowerCase().includes(wanted); });
    });
    const boxes = headings(table).slice(1).map((heading, place) => {
      const box = make("input", { type: "checkbox", checked: !heading.hidden });
      box.addEventListener("change", () => showColumn(table, place + 1, box.checked));
      return make("label", {}, box, ` ${heading.textContent}`);
    });
    const columns = make("details", {}, make("summary", {}, "Columns"), make("div", {}, ...boxes));
    columns.addEventListener("keydown", (event) => { if (event.key === "Escape") { columns.open = false; columns.firstChild.focus(); } });
    const save = make("button", { type: "button", ariaLabel: `CSV of ${name}` }, "CSV");
    save.addEventListener("click", () => {
      const address = URL.createObjectURL(new Blob([csv(table)], { type: "text/csv" }));
      make("a", { href: address, download: `${table.id}.csv` }).click();
      setTimeout(() => URL.revokeObjectURL(address), 1000);
    });
    table.parentElement.before(make("div", { className: "tools" }, filter, columns, save));
  }
  all("table.grid").forEach(equip);

  // Rows of the other tables lead to their runs, as those of the main table do.
  for (const set of all("#tables .set")) {
    const links = new Map(all("table.grid tbody th a", set).map((link) => [link.textContent, link.getAttribute("href")]));
    for (const heading of all("details.metric tbody tr:not(.head) th", set)) {
      const name = heading.textContent.trim();
      if (links.has(name)) heading.replaceChildren(make("a", { href: links.get(name) }, name));
    }
  }

  // ---- what is shown: data set, metric, lesion, size; kept in the address -----------------------------------------
  const form = document.getElementById("select");
  const sets = all(".set");
  const chosen = { dataset: form.elements.dataset.value, metric: "", lesion: "", size: "" };
  const own = (dataset) => sets.filter((set) => set.dataset.dataset === dataset);
  const tables = (dataset) => own(dataset).flatMap((set) => all("details.metric", set));
  const table = () => tables(chosen.dataset).find((one) => one.dataset.metric === chosen.metric);
  const unique = (texts) => [...new Set(texts.filter(Boolean))];

  function offer(select, choices, wanted) {
    select.replaceChildren(...choices.map(([value, text]) => make("option", { value }, text)));
    const found = choices.some(([value]) => value === wanted) ? wanted : (choices[0] ?? [""])[0];
    select.value = found;
    select.disabled = choices.length < 2;
    return found;
  }

  function apply() {
    form.elements.dataset.value = chosen.dataset;
    sets.forEach((set) => { set.hidden = set.dataset.dataset !== chosen.dataset; });
    const metrics = tables(chosen.dataset).map((one) => [one.dataset.metric, one.querySelector("summary").textContent.replace(/^[^:]*: /, "").replace(/, (percent|regions per image)$/, "")]);
    chosen.metric = offer(form.elements.metric, metrics, chosen.metric);
    const bodies = table() ? all("tbody", table()) : [];
    const lesions = unique(bodies.map((body) => body.dataset.lesion));
    const named = (lesion) => (lesion === "mean" ? "mean of the lesions" : lesion);
    chosen.lesion = offer(form.elements.lesion, lesions.map((lesion) => [lesion, named(lesion)]), chosen.lesion);
    const sized = bodies.some((body) => body.dataset.size);
    form.elements.size.disabled = !sized;
    if (!sized) chosen.size = "";
    form.elements.size.value = chosen.size;
    tables(chosen.dataset).forEach((one) => { one.hidden = one !== table(); one.open = one === table(); });
    bodies.forEach((body) => { body.hidden = body.dataset.lesion !== chosen.lesion || (body.dataset.size ?? "") !== chosen.size; });
    own(chosen.dataset).flatMap((set) => all(".panel[data-lesion], figure tbody[data-lesion]", set)).forEach((part) => {
      part.hidden = chosen.lesion !== "mean" && part.dataset.lesion !== chosen.lesion;
    });
    draw();
  }

  const known = () => new URLSearchParams(Object.entries(chosen).filter(([, value]) => value)).toString();

  function follow() {
    const fragment = decodeURIComponent(location.hash.slice(1));
    if (fragment.includes("=")) {
      if (fragment !== decodeURIComponent(known())) {
        const wanted = Object.fromEntries(new URLSearchParams(fragment));
        for (const key of Object.keys(chosen)) chosen[key] = wanted[key] ?? "";
        if (!own(chosen.dataset).length) chosen.dataset = form.elements.dataset.options[0]?.value ?? "";
        apply();
      }
      return;
    }
    const target = fragment && document.getElementById(fragment);
    if (!target) return;
    const set = target.closest(".set"), metric = target.closest("details.metric"), body = target.closest("tbody");
    if (set) chosen.dataset = set.dataset.dataset;
    if (metric) Object.assign(chosen, { metric: metric.dataset.metric, lesion: body?.dataset.lesion ?? chosen.lesion, size: body?.dataset.size ?? "" });
    if (set) apply();
    for (let one = target; one; one = one.parentElement) if (one.tagName === "DETAILS") one.open = true;
    all(".found").forEach((other) => other.classList.remove("found"));
    if (set) target.classList.add("found");
    target.scrollIntoView();
    if (!target.matches("a, button, input, summary")) target.tabIndex = -1;
    target.focus({ preventScroll: true });
  }

  form.addEventListener("change", () => {
    for (const key of Object.keys(chosen)) chosen[key] = form.elements[key].value;
    apply();
    location.hash = known();
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", follow);

  // ---- charts -----------------------------------------------------------------------------------------------------
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const drawn = new Map();  // chart: what it shows
  let library, specs;

  async function unpacked(id) {
    const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), (sign) => sign.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  }

  async function load() {
    document.head.append(make("script", { textContent: await unpacked("vega") }));
    specs = JSON.parse(await unpacked("specs"));
  }

  function config() {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const text = { labelColor: colour("--ink"), titleColor: colour("--ink"), labelFontSize: 12, titleFontSize: 12, titleFontWeight: 500, gridColor: colour("--line"), domainColor: colour("--muted"), tickColor: colour("--muted") };
    return { aria: false, background: null, font: "system-ui, sans-serif", view: { stroke: null }, axis: text };
  }

  function specification(name) {
    const { spec, choices: of } = specs.panels[name];
    const one = structuredClone(spec);
    if (of) {
      const choices = specs.choices[of];
      const key = [chosen.metric, chosen.lesion, chosen.size].filter(Boolean).join("|");
      const values = choices[key] ?? [];
      one.data.values = values;
      const title = form.elements.metric.selectedOptions[0]?.textContent ?? "";
      const y = `${title}, ${form.elements.lesion.selectedOptions[0]?.textContent ?? ""}`;
      one.layer = one.layer.filter(({ encoding }) => ["low", "left"].every((end) => (encoding.y.field !== end && encoding.x.field !== end) || values.some((value) => end in value)));
      one.layer.forEach((layer) => { layer.encoding.y.title = y; });
    }
    // Black marks would vanish on a dark page.
    const text = JSON.stringify(one);
    return JSON.parse(dark.matches ? text.replaceAll('"#000000"', '"#f2f2f2"').replaceAll('"#0072b2"', '"#6f86ff"') : text);
  }

  async function paint(chart) {
    const name = chart.id, state = `${JSON.stringify(chosen)} ${dark.matches}`;
    const shows = specs.panels[name].choices ? state : String(dark.matches);
    if (drawn.get(chart) === shows) return;
    drawn.set(chart, shows);
    const place = make("div", { ariaHidden: "true" });  // the chart has a name of its own, its marks have none
    place.style.width = "100%";
    chart.replaceChildren(place);
    await window.vegaEmbed(place, specification(name), { mode: "vega-lite", ast: true, renderer: "svg", actions: false, config: config() });
  }

  // One after the other: a choice that is made while charts are drawn is drawn after them.
  let busy = Promise.resolve();
  const draw = () => { busy = busy.then(drawAll); return busy; };

  async function drawAll() {
    try {
      await (library ??= load());
      for (const chart of all(".chart")) {
        if (chart.offsetParent !== null) await paint(chart);  // nothing is drawn where nobody sees it
      }
      document.documentElement.dataset.charts = "drawn";
    } catch (error) {  // a browser without DecompressionStream: what is there for readers without scripts
      all(".chart noscript").forEach((still) => { still.parentElement.innerHTML = still.textContent; });
      document.documentElement.dataset.charts = "still";
      console.warn("Charts are still pictures:", error);
    }
  }
  all("details").forEach((one) => one.addEventListener("toggle", () => { if (one.open && one.querySelector(".chart")) draw(); }));
  dark.addEventListener("change", draw);

  form.hidden = false;
  document.documentElement.classList.add("scripted");
  const start = location.hash;
  apply();
  if (start) follow();
})();
