// Joins the kernel with the parts of the page that are there before it: tabs, status, theme.
function place(id, el, name, className) {
  const found = document.getElementById(id);
  if (found) return found;
  const made = document.createElement(name); // outside of the dashboard's own page, such as in JupyterLab
  made.className = className;
  el.append(made);
  return made;
}

function slug(title) {
  return title.toLowerCase().replace(/[^a-z0-9]+/g, "-");
}

function tabs(model, el) {
  const nav = place("sf-tabs", el, "div", "sf-nav-inner");
  const titles = model.get("titles");
  nav.replaceChildren();
  nav.setAttribute("role", "tablist");
  nav.setAttribute("aria-label", "Parts of the dashboard");
  nav.removeAttribute("aria-hidden");
  const buttons = titles.map((title, index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sf-tab";
    button.id = `sf-tab-${index}`;
    button.textContent = title;
    button.setAttribute("role", "tab");
    button.addEventListener("click", () => open(index));
    nav.append(button);
    return button;
  });

  function mark(active) {
    document.body.dataset.sfTab = active;
    buttons.forEach((button, index) => {
      button.setAttribute("aria-selected", index === active);
      button.tabIndex = index === active ? 0 : -1;
    });
    buttons[active].scrollIntoView({ block: "nearest", inline: "nearest" });
    window.dispatchEvent(new Event("resize")); // charts that were hidden take their width
  }

  function open(index) {
    mark(index);
    history.replaceState(null, "", `#${slug(titles[index])}`);
    window.scrollTo(0, 0);
    model.set("active", index);
    model.save_changes();
  }

  nav.addEventListener("keydown", (event) => {
    const last = titles.length - 1, here = buttons.indexOf(document.activeElement);
    const next = { ArrowRight: here === last ? 0 : here + 1, ArrowLeft: here ? here - 1 : last, Home: 0, End: last }[event.key];
    if (here < 0 || next === undefined) return;
    event.preventDefault();
    open(next);
    buttons[next].focus();
  });

  function adorn() {
    const panels = titles.map((_, index) => document.querySelector(`.sf-panel-${index}`));
    panels.forEach((panel, index) => {
      if (!panel) return;
      panel.setAttribute("role", "tabpanel");
      panel.id = `sf-panel-${index}`;
      panel.setAttribute("aria-labelledby", `sf-tab-${index}`);
      buttons[index].setAttribute("aria-controls", panel.id);
    });
    return panels.every(Boolean);
  }
  if (!adorn()) {
    const observer = new MutationObserver(() => adorn() && observer.disconnect());
    observer.observe(document.body, { childList: true, subtree: true });
  }

  const asked = titles.findIndex((title) => `#${slug(title)}` === location.hash);
  mark(Math.max(asked, 0));
  if (asked > 0) {
    model.set("active", asked);
    model.save_changes();
  }
}

function status(model, el) {
  const pill = place("sf-status", el, "details", "sf-status");
  function draw() {
    const { kind, text, lines } = model.get("status");
    const [summary, dot, label, more] = ["summary", "span", "span", "div"].map((name) => document.createElement(name));
    summary.className = "sf-pill";
    summary.dataset.kind = kind;
    dot.className = "sf-dot";
    label.className = "sf-pill-text";
    label.textContent = text;
    summary.append(dot, label);
    more.className = "sf-pop";
    for (const [name, value] of lines) {
      const line = document.createElement("div");
      const label = document.createElement("span");
      label.className = "sf-help";
      label.textContent = name;
      line.append(label, value);
      more.append(line);
    }
    pill.replaceChildren(summary, more);
  }
  model.on("change:status", draw);
  draw();
}

function theme(model) {
  const tell = () => {
    model.set("theme", document.documentElement.dataset.sfTheme === "dark" ? "dark" : "light");
    model.save_changes();
  };
  document.addEventListener("sf-theme", tell);
  tell();
  return () => document.removeEventListener("sf-theme", tell);
}

function render({ model, el }) {
  status(model, el);
  tabs(model, el);
  const end = theme(model);
  document.documentElement.dataset.sfReady = "yes";
  model.set("shown", true);
  model.save_changes();
  return end;
}

export default { render };
