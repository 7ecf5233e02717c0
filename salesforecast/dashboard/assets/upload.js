// A file goes to the kernel in parts: no message is larger than a server takes, and nothing is held whole.
const PART = 4 * 1024 * 1024;
const PATIENCE = 60_000; // without an answer for so long, the kernel has gone

const UPLOAD = '<svg class="sf-icon" viewBox="0 0 24 24" aria-hidden="true"><path d="M12 15V4m0 0 4 4m-4-4L8 8M4 15v3a2 2 0 0 0 2 2h12a2 2 0 0 0 2-2v-3"/></svg>';

function element(name, className, text) {
  const found = document.createElement(name);
  if (className) found.className = className;
  if (text) found.textContent = text;
  return found;
}

function megabytes(bytes) {
  if (bytes < 1e5) return `${Math.ceil(bytes / 1e3).toLocaleString("en")} kB`;
  return `${(bytes / 1e6).toLocaleString("en", { maximumFractionDigits: bytes < 1e7 ? 1 : 0 })} MB`;
}

function render({ model, el }) {
  const drop = element("label", "sf-drop");
  drop.innerHTML = UPLOAD;
  const label = element("strong", "", model.get("label"));
  const hint = element("span", "sf-help", model.get("hint"));
  const input = element("input");
  input.type = "file";
  input.accept = model.get("accept");
  input.setAttribute("aria-label", model.get("label"));
  drop.append(label, hint, input);

  const progress = element("div", "sf-progress");
  progress.hidden = true;
  const bar = element("progress");
  bar.max = 1;
  bar.setAttribute("aria-label", "Upload");
  const row = element("div", "sf-progress-row");
  const status = element("span");
  status.setAttribute("role", "status");
  const cancel = element("button", "sf-button sf-small", "Cancel");
  cancel.type = "button";
  row.append(status, cancel);
  progress.append(bar, row);
  el.append(drop, progress);

  let current = null;

  function end(text) {
    if (current) clearTimeout(current.timer);
    current = null;
    input.disabled = false;
    input.value = "";
    bar.hidden = cancel.hidden = true;
    progress.hidden = !text;
    status.textContent = text;
  }

  function wait() {
    clearTimeout(current.timer);
    current.timer = setTimeout(() => end("The upload was interrupted: the session does not answer. Reload the page and try again."), PATIENCE);
  }

  function begin(file) {
    if (!file || current) return;
    current = { id: crypto.getRandomValues(new Uint32Array(2)).join("-"), file, sent: 0, timer: 0 };
    input.disabled = true;
    progress.hidden = bar.hidden = cancel.hidden = false;
    bar.value = 0;
    status.textContent = `Uploading ${file.name} …`;
    model.send({ kind: "begin", id: current.id, name: file.name, size: file.size });
    wait();
  }

  async function next() {
    const { id, file, sent } = current;
    try {
      const part = await file.slice(sent, sent + PART).arrayBuffer();
      if (!current || current.id !== id) return;
      current.sent = sent + part.byteLength;
      model.send({ kind: "part", id }, undefined, [part]);
      wait();
    } catch {
      model.send({ kind: "cancel", id });
      end(`${file.name} cannot be read. Choose it again.`);
    }
  }

  function heard(message) {
    if (!current || message.id !== current.id) return;
    if (message.kind === "refused") return end(message.text);
    if (message.kind === "done") return end(`${current.file.name}, ${megabytes(current.file.size)}, is uploaded.`);
    bar.value = current.file.size ? message.received / current.file.size : 1;
    status.textContent = `Uploading ${current.file.name}: ${megabytes(message.received)} of ${megabytes(current.file.size)}`;
    next();
  }

  input.addEventListener("change", () => begin(input.files[0]));
  cancel.addEventListener("click", () => {
    if (!current) return;
    model.send({ kind: "cancel", id: current.id });
    end("The upload was cancelled.");
    input.focus();
  });
  for (const name of ["dragover", "dragleave", "drop"]) {
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.toggle("sf-over", name === "dragover");
      if (name === "drop") begin(event.dataTransfer.files[0]);
    });
  }
  const relabel = () => { label.textContent = model.get("label"); hint.textContent = model.get("hint"); };
  model.on("msg:custom", heard);
  model.on("change:label change:hint", relabel);
  return () => { model.off("msg:custom", heard); if (current) clearTimeout(current.timer); };
}

export default { render };
