// All figures of a page share one copy of plotly, which the browser fetches once.
const bundle = import(new URL(`${document.body.dataset.baseUrl}plotly/widgetbundle.js`, location.href)).then(mend);

// A figure may leave the page and return: its listeners leave with it, and its model knows what changed meanwhile.
// Plotly's own view leaves its listeners behind; they fail on the next change, so that those of the new view are
// never called. Its model applies changes as they were sent, where what did not change reads "_undefined_", and loses it.
function mend(plotly) {
  const { prototype: model } = plotly.FigureModel, { prototype: view } = plotly.FigureView;
  const { initialize, on } = model, { perform_render, remove } = view;
  if (model.mended) return plotly; // each figure runs this file, and all share one plotly
  model.mended = true;
  model.initialize = function () {
    const { model: sent, serializers } = this, changing = { _widget_data: null, _widget_layout: null };
    const read = (name) => serializers[name] ? serializers[name].deserialize(sent.get(name)) : sent.get(name);
    this.model = { ...sent, get: (name) => name in changing ? (changing[name] ??= read(name)) : read(name) };
    initialize.call(this);
  };
  model.get = function (name) {
    return this.model.get(name);
  };
  model.on = function (name, listener) {
    this.listening?.push([name, listener]);
    on.call(this, name, listener);
  };
  view.perform_render = function () {
    this.listening = this.model.listening = [];
    perform_render.call(this);
    this.model.listening = null;
  };
  view.remove = function () {
    for (const [name, listener] of this.listening) this.model.model.off(name, listener);
    remove.call(this);
  };
  return plotly;
}

export default async () => (await bundle).default(); // a function that makes a widget
