// Draws figures when they come near the viewport, so that the page opens fast; not in closed folds.
const places = document.querySelectorAll(".plot");
const near = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    near.unobserve(target);
    drawFigure(target);
  }
}, { rootMargin: "300px" });
places.forEach((place) => near.observe(place));
addEventListener("beforeprint", () => {
  document.querySelectorAll("details").forEach((fold) => { fold.open = true; });
  places.forEach(drawFigure);
});
addEventListener("click", ({ target }) => {
  const button = target.closest("button.download");
  if (button) saveFigure(button.dataset);
});
// A link into a fold opens that fold, and the first one inside.
const unfold = () => {
  const place = location.hash && document.getElementById(location.hash.slice(1));
  if (!place) return;
  for (let fold = place; fold; fold = fold.parentElement) if (fold.tagName === "DETAILS") fold.open = true;
  const first = place.querySelector("details");
  if (first) first.open = true;
  place.scrollIntoView();
};
addEventListener("hashchange", unfold);
unfold();
