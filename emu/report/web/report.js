"use strict";
// Tables sort by a click on a head; the timeline zooms with the wheel or + and -, moves by dragging, and says what is under the pointer.

const PREFIX = { P: 1e15, T: 1e12, G: 1e9, M: 1e6, k: 1e3, m: 1e-3, u: 1e-6, n: 1e-9, p: 1e-12, f: 1e-15,
                 Ti: 2 ** 40, Gi: 2 ** 30, Mi: 2 ** 20, Ki: 2 ** 10 };
const UNIT = /^([-+]?\d[\d ]*(?:\.\d+)?(?:e[-+]?\d+)?)\s*(?:(Ti|Gi|Mi|Ki|[PTGMkmunpf])(?=[A-Za-z/]|$))?/;

// The number that a cell such as "12.5 ms" or "64 GiB" stands for; null if it is a text.
function numberOf(text) {
  const found = UNIT.exec(text.trim());
  if (!found) return null;
  return parseFloat(found[1].replace(/ /g, "")) * (found[2] ? PREFIX[found[2]] : 1);
}

function sortBy(table, column, head) {
  const body = table.tBodies[0], down = head.getAttribute("aria-sort") === "ascending";
  const rows = [...body.rows].map((row, j) => ({ row, j, text: row.cells[column].textContent, value: numberOf(row.cells[column].textContent) }));
  const numeric = rows.filter((r) => r.value !== null).length * 2 > rows.length;
  rows.sort((a, b) => {
    if (numeric && (a.value === null || b.value === null)) return (a.value === null) - (b.value === null) || a.j - b.j; // blanks last
    const order = numeric ? a.value - b.value : a.text.localeCompare(b.text);
    return (down ? -order : order) || a.j - b.j;
  });
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  body.append(...rows.map((r) => r.row));
}

for (const table of document.querySelectorAll("table")) {
  if (!table.tHead) continue;
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    head.tabIndex = 0;
    head.addEventListener("click", () => sortBy(table, column, head));
    head.addEventListener("keydown", (event) => { if (event.key === "Enter") sortBy(table, column, head); });
  });
}

class Timeline {
  // data: {tracks: [name], names, ops, lines: [text], slices: [[track, start, length, name, op, layer, line]], counters: [[name, [[t, v]]]],
  //        marks: [[name, start, end]], end}; times in nanoseconds
  constructor(place, data) {
    this.data = data;
    this.canvas = place.querySelector("canvas");
    this.hint = place.querySelector("#hint");
    this.from = 0;
    this.to = data.end;
    this.row = 26;
    this.height = 22 + data.tracks.length * (this.row + 4) + data.counters.length * 46;
    place.querySelector("[data-zoom=in]").onclick = () => this.zoom(0.5);
    place.querySelector("[data-zoom=out]").onclick = () => this.zoom(2);
    place.querySelector("[data-zoom=all]").onclick = () => this.show(0, data.end);
    for (const button of place.querySelectorAll("[data-from]")) button.onclick = () => this.show(+button.dataset.from, +button.dataset.to);
    this.canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(event.deltaY < 0 ? 0.8 : 1.25, event.offsetX / this.canvas.clientWidth);
    }, { passive: false });
    this.canvas.addEventListener("pointerdown", (event) => { this.drag = event.offsetX; this.canvas.setPointerCapture(event.pointerId); });
    this.canvas.addEventListener("pointerup", () => { this.drag = null; });
    this.canvas.addEventListener("pointermove", (event) => this.moved(event));
    window.addEventListener("resize", () => this.draw());
    this.draw();
  }
  zoom(factor, at = 0.5) {
    const width = Math.max(1, (this.to - this.from) * factor), fixed = this.from + at * (this.to - this.from);
    this.show(fixed - at * width, fixed + (1 - at) * width);
  }
  show(from, to) {
    const width = Math.min(to - from, this.data.end);
    this.from = Math.max(0, Math.min(from, this.data.end - width));
    this.to = this.from + width;
    this.draw();
  }
  moved(event) {
    if (this.drag != null) {
      const shift = (this.drag - event.offsetX) / this.canvas.clientWidth * (this.to - this.from);
      this.drag = event.offsetX;
      this.show(this.from + shift, this.to + shift);
      return;
    }
    const t = this.from + event.offsetX / this.canvas.clientWidth * (this.to - this.from);
    this.hint.textContent = this.under(t, Math.floor((event.offsetY - 20) / (this.row + 4)));
  }
  under(t, track) {
    const d = this.data, found = d.slices.filter((s) => s[0] === track && s[1] <= t && t < s[1] + s[2])[0];
    if (!found) return `${(t / 1000).toFixed(3)} us`;
    const layer = found[5] < 0 ? "" : `, layer ${found[5]}`;
    return `${d.ops[found[4]]}${layer}: ${d.names[found[3]]}, ${found[2].toFixed(0)} ns from ${(found[1] / 1000).toFixed(3)} us\n${d.lines[found[6]]}`;
  }
  draw() {
    const d = this.data, ratio = window.devicePixelRatio || 1, width = this.canvas.clientWidth || 1000;
    this.canvas.width = width * ratio;
    this.canvas.height = this.height * ratio;
    this.canvas.style.height = `${this.height}px`;
    const g = this.canvas.getContext("2d"), x = (t) => (t - this.from) / (this.to - this.from) * width;
    g.scale(ratio, ratio);
    g.font = "11px system-ui, sans-serif";
    g.fillStyle = "#555";
    for (let j = 0; j <= 4; j++) {
      g.textAlign = j === 0 ? "left" : j === 4 ? "right" : "center";
      g.fillText(`${((this.from + j / 4 * (this.to - this.from)) / 1000).toFixed(3)} us`, j / 4 * width, 12);
    }
    g.textAlign = "left";
    this.drawn = 0;
    const last = {};
    for (const [track, start, length, name, op] of d.slices) {
      const left = x(start), right = x(start + length);
      if (right < 0 || left > width || (right - left < 0.5 && last[track] === Math.floor(left))) continue; // a pixel is painted once
      last[track] = Math.floor(left);
      this.drawn++;
      g.fillStyle = `hsl(${(op * 67) % 360} 52% ${58 + (name % 3) * 7}%)`;
      g.fillRect(left, 20 + track * (this.row + 4), Math.max(0.6, right - left - 0.4), this.row);
      if (right - left > 60) { g.fillStyle = "#111"; g.fillText(d.ops[op], Math.max(left, 0) + 3, 37 + track * (this.row + 4), right - left - 6); }
    }
    g.fillStyle = "#111";
    d.tracks.forEach((name, j) => { g.fillStyle = "#fffc"; g.fillRect(0, 21 + j * (this.row + 4), 30, 13); g.fillStyle = "#111"; g.fillText(name, 2, 31 + j * (this.row + 4)); });
    d.counters.forEach(([name, points], j) => {
      const base = 20 + d.tracks.length * (this.row + 4) + (j + 1) * 46 - 6, most = Math.max(...points.map((p) => p[1])) || 1;
      g.beginPath();
      g.moveTo(x(points[0][0]), base);
      points.forEach(([t, v], k) => { g.lineTo(x(t), base - 34 * (k ? points[k - 1][1] : v) / most); g.lineTo(x(t), base - 34 * v / most); });
      g.fillStyle = "#1f5fa855"; g.fill(); g.strokeStyle = "#1f5fa8"; g.stroke();
      g.fillStyle = "#111"; g.fillText(`${name}, up to ${most.toPrecision(4)}`, 4, base - 30);
    });
  }
}

const place = document.getElementById("timeline");
if (place) window.timeline = new Timeline(place, JSON.parse(document.getElementById("timeline-data").textContent));
