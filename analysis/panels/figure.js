// Draws with the page's Plotly; an existing figure is updated in place.
const drawFigure = (place) => {
  const { data, layout } = JSON.parse(place.nextElementSibling.textContent);
  delete layout.width;
  const below = layout.meta?.below; // a square is at most as high as wide
  if (below) layout.height = Math.min(layout.height, place.clientWidth - 110 + below);
  place.style.height = `${layout.height || 450}px`;
  const config = { responsive: true, displaylogo: false, displayModeBar: false };
  return Plotly.react(place, data, layout, config);
};
// Draws all figures inside a place.
const drawFigures = async (root) => {
  const places = root.querySelectorAll(".plot");
  if (places.length && !window.Plotly) await plotly();
  for (const place of places) if (place.isConnected) drawFigure(place);
};
// Dark text on white with the title above, so that the file is readable anywhere.
const saveFigure = async ({ place, format, file }) => {
  const plot = document.querySelector(`#${place} .js-plotly-plot`);
  if (!plot) return;
  const heading = document.getElementById(`${place}-heading`)?.textContent.trim() ?? "";
  const lines = (heading.match(/.{1,90}(\s|$)/g) ?? []).map((line) => line.trim());
  const room = 20 * lines.length + 12;
  const layout = { ...plot.layout, paper_bgcolor: "white", plot_bgcolor: "white",
    font: { ...plot.layout.font, color: "#222222" },
    title: { text: lines.join("<br>"), x: 0.01, xanchor: "left", y: 0.98, yanchor: "top",
             font: { size: 14 } },
    margin: { ...plot.layout.margin, t: (plot.layout.margin?.t ?? 36) + room } };
  const size = { width: plot.clientWidth, height: plot.clientHeight + room };
  const href = await Plotly.toImage({ data: plot.data, layout },
    { format, ...size, scale: format === "png" ? 2 : 1 });
  Object.assign(document.createElement("a"), { href, download: file }).click();
};
// Plotly is large, so it is loaded with the first figure.
let loading = null;
const plotly = () => loading ??= new Promise((done, failed) => {
  const script = document.createElement("script");
  Object.assign(script, { src: new URL("plotly.min.js", document.baseURI), onload: done, onerror: failed });
  document.head.append(script);
});
