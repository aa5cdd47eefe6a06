// The overlay: draws the result, shows the name at the pointer, hides names, saves files. It sends no requests.
// gradio runs this once, with `element`, `props` and `watch`. Names are always inserted as text, never as markup.

const find = (selector) => element.querySelector(selector);
const canvas = find("canvas");
const pen = canvas.getContext("2d", { willReadFrequently: true });
const tip = find(".ev-tip");
const slider = find(".ev-opacity input");
const hidden = new Set(); // names that are switched off; they stay off in the next result
let shown = null; // the result that is shown: the server's data, and the pixels of its pictures
let latest = 0; // number of the latest result, because an older one may be decoded later
let picture = null; // the server's path of the picture in the field
let point = null; // [x, y] on the canvas of the point that the tip describes

function make(tag, className, text) {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = text ?? "";
  return node;
}

function percent(value) {
  return value < 0.0005 ? "< 0.1 %" : `${(100 * value).toFixed(1)} %`;
}

async function pixelsOf(url) {
  const image = new Image();
  image.src = url;
  await image.decode();
  const sheet = new OffscreenCanvas(image.width, image.height).getContext("2d");
  sheet.drawImage(image, 0, 0);
  return sheet.getImageData(0, 0, image.width, image.height);
}

async function show(value) {
  const number = ++latest;
  const isLate = value?.picture !== undefined && value.picture !== picture; // a result of another picture
  const urls = value?.photo && !isLate ? [value.photo, value.map, value.proposals?.sheet] : null;
  const pictures = urls && (await Promise.all(urls.map((url) => url && pixelsOf(url))));
  if (number !== latest) return;
  find(".ev-result").hidden = !pictures;
  tip.hidden = true;
  point = shown = null;
  if (pictures) {
    const [photo, map, sheet] = pictures;
    const places = new Uint16Array(map.width * map.height); // index of each pixel's name in value.classes
    for (let i = 0; i < places.length; i++) places[i] = map.data[4 * i] + 256 * map.data[4 * i + 1];
    shown = { ...value, photo, map, places };
    canvas.width = map.width;
    canvas.height = map.height;
    canvas.style.setProperty("--ratio", map.width / map.height);
    list();
    draw();
    openMasks(value.proposals, sheet);
  }
  const note = find(".ev-note");
  note.textContent = pictures ? summary(value) : isLate ? "One moment, please." : value?.sentence ?? note.textContent;
  note.classList.toggle("ev-error", Boolean(value?.error) && !isLate);
  element.firstElementChild.dataset.result = pictures ? "shown" : "none";
}

function summary(value) {
  const count = value.classes.length;
  return `${count} of ${value.names} ${value.names === 1 ? "name" : "names"} found, ${value.size.join(" × ")} pixels.`;
}

// Under the colours, the picture turns grey as the opacity grows. Where a name is switched off, it keeps its own colours.
function draw() {
  const { photo, places, classes, map } = shown;
  const opacity = slider.value / 100;
  const greyness = Math.min(1, 2 * opacity);
  const on = classes.map((each) => !hidden.has(each.name));
  const picture = pen.createImageData(map.width, map.height);
  const from = photo.data;
  const to = picture.data;
  const differs = (one, other) => one !== other && (on[one] || on[other]);
  for (let i = 0, k = 0; i < places.length; i++, k += 4) {
    const place = places[i];
    const edge =
      (i % map.width && differs(place, places[i - 1])) || (i >= map.width && differs(place, places[i - map.width]));
    const grey = (from[k] + from[k + 1] + from[k + 2]) / 3;
    for (let c = 0; c < 3; c++) {
      let pixel = from[k + c];
      if (on[place]) pixel = opacity * classes[place].color[c] + (1 - opacity) * (pixel + greyness * (grey - pixel));
      to[k + c] = edge ? pixel + greyness * (255 - pixel) : pixel;
    }
    to[k + 3] = 255;
  }
  pen.putImageData(picture, 0, 0);
  find(".ev-opacity output").textContent = `${slider.value} %`;
}

function list() {
  find(".ev-classes").replaceChildren(...shown.classes.map(classRow));
  const ranked = shown.kept.every((each) => each.score !== null);
  find(".ev-selection").hidden = !ranked && shown.kept.length === shown.names; // a model that keeps all tells nothing
  find(".ev-ranked").hidden = !ranked;
  find(".ev-kept").replaceChildren(...shown.kept.map(keptRow));
  find(".ev-count").textContent = `${shown.kept.length} of ${shown.names}`;
  const names = shown.classes.map((each) => `${each.name} ${percent(each.share)}`);
  canvas.setAttribute("aria-label", `Overlay: ${names.join(", ")}`);
}

function classRow(each) {
  const row = make("li", "");
  const label = row.appendChild(make("label", ""));
  const box = label.appendChild(make("input", ""));
  box.type = "checkbox";
  box.checked = !hidden.has(each.name);
  box.addEventListener("change", () => {
    if (box.checked) hidden.delete(each.name);
    else hidden.add(each.name);
    draw();
  });
  label.appendChild(make("i", "ev-swatch")).style.backgroundColor = `rgb(${each.color.join(",")})`;
  label.append(make("span", "ev-name", each.name), make("span", "ev-number", percent(each.share)));
  label.append(make("span", "ev-number", `${Math.round(100 * each.score)} %`));
  label.title = each.name;
  return row;
}

function keptRow(each) {
  const row = make("li", "");
  row.append(make("span", "ev-name", each.name));
  row.title = each.name;
  if (each.score === null) return row;
  const best = Math.max(shown.kept[0].score, 1e-9);
  row.append(make("span", "ev-number", each.score.toFixed(3)));
  row.appendChild(make("i", "ev-bar")).style.width = `${(100 * each.score) / best}%`;
  return row;
}

function tell(x, y) {
  const { map, places, classes } = shown;
  point = [Math.min(Math.max(x, 0), map.width - 1), Math.min(Math.max(y, 0), map.height - 1)];
  const i = point[1] * map.width + point[0];
  tip.firstElementChild.textContent = classes[places[i]].name;
  tip.lastElementChild.textContent = `${Math.round((100 * map.data[4 * i + 2]) / 255)} %`;
  tip.hidden = false;
  masksAt(point);
  const left = canvas.offsetLeft + ((point[0] + 0.5) * canvas.clientWidth) / map.width;
  const room = find(".ev-stage").clientWidth - tip.offsetWidth;
  tip.style.left = `${Math.max(0, Math.min(left - tip.offsetWidth / 2, room))}px`;
  const top = canvas.offsetTop + ((point[1] + 0.5) * canvas.clientHeight) / map.height;
  tip.style.top = `${top > tip.offsetHeight + 14 ? top - tip.offsetHeight - 12 : top + 18}px`;
}

function follow(event) {
  const box = canvas.getBoundingClientRect();
  const along = (event.clientX - box.left) / box.width;
  const down = (event.clientY - box.top) / box.height;
  tell(Math.floor(along * canvas.width), Math.floor(down * canvas.height));
}

function leave() {
  tip.hidden = true;
}

canvas.addEventListener("click", () => point && keepMasks(point));
canvas.addEventListener("pointermove", follow);
canvas.addEventListener("pointerdown", follow);
canvas.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && leave());
canvas.addEventListener("blur", leave);
canvas.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && point) keepMasks(point);
  const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (!move) return;
  event.preventDefault();
  const step = Math.ceil(Math.max(canvas.width, canvas.height) / 40);
  const [x, y] = point ?? [canvas.width >> 1, canvas.height >> 1];
  tell(x + step * move[0], y + step * move[1]);
});

slider.addEventListener("input", draw);
element.addEventListener("keydown", (event) => event.key === "Escape" && dropMasks());

element.addEventListener("click", async (event) => {
  const { show: which, save } = event.target.dataset;
  if (which) {
    for (const each of shown.classes) which === "all" ? hidden.delete(each.name) : hidden.add(each.name);
    list();
    draw();
  }
  if (save) {
    const content = save === "overlay" ? new Promise((done) => canvas.toBlob(done)) : fetch(shown[save]).then((it) => it.blob());
    const link = make("a", "");
    link.href = URL.createObjectURL(await content);
    link.download = `${shown.stem}_${save}`.replace(/_json$/, "") + (save === "json" ? ".json" : ".png");
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  }
});

// In the field of names, a comma ends a name, like Enter, unless it is between quotes.
document.addEventListener("keydown", (event) => {
  const input = event.target;
  if (event.key !== "," || !input.matches("#names input") || input.value.split('"').length % 2 === 0) return;
  event.preventDefault();
  if (input.value.trim()) input.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
});

// The examples are pictures without text: label their buttons whenever gradio creates them.
function nameExamples() {
  const buttons = document.querySelectorAll("#examples > .gallery > button");
  buttons.forEach((button, i) => button.setAttribute("aria-label", `Example ${i + 1}`));
}
new MutationObserver(nameExamples).observe(document.body, { childList: true, subtree: true });
nameExamples();

addEventListener("errseg-picture", (event) => {
  picture = event.detail;
  show(props.value);
});
watch("value", () => show(props.value));
show(props.value);
