/* Which tokens are taken for which: lists, and a matrix where tokens are few. */

const MAX_LISTED = 200;
const MAX_SYMBOLS = 80;

/** Count the pairs of aligned tokens, most frequent first. */
function countPairs(some) {
  const pairs = new Map();
  for (const { columns } of some) {
    for (const { op, ref, hyp } of columns) {
      const key = JSON.stringify([ref, hyp]);
      const pair = pairs.get(key) ?? { op, ref, hyp, count: 0 };
      pair.count += 1;
      pairs.set(key, pair);
    }
  }
  const text = (token) => token ?? "";
  return [...pairs.values()].sort((a, b) => b.count - a.count
    || compare(text(a.ref), text(b.ref)) || compare(text(a.hyp), text(b.hyp)));
}

function pairButton(pair, content, attributes = {}) {
  const what = describePair(pair);
  const button = make("button", {
    type: "button", "data-ref": pair.ref ?? "", "data-hyp": pair.hyp ?? "", title: what,
    "aria-label": what, ...attributes,
  }, ...content);
  return button;
}

function describePair({ ref, hyp, count }) {
  const what = ref === hyp ? `${visible(ref)} recognised`
    : hyp === null ? `${visible(ref)} deleted`
      : ref === null ? `${visible(hyp)} inserted`
        : `${visible(ref)} taken for ${visible(hyp)}`;
  return count === undefined ? what : `${what}: ${count}`;
}

function confusionLists(pairs, chosen) {
  return ERRORS.map((op) => {
    const some = pairs.filter((pair) => pair.op === op);
    const total = some.reduce((sum, pair) => sum + pair.count, 0);
    const items = some.slice(0, MAX_LISTED).map((pair) => {
      const content = op === "sub"
        ? [make("span", {}, visible(pair.ref)), make("i", {}, " → "),
          make("span", {}, visible(pair.hyp))]
        : [make("span", {}, visible(pair.ref ?? pair.hyp))];
      const pressed = chosen !== null && isPair(pair, chosen);
      return make("li", {}, pairButton(pair, [
        make("span", { class: `words ${op}` }, ...content),
        make("span", { class: "count" }, String(pair.count)),
      ], { "aria-pressed": pressed }));
    });
    const rest = some.length - items.length;
    return make("section", {},
      make("h2", {}, make("span", { class: `key ${op}` }, LETTERS[op]), ` ${total} ${NAMES[op]}s`),
      items.length ? make("ol", { class: "scroller", tabindex: 0 }, ...items)
        : make("p", {}, "none"),
      rest > 0 ? make("p", {}, `and ${rest} rarer kinds`) : null);
  });
}

function speakerList(some, chosen) {
  const bySpeaker = new Map();
  for (const utterance of some) {
    if (!utterance.speaker) continue;
    if (!bySpeaker.has(utterance.speaker)) bySpeaker.set(utterance.speaker, []);
    bySpeaker.get(utterance.speaker).push(utterance);
  }
  const rows = [...bySpeaker].map(([speaker, theirs]) => ({ speaker, ...totals(theirs) }))
    .sort((a, b) => byRate(a, b) || compare(a.speaker, b.speaker));
  if (!rows.length) return null;
  return make("section", {}, make("h2", {}, `${rows.length} speakers`),
    make("ol", { class: "scroller", tabindex: 0 }, ...rows.map((row) => make("li", {},
      make("button", {
        type: "button", "data-speaker": row.speaker, "aria-pressed": row.speaker === chosen,
        title: `${row.errors} errors in ${row.numRef} tokens`,
      }, make("span", { class: "words" }, row.speaker),
      make("span", { class: "count" }, percent(row.rate)))))));
}

/** Rows are tokens of the reference, columns of the hypothesis; stronger is more of the row. */
function confusionMatrix(pairs, chosen) {
  const errorsOf = new Map();
  for (const { ref, hyp, count } of pairs) {
    for (const token of new Set([ref, hyp])) {
      if (token !== null) {
        errorsOf.set(token, (errorsOf.get(token) ?? 0) + (ref === hyp ? 0 : count));
      }
    }
  }
  const symbols = [...errorsOf.keys()]
    .sort((a, b) => errorsOf.get(b) - errorsOf.get(a) || compare(a, b))
    .slice(0, MAX_SYMBOLS).sort(compare);
  const counts = new Map(pairs.map((pair) => [JSON.stringify([pair.ref, pair.hyp]), pair]));
  const head = make("tr", {}, make("th", { scope: "col" }, "ref \\ hyp"),
    ...[...symbols, null].map((hyp) => make("th", { scope: "col" }, visible(hyp))));
  const rows = [...symbols, null].map((ref) => {
    const row = [...symbols, null].map((hyp) => counts.get(JSON.stringify([ref, hyp])) ?? null);
    const total = row.reduce((sum, pair) => sum + (pair ? pair.count : 0), 0);
    return make("tr", {}, make("th", { scope: "row" }, visible(ref)), ...row.map((pair) => {
      if (pair === null || (pair.ref === null && pair.hyp === null)) return make("td");
      const share = pair.count / total;
      const button = pairButton(pair, [String(pair.count)], {
        tabindex: -1,
        "aria-pressed": chosen !== null && isPair(pair, chosen),
        class: `${pair.ref === pair.hyp ? "hit" : pair.op}${share > 0.5 ? " dark" : ""}`,
      });
      button.style.setProperty("--share", (0.12 + 0.88 * Math.sqrt(share)).toFixed(3));
      return make("td", {}, button);
    }));
  });
  const first = rows.flatMap((row) => [...row.querySelectorAll("button")])[0];
  if (first) first.tabIndex = 0;
  const left = errorsOf.size - symbols.length;
  return [
    make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)),
    make("p", {}, "Rows: reference, columns: hypothesis; ∅ is nothing: deletions at the right, "
      + "insertions at the bottom. Stronger: a larger share of the row. Arrow keys move."
      + (left > 0 ? ` ${left} tokens with fewer errors are left out.` : "")),
  ];
}

/** Move the focus from a cell of the matrix to the nearest one with a count in a direction. */
function moveInMatrix(button, key) {
  const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[key];
  if (!step) return false;
  const rows = [...button.closest("tbody").rows];
  let y = rows.indexOf(button.closest("tr")), x = button.closest("td").cellIndex;
  for (;;) {
    y += step[0];
    x += step[1];
    const cell = rows[y]?.cells[x];
    if (!cell || cell.tagName === "TH") return true;
    const next = cell.querySelector("button");
    if (next) {
      button.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
      return true;
    }
  }
}
