// All figures of a page share one copy of plotly, which the browser fetches once.
const bundle = import(new URL(`${document.body.dataset.baseUrl}plotly/widgetbundle.js`, location.href));

export default async () => (await bundle).default(); // a function that makes a widget
