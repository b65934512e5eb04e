// Uploads a file to the server. A refusal has the server's sentence; a lost connection has none.
class Refusal extends Error {}
const send = async (file) => {
  const { root: site, api_prefix: api } = window.gradio_config;
  const form = new FormData();
  form.append("files", file);
  const reply = await fetch(`${site}${api}/upload`, { method: "POST", body: form });
  if (!reply.ok) throw Object.assign(new Refusal(await reply.text()), { status: reply.status });
  const [path] = await reply.json();
  return { path, orig_name: file.name, meta: { _type: "gradio.FileData" } };
};
