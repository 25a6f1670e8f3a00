// On the page of a busy relay (GET /new): lets the worker solve the puzzle, shows how far it is, and then offers the
// link that opens the app.
const section = document.querySelector(".proof");
const { challenge, rounds, bits, link, done, failed } = section.dataset;
const progress = section.querySelector("progress");
const state = section.querySelector("[role=status]");
const button = section.querySelector(".button");

progress.max = Number(rounds);
progress.value = 0;
progress.hidden = false;

const solver = new Worker("/proof-worker.js");
solver.onerror = () => {
  progress.hidden = true;
  state.textContent = failed;
};
solver.onmessage = ({ data: { solved, proof } }) => {
  if (solved !== undefined) progress.value = solved;
  if (proof === undefined) return;
  solver.terminate();
  progress.hidden = true;
  button.href = `${link}${encodeURIComponent(proof)}`;
  button.hidden = false;
  state.textContent = done;
  button.focus();
};
solver.postMessage({ challenge, rounds: Number(rounds), bits: Number(bits) });
