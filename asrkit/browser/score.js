"use strict";
/* The data of the page, and which utterances a filter keeps. Texts of the data become text nodes
   and attributes only, never markup. */

const data = JSON.parse(document.getElementById("data").textContent);
const JOINT = data.unit === "char" ? "" : " ";
const LETTERS = { hit: "", sub: "S", del: "D", ins: "I", forgiven: "(D)" };
const NAMES = {
  hit: "hit", sub: "substitution", del: "deletion", ins: "insertion",
  forgiven: "forgiven deletion",
};
const ERRORS = ["sub", "del", "ins"];

/** Order strings by code point, the same everywhere. */
const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);

const utterances = data.utterances.map(({ id, speaker, edits }) => {
  const counts = { hit: 0, sub: 0, del: 0, ins: 0, forgiven: 0 };
  let refIndex = 0, hypIndex = 0;
  const columns = edits.map((edit) => {
    const [op, ref, hyp] = typeof edit === "string" ? ["hit", edit, edit] : edit;
    counts[op] += 1;
    return {
      op, ref, hyp,
      refIndex: ref === null ? null : refIndex++,
      hypIndex: hyp === null ? null : hypIndex++,
    };
  });
  const [ref, hyp] = ["ref", "hyp"].map((side) =>
    columns.map((column) => column[side]).filter((token) => token !== null).join(JOINT));
  const sound = Object.hasOwn(data.sounds, id) ? data.sounds[id] : null;
  return {
    id, speaker, columns, counts, sound,
    text: [id, ref, hyp].join("\n").toLowerCase(),
    ...totals([{ counts }]),
  };
});

/** Add up counts: errors, reference tokens, and their rate (infinite without tokens). */
function totals(some) {
  const sum = { hit: 0, sub: 0, del: 0, ins: 0, forgiven: 0 };
  for (const { counts } of some) for (const op in sum) sum[op] += counts[op];
  const errors = sum.sub + sum.del + sum.ins;
  const numRef = sum.hit + sum.sub + sum.del + sum.forgiven;
  const rate = numRef ? errors / numRef : errors ? Infinity : 0;
  return { sum, errors, numRef, rate };
}

function percent(share) {
  return Number.isFinite(share) ? `${(100 * share).toFixed(2)} %` : "∞";
}

/** A token to be looked at: a space and nothing are shown by signs. */
function visible(token) {
  return token === null ? "∅" : token === " " ? "␣" : token;
}

/* The state of the page is its fragment: a link to it shows the same. */

function readState() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const get = (key) => fragment.get(key) ?? "";
  const hasPair = fragment.has("ref") && fragment.has("hyp");
  return {
    q: get("q"), speaker: get("speaker"), kind: get("kind"), sort: get("sort"), utt: get("utt"),
    pair: hasPair ? { ref: get("ref") || null, hyp: get("hyp") || null } : null,
  };
}

/** Change some of the state; `hashchange` then shows it. */
function goTo(changes) {
  const { pair, ...texts } = { ...readState(), ...changes };
  const fragment = new URLSearchParams();
  for (const key in texts) if (texts[key]) fragment.set(key, texts[key]);
  if (pair) {
    fragment.set("ref", pair.ref ?? "");
    fragment.set("hyp", pair.hyp ?? "");
  }
  location.replace(`#${fragment}`);
}

function isPair(column, pair) {
  return column.ref === pair.ref && column.hyp === pair.hyp;
}

/** Whether an utterance passes all of a filter but its pair. */
function passes(utterance, { q, speaker, kind }) {
  return utterance.text.includes(q.toLowerCase())
    && (!speaker || utterance.speaker === speaker)
    && (!kind
      || (kind === "errors" && utterance.errors > 0)
      || (kind === "none" && utterance.errors === 0)
      || (kind === "sound" && utterance.sound !== null && !utterance.sound.problem)
      || (ERRORS.includes(kind) && utterance.counts[kind] > 0));
}

const ORDERS = {
  "": (a, b) => b.errors - a.errors || byRate(a, b),
  rate: (a, b) => byRate(a, b) || b.errors - a.errors,
  length: (a, b) => b.numRef - a.numRef,
  id: () => 0,
};

function byRate(a, b) {
  return a.rate === b.rate ? 0 : b.rate > a.rate ? 1 : -1;
}

function inOrder(some, sort) {
  const order = Object.hasOwn(ORDERS, sort) ? ORDERS[sort] : ORDERS[""];
  return [...some].sort((a, b) => order(a, b) || compare(a.id, b.id));
}

/** Make an element; null among the children is left out. */
function make(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

function makeSvg(name, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function fill(element, attributes, children) {
  for (const key in attributes) element.setAttribute(key, attributes[key]);
  element.append(...children.filter((child) => child !== null));
  return element;
}
