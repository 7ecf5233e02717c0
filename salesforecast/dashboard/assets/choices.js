// A button that opens a list of choices with boxes to tick; none ticked means all.
function render({ model, el }) {
  const menu = document.createElement("details");
  const head = document.createElement("summary");
  const list = document.createElement("fieldset");
  const label = document.createElement("span");
  label.className = "widget-label";
  menu.className = "sf-menu sf-choices";
  head.className = "sf-button";
  list.className = "sf-pop";
  menu.append(head, list);
  el.classList.add("sf-field");
  el.append(label, menu);

  const close = (event) => {
    if (event.type === "keydown" ? event.key === "Escape" : !menu.contains(event.target)) menu.open = false;
  };

  function tick() {
    const value = [...list.querySelectorAll("input:checked")].map((box) => box.value);
    model.set("value", value);
    model.save_changes();
  }

  function describe() {
    const value = model.get("value");
    const text = value.length === 0 ? "All" : value.length === 1 ? value[0] : `${value.length} chosen`;
    head.textContent = text;
    head.setAttribute("aria-label", `${model.get("label")}: ${text}`);
    list.querySelectorAll("input").forEach((box) => (box.checked = value.includes(box.value)));
  }

  function draw() {
    label.textContent = model.get("label");
    const legend = document.createElement("legend");
    legend.className = "sf-visually-hidden";
    legend.textContent = model.get("label");
    list.replaceChildren(
      legend,
      ...model.get("options").map((text) => {
        const line = document.createElement("label");
        const box = document.createElement("input");
        box.type = "checkbox";
        box.value = text;
        box.addEventListener("change", tick);
        line.className = "sf-menu-item";
        line.append(box, text);
        return line;
      }),
    );
    describe();
  }

  document.addEventListener("click", close);
  menu.addEventListener("keydown", close);
  model.on("change:options change:label", draw);
  model.on("change:value", describe);
  draw();
  return () => document.removeEventListener("click", close);
}

export default { render };
