/* The page: totals, filter, cards, and the keyboard. */

const CARDS_AT_ONCE = 50;
const $ = (id) => document.getElementById(id);
const filter = $("filter");

let filterShown = null;
let shown = [];
let limit = CARDS_AT_ONCE;
let selected = null;
let stage = null;

function showTotals() {
  const all = totals(utterances);
  const rate = data.error_rate === null ? "∞" : percent(data.error_rate);
  const { interval, reference } = data;
  const bar = make("div", { class: "bar", "aria-hidden": true });
  const widest = all.numRef + all.sum.ins;
  for (const op of ["hit", "forgiven", ...ERRORS]) {
    if (!all.sum[op]) continue;
    const part = make("span", { class: op }, op === "hit" ? "" : LETTERS[op]);
    part.style.flexGrow = all.sum[op] / widest;
    bar.append(part);
  }
  const counts = ["hit", ...ERRORS, "forgiven"].filter((op) => op !== "forgiven" || all.sum[op])
    .map((op) => make("span", {}, LETTERS[op] ? make("span", { class: `key ${op}` }, LETTERS[op])
      : null, ` ${all.sum[op]} ${NAMES[op]}s`));
  $("totals").append(
    make("p", { class: "names" }, make("b", {}, data.hyp_name), " against ",
      make("b", {}, data.ref_name)),
    make("h1", {}, make("span", {}, `${data.measure} ${rate}`), make("small", {}, interval
      ? ` ${100 * interval.level} % interval ${percent(interval.low)} to ${percent(interval.high)}`
      : " no interval: it takes two utterances and a reference token")),
    bar,
    make("p", { class: "counts" }, ...counts,
      make("span", {}, `${all.errors} errors in ${all.numRef} tokens`)),
    data.beside.length ? make("p", { class: "beside" }, ...data.beside.map(([name, share]) =>
      make("span", {}, `${name}: ${data.measure} ${share === null ? "∞" : percent(share)}`))) : "",
    make("details", {}, make("summary", {}, data.notes[0] ?? "protocol"),
      make("ul", {}, ...data.notes.slice(1).map((note) => make("li", {}, note)),
        make("li", {}, `protocol id: ${data.protocol_id}`),
        reference.set ? make("li", {}, `reference set: ${reference.set}`) : null,
        make("li", {}, `reference: ${reference.utterances} utterances, ${reference.tokens} tokens, `
          + "SHA-256 ", make("code", {}, reference.sha256)),
        data.missing.length ? make("li", {}, `${data.missing.length} utterances have no `
          + `hypothesis and count as deletions: ${data.missing.join(", ")}`) : null,
        data.model ? make("li", {}, `posteriors and times: ${data.model}`) : null)),
    make("p", { class: "sound" }, data.sound));
}

function columnItem(column, number, utterance, isFound) {
  const { op, ref, hyp } = column;
  const word = (side, token) => make("span", {
    class: token === null ? `${side} gap` : side,
  }, token === null ? "" : visible(token));
  const letter = op === "hit" ? make("span", { class: "op" })
    : make("button", {
      type: "button", class: "op", "data-ref": ref ?? "", "data-hyp": hyp ?? "", tabindex: -1,
      title: `all utterances with: ${describePair(column)}`,
      "aria-label": `${NAMES[op]}: ${describePair(column)}`,
    }, LETTERS[op]);
  return make("li", {
    class: `column ${op}${isFound ? " found" : ""}`, "data-column": number,
  }, word("ref", ref), word("hyp", hyp), letter);
}

/** When the sound of a column is, if its words are aligned: [start, end] in seconds. */
function timesOf(column, sound) {
  for (const [side, index] of [["ref", column.refIndex], ["hyp", column.hypIndex]]) {
    const word = index === null ? null : sound?.[side]?.word_of?.[index] ?? null;
    if (word !== null) return sound[side].words[word].slice(1, 3);
  }
  return null;
}

function card(utterance, state) {
  const { id, speaker, columns, counts, errors, numRef, rate, sound } = utterance;
  const sought = state.q.toLowerCase().split(/\s+/).filter((word) => word);
  const isFound = (column) => (state.pair !== null && isPair(column, state.pair))
    || [column.ref, column.hyp].some((token) => token !== null
      && sought.some((word) => token.toLowerCase().includes(word)));
  const kinds = ERRORS.filter((op) => counts[op]).map((op) => `${counts[op]} ${LETTERS[op]}`);
  const hasSound = sound !== null && !sound.problem;
  return make("article", { class: "card", "data-utt": id, tabindex: -1, "aria-label": id },
    make("h3", {}, make("button", { type: "button", class: "select", "aria-expanded": false }, id),
      speaker && speaker !== id ? make("span", { class: "speaker" }, speaker) : null,
      make("span", { class: "rate" }, `${percent(rate)} (${errors} / ${numRef})`),
      make("span", { class: "kinds" }, kinds.join(" ")),
      hasSound ? make("span", { class: "note", title: "with audio" }, "♪") : null),
    make("ol", { class: "columns" },
      make("li", { class: "column heads", "aria-hidden": true }, make("span", {}, "ref"),
        make("span", {}, "hyp"), make("span")),
      ...columns.map((column, number) =>
        columnItem(column, number, utterance, isFound(column)))));
}

function showFilter(state) {
  for (const name of ["q", "speaker", "kind", "sort"]) {
    const field = filter.elements[name];
    if (field.value !== state[name]) field.value = state[name];
  }
  $("pair").hidden = state.pair === null;
  if (state.pair) $("pair").textContent = `${describePair(state.pair)} ✕`;
}

function showList(state) {
  const passing = utterances.filter((utterance) => passes(utterance, state));
  const pairs = countPairs(passing);
  const some = state.pair === null ? passing
    : passing.filter(({ columns }) => columns.some((column) => isPair(column, state.pair)));
  shown = inOrder(some, state.sort);
  limit = CARDS_AT_ONCE;
  const speakers = speakerList(utterances, state.speaker);
  const lists = confusionLists(pairs, state.pair);
  $("confusions").replaceChildren(...lists, ...(speakers ? [speakers] : []));
  if (data.unit !== "word") {
    $("matrix").hidden = false;
    $("matrix").querySelector("div").replaceChildren(...confusionMatrix(pairs, state.pair));
  }
  const { errors, numRef, rate } = totals(shown);
  $("shown").textContent = `${shown.length} of ${utterances.length} utterances`
    + (shown.length ? `, ${data.measure} ${percent(rate)} (${errors} / ${numRef})` : "");
  $("cards").replaceChildren();
  selected = null;
  showCards(state);
}

function showCards(state) {
  const present = $("cards").childElementCount;
  $("cards").append(...shown.slice(present, limit).map((utterance) => card(utterance, state)));
  const rest = shown.length - $("cards").childElementCount;
  $("more").hidden = rest <= 0;
  $("more").textContent = `Show ${Math.min(rest, CARDS_AT_ONCE)} more of ${rest}`;
}

function show() {
  const state = readState();
  const { utt, ...rest } = state;
  const wanted = JSON.stringify(rest);
  const isNew = wanted !== filterShown;
  if (isNew) {
    filterShown = wanted;
    closeStage();
    showFilter(state);
    showList(state);
  }
  const index = Math.max(0, shown.findIndex(({ id }) => id === utt));
  if (index >= limit) {
    limit = index + 1;
    showCards(state);
  }
  select(index, utt !== "");
}

function closeStage() {
  if (stage) stage.close();
  stage = null;
}

/** Open the card of an utterance; `inView` scrolls to it. */
function select(index, inView) {
  const next = $("cards").children[index];
  if (!next || next === selected) return;
  if (selected) {
    selected.classList.remove("selected");
    selected.querySelector(".select").setAttribute("aria-expanded", false);
    selected.querySelector(".stage, .silent")?.remove();
  }
  closeStage();
  selected = next;
  next.classList.add("selected");
  next.querySelector(".select").setAttribute("aria-expanded", true);
  const { sound, columns } = shown[index];
  if (sound === null) {
    const why = Object.keys(data.sounds).length ? "the audio of this utterance is not in the page: "
      : "";
    next.append(make("p", { class: "silent" }, why + data.sound));
  } else if (sound.problem) {
    next.append(make("p", { class: "silent problem" }, `no audio: ${sound.problem}`));
  } else {
    stage = new Stage(sound, columns);
    next.append(stage.element);
    stage.draw();
    next.classList.toggle("timed", Boolean(sound.ref?.word_of || sound.hyp?.word_of));
  }
  if (inView) next.scrollIntoView({ block: "nearest" });
}

function step(by) {
  const index = [...$("cards").children].indexOf(selected) + by;
  if (index < 0 || index >= shown.length) return;
  goTo({ utt: shown[index].id });
  show();
  selected.focus({ preventScroll: true });
}

function clickCard(event) {
  const article = event.target.closest(".card");
  if (!article || event.target.closest(".stage, .op[data-ref]")) return;
  const index = [...$("cards").children].indexOf(article);
  const utterance = shown[index];
  const column = event.target.closest("[data-column]");
  if (article !== selected) goTo({ utt: utterance.id });
  else if (column && stage) {
    const times = timesOf(utterance.columns[column.dataset.column], utterance.sound);
    if (times) stage.playAround(...times);
  }
}

function clickAnywhere(event) {
  const button = event.target.closest("button[data-ref], button[data-speaker]");
  if (!button) return;
  const { ref, hyp, speaker } = button.dataset;
  const isOn = button.getAttribute("aria-pressed") === "true";
  if (speaker !== undefined) goTo({ speaker: isOn ? "" : speaker });
  else goTo({ pair: isOn ? null : { ref: ref || null, hyp: hyp || null } });
}

function press(event) {
  const { key, target } = event;
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (key === "Escape" && target.matches("input, select")) target.blur();
  if (target.matches("input, select")) return;
  if (target.closest("#matrix td") && moveInMatrix(target, key)) event.preventDefault();
  else if (key === "j") step(1);
  else if (key === "k") step(-1);
  else if (key === " " && stage && !target.matches("button, summary")) {
    event.preventDefault();
    stage.toggle();
  } else if ((key === "+" || key === "=") && stage) stage.zoomBy(2);
  else if (key === "-" && stage) stage.zoomBy(0.5);
  else if (key === "/") {
    event.preventDefault();
    filter.elements.q.focus();
  }
}

function start() {
  showTotals();
  const speakers = [...new Set(utterances.map(({ speaker }) => speaker).filter(Boolean))];
  filter.elements.speaker.append(make("option", { value: "" }, "all"),
    ...speakers.sort(compare).map((speaker) => make("option", { value: speaker }, speaker)));
  filter.elements.speaker.parentElement.hidden = !speakers.length;
  filter.addEventListener("input", () => goTo(Object.fromEntries(new FormData(filter))));
  filter.addEventListener("submit", (event) => event.preventDefault());
  filter.addEventListener("reset", () => location.replace("#"));
  $("pair").addEventListener("click", () => goTo({ pair: null }));
  $("more").addEventListener("click", () => {
    limit += CARDS_AT_ONCE;
    showCards(readState());
  });
  $("cards").addEventListener("click", clickCard);
  document.addEventListener("click", clickAnywhere);
  document.addEventListener("keydown", press);
  window.addEventListener("hashchange", show);
  window.addEventListener("resize", () => stage?.draw());
  show();
}

start();
