// A menu that saves what a chart shows: the picture from the page, files from the kernel. It also tells screen readers of the chart.
const DOWNLOAD = '<svg class="sf-icon" viewBox="0 0 24 24" aria-hidden="true"><path d="M12 4v11m0 0 4-4m-4 4-4-4M4 17v1a2 2 0 0 0 2 2h12a2 2 0 0 0 2-2v-1"/></svg>';

function save(name, address) {
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
}

function saveParts(name, mime, parts) {
  const address = URL.createObjectURL(new Blob(parts, { type: mime }));
  save(name, address);
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

function savePicture(card, name) {
  const canvas = card.querySelector(".vega-embed canvas");
  if (canvas) return save(name, canvas.toDataURL("image/png"));
  card.querySelector('.modebar-btn[data-title*="Download plot"], .modebar-btn[data-attr="toImage"]')?.click();
}

function render({ model, el }) {
  const menu = document.createElement("details");
  const head = document.createElement("summary");
  const list = document.createElement("div");
  const state = document.createElement("span");
  menu.className = "sf-menu";
  head.className = "sf-button sf-small";
  list.className = "sf-pop";
  state.className = "sf-download-state";
  state.setAttribute("role", "status");
  head.innerHTML = DOWNLOAD;
  head.append("Save");
  menu.append(head, list);
  el.append(menu, state);
  let wanted = null, seen = null;

  const card = () => el.closest(".sf-card");
  const close = (event) => {
    if (event.type === "keydown" ? event.key === "Escape" : !menu.contains(event.target)) menu.open = false;
  };

  function choose(what) {
    menu.open = false;
    head.focus();
    if (what === "picture") return savePicture(card(), `${model.get("stem")}.png`);
    wanted = { id: crypto.getRandomValues(new Uint32Array(2)).join("-"), parts: [] };
    state.textContent = "Preparing …";
    model.send({ kind: "get", id: wanted.id, what });
  }

  function draw() {
    head.setAttribute("aria-label", `Save ${model.get("label")}`);
    list.replaceChildren(
      ...model.get("items").map(([what, text]) => {
        const button = document.createElement("button");
        button.type = "button";
        button.className = "sf-menu-item";
        button.textContent = text;
        button.addEventListener("click", () => choose(what));
        return button;
      }),
    );
  }

  function heard(message, buffers) {
    if (wanted === null || message.id !== wanted.id) return;
    if (message.kind === "failed") {
      state.textContent = message.text;
      wanted = null;
      return;
    }
    wanted.parts.push(buffers[0]);
    if (message.left > 0) return model.send({ kind: "more", id: wanted.id });
    saveParts(message.name, message.mime, wanted.parts);
    state.textContent = "";
    wanted = null;
  }

  function tell() {
    const chart = card()?.querySelector(".js-plotly-plot, .vega-embed");
    if (chart && chart !== seen) {
      seen = chart;
      for (const wait of [0, 300]) setTimeout(() => window.dispatchEvent(new Event("resize")), wait); // to the width of the card
    }
    if (!chart || !model.get("words") || chart.getAttribute("aria-label") === model.get("words")) return;
    chart.setAttribute("role", "figure");
    if (chart.classList.contains("vega-embed")) chart.tabIndex = 0; // it scrolls on a narrow screen
    chart.setAttribute("aria-label", model.get("words"));
  }

  const observer = new MutationObserver(tell); // the chart comes later than the menu, and is replaced now and then
  const watch = setInterval(() => {
    if (!card()) return; // not in the page yet
    clearInterval(watch);
    observer.observe(card(), { childList: true, subtree: true });
    tell();
  }, 50);
  document.addEventListener("click", close);
  menu.addEventListener("keydown", close);
  model.on("msg:custom", heard);
  model.on("change:items change:label", draw);
  model.on("change:words", tell);
  draw();
  tell();
  return () => {
    clearInterval(watch);
    observer.disconnect();
    document.removeEventListener("click", close);
    model.off("msg:custom", heard);
  };
}

export default { render };
