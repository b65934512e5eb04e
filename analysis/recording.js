// Runs once, when the page is there. The page puts in what the decoder reads.
() => {
  // A cry is heard as it is: left alone, browsers clean up what a microphone hears for speech.
  const untouched = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  if (window.MediaDevices) { // only on secure pages
    const ask = MediaDevices.prototype.getUserMedia;
    MediaDevices.prototype.getUserMedia = function (wanted) {
      const audio = wanted?.audio && { ...wanted.audio, ...untouched };
      return ask.call(this, { ...wanted, audio });
    };
  }

  // Gradio lets through what the browser calls audio. A film has sound too, and not every browser
  // knows every ending: the decoder goes by what is in a file.
  const recording = document.getElementById("recording");
  const isSound = (file) => file.type.startsWith("audio/");
  const asSound = (files) => {
    const transfer = new DataTransfer();
    for (const file of files)
      transfer.items.add(new File([file], file.name, { type: isSound(file) ? file.type : "audio/*" }));
    return transfer;
  };
  recording.addEventListener("click", () => {
    for (const input of recording.querySelectorAll("input[type=file]")) input.accept = "ACCEPTED";
  }, true);
  recording.addEventListener("change", ({ target }) => {
    if (target.type === "file") target.files = asSound(target.files).files;
  }, true);
  recording.addEventListener("drop", (event) => {
    const files = [...(event.dataTransfer?.files ?? [])];
    if (files.every(isSound)) return;
    event.preventDefault();
    event.stopPropagation();
    const dataTransfer = asSound(files);
    const drop = new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer });
    event.target.dispatchEvent(drop);
  }, true);
}
