// The browser asks for part after part and saves them as one file.
const DOWNLOAD = '<svg class="sf-icon" viewBox="0 0 24 24" aria-hidden="true"><path d="M12 4v11m0 0 4-4m-4 4-4-4M4 17v1a2 2 0 0 0 2 2h12a2 2 0 0 0 2-2v-1"/></svg>';

function save(name, kind, parts) {
  const link = document.createElement("a");
  const address = URL.createObjectURL(new Blob(parts, { type: kind }));
  link.href = address;
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

function render({ model, el }) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "sf-button sf-small";
  const state = document.createElement("span");
  state.className = "sf-download-state";
  state.setAttribute("role", "status");
  el.append(button, state);
  let wanted = null;

  function draw() {
    button.innerHTML = DOWNLOAD;
    button.append(wanted ? "Preparing …" : model.get("label"));
    button.disabled = model.get("disabled") || wanted !== null;
    button.title = model.get("hint");
  }

  function heard(message, buffers) {
    if (wanted === null || message.id !== wanted.id) return;
    if (message.kind === "failed") {
      state.textContent = message.text;
      wanted = null;
      return draw();
    }
    wanted.parts.push(buffers[0]);
    if (message.left > 0) return model.send({ kind: "more", id: wanted.id });
    save(message.name, message.mime, wanted.parts);
    wanted = null;
    draw();
  }

  button.addEventListener("click", () => {
    wanted = { id: crypto.getRandomValues(new Uint32Array(2)).join("-"), parts: [] };
    state.textContent = "";
    draw();
    model.send({ kind: "get", id: wanted.id });
  });
  model.on("msg:custom", heard);
  model.on("change:label change:disabled change:hint", draw);
  draw();
  return () => model.off("msg:custom", heard);
}

export default { render };
