// What is asked for is kept in the address, so that a view can be passed on: #words=...&label=...
const form = document.querySelector(".filter");

function fits(video, wanted) {
  if (!wanted.words.every(word => video.words.includes(word))) return false;
  if (wanted.label) return (video.best[wanted.label] ?? -1) >= wanted.score;
  return wanted.score === 0 || Object.values(video.best).some(score => score >= wanted.score);
}

function onFilter(show) {
  const fields = ["words", "label", "score"];
  const given = new URLSearchParams(location.hash.slice(1));
  for (const name of fields) if (given.has(name)) form[name].value = given.get(name);
  const update = () => {
    const words = form.words.value.toLowerCase().split(/\s+/).filter(Boolean);
    form.least.value = (+form.score.value).toFixed(2);
    form.shown.value = show({ words, label: form.label.value, score: +form.score.value });
    const asked = fields.filter(name => form[name].value && form[name].value !== "0");
    const state = asked.map(name => `${name}=${encodeURIComponent(form[name].value)}`).join("&");
    if (state || fields.some(name => given.has(name))) history.replaceState(null, "", `#${state}`);
  };
  form.oninput = update;
  form.onsubmit = event => event.preventDefault();
  update();
  return update;
}
