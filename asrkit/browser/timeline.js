/* Spectrogram, posteriors and aligned texts of an utterance over one axis of time, and its player. */

const MAX_PIXELS_A_SECOND = 2000;
const MIN_PIXELS_A_SECOND = 140;
const PIXELS_A_LETTER = 9;
const HEIGHTS = { ruler: 18, spectrogram: 128, posteriors: 124, words: 24, tokens: 16, gap: 6 };
/** A model emits a token when it is sure of it, not from its beginning to its end. */
const PLAYED_AROUND_S = 0.1;
const LABEL_FROM = 0.15;
const DRAWN_FROM = 0.03;

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

/** Unpack FLAC into a WAV file of 16 bits: in a FLAC without a seek table, which libsndfile writes,
    some browsers fail to jump to a word. */
async function toWav(flac, rate) {
  const decoded = await new OfflineAudioContext(1, 1, rate).decodeAudioData(flac.buffer);
  const samples = Int16Array.from(decoded.getChannelData(0), (sample) =>
    Math.max(-32768, Math.min(32767, Math.round(32768 * sample))));
  const header = new DataView(new ArrayBuffer(44));
  const size = samples.byteLength;
  const text = (at, word) => [...word].forEach((letter, i) =>
    header.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  header.setUint32(4, 36 + size, true);
  text(8, "WAVEfmt ");
  header.setUint32(16, 16, true);
  header.setUint16(20, 1, true); // PCM
  header.setUint16(22, 1, true); // channel
  header.setUint32(24, rate, true);
  header.setUint32(28, 2 * rate, true);
  header.setUint16(32, 2, true);
  header.setUint16(34, 16, true);
  text(36, "data");
  header.setUint32(40, size, true);
  return new Blob([header, samples], { type: "audio/wav" });
}

/** What happened to each word of a side: the first error among its tokens, or else a hit. */
function opsOfWords(side, index, columns) {
  const ops = side.words.map(() => "");
  for (const column of columns) {
    const word = column[index] === null ? null : side.word_of[column[index]] ?? null;
    if (word !== null && (ops[word] === "" || ops[word] === "hit")) ops[word] = column.op;
  }
  return ops;
}

/** Draw everything that is known of a sound, so wide; `moveTo` puts the cursor at a time. */
function drawTimeline(sound, columns, width) {
  const x = (seconds) => (seconds / sound.duration_s) * width;
  const parts = [];
  const labels = [];
  let y = HEIGHTS.ruler;
  parts.push(...ruler(sound.duration_s, width, x));
  labels.push(["", HEIGHTS.ruler]);

  parts.push(makeSvg("image", {
    class: "spectrogram", href: `data:image/png;base64,${sound.spectrogram}`, x: 0, y, width,
    height: HEIGHTS.spectrogram, preserveAspectRatio: "none",
  }));
  labels.push([`0 to ${sound.sample_rate_hz / 2000} kHz`, HEIGHTS.spectrogram]);
  y += HEIGHTS.spectrogram + HEIGHTS.gap;
  labels.push(["", HEIGHTS.gap]);

  const sides = ["ref", "hyp"].filter((name) => sound[name]?.words?.length);
  const ops = Object.fromEntries(sides.map((name) =>
    [name, opsOfWords(sound[name], `${name}Index`, columns)]));
  const bottom = y + (sound.posteriors ? HEIGHTS.posteriors : 0);
  for (const name of sides) {
    sound[name].words.forEach(([, start, end], number) => {
      const op = ops[name][number];
      if (name === "ref") {
        parts.push(makeSvg("line", {
          class: "guide", x1: x(start), x2: x(start), y1: HEIGHTS.ruler, y2: bottom,
        }));
      }
      // A substitution is marked once, by its reference.
      if (op === "ins" || (name === "ref" && ERRORS.includes(op))) {
        parts.push(makeSvg("rect", {
          class: `band ${op}`, x: x(start), y: y - HEIGHTS.gap + 1,
          width: Math.max(2, x(end) - x(start)), height: bottom - y + HEIGHTS.gap - 1,
        }));
      }
    });
  }
  if (sound.posteriors) {
    parts.push(makeSvg("g", { transform: `translate(0 ${y})` },
      ...posteriorCurves(sound.posteriors, x)));
    labels.push(["posteriors", HEIGHTS.posteriors]);
    y = bottom + HEIGHTS.gap;
    labels.push(["", HEIGHTS.gap]);
  }
  for (const name of sides) {
    const height = drawTrack(parts, sound[name], ops[name], x, y);
    labels.push([name, height]);
    y += height + HEIGHTS.gap;
    labels.push(["", HEIGHTS.gap]);
  }
  const cursor = makeSvg("line", { class: "cursor", x1: 0, x2: 0, y1: 0, y2: y });
  const svg = makeSvg("svg", {
    class: "timeline", width, height: y, viewBox: `0 0 ${width} ${y}`, role: "img",
    "aria-label": `spectrogram${sound.posteriors ? ", posteriors and alignment" : ""}, `
      + `${sound.duration_s.toFixed(1)} seconds`,
  }, ...parts, cursor);
  const moveTo = (seconds) => {
    cursor.setAttribute("x1", x(seconds));
    cursor.setAttribute("x2", x(seconds));
    return x(seconds);
  };
  return { svg, labels, moveTo };
}

/** Ticks at round times, as many as there is room for. */
function ruler(duration, width, x) {
  const steps = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600];
  const step = steps.find((each) => x(each) >= 60) ?? 1200;
  const digits = step < 0.1 ? 2 : step < 1 ? 1 : 0;
  const parts = [];
  for (let number = 0; number * step <= duration; number += 1) {
    const at = x(number * step);
    parts.push(makeSvg("line", { class: "tick", x1: at, x2: at, y1: 12, y2: HEIGHTS.ruler }));
    if (at < width - 24) {
      parts.push(makeSvg("text", { class: "time", x: at + 3, y: 13 },
        `${(number * step).toFixed(digits)} s`));
    }
  }
  return parts;
}

/** A curve a token, labelled where it peaks; the blank faintly behind them. */
function posteriorCurves({ frame_s: frame, likeliest, blank, ids, probs }, x) {
  const blanks = bytesOf(blank), values = bytesOf(probs), low = bytesOf(ids);
  const height = HEIGHTS.posteriors - 14;
  const at = (t) => x((t + 0.5) * frame).toFixed(1);
  const level = (share) => (14 + height * (1 - share)).toFixed(1);
  const shares = new Map();
  for (let i = 0; i < values.length; i += 1) {
    const id = low[2 * i] + 256 * low[2 * i + 1];
    if (!shares.has(id)) shares.set(id, new Float32Array(blanks.length));
    shares.get(id)[Math.floor(i / likeliest)] = values[i] / 255;
  }
  const points = Array.from(blanks, (value, t) => `${at(t)} ${level(value / 255)}`);
  const parts = [
    makeSvg("line", { class: "tick", x1: 0, x2: x(blanks.length * frame), y1: level(0), y2: level(0) }),
  ];
  if (points.length) parts.push(makeSvg("path", { class: "blank", d: `M${points.join("L")}` }));
  const labels = [];
  for (const [id, curve] of [...shares].sort(([a], [b]) => a - b)) {
    const symbol = visible(data.symbols[id]);
    for (let t = 0; t < curve.length; t += 1) {
      if (curve[t] < DRAWN_FROM) continue;
      const first = t;
      let peak = t;
      for (; curve[t] >= DRAWN_FROM; t += 1) if (curve[t] > curve[peak]) peak = t;
      const tops = Array.from(curve.subarray(first, t), (share, i) =>
        `${at(first + i)} ${level(share)}`);
      parts.push(makeSvg("path", {
        class: `curve colour${id % 6}`,
        d: `M${at(first - 1)} ${level(0)}L${tops.join("L")}L${at(t)} ${level(0)}`,
      }, makeSvg("title", {}, `${symbol} ${curve[peak].toFixed(2)}`)));
      if (curve[peak] >= LABEL_FROM) {
        labels.push(makeSvg("text", {
          class: `peak colour${id % 6}`, x: at(peak), y: level(curve[peak]) - 3,
        }, symbol));
      }
    }
  }
  return [...parts, ...labels];
}

/** One side where it is said; gives the height of it. */
function drawTrack(parts, side, ops, x, y) {
  const wordsAreTokens = side.tokens.length === side.words.length
    && side.tokens.every(([token], number) => token === side.words[number][0]);
  side.words.forEach((word, number) => {
    const op = ops[number] || "unscored";
    const [text, start, end, probability] = word;
    const draw = wordsAreTokens ? drawPhone : drawWord;
    const title = makeSvg("title", {}, `${text}: ${start} to ${end} s, probability ${probability}`
      + (ERRORS.includes(op) ? `, ${NAMES[op]}` : ""));
    parts.push(draw(word, op, title, x, y));
  });
  if (wordsAreTokens) return HEIGHTS.words;
  for (const [token, start, end, probability] of side.tokens) {
    parts.push(makeSvg("g", { class: "token" },
      makeSvg("title", {}, `${visible(token)}: ${start} to ${end} s, probability ${probability}`),
      makeSvg("rect", {
        x: x(start), y: y + HEIGHTS.words + 1, width: Math.max(1.5, x(end) - x(start)), height: 3,
      }),
      makeSvg("text", { x: x((start + end) / 2), y: y + HEIGHTS.words + 14 }, visible(token))));
  }
  return HEIGHTS.words + HEIGHTS.tokens;
}

/** A box as long as the word, its tokens below it. */
function drawWord([text, start, end], op, title, x, y) {
  const width = Math.max(3, x(end) - x(start));
  return makeSvg("svg", {
    class: `word ${op}`, x: x(start), y, width, height: HEIGHTS.words,
    "data-start": start, "data-end": end,
  }, title,
  makeSvg("rect", { x: 0.5, y: 0.5, width: width - 1, height: HEIGHTS.words - 1, rx: 3 }),
  makeSvg("text", { x: 3, y: 16 }, text));
}

/** A phone is emitted in a frame or two: a tick, and the phone below it. */
function drawPhone([text, start, end], op, title, x, y) {
  const width = Math.max(3, x(end) - x(start));
  return makeSvg("g", { class: `phone ${op}`, "data-start": start, "data-end": end }, title,
    makeSvg("rect", { x: x((start + end) / 2) - width / 2, y, width, height: 8 }),
    makeSvg("text", { x: x((start + end) / 2), y: y + 20 }, text));
}

/** Pixels a second that give the tokens of both sides room for their letters, on average. */
function roomyScale(sound) {
  const needed = [sound.ref, sound.hyp].map((side) => (side?.tokens ?? [])
    .reduce((sum, [token]) => sum + PIXELS_A_LETTER * (visible(token).length + 0.5), 0));
  return Math.max(MIN_PIXELS_A_SECOND, Math.max(...needed) / sound.duration_s);
}

/** The player, drawing and zoom of one utterance. */
class Stage {
  constructor(sound, columns) {
    this.sound = sound;
    this.columns = columns;
    this.scale = roomyScale(sound);
    this.stopAt = Infinity;
    this.audio = make("audio", { preload: "auto" });
    this.url = toWav(bytesOf(sound.flac), sound.sample_rate_hz).then((wav) => {
      this.audio.src = URL.createObjectURL(wav);
      return this.audio.src;
    });
    this.url.catch((error) => {
      this.clock.textContent = `the audio cannot be played: ${error.message}`;
    });
    this.clock = make("output", { class: "clock", "aria-label": "time" });
    this.button = make("button", { type: "button", class: "play" }, "▶ Play");
    const zoom = (label, name, factor) => {
      const button = make("button", { type: "button", "aria-label": name, title: name }, label);
      button.addEventListener("click", () => this.zoomBy(factor));
      return button;
    };
    this.labels = make("div", { class: "labels", "aria-hidden": true });
    this.scroller = make("div", { class: "scroller", tabindex: 0, "aria-label": "timeline" });
    this.element = make("div", { class: "stage" },
      make("div", { class: "controls" }, this.button, zoom("−", "zoom out", 0.5),
        zoom("+", "zoom in", 2), this.clock, make("span", { class: "remark" }, this.remark())),
      make("div", { class: "drawing" }, this.labels, this.scroller), this.audio);
    this.button.addEventListener("click", () => this.toggle());
    this.scroller.addEventListener("click", (event) => this.click(event));
    this.audio.addEventListener("play", () => this.follow());
    for (const kind of ["pause", "ended", "seeked"]) {
      this.audio.addEventListener(kind, () => this.show());
    }
  }

  /** How likely the model finds the two texts, and what it could not do. */
  remark() {
    const said = [];
    for (const [name, side] of [["reference", this.sound.ref], ["hypothesis", this.sound.hyp]]) {
      if (side?.problem) said.push(`${name} not aligned: ${side.problem}`);
      else if (side?.words.length) said.push(`${name} ${side.log_prob.toFixed(1)} nats`);
    }
    return said.length ? `best paths: ${said.join(", ")}` : "";
  }

  /** Draw for the room that there is; to be called when the element is on the page. */
  draw() {
    const least = Math.max(200, this.scroller.clientWidth - 2) / this.sound.duration_s;
    this.scale = Math.max(least, Math.min(MAX_PIXELS_A_SECOND, this.scale));
    const width = this.scale * this.sound.duration_s;
    const { svg, labels, moveTo } = drawTimeline(this.sound, this.columns, width);
    this.moveTo = moveTo;
    this.scroller.replaceChildren(svg);
    this.labels.replaceChildren(...labels.map(([text, height]) => {
      const label = make("div", {}, text);
      label.style.height = `${height}px`;
      return label;
    }));
    this.show();
  }

  zoomBy(factor) {
    const half = this.scroller.clientWidth / 2;
    const middle = (this.scroller.scrollLeft + half) / this.scale;
    this.scale *= factor;
    this.draw();
    this.scroller.scrollLeft = middle * this.scale - half;
  }

  toggle() {
    if (this.audio.paused) this.play(this.audio.ended ? 0 : this.audio.currentTime, Infinity);
    else this.audio.pause();
  }

  play(start, end) {
    this.stopAt = end;
    this.audio.currentTime = start;
    // Leaving the page, or the utterance, ends it: that is no failure.
    this.audio.play().catch(() => {});
  }

  playAround(start, end) {
    this.play(Math.max(0, start - PLAYED_AROUND_S), end + PLAYED_AROUND_S);
  }

  click(event) {
    const word = event.target.closest("[data-start]");
    if (word) {
      this.playAround(Number(word.dataset.start), Number(word.dataset.end));
      return;
    }
    const box = this.scroller.firstElementChild.getBoundingClientRect();
    this.stopAt = Infinity;
    this.audio.currentTime = ((event.clientX - box.left) / box.width) * this.sound.duration_s;
    this.show();
  }

  follow() {
    this.show();
    if (this.audio.paused) return;
    if (this.audio.currentTime >= this.stopAt) this.audio.pause();
    else requestAnimationFrame(() => this.follow());
  }

  show() {
    const time = this.audio.currentTime;
    this.button.textContent = this.audio.paused ? "▶ Play" : "❚❚ Pause";
    this.clock.textContent = `${time.toFixed(2)} of ${this.sound.duration_s.toFixed(2)} s`;
    const at = this.moveTo(time);
    const { scrollLeft, clientWidth } = this.scroller;
    if (!this.audio.paused && (at < scrollLeft || at > scrollLeft + clientWidth)) {
      this.scroller.scrollLeft = at - clientWidth / 4;
    }
  }

  close() {
    this.audio.pause();
    this.url.then(URL.revokeObjectURL, () => {});
  }
}
