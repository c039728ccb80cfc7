// The table of trials: filter, order, pages, and what is left of it as CSV.

const PAGE = 50;
const several = content.studies.length > 1;
const COLUMNS = [
  { name: "trial", title: "trial", value: (i) => T.id[i], text: (i) => trialName(i), left: true },
  ...(several ? [{ name: "study", title: "study", value: studyName, text: studyName, left: true, word: true }] : []),
  {
    name: "state",
    title: "state",
    value: (i) => T.state[i],
    text: (i) => (T.source[i] === null ? T.state[i] : `${T.state[i]} as trial:${T.source[i]}`),
    left: true,
    word: true,
  },
  {
    name: "accuracy",
    title: "accuracy, %",
    value: (i) => percents(T.accuracy[i]),
    text: (i) => (T.accuracy[i] === null ? MISSING : fixed(100 * T.accuracy[i], 2)),
  },
  { name: "latency", title: "latency, ms", value: (i) => T.latency[i], text: (i) => fixed(T.latency[i], 2) },
  { name: "madds", title: "MAdds, M", value: (i) => T.macs[i] / 1e6, text: (i) => fixed(T.macs[i] / 1e6, 1) },
  { name: "params", title: "params, M", value: (i) => T.params[i] / 1e6, text: (i) => fixed(T.params[i] / 1e6, 2) },
  { name: "memory", title: "memory, MB", value: (i) => T.memory[i] / 1e6, text: (i) => fixed(T.memory[i] / 1e6, 2) },
  {
    name: "epochs",
    title: "epochs",
    value: (i) => T.epochs[i],
    text: (i) => (T.epochs[i] === null ? "" : T.epochs[i]),
  },
  {
    name: "parent",
    title: "parent",
    value: (i) => T.parent[i],
    text: (i) => (T.parent[i] === null ? "" : `no. ${T.parent[i]}`),
  },
  {
    name: "architecture",
    title: "architecture",
    value: (i) => T.architecture[i],
    text: (i) => T.architecture[i],
    left: true,
    word: true,
  },
].filter((column) => !["epochs", "parent"].includes(column.name) || T[column.name].some((value) => value !== null));
const CSV = [
  "id",
  "study",
  "number",
  "state",
  "accuracy",
  "low",
  "high",
  "test",
  "latency",
  "macs",
  "params",
  "memory",
  "parent",
  "epochs",
  "architecture",
];
const CSV_HEADS = {
  id: "trial",
  low: "accuracy_low",
  high: "accuracy_high",
  test: "test_accuracy",
  latency: "latency_ms",
  memory: "peak_activation_bytes",
};
const COMPARE = {
  "<": (a, b) => a < b,
  ">": (a, b) => a > b,
  "<=": (a, b) => a <= b,
  ">=": (a, b) => a >= b,
  "=": (a, b) => a === b,
};
const table = { order: "accuracy", down: true, page: 0, rows: [] };

function percents(share) {
  return share === null ? null : 100 * share;
}

/** The conditions of a filter; throws an Error that names a part that is none. */
function parseFilter(text) {
  return text
    .trim()
    .split(/\s+/)
    .filter(Boolean)
    .map((part) => {
      const match = /^([a-z]+)(<=|>=|<|>|=)(.*)$/i.exec(part);
      if (!match)
        return (i) =>
          [trialName(i), studyName(i), T.state[i], T.architecture[i]].some((value) =>
            value.toLowerCase().includes(part.toLowerCase()),
          );
      const column = COLUMNS.find((other) => other.name === match[1].toLowerCase());
      if (!column || column.word)
        throw new Error(
          `${match[1]} has no numbers to compare; expected one of ${COLUMNS.filter((other) => !other.word)
            .map((other) => other.name)
            .join(", ")}`,
        );
      const bound = Number(match[3]);
      if (match[3] === "" || Number.isNaN(bound)) throw new Error(`${part}: expected a number behind ${match[2]}`);
      return (i) => column.value(i) !== null && COMPARE[match[2]](column.value(i), bound);
    });
}

function filtered() {
  const conditions = parseFilter(byId("filter").value),
    { all, front } = members(state.kind);
  if (byId("only-budget").checked) conditions.push(within);
  if (byId("only-front").checked) conditions.push((i) => front.has(i));
  const { value } = COLUMNS.find((column) => column.name === table.order),
    sign = table.down ? -1 : 1;
  return all
    .filter((i) => conditions.every((holds) => holds(i)))
    .sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === null || y === null) return (x === null) - (y === null); // what is not known comes last
      return sign * (x < y ? -1 : x > y ? 1 : 0) || a - b;
    });
}

function refilter() {
  try {
    table.rows = filtered();
    show(byId("filter-error"));
    byId("filter").removeAttribute("aria-invalid");
  } catch (error) {
    show(byId("filter-error"), error.message);
    byId("filter").setAttribute("aria-invalid", "true");
    return;
  }
  table.page = 0;
  drawTable();
}

function heading(column) {
  const sorted = table.order === column.name;
  const sort = () => {
    Object.assign(table, { order: column.name, down: sorted ? !table.down : !column.left });
    refilter();
    byId("table").querySelector(`th[data-column="${column.name}"] button`).focus();
  };
  return el(
    "th",
    {
      "data-column": column.name,
      class: column.left ? "text" : "",
      scope: "col",
      "aria-sort": sorted ? (table.down ? "descending" : "ascending") : "none",
    },
    el("button", { type: "button", onclick: sort }, `${column.title}${sorted ? (table.down ? " ↓" : " ↑") : ""}`),
  );
}

function line(i) {
  const best = i === kind().best,
    mark = best || members(state.kind).front.has(i);
  const pick = () => change({ selected: i });
  return el(
    "tr",
    {
      "data-trial": T.id[i],
      "aria-selected": String(i === state.selected),
      onclick: pick,
      onkeydown: (event) => rowKey(event, pick),
    },
    COLUMNS.map((column, index) =>
      el(
        "td",
        { class: column.left ? "text" : "" },
        column.text(i),
        index === 0 && mark
          ? el(
              "span",
              { class: best ? "mark best" : "mark", title: best ? "best within the budget" : "on the front" },
              best ? " ★" : " ●",
            )
          : null,
      ),
    ),
  );
}

function rowKey(event, pick) {
  if (event.key !== "Enter" && event.key !== " ") return;
  pick();
  event.preventDefault();
}

function drawTable() {
  const last = Math.max(0, Math.ceil(table.rows.length / PAGE) - 1),
    from = table.page * PAGE;
  const shown = table.rows.slice(from, from + PAGE),
    { all } = members(state.kind);
  show(byId("table").tHead, el("tr", {}, COLUMNS.map(heading)));
  show(byId("table").tBodies[0], shown.map(line));
  walkable([...byId("table").tBodies[0].rows]);
  show(
    byId("table-count"),
    shown.length
      ? `${count(from + 1)} to ${count(from + shown.length)} of ${plural(table.rows.length, "trial")}`
      : "no trial matches",
    table.rows.length < all.length ? `, of ${count(all.length)} in all` : "",
  );
  byId("prev").disabled = table.page === 0;
  byId("next").disabled = table.page >= last;
}

function turn(pages) {
  table.page += pages;
  drawTable();
}

const quoted = (value) =>
  value === null || value === undefined
    ? ""
    : /[",\n\r]/.test(String(value))
      ? `"${String(value).replaceAll('"', '""')}"`
      : String(value);

/** The rows that the filter leaves, in their order, as CSV; columns are those of `nas trials list --csv`, and more. */
function csvText() {
  const cell = (name, i) => (name === "study" ? studyName(i) : T[name][i]);
  return (
    [CSV.map((name) => CSV_HEADS[name] || name), ...table.rows.map((i) => CSV.map((name) => cell(name, i)))]
      .map((cells) => cells.map(quoted).join(","))
      .join("\n") + "\n"
  );
}

byId("csv").addEventListener("click", () => {
  const url = URL.createObjectURL(new Blob([csvText()], { type: "text/csv" }));
  el("a", { href: url, download: "trials.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
});
byId("filter").addEventListener("input", refilter);
for (const id of ["only-budget", "only-front"]) byId(id).addEventListener("change", refilter);
byId("prev").addEventListener("click", () => turn(-1));
byId("next").addEventListener("click", () => turn(1));
onChange(({ kind: changed, selected }) => {
  if (changed !== undefined) refilter();
  else if (selected !== undefined) {
    for (const row of byId("table").tBodies[0].rows)
      row.setAttribute("aria-selected", String(Number(row.dataset.trial) === T.id[selected]));
  }
});
