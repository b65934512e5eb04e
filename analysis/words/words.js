// Texts in the first supported language of the browser; the Listen tab contains all languages.
const languages = JSON.parse(document.querySelector("[data-words]").dataset.words);
const language = navigator.languages.map((code) => code.slice(0, 2)).find((code) => languages[code]) ?? "en";
const words = languages[language];
const fill = (key, values) => words[key].replace(/{(\w+)}/g, (_, name) => values[name]);
const translate = (place) => {
  for (const one of place.querySelectorAll("[data-word]"))
    one.textContent = words[one.dataset.word] ?? one.textContent;
};
