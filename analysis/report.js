// Each figure is drawn when it comes near, so that the page opens at once.
const draw = (place) => {
  if (place.classList.contains("js-plotly-plot")) return;
  const { data, layout } = JSON.parse(place.nextElementSibling.textContent);
  delete layout.width;
  Plotly.newPlot(place, data, layout, { responsive: true, displaylogo: false });
};
const places = document.querySelectorAll(".plot");
const near = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    near.unobserve(target);
    draw(target);
  }
}, { rootMargin: "300px" });
places.forEach((place) => near.observe(place));
addEventListener("beforeprint", () => places.forEach(draw));
addEventListener("click", ({ target }) => {
  const { place, format } = target.closest("button.download")?.dataset ?? {};
  if (place) saveFigure(place, format);
});
