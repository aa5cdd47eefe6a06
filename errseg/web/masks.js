// The masks of a mask-based system: those that hold the pixel at the pointer, their names, and what each looks like.
// The server sends all masks side by side in one grey picture, the sheet, in which 255 is the probability 1.
// viewer.js calls openMasks, masksAt, keepMasks and dropMasks. This file runs first, and uses its names only in functions.

const MOST_MASKS = 5; // masks in the list
let masks = null; // of the result in view: the server's data, and the pixels of the sheet; null: the system has none
let kept = null; // [x, y] on the canvas of the pixel whose masks stay in the list; null: the list follows the pointer
let looked = null; // [x, y] of the pixel whose masks are in the list
let veil = null; // a canvas over the picture, which shows a mask and marks the pixel that is kept

function openMasks(value, sheet) {
  masks = value ? { ...value, data: sheet.data, stride: sheet.width } : null;
  kept = looked = null;
  find(".ev-masks").hidden = !masks;
  if (!masks) return veil?.remove(), (veil = null);
  if (!veil) {
    veil = canvas.insertAdjacentElement("afterend", make("canvas", "ev-veil"));
    const rows = find(".ev-mask-list");
    for (const kind of ["pointerover", "focusin", "click"]) rows.addEventListener(kind, lookAtMask);
    for (const kind of ["pointerleave", "focusout"]) rows.addEventListener(kind, () => veil && drawVeil(null));
  }
  veil.width = canvas.width;
  veil.height = canvas.height;
  veil.style.setProperty("--ratio", canvas.width / canvas.height);
  listMasks();
  drawVeil(null);
}

// Probability of a mask at a point of the canvas
function probability(place, [x, y]) {
  const column = (place % masks.columns) * masks.width + Math.floor(((x + 0.5) * masks.width) / canvas.width);
  const row = Math.floor(place / masks.columns) * masks.height + Math.floor(((y + 0.5) * masks.height) / canvas.height);
  return masks.data[4 * (row * masks.stride + column)] / 255;
}

function masksAt(point) {
  if (!masks || kept) return;
  looked = point;
  listMasks();
}

// Keep the masks of a point in the list; of the point that is kept already, follow the pointer again.
function keepMasks(point) {
  if (!masks) return;
  const near = kept && Math.hypot(kept[0] - point[0], kept[1] - point[1]) < 8 * (canvas.width / canvas.clientWidth);
  kept = null;
  masksAt(point);
  if (!near) kept = point;
  drawVeil(null);
  listMasks();
}

function dropMasks() {
  kept = null;
  if (masks) listMasks(), drawVeil(null);
}

function listMasks() {
  const found = looked ? masks.masks.map((each, place) => [probability(place, looked), place]) : [];
  const some = found.filter(([value]) => value >= masks.least).sort((one, other) => other[0] - one[0] || one[1] - other[1]);
  find(".ev-mask-list").replaceChildren(...some.slice(0, MOST_MASKS).map(([value, place]) => maskRow(value, place)));
  find(".ev-mask-count").textContent = looked ? `${some.length} of ${masks.total}` : `${masks.total}`;
  find(".ev-mask-note").textContent = !looked
    ? "Point at the picture to see which masks hold a pixel."
    : some.length === 0
      ? "No mask holds this pixel."
      : kept
        ? "This pixel is kept: click it again, or press Escape, to follow the pointer. Point at a mask to see it."
        : "Click the picture to keep a pixel, then point at a mask to see it.";
}

function maskRow(value, place) {
  const each = masks.masks[place];
  const row = make("li", "");
  const button = row.appendChild(make("button", "ev-mask"));
  button.type = "button";
  button.dataset.place = place;
  button.appendChild(make("i", "ev-swatch")).style.backgroundColor = `rgb(${each.color.join(",")})`;
  button.append(make("span", "ev-name", `Mask ${each.index}`), make("span", "ev-number", wholePercent(value)));
  const names = button.appendChild(make("span", "ev-mask-names"));
  each.names
    .filter(([, share], i) => i === 0 || share >= 0.01)
    .forEach(([name, share]) => names.append(make("bdi", "", name), ` ${wholePercent(share)}, `));
  names.append(make("i", "", "no name"), ` ${wholePercent(each.none)}`);
  return row;
}

function wholePercent(value) {
  return value > 0 && value < 0.005 ? "< 1 %" : `${Math.round(100 * value)} %`;
}

function lookAtMask(event) {
  const row = event.target.closest("[data-place]");
  if (row && masks) drawVeil(Number(row.dataset.place));
}

// Darken what lies outside of a mask, and draw its outline, where the probability is one half.
function drawVeil(place) {
  const { width, height } = veil;
  const sheet = veil.getContext("2d", { willReadFrequently: true });
  sheet.clearRect(0, 0, width, height);
  veil.dataset.place = place ?? "";
  if (place !== null) {
    const picture = enlarged(place, width, height);
    const shares = picture.data;
    const inside = new Uint8Array(width * height);
    for (let i = 0; i < inside.length; i++) inside[i] = shares[4 * i + 3] > 127 ? 1 : 0;
    for (let i = 0, k = 0; i < inside.length; i++, k += 4) {
      const edge = (i % width > 0 && inside[i] !== inside[i - 1]) || (i >= width && inside[i] !== inside[i - width]);
      shares[k] = shares[k + 1] = shares[k + 2] = edge ? 255 : 10;
      shares[k + 3] = edge ? 255 : 0.7 * (255 - shares[k + 3]);
    }
    sheet.putImageData(picture, 0, 0);
  }
  if (!kept) return;
  const scale = width / (veil.clientWidth || width);
  for (const [color, size] of [["#000", 4], ["#fff", 2]]) {
    sheet.beginPath();
    sheet.arc(kept[0] + 0.5, kept[1] + 0.5, 6 * scale, 0, 2 * Math.PI);
    sheet.strokeStyle = color;
    sheet.lineWidth = size * scale;
    sheet.stroke();
  }
}

// A mask in the size of the canvas, its probabilities as alpha
function enlarged(place, width, height) {
  const small = new OffscreenCanvas(masks.width, masks.height).getContext("2d");
  const picture = small.createImageData(masks.width, masks.height);
  const left = (place % masks.columns) * masks.width;
  const top = Math.floor(place / masks.columns) * masks.height;
  for (let y = 0, k = 3; y < masks.height; y++)
    for (let x = 0; x < masks.width; x++, k += 4) picture.data[k] = masks.data[4 * ((top + y) * masks.stride + left + x)];
  small.putImageData(picture, 0, 0);
  const large = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  large.imageSmoothingEnabled = true;
  large.imageSmoothingQuality = "high";
  large.drawImage(small.canvas, 0, 0, width, height);
  return large.getImageData(0, 0, width, height);
}

