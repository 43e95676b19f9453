// The page of the REST API: everything it shows and does, it shows and does with the API, as any client could.

const ROWS = 100;            // of a table at once
const PAGE = 1000;           // bindings of one request
const MAX_LOADED = 20000;    // bindings that are kept here; beyond, the newest of the API's filters must do
const MAX_EVENTS = 200;      // in the list
const NETWORKS = 10;         // visited networks on the map
const AWAY = 2000;           // milliseconds until another try to connect
const CORRESPONDENTS = 5000; // milliseconds between two looks at the counters of optimised routes
const COUNTERS = 10000;      // and at those of the bindings in the table, which the switch is asked for

const $ = (id) => document.getElementById(id);
const bindings = new Map();  // by home address, as the API shows them, with `until` in milliseconds
let total = 0;
let switches = [];
let page = 0;
let shown = null;            // home address in the dialog
let events = [];             // newest first, of the chosen kind

// --- the API ---

class Refused extends Error {
  constructor(status, text) { super(text); this.status = status; }
}

function headers(more = {}) {
  const token = sessionStorage.getItem("token");
  return token ? { ...more, Authorization: `Bearer ${token}` } : more;
}

async function call(path, options = {}) {
  const answer = await fetch(path, { ...options, headers: headers(options.headers) });
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  const problem = await answer.json().catch(() => ({}));
  throw new Refused(answer.status, problem.detail || `status ${answer.status}`);
}

// Reads server-sent events with fetch, since EventSource cannot send a token.
async function* watch(lastId) {
  const answer = await fetch("/v1/watch", { headers: headers(lastId ? { "Last-Event-ID": lastId } : {}) });
  if (!answer.ok) throw new Refused(answer.status, (await answer.json().catch(() => ({}))).detail || "refused");
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(block.split("\n").map((line) => {
        const colon = line.indexOf(": ");
        return [line.slice(0, colon), line.slice(colon + 2)];
      }));
      if (fields.event) yield { id: fields.id, kind: fields.event, data: JSON.parse(fields.data) };
    }
  }
}

// --- what is kept ---

function keep(binding) {
  const before = bindings.get(binding.home_address);
  const left = binding.remaining_lifetime; // null: it has no end
  binding.until = left === null ? Infinity : Date.now() + left * 1000;
  binding.network = network(binding.care_of_address);
  binding.changed = before && before.care_of_address !== binding.care_of_address ? Date.now() : before?.changed;
  if (before || bindings.size < MAX_LOADED) bindings.set(binding.home_address, binding);
}

async function load() {
  switches = (await call("/v1/switches")).switches;
  await loadEvents();
  const found = new Set();
  let cursor = null;
  do {
    const answer = await call(`/v1/bindings?limit=${PAGE}${cursor ? `&cursor=${cursor}` : ""}`);
    total = answer.total;
    for (const binding of answer.bindings) { keep(binding); found.add(binding.home_address); }
    cursor = answer.next_cursor;
  } while (cursor && bindings.size < MAX_LOADED);
  for (const address of bindings.keys()) if (!found.has(address)) bindings.delete(address);
  await loadCorrespondents();
  drawSoon();
}

async function loadEvents() {
  const kind = $("kind").value;
  events = (await call(`/v1/events?limit=${MAX_EVENTS}${kind ? `&kind=${kind}` : ""}`)).events;
}

// Those of the bindings in the table, which are neighbours in the API's order unless a filter has picked them.
async function loadCounters() {
  if (document.hidden || !bindings.size) return;
  if (shown) await refresh(shown, true);
  if ($("search").value.trim() || $("which").value) return;
  const before = page ? [...bindings.keys()][page * ROWS - 1] : null;
  const after = before ? `&cursor=${cursorBehind(before)}` : "";
  for (const binding of (await call(`/v1/bindings?counters=true&limit=${ROWS}${after}`)).bindings) keep(binding);
  drawSoon();
}

const due = new Set();       // home addresses to ask for again
let asking = false;

async function refresh(address, counters = false) {
  if (counters) {
    try { keep(await call(`/v1/bindings/${address}?counters=true`)); } catch (error) { if (error.status !== 404) throw error; }
    drawSoon();
    return;
  }
  due.add(address);
  if (asking) return;
  asking = true;
  try {
    while (due.size) {
      const [next] = due;
      due.delete(next);
      try {
        const known = bindings.has(next);
        keep(await call(`/v1/bindings/${next}`));
        if (!known) total += 1;
      } catch (error) {
        if (error.status !== 404) throw error;
        if (bindings.delete(next)) total -= 1;
      }
      drawSoon();
    }
  } finally {
    asking = false;
  }
}

async function changed(kind, address) {
  if (["deregistered", "expired", "cleared"].includes(kind)) {
    if (bindings.delete(address)) total -= 1;
  } else if (kind !== "rejected" || bindings.has(address)) {
    await refresh(address);
  }
}

async function happened(event) {
  // A switch that is ready again may have brought bindings that this controller did not know.
  if (event.kind === "lost" || event.kind === "switch_ready") { await load(); return; }
  if (["", event.kind].includes($("kind").value)) events = [event.data, ...events].slice(0, MAX_EVENTS);
  if (event.kind.startsWith("switch_")) switches = (await call("/v1/switches")).switches;
  else if (!event.data.correspondent) await changed(event.kind, event.data.home_address);
  drawSoon();
}

async function follow() {
  let lastId = null;
  for (;;) {
    try {
      const stream = watch(lastId);
      const first = stream.next();
      first.catch(() => {});  // it is waited for below; until then `load` may fail the same way
      await load();
      say("live");
      loadCounters().catch(() => {});
      for (let event = await first; !event.done; event = await stream.next()) {
        lastId = event.value.id || lastId;
        await happened(event.value);
      }
    } catch (error) {
      if (error.status === 401) { await login(); continue; }
      complain(error.status ? error.message : "");
    }
    say("away");
    await new Promise((resolve) => setTimeout(resolve, AWAY));
  }
}

// --- drawing ---

let drawing = false;

function drawSoon() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => { drawing = false; draw(); });
}

function element(name, text, attributes = {}, space = null) {
  const made = space ? document.createElementNS(space, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== null) made.textContent = text;
  return made;
}

function say(state) {
  $("state").dataset.state = state;
  $("state").textContent = { live: "live", away: "no answer, trying again", connecting: "connecting" }[state];
  if (state === "live") complain("");
}

function complain(text) {
  $("problem").hidden = !text;
  $("problem").textContent = text;
}

function seconds(until) {
  const left = Math.max(0, Math.round((until - Date.now()) / 1000));
  return left === Infinity ? "for ever" : left < 120 ? `${left} s` : left < 7200 ? `${Math.floor(left / 60)} min` : `${Math.floor(left / 3600)} h`;
}

// The eight words of an address.
function words(address) {
  const [head, tail] = address.split("::");
  const left = head ? head.split(":") : [];
  const right = tail ? tail.split(":") : [];
  return tail === undefined ? left : [...left, ...Array(8 - left.length - right.length).fill("0"), ...right];
}

// The API's cursor for what comes behind a home address.
function cursorBehind(address) {
  const octets = words(address).flatMap((word) => [parseInt(word, 16) >> 8, parseInt(word, 16) & 255]);
  return btoa(String.fromCharCode(...octets)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

// The first 64 bits of an address, as a prefix.
function network(address) {
  const kept = words(address).slice(0, 4);
  while (kept.length && kept[kept.length - 1] === "0") kept.pop();
  return `${kept.join(":")}::/64`;
}

function matching() {
  const wanted = $("search").value.trim().toLowerCase().split(/\s+/).filter(Boolean);
  const state = $("which").value;
  const passes = (binding) => (!state || binding.state === state) && wanted.every((word) => [
    binding.home_address, binding.care_of_address, binding.home_link, binding.network,
  ].some((value) => value.includes(word)));
  return [...bindings.values()].filter(passes);
}

function draw() {
  const found = matching();
  const last = Math.max(0, Math.ceil(found.length / ROWS) - 1);
  page = Math.min(page, last);
  $("count").textContent = found.length === total ? `${total}` : `${found.length} of ${total}`;
  $("page").textContent = `page ${page + 1} of ${last + 1}`;
  $("previous").disabled = page === 0;
  $("next").disabled = page === last;
  const focused = document.activeElement?.dataset?.address;
  $("bindings").replaceChildren(...found.slice(page * ROWS, (page + 1) * ROWS).map(row));
  if (focused) document.querySelector(`tr[data-address="${focused}"]`)?.focus();
  $("switches").textContent = switches.map((one) => (
    `${[one.home_link, one.correspondent_link].filter(Boolean).join(", ") || one.bridge}: switch ${one.datapath_id || one.bridge} ${one.connected ? "connected" : "not connected"}`
  )).join(" · ");
  drawMap();
  $("events").replaceChildren(...events.map(line));
  if (shown) drawNode();
}

function ends(binding) {
  return binding.state === "duplicate_address_detection" ? "" : seconds(binding.until);
}

function row(binding) {
  const made = element("tr", null, { tabindex: 0, "data-address": binding.home_address, role: "button" });
  made.setAttribute("aria-label", `Details of ${binding.home_address}`);
  if (binding.changed && Date.now() - binding.changed < 3000) made.className = "changed";
  const cell = (name, text, kind = "") => made.append(element("td", text, { "data-name": name, class: kind }));
  cell("home", binding.home_address, "address");
  cell("care-of", binding.care_of_address, "address");
  cell("link", binding.home_link);
  cell("state", binding.state.replaceAll("_", " "));
  cell("sequence", binding.sequence, "number");
  cell("packets out", binding.packets_out ?? "", "number");
  cell("packets in", binding.packets_in ?? "", "number");
  cell("ends in", ends(binding), "number until");
  return made;
}

function line(event) {
  const made = element("li", null);
  const about = [event.link, event.home_address, event.care_of_address && `at ${event.care_of_address}`,
    event.correspondent && `with ${event.correspondent}`, event.datapath_id,
    event.status ? `status ${event.status}` : ""].filter(Boolean).join(" ");
  made.append(
    element("time", event.time.slice(11, 19), { datetime: event.time, title: event.time }),
    element("span", event.kind.replaceAll("_", " "), { class: "kind" }), about,
  );
  return made;
}

const SVG = "http://www.w3.org/2000/svg";

function drawMap() {
  const links = new Map(switches.filter((one) => one.home_link).map((one) => [one.home_link, one]));
  const visits = new Map();  // "link network" -> count
  const networks = new Map();
  for (const binding of bindings.values()) {
    if (!links.has(binding.home_link)) links.set(binding.home_link, null);
    const where = binding.network;
    networks.set(where, (networks.get(where) || 0) + 1);
    const key = `${binding.home_link} ${where}`;
    visits.set(key, (visits.get(key) || 0) + 1);
  }
  const sorted = [...networks].sort((a, b) => b[1] - a[1]);
  const most = sorted.slice(0, NETWORKS);
  const others = sorted.slice(NETWORKS);
  $("elsewhere").hidden = !others.length;
  $("elsewhere").textContent = `${others.length} more networks with ${others.reduce((sum, [, count]) => sum + count, 0)} mobile nodes`;
  const edges = switches.filter((one) => one.correspondent_link && !one.home_link);
  const width = Math.max(320, $("map").clientWidth);
  const box = Math.min(300, width * 0.42);
  const left = links.size + edges.length;
  const height = 56 * Math.max(left, most.length, 1);
  $("map").setAttribute("viewBox", `0 0 ${width} ${height}`);
  $("map").setAttribute("height", height);
  const parts = [];
  const place = (index, count) => (height / count) * (index + 0.5);
  const linkNames = [...links.keys()];
  for (const [key, count] of visits) {
    const [link, where] = key.split(" ");
    const to = most.findIndex(([name]) => name === where);
    if (to < 0) continue;
    const y1 = place(linkNames.indexOf(link), left);
    const y2 = place(to, most.length);
    const middle = width / 2;
    parts.push(element("path", null, {
      d: `M ${box} ${y1} C ${middle} ${y1} ${middle} ${y2} ${width - box} ${y2}`,
      "stroke-width": 1 + 2 * Math.log10(count),
    }, SVG));
  }
  const draw = (x, y, title, text, kind) => {
    const group = element("g", null, { class: kind }, SVG);
    group.append(
      element("rect", null, { x, y: y - 22, width: box, height: 44, rx: 6 }, SVG),
      element("text", title, { x: x + 10, y: y - 4 }, SVG),
      element("text", text, { x: x + 10, y: y + 13, class: "dim" }, SVG),
    );
    parts.push(group);
    return group;
  };
  linkNames.forEach((name, index) => {
    const one = links.get(name);
    const kind = one?.connected ? "link" : "link gone";
    draw(0.5, place(index, left), name, one ? `${one.bridge}, ${one.connected ? "connected" : "not connected"}` : "", kind);
  });
  edges.forEach((one, index) => {
    const text = `correspondents, ${one.connected ? "connected" : "not connected"}`;
    draw(0.5, place(linkNames.length + index, left), one.correspondent_link, text, one.connected ? "link" : "link gone");
  });
  most.forEach(([name, count], index) => {
    const group = draw(width - box - 0.5, place(index, most.length), name, count === 1 ? "1 mobile node" : `${count} mobile nodes`, "network");
    group.dataset.network = name;
    group.setAttribute("tabindex", "0");
    group.setAttribute("role", "button");
    group.setAttribute("aria-label", `Bindings in ${name}: ${count}`);
  });
  const focused = document.activeElement?.dataset?.network;
  $("map").replaceChildren(...parts);
  if (focused) document.querySelector(`#map [data-network="${focused}"]`)?.focus();
}

// --- optimised routes ---

async function loadCorrespondents() {
  let answer;
  try {
    answer = await call(`/v1/correspondents?limit=${ROWS}`);
  } catch (error) {
    if (error.status === 404) return;
    throw error;
  }
  $("correspondents-section").hidden = answer.total === 0;
  $("correspondents-count").textContent = answer.total > ROWS ? `${ROWS} of ${answer.total}` : answer.total;
  $("correspondents").replaceChildren(...answer.correspondents.map((one) => {
    const made = element("tr", null);
    const cell = (name, text, kind = "") => made.append(element("td", text, { "data-name": name, class: kind }));
    cell("correspondent", one.correspondent, "address");
    cell("home", one.home_address, "address");
    cell("care-of", one.care_of_address, "address");
    cell("link", one.correspondent_link);
    cell("packets out", one.packets_out, "number");
    cell("packets in", one.packets_in, "number");
    cell("ends in", seconds(Date.now() + one.remaining_lifetime * 1000), "number");
    return made;
  }));
}

// --- one node ---

async function open(address) {
  shown = address;
  drawNode();
  $("node").showModal();
  try {
    refresh(address, true).catch(() => {});
    const history = (await call(`/v1/events?home_address=${address}&limit=1000`)).events;
    $("node-events").replaceChildren(...history.map(line));
  } catch (error) { complain(error.message); }
}

function drawNode() {
  const binding = bindings.get(shown);
  $("node-title").textContent = shown;
  $("clear").disabled = !binding;
  const fields = binding ? {
    "care-of address": binding.care_of_address,
    "home link": binding.home_link,
    state: binding.state.replaceAll("_", " "),
    sequence: binding.sequence,
    lifetime: binding.lifetime === null ? "for ever" : `${binding.lifetime} s, ${seconds(binding.until)} left`,
    "packets out": counted(binding.packets_out, binding.bytes_out, binding.counted_at),
    "packets in": counted(binding.packets_in, binding.bytes_in, binding.counted_at),
    flags: Object.entries(binding.flags).filter(([, set]) => set).map(([name]) => name.replaceAll("_", " ")).join(", "),
    registered: binding.registered_at,
    updated: binding.updated_at,
    switch: binding.datapath_id || "none",
  } : { state: "no binding" };
  $("node-fields").replaceChildren(...Object.entries(fields).flatMap(([name, value]) => [element("dt", name), element("dd", value)]));
}

function counted(packets, octets, when) {
  return packets === null ? "not known" : `${packets}, ${octets} octets, at ${when.slice(11, 19)}`;
}

async function clear() {
  if (!shown || !window.confirm(`Clear the binding of ${shown}?`)) return;
  try {
    await call(`/v1/bindings/${shown}`, { method: "DELETE" });
    complain("");
  } catch (error) {
    complain(error.message);
    $("node").close();
  }
}

function login() {
  return new Promise((resolve) => {
    $("login").addEventListener("close", () => {
      const value = $("token-value").value.trim();
      $("token-value").value = "";
      if (value) sessionStorage.setItem("token", value); else sessionStorage.removeItem("token");
      resolve();
    }, { once: true });
    if (!$("login").open) $("login").showModal();
  });
}

// --- what people do ---

const chosen = (event) => event.target.closest("tr")?.dataset.address;
$("bindings").addEventListener("click", (event) => { const address = chosen(event); if (address) open(address); });
$("bindings").addEventListener("keydown", (event) => {
  const current = event.target.closest("tr");
  if (!current) return;
  if (event.key === "Enter" || event.key === " ") { event.preventDefault(); open(current.dataset.address); }
  if (event.key === "ArrowDown") { event.preventDefault(); current.nextElementSibling?.focus(); }
  if (event.key === "ArrowUp") { event.preventDefault(); current.previousElementSibling?.focus(); }
});
function choose(event) {
  const name = event.target.closest(".network")?.dataset.network;
  if (name) { event.preventDefault(); $("search").value = name; page = 0; drawSoon(); }
}
$("map").addEventListener("click", choose);
$("map").addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") choose(event); });
$("kind").addEventListener("change", () => { loadEvents().then(drawSoon, (error) => complain(error.message)); });
$("event-filter").addEventListener("submit", (event) => event.preventDefault());
$("search").addEventListener("input", () => { page = 0; drawSoon(); });
$("which").addEventListener("change", () => { page = 0; drawSoon(); });
$("filter").addEventListener("submit", (event) => event.preventDefault());
$("previous").addEventListener("click", () => { page -= 1; drawSoon(); });
$("next").addEventListener("click", () => { page += 1; drawSoon(); });
$("clear").addEventListener("click", clear);
$("node").addEventListener("close", () => { shown = null; });
$("token").addEventListener("click", async () => { await login(); location.reload(); });
window.addEventListener("resize", drawSoon);
setInterval(() => {
  for (const cell of document.querySelectorAll("td.until")) {
    const binding = bindings.get(cell.parentElement.dataset.address);
    if (binding) cell.textContent = ends(binding);
  }
}, 1000);
setInterval(() => { if ($("state").dataset.state === "live") loadCorrespondents().catch(() => {}); }, CORRESPONDENTS);

setInterval(() => { if ($("state").dataset.state === "live") loadCounters().catch(() => {}); }, COUNTERS);

follow();
