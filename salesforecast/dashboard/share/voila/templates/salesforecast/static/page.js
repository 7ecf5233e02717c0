// Says so when the session has ended, or cannot be reached: otherwise a click would do nothing, in silence.
(() => {
  const notice = document.getElementById("sf-notice");
  const { baseUrl, kernelId } = JSON.parse(document.getElementById("jupyter-config-data").textContent);
  const EVERY = 5000, LATE = 60_000, AGAIN = 300_000, began = Date.now();
  // what the process sent, before Voila replaces it by widgets
  const sent = [...document.querySelectorAll('script[type="application/vnd.voila.cell-output+json"]')];
  const empty = !sent.some((output) => output.textContent.includes("application/vnd.jupyter.widget-view+json"));
  let leaving = false, incomplete = false, told = "";
  addEventListener("beforeunload", () => { leaving = true; });
  // a connection that breaks while the page is drawn takes along what was on its way
  addEventListener("unhandledrejection", ({ reason }) => { incomplete ||= String(reason).includes("widget model not found"); });

  // Whether the page was drawn without its widgets, as if its process had none; then a new process is needed.
  function isBare() {
    const drawn = document.querySelector("#rendered_cells .jupyter-widgets");
    return incomplete || (drawn?.textContent.startsWith("Error displaying widget") ?? false);
  }

  // Loads the page anew, once in a while: nobody has done anything on it yet that could be lost.
  function reloadsItself() {
    const before = Number(sessionStorage.getItem("sf-reloaded"));
    if (Date.now() - before < AGAIN) return false;
    sessionStorage.setItem("sf-reloaded", Date.now());
    location.reload();
    return true;
  }

  function tell(text, again) {
    if (text === told) return;
    told = text;
    notice.replaceChildren(text);
    notice.hidden = !text;
    if (!again) return;
    const button = document.createElement("button");
    button.className = "sf-button sf-small";
    button.textContent = "Reload";
    button.addEventListener("click", () => location.reload());
    notice.append(button);
  }

  async function look() {
    try {
      const answer = await fetch(`${baseUrl}api/kernels/${kernelId}`, { cache: "no-store" });
      if (answer.status === 404) return tell("This session has ended because it was idle. Reload the page to start again.", true);
      const waits = !document.documentElement.dataset.sfReady;
      const isLost = isBare() || Date.now() - began > LATE; // a widget that is asked for and gone never answers
      if (waits && !empty && isLost && reloadsItself()) return;
      if (waits && (empty || isLost)) tell("The dashboard did not start. Reload the page. If that does not help, see the log of the dashboard.", true);
      else if (incomplete) tell("A part of this page did not arrive. Reload the page.", true);
      else tell("");
    } catch {
      if (!leaving) tell("The dashboard cannot be reached. Trying again …");
    }
    setTimeout(look, EVERY);
  }
  setTimeout(look, empty ? 0 : EVERY);

  document.addEventListener("click", (event) => {
    const status = document.getElementById("sf-status");
    if (status.open && !status.contains(event.target)) status.open = false;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") document.getElementById("sf-status").open = false;
  });
})();
