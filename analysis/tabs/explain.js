// What an answer is based on: on request, the file that this page still holds is sent to the server
// again; the reply, which contains sounds, stays in this page.
document.addEventListener("click", async ({ target }) => {
  const button = target.closest?.("[data-explain]");
  if (!button || ["sending", "recording"].includes(root.dataset.state)) return;
  const place = button.closest(".explain").querySelector("[role=status]");
  const [start, end] = button.dataset.explain.split(" ").map(Number);
  button.disabled = true;
  place.textContent = words.sending;
  try {
    const sound = await (await fetch(part("player").src)).blob();
    const { path } = await send(new File([sound], "recording"));
    const reply = await server.listen_explain({ path, start, end, model: button.dataset.model });
    place.innerHTML = reply.html ?? reply.problem;
    button.disabled = Boolean(reply.html);
  } catch (error) {
    place.textContent = why(error);
    button.disabled = false;
  }
});
